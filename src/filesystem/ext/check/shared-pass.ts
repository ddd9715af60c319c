import { viewOf } from '../../../bytes/struct.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { ClusterRelocation } from './cluster-relocation.ts';
import { ClusterTrail } from './cluster-trail.ts';
import type { ExtCheck } from './context.ts';
import { PathFinder } from './directory-blocks.ts';
import { eachRun } from './file-runs.ts';
import { OwnerMap } from './owner-map.ts';
import { Relocation } from './relocation.ts';
import { SparseBitmap } from './sparse.ts';
import { childOf, ExtentHeader, lengthOf, startOf } from '../extent-node.ts';

/** Ranges of one inode that are listed. */
const MAX_LISTED = 100;

/** What the tool calls inodes without a name. */
const FIXED_JOBS: ReadonlyMap<number, string> = new Map([
  [1, '<The bad blocks inode>'],
  [3, '<The user quota inode>'],
  [4, '<The group quota inode>'],
  [5, '<The boot loader inode>'],
  [6, '<The undelete directory inode>'],
  [7, '<The group descriptor inode>'],
  [8, '<The journal inode>'],
]);

/** An inode with blocks that are in use twice. Which these are is not kept: an inode of 256 bytes can have millions. */
interface Claim {
  readonly number: number;
  readonly blockCount: number;
  readonly firstBlock: number;
}

/**
 * Pass 1B to 1D: which inodes have blocks that are in use twice. Whoever comes first keeps a block, the format itself before all; the
 * others get copies. Returns whether maps have changed: then what pass 1 has noted no longer holds.
 */
export function checkShared(check: ExtCheck): boolean {
  if (check.sharedCount === 0) return false;
  check.observer.tell('\nRunning additional passes to resolve blocks claimed by more than one inode...\n');
  check.begin('1b', 'Rescanning for multiply-claimed blocks');
  const claims = findClaims(check);
  const counted = claims.filter(({ number }) => isOrdinary(check, number)).length;
  check.end('1b');
  check.begin('1c', 'Scanning directories for inodes with multiply-claimed blocks');
  check.end('1c');
  check.begin('1d', 'Reconciling multiply-claimed blocks');
  check.observer.tell(`(There are ${counted} inodes containing multiply-claimed blocks.)\n\n`);
  const own = ownBlocks(check);
  const owners = new OwnerMap();
  const isClustered = check.geometry.blocksPerCluster > 1;
  const relocation = isClustered ? new ClusterRelocation(check) : new Relocation(check);
  const paths = new PathFinder(check);
  const nameOf = (number: number): string =>
    `${FIXED_JOBS.get(number) ?? paths.pathOfFile(number)} (inode #${number}${timeOf(check, number)})`;
  let isChanged = false;
  for (const claim of claims) {
    const { number } = claim;
    const rivals = new Set<number>();
    let isShared = check.misaligned.has(number);
    const onOwned = (owner: number): void => {
      isShared = true;
      if (owner !== number) rivals.add(owner);
    };
    eachSharedBit(check, number, (first, count) =>
      own.eachRun(first, count, (start, length, isOwn) => {
        if (isOwn) isShared = true;
        else owners.claim(start, length, number, onOwned);
      }),
    );
    isChanged =
      reconcile(check, relocation, { ...claim, isShared, rivals, owners, own, nameOf }) || isChanged;
  }
  relocation.end();
  check.end('1d');
  return isChanged;
}

function findClaims(check: ExtCheck): Claim[] {
  const claims: Claim[] = [];
  check.usedInodes.each((number) => {
    const listing = new Listing();
    eachSharedBlock(check, number, (start, length) => listing.add(start, length));
    const { blockCount, firstBlock } = listing;
    if (blockCount === 0) return;
    claims.push({ number, blockCount, firstBlock });
    // Bad blocks are nobody's.
    if (number !== ReservedInode.badBlocks)
      check.observer.tell(`Multiply-claimed block(s) in inode ${number}:${listing.toString()}\n`);
  });
  return claims;
}

/** The blocks of an inode that are in use twice, in runs. */
function eachSharedBlock(
  check: ExtCheck,
  number: number,
  visit: (start: number, length: number) => void,
): void {
  eachBlock(check, number, (start, length) => {
    const end = start + length;
    const first = check.bitOf(start);
    check.sharedBlocks.eachRun(first, check.bitOf(end - 1) + 1 - first, (bit, count, isShared) => {
      if (!isShared) return;
      const from = Math.max(start, check.blockOf(bit));
      visit(from, Math.min(end, check.blockOf(bit + count)) - from);
    });
  });
}

