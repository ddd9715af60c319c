import { CopyStopped } from '../../disk/tree/copy-stopped.ts';
import { TreeCopy } from '../../disk/tree/copy-tree.ts';
import { ImageTree } from '../../disk/tree/image-tree.ts';
import { FsError, UsageError } from '../../errors.ts';
import type { FileSystem, NodeId } from '../../filesystem/file-system.ts';
import { findPath, resolveParent, splitPath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { OpenImages } from '../image-reference.ts';
import { Failures } from './failure.ts';
import { type ImageOperand, checkOperands, checkPaths, openOperand } from './operand.ts';
import { print } from './print.ts';
import { emptyDirectory } from './rm.ts';

/** `userloop mv`: rename files of an image, or move them to another. */
export const mv = defineApplet({
  name: 'mv',
  kind: 'verb',
  summary: 'rename or move files of an image',
  usage: [
    'userloop mv [OPTION]... IMAGE:/SOURCE IMAGE:/TARGET',
    'userloop mv [OPTION]... IMAGE:/SOURCE... IMAGE:/DIRECTORY',
  ],
  description: [
    'Within a file system, renames. From one file system to another, copies with all attributes, and removes the source when all of it was copied. A target that is there is replaced, as by mv(1).',
  ],
  options: [
    { short: 'f', long: 'force', description: 'replace what is there (the default; takes back -n)' },
    { short: 'n', long: 'no-clobber', description: 'replace nothing' },
    { short: 'v', long: 'verbose', description: 'name each operand that is moved' },
  ],
  examples: [
    { command: 'userloop mv disk.img:/vmlinuz disk.img:/boot/', explanation: 'move a file into a directory' },
    { command: 'userloop mv a.img:/home b.img:2:/', explanation: 'move a directory to another image' },
  ],
  exitStatus: { 0: 'all were moved', 1: 'some could not be', 2: 'wrong usage' },
  notSupported: ['-i: nothing is asked', 'Files of the host as source or target: copy with cp, then remove'],
  run(io, argv) {
    const args = getopt(argv, mv.options);
    checkOperands(args.operands, 2);
    checkPaths(io, args.operands);
    const sources = args.operands.slice(0, -1);
    const noClobber =
      args.options.findLast(({ spec }) => spec.short === 'n' || spec.short === 'f')?.spec.short === 'n';
    const failures = new Failures(io, 'mv');
    using images = new OpenImages(io);
    const target = openOperand(io, images, args.operands.at(-1)!, { write: true });
    const into = findDirectory(target.fileSystem, target.path);
    if (into === undefined && (sources.length > 1 || target.path.endsWith('/'))) {
      throw new UsageError(`"${args.operands.at(-1)!}" is not a directory`);
    }
    for (const text of sources) {
      failures.try(`cannot move '${text}'`, () => {
        const source = openOperand(io, images, text, { write: true });
        if (splitPath(source.path).length === 0)
          throw new FsError('EBUSY', { detail: 'the root cannot be moved' });
        const from = resolveParent(source.fileSystem, source.path, { syscall: 'rename' });
        const node = source.fileSystem.lookup(from.directory, from.name);
        if (node === undefined) throw new FsError('ENOENT', { syscall: 'rename', path: source.path });
        const to =
          into === undefined
            ? resolveParent(target.fileSystem, target.path, { syscall: 'rename' })
            : { directory: into, name: from.name };
        const path = into === undefined ? target.path : `${target.path.replace(/\/$/, '')}/${from.name}`;
        const existing = target.fileSystem.lookup(to.directory, to.name);
        const sameFileSystem = source.fileSystem === target.fileSystem;
        if (noClobber && existing !== undefined) return;
        if (sameFileSystem) {
          // Where case is folded, a new spelling of the same name is a rename, too.
          if (existing === node && from.directory === to.directory && from.name === to.name) {
            throw new FsError('EINVAL', { detail: 'source and target are the same file' });
          }
          source.fileSystem.rename(from.directory, from.name, to.directory, to.name);
        } else if (!moveAcross(source, { ...from, node }, target, { ...to, existing }, failures)) return;
        if (args.has('v')) print(io, `renamed '${source.show(source.path)}' -> '${target.show(path)}'\n`);
      });
    }
    images.close();
    return failures.status;
  },
});

function findDirectory(fileSystem: FileSystem, path: string): NodeId | undefined {
  const node = findPath(fileSystem, path);
  return node !== undefined && fileSystem.attributes(node).kind === 'directory' ? node : undefined;
}

interface Named {
  readonly directory: NodeId;
  readonly name: string;
}

/** Copies all of it and then removes the source; says whether that was done. */
function moveAcross(
  source: ImageOperand,
  from: Named & { node: NodeId },
  target: ImageOperand,
  to: Named & { existing: NodeId | undefined },
  failures: Failures,
): boolean {
  if (to.existing !== undefined) checkReplaceable(source.fileSystem, from.node, target.fileSystem, to);
  const before = failures.count;
  const copy = new TreeCopy(
    new ImageTree(source.fileSystem, source.show),
    new ImageTree(target.fileSystem, target.show),
    {
      recursive: true,
      follow: 'none',
      keepMode: true,
      umask: 0,
      keepTimes: true,
      keepOwner: true,
      keepXattrs: true,
      updateDirectories: true,
      noClobber: false,
      force: true,
    },
    { problem: (what, error) => failures.add(what, error) },
  );
  try {
    copy.copy(
      { node: from.node, path: source.path },
      { node: to.directory, path: parentOf(target.path) },
      to.name,
      new Set(),
    );
  } catch (error) {
    if (!(error instanceof CopyStopped)) throw error;
  }
  if (failures.count > before) {
    failures.note(`'${source.show(source.path)}' stays, because not all of it could be copied`);
    return false;
  }
  const { fileSystem, path } = source;
  if (fileSystem.attributes(from.node).kind === 'directory') {
    emptyDirectory(fileSystem, from.node, path, (each, error) =>
      failures.add(`cannot remove '${source.show(each)}'`, error),
    );
    fileSystem.removeDirectory(from.directory, from.name);
  } else fileSystem.unlink(from.directory, from.name);
  return true;
}

/** rename(2)'s rules, for what is copied: a directory replaces only an empty one, a file no directory. */
function checkReplaceable(
  sourceFs: FileSystem,
  node: NodeId,
  targetFs: FileSystem,
  to: Named & { existing: NodeId | undefined },
): void {
  const existing = to.existing!;
  const isDirectory = sourceFs.attributes(node).kind === 'directory';
  const wasDirectory = targetFs.attributes(existing).kind === 'directory';
  if (isDirectory && !wasDirectory) throw new FsError('ENOTDIR');
  if (!isDirectory && wasDirectory) throw new FsError('EISDIR');
  if (isDirectory) {
    for (const _entry of targetFs.entries(existing)) throw new FsError('ENOTEMPTY');
  }
}

function parentOf(path: string): string {
  return `/${splitPath(path).slice(0, -1).join('/')}`;
}
