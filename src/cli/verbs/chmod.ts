import { FsError } from '../../errors.ts';
import { resolvePath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { checkOperands, checkPaths, forEachOperand } from './operand.ts';
import { formatOctal, parseMode } from './permissions.ts';
import { print } from './print.ts';
import { walkTree } from './walk.ts';

/** `userloop chmod`: permissions of files of an image. */
export const chmod = defineApplet({
  name: 'chmod',
  kind: 'verb',
  summary: 'change the mode of files of an image',
  usage: ['userloop chmod [OPTION]... MODE IMAGE[:N|@OFFSET]:/PATH...'],
  description: [
    'MODE is octal (755, 04755) or symbolic (u+x, go-w, a=rX). Symbolic links on the way are followed; with -R those that are met are left alone. On FAT a mode is the read-only attribute: no file may be written to, or all may.',
  ],
  options: [
    { short: 'R', long: 'recursive', description: 'directories and all that is in them' },
    { short: 'v', long: 'verbose', description: 'name each file and its new mode' },
  ],
  examples: [
    { command: 'userloop chmod 4755 disk.img:/bin/su', explanation: 'an octal mode' },
    { command: 'userloop chmod -R u+rwX,go-w disk.img:1:/home', explanation: 'symbolic, for a whole tree' },
  ],
  exitStatus: { 0: 'all were changed', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const { flags, modes } = separateModes(argv);
    const args = getopt(flags, chmod.options);
    const [mode, ...operands] = modes === undefined ? args.operands : [modes, ...args.operands];
    checkOperands(mode === undefined ? [] : [mode, ...operands], 2);
    checkPaths(io, operands);
    const change = parseMode(mode!);
    return forEachOperand(
      io,
      'chmod',
      operands,
      { write: true, action: 'cannot change the mode of' },
      (operand, failures) => {
        const { fileSystem, path, show } = operand;
        walkTree(fileSystem, resolvePath(fileSystem, path), path, path, {
          ...(args.has('R') ? {} : { maxDepth: 0 }),
          visit({ node, kind, path: each }) {
            if (kind === 'symlink') return;
            failures.try(`cannot change the mode of '${show(each)}'`, () => {
              const old = fileSystem.attributes(node).mode;
              const wanted = change(old, kind === 'directory');
              if (wanted !== old) fileSystem.setAttributes(node, { mode: wanted });
              checkHeld(fileSystem.capabilities.ownership, wanted, fileSystem.attributes(node).mode);
              if (args.has('v')) print(io, `mode of '${show(each)}' is ${formatOctal(wanted)}\n`);
            });
          },
          failed: (each, error) => failures.add(`cannot read directory '${show(each)}'`, error),
        });
      },
    );
  },
});

/** FAT keeps one bit of a mode; what the owner may do with the file must not seem to be set when it is not. */
function checkHeld(ownership: boolean, wanted: number, held: number): void {
  if (ownership || (wanted & 0o700) === (held & 0o700)) return;
  throw new FsError('EPERM', {
    detail: `FAT cannot hold mode ${formatOctal(wanted)}; it is ${formatOctal(held)} now`,
  });
}

/** `-w` and `-rwx` are modes that look like options. */
function separateModes(argv: readonly string[]): { flags: string[]; modes: string | undefined } {
  const index = argv.findIndex((argument) => /^-[rwxXst,=+-]*$/.test(argument) && /[rwxXst]/.test(argument));
  const end = argv.indexOf('--');
  if (index < 0 || (end >= 0 && index > end)) return { flags: [...argv], modes: undefined };
  return { flags: argv.filter((_, each) => each !== index), modes: argv[index]! };
}