/** The bits of these blocks in runs, each as often as pass 1 counts them: a cluster may hold several blocks, and be claimed once. */
function eachSharedBit(check: ExtCheck, number: number, visit: (first: number, count: number) => void): void {
  const { blocksPerCluster } = check.geometry;
  if (blocksPerCluster === 1) {
    eachSharedBlock(check, number, (start, length) => visit(check.bitOf(start), length));
    return;
  }
  // Of the resize inode, only one block is its own.
  if (number === ReservedInode.resize) {
    eachSharedBlock(check, number, (start, length) => {
      for (let block = start; block < start + length; block++) visit(check.bitOf(block), 1);
    });
    return;
  }
  const add = (first: number, count: number): void =>
    check.sharedBlocks.eachRun(first, count, (start, length, isShared) => {
      if (isShared) visit(start, length);
    });
  const trail = new ClusterTrail(blocksPerCluster);
  eachRun(
    check,
    check.readInode(number),
    (position, start, length) => {
      const { first, count } = trail.next(position, start, length);
      add(first, count);
    },
    (block) => add(check.bitOf(block), 1),
  );
}

/** Not one with a fixed job. */
function isOrdinary({ geometry }: ExtCheck, number: number): boolean {
  return number >= geometry.firstInode || number === ReservedInode.root;
}

/** Counts blocks, and lists the first ranges of them: ` 12 15--20`. */
class Listing {
  blockCount = 0;
  firstBlock = 0;
  #text = '';
  #ranges = 0;
  #start = 0;
  #end = 0;

  add(start: number, length: number): void {
    if (this.blockCount === 0) this.firstBlock = start;
    if (this.blockCount === 0 || start !== this.#end) {
      this.#close();
      this.#start = start;
    }
    this.#end = start + length;
    this.blockCount += length;
  }

  toString(): string {
    this.#close();
    return this.#text;
  }

  #close(): void {
    const last = this.#end - 1;
    if (last < 0 || this.#ranges++ >= MAX_LISTED) return;
    this.#text += last === this.#start ? ` ${last}` : ` ${this.#start}--${last}`;
  }
}

/** `, mod time Mon Nov 23 08:31:04 2026`, where whoever asked for the check knows how to say it. */
function timeOf(check: ExtCheck, number: number): string {
  const { formatTime } = check.options;
  return formatTime === undefined
    ? ''
    : `, mod time ${formatTime(Inode.i_mtime.get(check.readInode(number), 0))}`;
}

interface SharedClaim extends Claim {
  /** Some of its blocks belong to what came before it. */
  readonly isShared: boolean;
  /** The inodes that came before it. */
  readonly rivals: ReadonlySet<number>;
  readonly owners: OwnerMap;
  readonly own: SparseBitmap;
  readonly nameOf: (number: number) => string;
}

/** Returns whether the inode was changed. */
function reconcile(check: ExtCheck, relocation: Relocation | ClusterRelocation, claim: SharedClaim): boolean {
  const { number, blockCount, firstBlock, isShared, rivals, owners, own, nameOf } = claim;
  const others = rivals.size === 0 ? 'other structures' : `inode ${[...rivals].slice(0, 5).join(', ')}`;
  const basics = {
    structure: 'inode',
    field: 'i_block',
    offset: check.inodeOffset(number) + Inode.i_block.offset,
    found: `${blockCount} blocks that are in use twice, the first ${firstBlock}`,
    expected: 'blocks of its own',
  };
  const text = `File ${nameOf(number)} \n  has ${blockCount} multiply-claimed block(s), shared with ${rivals.size} file(s):\n`;
  const canMend = isShared && isOrdinary(check, number);
  const isCopied = check.ask({
    ...basics,
    code: 'ext-shared-blocks',
    meaning: isShared
      ? `Inode ${number} shares ${blockCount} blocks with ${others}: at least one of them has lost content`
      : `Inode ${number} has ${blockCount} blocks that others after it have, too: it may have lost content`,
    text: isShared
      ? `${text}${[...rivals].map((rival) => `\t${nameOf(rival)}\n`).join('')}`
      : `${text}Multiply-claimed blocks already reassigned or cloned.\n\n`,
    ...(canMend && {
      question: 'Clone multiply-claimed blocks',
      action: `gives inode ${number} copies of them`,
    }),
    // The first keeps what it has: nothing is to be done about it.
    ...(!isShared && { severity: 'note' as const }),
  });
  if (!isCopied) return false;
  const met = new SparseBitmap();
  const isForeign = (bit: number): boolean => {
    if (!check.sharedBlocks.get(bit)) return false;
    return met.set(bit) || own.get(bit) || owners.get(bit) !== number;
  };
  if (relocation.move(number, isForeign)) return true;
  const isMended = check.ask({
    ...basics,
    code: 'ext-shared-blocks-full',
    meaning: `There are not enough free blocks in a row for copies of what inode ${number} shares`,
    text: `Couldn't clone file: Could not allocate block in ext2 filesystem\n`,
    question: 'Delete file',
    action: `gives up inode ${number}`,
  });
  if (isMended && number >= check.geometry.firstInode) check.clearInode(number);
  return true;
}

