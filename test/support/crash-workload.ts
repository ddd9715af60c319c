import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem, NodeId, OpenOptions } from '../../src/filesystem/file-system.ts';
import { operateWidely } from './crash-operations.ts';
import { steppingClock } from './ext-driver-images.ts';
import type { Random } from './random.ts';
import { treeOfVolume, type TreeLines } from './ext-driver-trees.ts';
import type { RecordedDevice } from './recorded-device.ts';

/** What is durable from a flush on. */
export interface DurableState {
  /** Flushes that had been done. */
  readonly flushes: number;
  readonly tree: TreeLines;
  /** Files whose content was written in place before the next such state: a cut may leave either. */
  readonly rewritten: Set<number>;
  /** Paths of files by inode. */
  readonly inodes: Map<string, number>;
  /** From this flush on to that of this state, commits were made within an operation, which nobody has seen. */
  readonly unseenFrom?: number;
}

/** Whether a cut there may leave a state that is not among these. */
export function isUnseen(states: readonly DurableState[], epoch: number): boolean {
  return states.some(
    ({ unseenFrom, flushes }) => unseenFrom !== undefined && epoch >= unseenFrom && epoch < flushes,
  );
}

/**
 * A session of random operations on a volume: makes, fills, appends, rewrites, replaces by rename, truncates, links, unlinks, also what is open, and
 * fsyncs every few operations. Returns the states that were made durable. With `flushesItself` operations may flush the device, as they do on volumes without a journal. With
 * `commitsItself` an operation may make durable what was before it, as it does with clusters where it needs a place that the file has given up since. With
 * `hasOwners` names have owners, of which there are 25, and files change theirs.
 */
export function runWorkload(
  device: RecordedDevice,
  random: Random,
  operations: number,
  options: OpenOptions = {},
  {
    flushesItself = false,
    commitsItself = false,
    hasOwners = false,
    wide = false,
  }: { flushesItself?: boolean; commitsItself?: boolean; hasOwners?: boolean; wide?: boolean } = {},
): DurableState[] {
  const volume = extDriver.open(device, { clock: steppingClock(), ...options });
  const states: DurableState[] = [snapshot(volume, 0)];
  const open: NodeId[] = [];
  let untilSync = random.below(10);
  for (let i = 0; i < operations; i++) {
    const before = device.flushes;
    const former = commitsItself ? snapshot(volume, before) : undefined;
    if (hasOwners) changeOwner(volume, random);
    if (wide && random.below(2) === 0) {
      const owner = hasOwners ? { uid: random.below(4) * 30_011, gid: random.below(3) } : undefined;
      volume.actAs?.(owner?.uid ?? 0);
      operateWidely({ volume, random, open, rewritten: states.at(-1)!.rewritten, owner });
      volume.actAs?.(0);
    } else operate(volume, random, open, states.at(-1)!, hasOwners);
    if (wide && device.flushes !== before) {
      // Many steps, of which some are durable without the others.
      volume.sync();
      states.push({ ...snapshot(volume, device.flushes), unseenFrom: before });
      continue;
    }
    // A commit that was not asked for would make a state that nobody has seen.
    if (device.flushes !== before && !flushesItself) {
      if (former === undefined) throw new Error(`Operation ${i} has committed`);
      const rewritten = new Set(states.at(-1)!.rewritten);
      states.push({ ...former, flushes: device.flushes, rewritten });
    }
    if (untilSync-- > 0) continue;
    untilSync = random.below(14);
    const settles = random.below(6) === 0;
    if (settles) volume.settle();
    // Without a journal what has settled is not durable yet.
    if (!settles || flushesItself) volume.sync();
    states.push(snapshot(volume, device.flushes));
  }
  for (const node of open) volume.release(node);
  volume.close();
  states.push(snapshot(extDriver.open(device, { readOnly: true }), device.flushes));
  return states;
}

function snapshot(volume: FileSystem, flushes: number): DurableState {
  const inodes = new Map<string, number>();
  collect(volume, volume.root, '', inodes);
  return { flushes, tree: treeOfVolume(volume, { xattrs: true }), rewritten: new Set(), inodes };
}

function collect(volume: FileSystem, directory: NodeId, path: string, inodes: Map<string, number>): void {
  for (const entry of volume.entries(directory)) {
    inodes.set(`${path}/${entry.name}`, entry.node);
    if (entry.kind === 'directory') collect(volume, entry.node, `${path}/${entry.name}`, inodes);
  }
}

/** Gives some file another owner and project now and then. */
function changeOwner(volume: FileSystem, random: Random): void {
  if (random.below(8) > 0) return;
  const files = childrenOf(volume, volume.root, 'file');
  const uid = 1000 * random.below(40);
  if (files.length === 0) return;
  const file = random.pick(files);
  volume.setAttributes(file, { uid, gid: uid + 7 });
  if (volume.features.includes('project')) volume.setFlags!(file, { project: uid + 9 });
}

