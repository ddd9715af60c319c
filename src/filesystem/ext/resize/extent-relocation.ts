import { viewOf } from '../../../bytes/struct.ts';
import { CorruptImageError } from '../../../errors.ts';
import { WriteRank, type BlockSeal } from '../block-cache.ts';
import {
  childOf,
  entryAt,
  EXTENT_MAGIC,
  ExtentHeader,
  ExtentIndex,
  isUnwritten,
  keyOf,
  lengthOf,
  MAX_EXTENT_DEPTH,
  MAX_UNWRITTEN,
  MAX_WRITTEN,
  nodeCapacity,
  startOf,
  writeExtent,
} from '../extent-node.ts';
import { Inode } from '../inode.ts';
import type { InodeRef } from '../inode-table.ts';
import type { Volume } from '../volume.ts';
import type { BlockMover } from './block-mover.ts';

interface ExtentRun {
  readonly logical: number;
  readonly start: number;
  length: number;
  readonly unwritten: boolean;
}

/** What becomes of the mapping of one inode. */
export interface NewMapping {
  /** The 60 bytes of `i_block`. */
  readonly root: Uint8Array;
  /** Blocks that the tree takes more than before. */
  readonly growth: number;
}

export interface Relocation {
  /** Every block of content gets a new place, not only those in vacated ranges. */
  readonly all: boolean;
  /** The tree is built anew in any case: the checksums of its blocks are another inode's. */
  readonly rebuild: boolean;
  /** Of the blocks of the new tree. */
  readonly seal: BlockSeal | undefined;
  /** Told of each run of content where it lies in the end, in the order of the file. */
  readonly visit?: (logical: number, oldStart: number, newStart: number, count: number) => void;
}

const ROOT_SIZE = 60;
const ROOT_ENTRIES = 4;
/** Bytes behind the last entry that hold a node's checksum. */
const TAIL = 4;

/**
 * Moves the content of an inode with extents out of the vacated ranges. The tree is not changed in its place but built anew in free
 * blocks, so that the one write of the inode leads from the old state to the new one. Undefined when nothing of it has to move.
 */
export function relocateExtents(
  volume: Volume,
  mover: BlockMover,
  ref: InodeRef,
  relocation: Relocation,
): NewMapping | undefined {
  const tree: number[] = [];
  const runs: ExtentRun[] = [];
  const generation = Inode.i_generation.get(ref.view, ref.base);
  const oldSeal = volume.seals?.extents(ref.number, generation);
  const base = ref.base + Inode.i_block.offset;
  readNode(ref.view, base, ROOT_SIZE, MAX_EXTENT_DEPTH + 1);
  const { vacated } = mover;
  const movesContent = relocation.all || runs.some(({ start, length }) => vacated.overlaps(start, length));
  const rebuilds =
    movesContent || (relocation.rebuild && tree.length > 0) || tree.some((block) => vacated.has(block));
  if (!rebuilds) {
    for (const { logical, start, length } of runs) relocation.visit?.(logical, start, start, length);
    return undefined;
  }
  const moved: ExtentRun[] = [];
  for (const run of runs) moveRun(run);
  const root = buildTree(volume, mover, moved, relocation.seal);
  for (const block of tree) mover.giveUp(block, 1);
  return { root: root.bytes, growth: root.blocks - tree.length };

  function readNode(view: DataView, at: number, size: number, mostDepth: number): void {
    const magic = ExtentHeader.eh_magic.get(view, at);
    const depth = ExtentHeader.eh_depth.get(view, at);
    const entries = ExtentHeader.eh_entries.get(view, at);
    if (magic !== EXTENT_MAGIC || depth >= mostDepth || entries > nodeCapacity(size)) {
      throw new CorruptImageError({
        structure: `extent tree of inode ${ref.number}`,
        field: 'extent header',
        found: `magic ${magic}, depth ${depth}, ${entries} entries`,
        expected: `magic ${EXTENT_MAGIC}, depth below ${mostDepth}, at most ${nodeCapacity(size)} entries`,
      });
    }
    for (let index = 0; index < entries; index++) {
      const entry = entryAt(at, index);
      if (depth === 0) {
        const start = startOf(view, entry);
        const length = lengthOf(view, entry);
        volume.checkPointer(start, ref.number, 'ee_start');
        volume.checkPointer(start + length - 1, ref.number, 'ee_len');
        runs.push({ logical: keyOf(view, at, index), start, length, unwritten: isUnwritten(view, entry) });
        continue;
      }
      const child = childOf(view, entry);
      volume.checkPointer(child, ref.number, 'ei_leaf');
      tree.push(child);
      const block = volume.cache.get(child, WriteRank.mapping, oldSeal);
      readNode(block.view, 0, volume.geometry.blockSize, depth);
    }
  }

  function moveRun({ logical, start, length, unwritten }: ExtentRun): void {
    for (let done = 0; done < length;) {
      const at = start + done;
      const end = relocation.all ? start + length : Math.min(start + length, vacated.boundary(at));
      const count = end - at;
      if (relocation.all || vacated.has(at)) {
        let within = logical + done;
        mover.move(at, count, !unwritten, (target, part) => {
          append(within, target, part, unwritten);
          relocation.visit?.(within, at + (within - logical - done), target, part);
          within += part;
        });
      } else {
        append(logical + done, at, count, unwritten);
        relocation.visit?.(logical + done, at, at, count);
      }
      done += count;
    }
  }

  function append(logical: number, start: number, length: number, unwritten: boolean): void {
    const last = moved.at(-1);
    const most = unwritten ? MAX_UNWRITTEN : MAX_WRITTEN;
    if (
      last !== undefined &&
      last.unwritten === unwritten &&
      last.logical + last.length === logical &&
      last.start + last.length === start &&
      last.length + length <= most
    ) {
      last.length += length;
    } else moved.push({ logical, start, length, unwritten });
  }
}

