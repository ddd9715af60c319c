import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { findCommand, REGISTRY } from '../registry.ts';

export const mkfs = defineApplet({
  name: 'mkfs',
  kind: 'applet',
  summary: 'make a file system of any type',
  usage: ['mkfs [-V] [-t TYPE] [OPTION-OF-THE-TYPE]... DEVICE [SIZE]'],
  description: [
    'Runs mkfs.TYPE with the rest of the command line: mkfs -t ext2 runs mkfs.ext2, mkfs -t vfat runs mkfs.vfat. ' +
      'The type is ext2 where none is given. -t and -V come first: what follows them belongs to mkfs.TYPE.',
  ],
  options: [
    {
      short: 't',
      long: 'type',
      argument: 'required',
      argumentName: 'TYPE',
      description: 'type of the file system, ext2 by default',
    },
    { short: 'V', long: 'verbose', description: 'print the command that is run; twice: only print it' },
    { long: 'version', description: 'print the version' },
    { short: 'h', long: 'help', description: 'print this help' },
  ],
  examples: [
    { command: 'mkfs -t ext2 floppy.img', explanation: 'The same as mkfs.ext2 floppy.img.' },
    { command: 'mkfs -t vfat -F 32 disk.img', explanation: 'The same as mkfs.vfat -F 32 disk.img.' },
  ],
  exitStatus: { 0: 'the file system was made', 1: 'it was not' },
  run,
});

const VERSION = 'mkfs from util-linux 2.38.1\n';

async function run(io: Io, argv: readonly string[]): Promise<number> {
  const { type, verbosity, version, help, rest } = parse(argv);
  if (help) {
    const { renderHelp } = await import('../help.ts');
    io.stdout.write(renderHelp(mkfs));
    return 0;
  }
  if (version || (verbosity > 0 && rest.length === 0)) {
    io.stdout.write(VERSION);
    return 0;
  }
  if (rest.length === 0) {
    io.stderr.write("mkfs: no device specified\nTry 'mkfs --help' for more information.\n");
    return 1;
  }
  const program = `mkfs.${type}`;
  if (verbosity > 0) io.stdout.write(`${VERSION}${program} ${rest.join(' ')} \n`);
  if (verbosity > 1) return 0;
  const entry = findCommand(program);
  if (entry === undefined) {
    const known = REGISTRY.flatMap(({ names }) => names).filter((name) => name.startsWith('mkfs.'));
    io.stderr.write(
      `mkfs: failed to execute ${program}: No such file or directory\n` +
        `mkfs: the types that can be made are ${known.map((name) => name.slice('mkfs.'.length)).join(', ')}\n`,
    );
    return 1;
  }
  return (await entry.load()).run(io, rest, program);
}

interface Parsed {
  type: string;
  verbosity: number;
  version: boolean;
  help: boolean;
  rest: readonly string[];
}

/** Only options of its own, up to the first that is not. */
function parse(argv: readonly string[]): Parsed {
  const result: Parsed = { type: 'ext2', verbosity: 0, version: false, help: false, rest: [] };
  let i = 0;
  for (; i < argv.length; i++) {
    const argument = argv[i]!;
    if ((argument === '-t' || argument === '--type') && i + 1 < argv.length) result.type = argv[++i]!;
    else if (argument.startsWith('--type=')) result.type = argument.slice('--type='.length);
    else if (/^-t./.test(argument)) result.type = argument.slice(2);
    else if (argument === '-V' || argument === '--verbose') result.verbosity++;
    else if (argument === '--version') result.version = true;
    else if (argument === '-h' || argument === '--help') result.help = true;
    else break;
  }
  result.rest = argv.slice(i);
  return result;
}
