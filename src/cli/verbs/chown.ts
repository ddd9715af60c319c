import { FsError } from '../../errors.ts';
import { resolvePath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { checkOperands, checkPaths, forEachOperand } from './operand.ts';
import { OwnerNames } from './owner.ts';
import { print } from './print.ts';
import { walkTree } from './walk.ts';

/** `userloop chown`: owners of files of an image. */
export const chown = defineApplet({
  name: 'chown',
  kind: 'verb',
  summary: 'change the owner of files of an image',
  usage: [
    'userloop chown [OPTION]... USER[:[GROUP]] IMAGE[:N|@OFFSET]:/PATH...',
    'userloop chown [OPTION]... :GROUP IMAGE[:N|@OFFSET]:/PATH...',
  ],
  description: [
    'USER and GROUP are numbers, or names that the image itself has in its /etc/passwd and /etc/group; USER: stands for the login group of the user. As chown(2) does, a change of the owner takes setuid and setgid from a file that can be executed.',
  ],
  options: [
    { short: 'R', long: 'recursive', description: 'directories and all that is in them' },
    {
      short: 'h',
      long: 'no-dereference',
      description: 'symbolic links themselves; -R implies it for those that are met',
    },
    { short: 'v', long: 'verbose', description: 'name each file' },
  ],
  examples: [
    { command: 'userloop chown -R 1000:1000 disk.img:/home/me', explanation: 'a whole tree, by numbers' },
    {
      command: 'userloop chown www-data: disk.img:1:/var/www',
      explanation: 'a name of the image, with its login group',
    },
  ],
  exitStatus: { 0: 'all were changed', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, chown.options);
    checkOperands(args.operands, 2);
    const [owner, ...operands] = args.operands as [string, ...string[]];
    checkPaths(io, operands);
    return forEachOperand(
      io,
      'chown',
      operands,
      { write: true, action: 'cannot change the owner of' },
      (operand, failures) => {
        const { fileSystem, path, show } = operand;
        if (!fileSystem.capabilities.ownership) {
          throw new FsError('EPERM', { detail: `${fileSystem.type} keeps no owners` });
        }
        const wanted = OwnerNames.read(fileSystem).parse(owner);
        walkTree(fileSystem, resolvePath(fileSystem, path, { follow: !args.has('h') }), path, path, {
          ...(args.has('R') ? {} : { maxDepth: 0 }),
          visit({ node, kind, path: each }) {
            failures.try(`cannot change the owner of '${show(each)}'`, () => {
              const { mode } = fileSystem.attributes(node);
              const executable = kind === 'file' && (mode & 0o111) !== 0;
              // Without group execution, setgid means mandatory locking and stays (fs/attr.c in Linux).
              const cleared = executable ? mode & ~(0o4000 | ((mode & 0o010) === 0 ? 0 : 0o2000)) : mode;
              fileSystem.setAttributes(node, cleared === mode ? wanted : { ...wanted, mode: cleared });
              if (args.has('v')) print(io, `changed the owner of '${show(each)}'\n`);
            });
          },
          failed: (each, error) => failures.add(`cannot read directory '${show(each)}'`, error),
        });
      },
    );
  },
});
