import { FsError } from '../../errors.ts';
import type { FileSystem, NodeId } from '../../filesystem/file-system.ts';
import { resolveParent, splitPath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { checkOperands, checkPaths, forEachOperand } from './operand.ts';
import { print } from './print.ts';

/** Directories that are nested deeper exist only in damaged images. */
const MAX_DEPTH = 2000;

/** `userloop rm`: remove files of an image. */
export const rm = defineApplet({
  name: 'rm',
  kind: 'verb',
  summary: 'remove files of an image',
  usage: ['userloop rm [OPTION]... IMAGE[:N|@OFFSET]:/PATH...'],
  description: [
    'Removes names; a file goes with its last one. Symlinks are removed themselves, never what they lead to. The root of a file system cannot be removed; make a new one instead.',
  ],
  options: [
    { short: 'r', long: 'recursive', description: 'directories, too, and what is in them' },
    { short: 'R', description: 'as -r' },
    { short: 'd', long: 'dir', description: 'empty directories, too' },
    { short: 'f', long: 'force', description: 'no error for what is not there' },
    { short: 'v', long: 'verbose', description: 'name each file that is removed' },
  ],
  examples: [
    { command: 'userloop rm disk.img:/core', explanation: 'remove one file' },
    {
      command: 'userloop rm -rf disk.img:1:/var/cache',
      explanation: 'remove a directory and all that is in it, if it is there',
    },
  ],
  exitStatus: { 0: 'all were removed', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, rm.options);
    if (args.operands.length === 0 && args.has('f')) return 0;
    checkOperands(args.operands, 1);
    checkPaths(io, args.operands);
    const recursive = args.has('r') || args.has('R');
    return forEachOperand(
      io,
      'rm',
      args.operands,
      { write: true, action: 'cannot remove' },
      (operand, failures) => {
        const { fileSystem, path, show } = operand;
        if (splitPath(path).length === 0)
          throw new FsError('EBUSY', { detail: 'the root cannot be removed' });
        const told = args.has('v') ? (each: string) => print(io, `removed '${show(each)}'\n`) : undefined;
        let parent;
        try {
          parent = resolveParent(fileSystem, path, { syscall: 'unlink' });
        } catch (error) {
          if (
            args.has('f') &&
            error instanceof FsError &&
            (error.code === 'ENOENT' || error.code === 'ENOTDIR')
          )
            return;
          throw error;
        }
        const node = fileSystem.lookup(parent.directory, parent.name);
        if (node === undefined) {
          if (args.has('f')) return;
          throw new FsError('ENOENT', { syscall: 'unlink', path });
        }
        if (fileSystem.attributes(node).kind !== 'directory') {
          fileSystem.unlink(parent.directory, parent.name);
          told?.(path);
          return;
        }
        if (!recursive && !args.has('d')) throw new FsError('EISDIR', { syscall: 'unlink', path });
        if (recursive) {
          emptyDirectory(
            fileSystem,
            node,
            path,
            (each, error) => failures.add(`cannot remove '${show(each)}'`, error),
            told,
          );
        }
        fileSystem.removeDirectory(parent.directory, parent.name);
        told?.(path);
      },
    );
  },
});

/** Removes all that is in a directory. `removed` is told each path; errors go to `failed`, and the rest is still removed. */
export function emptyDirectory(
  fileSystem: FileSystem,
  directory: NodeId,
  path: string,
  failed: (path: string, error: unknown) => void,
  removed?: (path: string) => void,
  above: ReadonlySet<NodeId> = new Set(),
): void {
  if (above.has(directory))
    throw new FsError('ELOOP', { detail: 'the directory is one of those that it lies in' });
  if (above.size > MAX_DEPTH) {
    throw new FsError('ENAMETOOLONG', { detail: `directories are nested more than ${MAX_DEPTH} deep` });
  }
  const inside = new Set(above).add(directory);
  // The list first: what is removed is not walked over at the same time.
  const entries = [...fileSystem.entries(directory)];
  for (const { name, node, kind } of entries) {
    const each = `${path.endsWith('/') ? path : `${path}/`}${name}`;
    try {
      if (kind === 'directory') {
        emptyDirectory(fileSystem, node, each, failed, removed, inside);
        fileSystem.removeDirectory(directory, name);
      } else fileSystem.unlink(directory, name);
      removed?.(each);
    } catch (error) {
      failed(each, error);
    }
  }
}