function operate(
  volume: FileSystem,
  random: Random,
  open: NodeId[],
  last: DurableState,
  hasOwners: boolean,
): void {
  const directories = [volume.root, ...childrenOf(volume, volume.root, 'directory')];
  const directory = random.pick(directories);
  const files = childrenOf(volume, directory, 'file');
  const number = random.below(25);
  const name = `n${number}`;
  const owners = hasOwners ? { uid: number * 30_011, gid: number % 3 } : {};
  const existing = volume.lookup(directory, name);
  const roll = random.below(100);
  if (roll < 28) {
    if (existing !== undefined) return;
    const file = volume.create(directory, name, { kind: 'file', ...owners });
    volume.write(file, 0, random.bytes(random.below(random.below(4) === 0 ? 60_000 : 6000)));
    if (random.below(3) === 0) volume.setXattr(file, 'user.x', random.bytes(random.below(200)));
  } else if (roll < 34) {
    if (existing === undefined) volume.create(directory, name, { kind: 'directory', ...owners });
  } else if (roll < 38) {
    const target = 'y'.repeat(1 + random.below(120));
    if (existing === undefined) volume.create(directory, name, { kind: 'symlink', target, ...owners });
  } else if (roll < 60) {
    changeContent(volume, random, files, last);
  } else if (roll < 74) {
    const kind = existing === undefined ? undefined : volume.attributes(existing).kind;
    if (kind === undefined || name === 'lost+found') return;
    if (kind === 'directory') {
      if ([...volume.entries(existing!)].length === 0) volume.removeDirectory(directory, name);
      return;
    }
    if (kind === 'file' && random.below(3) === 0) {
      volume.retain(existing!);
      open.push(existing!);
    }
    volume.unlink(directory, name);
  } else if (roll < 90) {
    if (files.length > 0) rename(volume, random, directory, random.pick(directories), name);
  } else if (roll < 95) {
    if (files.length > 0 && existing === undefined) volume.link(random.pick(files), directory, name);
  } else if (open.length > 0) volume.release(open.splice(random.below(open.length), 1)[0]!);
}

function changeContent(
  volume: FileSystem,
  random: Random,
  files: readonly NodeId[],
  last: DurableState,
): void {
  if (files.length === 0) return;
  const file = random.pick(files);
  const { size } = volume.attributes(file);
  const roll = random.below(5);
  if (roll < 2) volume.write(file, size, random.bytes(1 + random.below(9000)));
  else if (roll === 2) {
    // Far behind the end: a hole between.
    volume.write(file, size + random.below(300_000), random.bytes(100));
  } else if (roll === 3) {
    last.rewritten.add(file);
    volume.setAttributes(file, { size: random.below(size + 1) });
  } else {
    last.rewritten.add(file);
    volume.write(file, random.below(size + 1), random.bytes(1 + random.below(3000)));
  }
}

function rename(volume: FileSystem, random: Random, from: NodeId, to: NodeId, newName: string): void {
  const entries = [...volume.entries(from)].filter(({ kind }) => kind === 'file');
  const { name } = random.pick(entries);
  const replaced = volume.lookup(to, newName);
  if (replaced !== undefined && volume.attributes(replaced).kind === 'directory') return;
  volume.rename(from, name, to, newName);
}

function childrenOf(volume: FileSystem, directory: NodeId, kind: string): NodeId[] {
  return [...volume.entries(directory)]
    .filter((entry) => entry.kind === kind && entry.name !== 'lost+found')
    .map(({ node }) => node);
}

/** The state in which a volume was left by a cut, or what it differs in from the nearest one that it may be. */
export function stateAfterCut(
  states: readonly DurableState[],
  flushes: number,
  tree: TreeLines,
): number | string {
  let least = states.length - 1;
  while (states[least]!.flushes > flushes) least--;
  // Of the next one the commit may be there already.
  const most = Math.min(states.length - 1, least + 1);
  const differences: string[] = [];
  for (let index = least; index <= most; index++) {
    const difference = differenceFrom(states[index]!, tree);
    if (difference === undefined) return index;
    differences.push(`state ${index}: ${difference}`);
  }
  return differences.join('\n');
}

function differenceFrom(state: DurableState, tree: TreeLines): string | undefined {
  const names = new Set([...Object.keys(state.tree), ...Object.keys(tree)]);
  for (const name of names) {
    const expected = state.tree[name];
    const found = tree[name];
    if (expected === found) continue;
    const isRewritten = state.rewritten.has(state.inodes.get(name) ?? 0);
    if (isRewritten && withoutHash(expected) === withoutHash(found)) continue;
    return `${name}: expected ${expected}, found ${found}`;
  }
  return undefined;
}

/** A file's line without the hash of its content. */
function withoutHash(line: string | undefined): string | undefined {
  return line?.replace(/ [0-9a-f]{32,}/, '');
}

/** Its line without the count of links: names come before others go. */
function withoutLinks(line: string | undefined): string | undefined {
  return line?.replace(/^(\S+ \S+ \S+ \S+) \d+/, '$1');
}

/** Files that were durable, and are so under the same name after the next flush of all, but are not there now as they were. */
export function lostFiles(states: readonly DurableState[], flushes: number, tree: TreeLines): string[] {
  const index = states.findLastIndex((state) => state.flushes <= flushes);
  const before = states[index]!;
  const after = states[index + 1] ?? before;
  return [...before.inodes]
    .filter(([name, inode]) => after.inodes.get(name) === inode && !before.rewritten.has(inode))
    .filter(([name]) => after.tree[name] === before.tree[name])
    .filter(([name]) => withoutLinks(tree[name]) !== withoutLinks(before.tree[name]))
    .map(([name]) => `${name}: was ${before.tree[name]}, is ${tree[name]}`);
}
