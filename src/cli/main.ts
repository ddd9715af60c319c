import { isOwnError, UsageError } from '../errors.ts';
import type { Applet } from './applet.ts';
import { type Io, LostOutputError, processIo, reportLostOutput } from './io.ts';
import { findCommand, REGISTRY } from './registry.ts';
import { describeFailure } from './verbs/failure.ts';
import { VERSION } from './version.ts';

/**
 * The entry of the command line. `argv0` is the name that we were called by: a link named after an applet runs that
 * applet, anything else takes the command's name from the first argument.
 */
export async function main(argv0: string, argv: readonly string[], io: Io = processIo()): Promise<number> {
  try {
    return await runCalled(argv0, argv, io);
  } catch (error) {
    if (error instanceof LostOutputError) return reportLostOutput(io, 'userloop', error);
    throw error;
  }
}

async function runCalled(argv0: string, argv: readonly string[], io: Io): Promise<number> {
  const called = argv0.slice(argv0.lastIndexOf('/') + 1);
  const linked = findCommand(called);
  if (linked?.kind === 'applet') return runCommand(io, await linked.load(), argv, called);

  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) {
    (name === undefined ? io.stderr : io.stdout).write(overview());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-V') {
    io.stdout.write(`userloop ${VERSION}\n`);
    return 0;
  }
  if (name === 'help') return runCalled(argv0, [rest[0]!, '--help'], io);
  const entry = findCommand(name);
  if (entry === undefined) {
    io.stderr.write(`userloop: "${name}" is not a command; userloop --help lists them\n`);
    return 2;
  }
  return runCommand(io, await entry.load(), rest, name);
}

/** Runs one command and turns its errors into a line on stderr and an exit status. */
export async function runCommand(
  io: Io,
  applet: Applet,
  argv: readonly string[],
  calledAs: string,
): Promise<number> {
  const prefix = applet.kind === 'verb' ? `userloop ${calledAs}` : calledAs;
  try {
    if (argv.length === 1 && argv[0] === '--help') {
      const { renderHelp } = await import('./help.ts');
      io.stdout.write(renderHelp(applet));
      return 0;
    }
    return await applet.run(io, argv, calledAs);
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr.write(`${prefix}: ${error.message}\nTry "${prefix} --help" for more information.\n`);
      return error.exitStatus;
    }
    // The status of checkers that they could not do it is 8, as that of fsck(8).
    if (error instanceof LostOutputError)
      return reportLostOutput(io, prefix, error, applet.exitStatus?.[8] === undefined ? 1 : 8);
    const expected = isOwnError(error) || (error instanceof Error && 'syscall' in error);
    if (!expected) throw error;
    io.stderr.write(`${prefix}: ${describeFailure(error)}\n`);
    return 1;
  }
}

function overview(): string {
  const verbs = REGISTRY.filter((entry) => entry.kind === 'verb');
  const applets = REGISTRY.filter((entry) => entry.kind === 'applet');
  const width = Math.max(0, ...REGISTRY.map((entry) => entry.names.join(', ').length)) + 2;
  const row = (entry: (typeof REGISTRY)[number]): string =>
    `  ${entry.names.join(', ').padEnd(width)}${entry.summary}\n`;
  return (
    'Usage: userloop COMMAND [ARGUMENT]...\n\n' +
    'Disk images without root: partition, format, fill, make bootable, boot.\n\n' +
    'An image is named IMAGE (its only file system), IMAGE:N (partition N) or IMAGE@OFFSET (bytes);\n' +
    'a file in it IMAGE:/path, IMAGE:N:/path or IMAGE@OFFSET:/path.\n\n' +
    'Our own commands:\n' +
    verbs.map(row).join('') +
    '\nClassic tools, also through a link of their name to this program:\n' +
    applets.map(row).join('') +
    '\nExamples:\n' +
    '  userloop create floppy.img 1440K && userloop mkfs.ext2 -q floppy.img\n' +
    '  userloop cp -r ./boot floppy.img:/ && userloop ls -l floppy.img:/boot\n' +
    '\nuserloop COMMAND --help says more about one of them.\n'
  );
}