interface Node {
  readonly key: number;
  readonly block: number;
}

/** A tree of full nodes; its blocks are taken and put, its root is returned. */
function buildTree(
  volume: Volume,
  mover: BlockMover,
  runs: readonly ExtentRun[],
  seal: BlockSeal | undefined,
): { readonly bytes: Uint8Array; readonly blocks: number } {
  const { blockSize } = volume.geometry;
  const capacity = Math.floor((blockSize - 12 - TAIL) / 12);
  let blocks = 0;
  let depth = 0;
  let nodes: Node[] = [];
  const bytes = new Uint8Array(ROOT_SIZE);
  const view = viewOf(bytes);
  if (runs.length <= ROOT_ENTRIES) {
    fill(view, ROOT_ENTRIES, 0, runs.length, (at, index) => writeRun(view, at, runs[index]!));
    return { bytes, blocks };
  }
  for (let first = 0; first < runs.length; first += capacity) {
    const part = runs.slice(first, first + capacity);
    nodes.push(put(part.length, part[0]!.logical, (target, at, index) => writeRun(target, at, part[index]!)));
  }
  while (nodes.length > ROOT_ENTRIES) {
    depth++;
    const above: Node[] = [];
    for (let first = 0; first < nodes.length; first += capacity) {
      const part = nodes.slice(first, first + capacity);
      above.push(put(part.length, part[0]!.key, (target, at, index) => writeIndex(target, at, part[index]!)));
    }
    nodes = above;
  }
  depth++;
  fill(view, ROOT_ENTRIES, depth, nodes.length, (at, index) => writeIndex(view, at, nodes[index]!));
  return { bytes, blocks };

  function put(count: number, key: number, write: (view: DataView, at: number, index: number) => void): Node {
    const content = new Uint8Array(blockSize);
    const target = viewOf(content);
    fill(target, Math.floor((blockSize - 12) / 12), depth, count, (at, index) => write(target, at, index));
    const index = mover.take();
    seal?.seal({ index, bytes: content, view: target });
    mover.put(content, index);
    blocks++;
    return { key, block: index };
  }
}

function fill(
  view: DataView,
  capacity: number,
  depth: number,
  count: number,
  write: (at: number, index: number) => void,
): void {
  ExtentHeader.eh_magic.set(view, 0, EXTENT_MAGIC);
  ExtentHeader.eh_entries.set(view, 0, count);
  ExtentHeader.eh_max.set(view, 0, capacity);
  ExtentHeader.eh_depth.set(view, 0, depth);
  for (let index = 0; index < count; index++) write(entryAt(0, index), index);
}

function writeRun(view: DataView, at: number, { logical, start, length, unwritten }: ExtentRun): void {
  writeExtent(view, at, logical, start, length, unwritten);
}

function writeIndex(view: DataView, at: number, { key, block }: Node): void {
  ExtentIndex.ei_block.set(view, at, key);
  ExtentIndex.ei_leaf_lo.set(view, at, block % 0x1_0000_0000);
  ExtentIndex.ei_leaf_hi.set(view, at, Math.floor(block / 0x1_0000_0000));
}
