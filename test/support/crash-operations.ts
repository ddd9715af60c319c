import { hasCode } from '../../src/errors.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import type { Random } from './random.ts';

/** A session as an operation of it sees it. */
export interface CrashSession {
  readonly volume: FileSystem;
  readonly random: Random;
  /** Without a name, but retained. */
  readonly open: NodeId[];
  /** Files whose content was changed in place since the last durable state. */
  readonly rewritten: Set<number>;
  /** Who acts, where owners matter. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/** What is refused changes nothing, and is part of the workload: full volumes, used up quotas, names that are too much. */
const REFUSALS = ['ENOSPC', 'EDQUOT', 'EOPNOTSUPP', 'EMLINK', 'EFBIG', 'E2BIG'];

/**
 * One of the operations that few programs do: files replaced through truncation, holes punched, space taken ahead, attributes of any size and many alike,
 * directories that are filled, emptied and moved, names of all lengths, orphans that are written and truncated, inline content that grows out.
 */
export function operateWidely(session: CrashSession): void {
  const { volume, random } = session;
  const directory = random.pick(directoriesOf(volume));
  try {
    random.pick(OPERATIONS)(session, directory);
  } catch (error) {
    if (!REFUSALS.some((code) => hasCode(error, code))) throw error;
  }
}

type Operation = (session: CrashSession, directory: NodeId) => void;

const OPERATIONS: readonly Operation[] = [
  replaceContent,
  punch,
  preallocate,
  setAttribute,
  setAttribute,
  removeAttribute,
  fillDirectory,
  emptyDirectory,
  moveDirectory,
  removeTree,
  makeSymlink,
  makeSpecial,
  growInline,
  useOrphan,
  writeLarge,
  changeMode,
];

function directoriesOf(volume: FileSystem): NodeId[] {
  const found: NodeId[] = [volume.root];
  for (const directory of found) {
    for (const { kind, name, node } of volume.entries(directory))
      if (kind === 'directory' && name !== 'lost+found') found.push(node);
  }
  return found;
}

function fileIn({ volume, random }: CrashSession, directory: NodeId): NodeId | undefined {
  const files = [...volume.entries(directory)].filter(({ kind }) => kind === 'file');
  return files.length === 0 ? undefined : random.pick(files).node;
}

/** A file there, made where there is none. */
function needFile(session: CrashSession, directory: NodeId): NodeId {
  const found = fileIn(session, directory);
  if (found !== undefined) return found;
  const { volume, random, owner } = session;
  const file = volume.create(directory, freeName(session, directory), { kind: 'file', ...owner });
  volume.write(file, 0, random.bytes(1 + random.below(20_000)));
  return file;
}

/** Of 1 to 255 bytes. */
function freeName({ volume, random }: CrashSession, directory: NodeId): string {
  for (;;) {
    const number = `${random.below(1_000_000)}`;
    const name = random.below(6) === 0 ? number.padStart(10 + random.below(246), 'long') : `w${number}`;
    if (volume.lookup(directory, name) === undefined) return name;
  }
}

/** As open(2) with O_TRUNC and a write: the old content is there until the new one is durable. */
function replaceContent(session: CrashSession, directory: NodeId): void {
  const { volume, random } = session;
  const file = needFile(session, directory);
  volume.setAttributes(file, { size: 0 });
  volume.write(file, 0, random.bytes(1 + random.below(random.pick([100, 5000, 70_000]))));
}

function punch(session: CrashSession, directory: NodeId): void {
  const { volume, random, rewritten } = session;
  const file = needFile(session, directory);
  const { size } = volume.attributes(file);
  const start = random.below(size + 1);
  rewritten.add(file);
  volume.punch?.(file, start, 1 + random.below(size - start + 5000));
}

function preallocate(session: CrashSession, directory: NodeId): void {
  const { volume, random, rewritten } = session;
  const file = needFile(session, directory);
  const { size } = volume.attributes(file);
  const start = random.below(size + 20_000);
  volume.preallocate?.(file, start, 1 + random.below(100_000), { keepSize: random.below(2) === 0 });
  if (random.below(2) > 0) return;
  rewritten.add(file);
  volume.write(file, start + random.below(3000), random.bytes(1 + random.below(9000)));
}

/** In the inode, in a block, in an inode of its own; the same value in many files, which then share a block. */
function setAttribute(session: CrashSession, directory: NodeId): void {
  const { volume, random } = session;
  const node = random.below(4) === 0 ? directory : needFile(session, directory);
  const length = random.pick([0, 5, 40, 90, 300, 800, 900, 2500, 9000]);
  const isShared = random.below(2) === 0;
  const value = isShared ? new Uint8Array(length).fill(length % 251) : random.bytes(length);
  volume.setXattr(node, `user.${random.pick(['a', 'b', 'shared', 'a longer name of one'])}`, value);
}

function removeAttribute(session: CrashSession, directory: NodeId): void {
  const { volume, random } = session;
  const node = fileIn(session, directory) ?? directory;
  const names = volume.listXattrs(node);
  if (names.length > 0) volume.removeXattr(node, random.pick(names));
}

function fillDirectory(session: CrashSession, directory: NodeId): void {
  const { volume, random, owner } = session;
  const file = fileIn(session, directory);
  for (let i = 20 + random.below(100); i > 0; i--) {
    const name = freeName(session, directory);
    if (file !== undefined && random.below(3) > 0) volume.link(file, directory, name);
    else volume.create(directory, name, { kind: 'fifo', ...owner });
  }
}

function emptyDirectory({ volume, random }: CrashSession, directory: NodeId): void {
  const part = 1 + random.below(4);
  for (const { name, kind } of volume.entries(directory))
    if (kind !== 'directory' && random.below(4) < part) volume.unlink(directory, name);
}

function moveDirectory(session: CrashSession, directory: NodeId): void {
  const { volume, random, owner } = session;
  const target = random.pick(directoriesOf(volume));
  if (random.below(3) === 0) {
    volume.create(target, freeName(session, target), { kind: 'directory', ...owner });
    return;
  }
  const children = [...volume.entries(directory)].filter(
    ({ kind, name }) => kind === 'directory' && name !== 'lost+found',
  );
  if (children.length === 0) return;
  const { name, node } = random.pick(children);
  for (let above = target; ; above = volume.parent(above)) {
    if (above === node) return;
    if (above === volume.root) break;
  }
  volume.rename(directory, name, target, freeName(session, target));
}

function removeTree({ volume, random }: CrashSession, directory: NodeId): void {
  if (directory === volume.root || random.below(3) > 0) return;
  const parent = volume.parent(directory);
  for (const { name, kind } of volume.entries(directory)) {
    if (kind === 'directory') return;
    volume.unlink(directory, name);
  }
  const own = [...volume.entries(parent)].find(({ node }) => node === directory)!;
  volume.removeDirectory(parent, own.name);
}

function makeSymlink(session: CrashSession, directory: NodeId): void {
  const { volume, random, owner } = session;
  const target = 'z'.repeat(random.pick([1, 59, 60, 61, 200, 1000]));
  volume.create(directory, freeName(session, directory), { kind: 'symlink', target, ...owner });
}

function makeSpecial(session: CrashSession, directory: NodeId): void {
  const { volume, random, owner } = session;
  const device = { major: random.below(4096), minor: random.below(100_000) };
  const kind = random.pick(['character-device', 'block-device', 'socket'] as const);
  const options = kind === 'socket' ? { kind } : { kind, device };
  volume.create(directory, freeName(session, directory), { ...options, ...owner });
}

/** Some bytes, and then more than an inode holds, or fewer again. */
function growInline(session: CrashSession, directory: NodeId): void {
  const { volume, random, rewritten, owner } = session;
  const file = volume.create(directory, freeName(session, directory), { kind: 'file', ...owner });
  for (const size of [10, 58, 61, 100, 160, 400, 3000]) {
    volume.write(file, volume.attributes(file).size, random.bytes(size));
    if (random.below(4) === 0) return;
    if (random.below(5) > 0) continue;
    rewritten.add(file);
    volume.setAttributes(file, { size: random.below(volume.attributes(file).size) });
  }
}

/** A file that is open and has no name: it is written, truncated, and at last closed. */
function useOrphan(session: CrashSession, directory: NodeId): void {
  const { volume, random, open, rewritten } = session;
  if (open.length === 0) {
    const entries = [...volume.entries(directory)].filter(
      ({ kind, node }) => kind === 'file' && volume.attributes(node).linkCount === 1,
    );
    if (entries.length === 0) return;
    const { node, name } = random.pick(entries);
    volume.retain(node);
    open.push(node);
    volume.unlink(directory, name);
    return;
  }
  const node = random.pick(open);
  // It has its name as long as nobody knows that it has lost it.
  rewritten.add(node);
  const { size } = volume.attributes(node);
  if (random.below(2) === 0) volume.write(node, random.below(size + 30_000), random.bytes(9000));
  else volume.setAttributes(node, { size: random.below(size + 1000) });
}

function writeLarge(session: CrashSession, directory: NodeId): void {
  const { volume, random } = session;
  const file = needFile(session, directory);
  const { size } = volume.attributes(file);
  volume.write(file, size, random.bytes(random.pick([100_000, 400_000])));
}

function changeMode(session: CrashSession, directory: NodeId): void {
  const { volume, random } = session;
  const mtime = { seconds: 1_500_000_000 + random.below(1e9), nanoseconds: random.below(1e9) };
  volume.setAttributes(needFile(session, directory), { mode: random.below(0o10000), mtime });
}