/** Superblocks, descriptors, bitmaps and tables, by their bits. */
export function ownBlocks(check: ExtCheck): SparseBitmap {
  const { groups, geometry } = check;
  const own = new SparseBitmap();
  const mark = (start: number, length: number): void => {
    const first = check.bitOf(start);
    own.setRange(first, check.bitOf(start + length - 1) + 1 - first);
  };
  for (let group = 0; group < groups.count; group++) {
    groups.ownRuns(group, mark);
    mark(groups.blockBitmap(group), 1);
    mark(groups.inodeBitmap(group), 1);
    mark(groups.inodeTable(group), geometry.inodeTableBlocks);
  }
  return own;
}

/** Every run of blocks of an inode, those of its map with them; a node is entered once. */
export function eachBlock(
  check: ExtCheck,
  number: number,
  visit: (start: number, length: number) => void,
): void {
  const inode = check.readInode(number);
  const flags = Inode.i_flags.get(inode, 0);
  const type = check.types.get(number);
  const size = Inode.i_size_lo.get(inode, 0);
  if ((flags & InodeFlag.inlineData) !== 0) return;
  if (type > 2 && (type !== 7 || ((flags & InodeFlag.extents) === 0 && size < 60))) return;
  const entered = new Set<number>();
  if ((flags & InodeFlag.extents) !== 0) eachExtent(check, inode, Inode.i_block.offset, visit, entered);
  else eachPointer(check, inode, visit, entered, number === 7);
}

function eachExtent(
  check: ExtCheck,
  root: DataView,
  start: number,
  visit: (start: number, length: number) => void,
  entered: Set<number>,
): void {
  const pending: { view: DataView; start: number }[] = [{ view: root, start }];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const { view } = node;
    const depth = ExtentHeader.eh_depth.get(view, node.start);
    const room = Math.floor((view.byteLength - node.start) / 12) - 1;
    const count = Math.min(ExtentHeader.eh_entries.get(view, node.start), room);
    for (let index = 0; index < count; index++) {
      const at = node.start + 12 * (index + 1);
      if (depth === 0) {
        const physical = startOf(view, at);
        const length = lengthOf(view, at);
        if (check.isDataBlock(physical) && check.isDataBlock(physical + length - 1)) visit(physical, length);
        continue;
      }
      const child = childOf(view, at);
      if (!check.isDataBlock(child)) continue;
      visit(child, 1);
      if (entered.has(child) || depth > 5) continue;
      entered.add(child);
      const bytes = new Uint8Array(check.geometry.blockSize);
      check.readBlock(child, bytes);
      const below = viewOf(bytes);
      if (ExtentHeader.eh_magic.get(below, 0) === 0xf30a && ExtentHeader.eh_depth.get(below, 0) === depth - 1)
        pending.push({ view: below, start: 0 });
    }
  }
}

function eachPointer(
  check: ExtCheck,
  inode: DataView,
  visit: (start: number, length: number) => void,
  entered: Set<number>,
  isResize: boolean,
): void {
  const pending: { block: number; level: number }[] = [];
  const take = (block: number, level: number): void => {
    if (block === 0 || !check.isDataBlock(block)) return;
    // What the resize inode leads to belongs to the descriptors.
    if (!isResize || level === 2) visit(block, 1);
    if (level > 0 && !entered.has(block)) {
      entered.add(block);
      pending.push({ block, level });
    }
  };
  for (let slot = 0; slot < 15; slot++)
    take(inode.getUint32(Inode.i_block.offset + 4 * slot, true), slot < 12 ? 0 : slot - 11);
  const bytes = new Uint8Array(check.geometry.blockSize);
  const view = viewOf(bytes);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    check.readBlock(next.block, bytes);
    for (let at = 0; at < bytes.length; at += 4) take(view.getUint32(at, true), next.level - 1);
  }
}
