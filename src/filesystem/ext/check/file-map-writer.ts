import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { extentTail, inodeSeed } from '../checksum.ts';
import { entryAt, MAX_WRITTEN, nodeCapacity, writeExtent, writeHeader, writeIndex } from '../extent-node.ts';
import { Inode, InodeFlag } from '../inode.ts';
import { IncompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';

const DIRECT = 12;
const MAP_SIZE = 60;

interface Run {
  readonly block: number;
  readonly length: number;
}

export function hasExtents(check: ExtCheck): boolean {
  return (check.words.incompatible & IncompatibleFeature.extent) !== 0;
}

/** How many blocks the map of a file without holes takes beside its inode; undefined when it would be too large. */
export function mapBlocksFor(check: ExtCheck, blocks: readonly number[]): number | undefined {
  return hasExtents(check) ? nodesFor(check, runsOf(blocks).length) : pointerBlocksFor(check, blocks.length);
}

/** Makes the map of a file whose content lies in `blocks`, with as many `mapBlocks` as it takes. The inode is not written yet. */
export function writeFileMap(
  check: ExtCheck,
  number: number,
  inode: DataView,
  blocks: readonly number[],
  mapBlocks: readonly number[],
): void {
  Inode.i_block.set(inode, 0, new Uint8Array(MAP_SIZE));
  const flags = Inode.i_flags.get(inode, 0) & ~(InodeFlag.extents | InodeFlag.inlineData);
  Inode.i_flags.set(inode, 0, hasExtents(check) ? flags | InodeFlag.extents : flags);
  if (hasExtents(check)) writeExtents(check, number, inode, blocks, mapBlocks);
  else writePointers(check, inode, blocks, mapBlocks);
}

function writeExtents(
  check: ExtCheck,
  number: number,
  inode: DataView,
  blocks: readonly number[],
  nodes: readonly number[],
): void {
  const { blockSize } = check.geometry;
  const runs = runsOf(blocks);
  const rootView = new DataView(inode.buffer, inode.byteOffset + Inode.i_block.offset, MAP_SIZE);
  if (nodes.length === 0) {
    writeLeaf(rootView, runs, 0);
    return;
  }
  const perNode = nodeCapacity(blockSize);
  writeHeader(rootView, 0, nodes.length, nodeCapacity(MAP_SIZE), 1);
  let position = 0;
  for (const [index, block] of nodes.entries()) {
    writeIndex(rootView, entryAt(0, index), position, block);
    const part = runs.slice(index * perNode, (index + 1) * perNode);
    const bytes = new Uint8Array(blockSize);
    const view = viewOf(bytes);
    position = writeLeaf(view, part, position);
    if (check.seed !== undefined) {
      const seed = inodeSeed(check.seed, number, Inode.i_generation.get(inode, 0));
      const tail = extentTail(view);
      view.setUint32(tail, crc32c(seed, bytes, 0, tail), true);
    }
    check.writeBlock(block, bytes);
  }
}

/** Direct pointers, a block of them, and one of such blocks. */
export function writePointers(
  check: ExtCheck,
  inode: DataView,
  blocks: readonly number[],
  mapBlocks: readonly number[],
): void {
  const perBlock = check.geometry.blockSize / 4;
  const start = Inode.i_block.offset;
  for (let i = 0; i < Math.min(DIRECT, blocks.length); i++) inode.setUint32(start + 4 * i, blocks[i]!, true);
  const maps = [...mapBlocks];
  if (blocks.length <= DIRECT) return;
  const single = maps.shift()!;
  inode.setUint32(start + 4 * DIRECT, single, true);
  writePointerBlock(check, single, blocks.slice(DIRECT, DIRECT + perBlock));
  const rest = blocks.slice(DIRECT + perBlock);
  if (rest.length === 0) return;
  const double = maps.shift()!;
  inode.setUint32(start + 4 * (DIRECT + 1), double, true);
  writePointerBlock(check, double, maps);
  for (const [index, map] of maps.entries())
    writePointerBlock(check, map, rest.slice(index * perBlock, (index + 1) * perBlock));
}

function writePointerBlock(check: ExtCheck, block: number, pointers: readonly number[]): void {
  const bytes = new Uint8Array(check.geometry.blockSize);
  const view = viewOf(bytes);
  for (const [index, pointer] of pointers.entries()) view.setUint32(4 * index, pointer, true);
  check.writeBlock(block, bytes);
}

function runsOf(blocks: readonly number[]): Run[] {
  const runs: { block: number; length: number }[] = [];
  for (const block of blocks) {
    const last = runs.at(-1);
    if (last !== undefined && last.block + last.length === block && last.length < MAX_WRITTEN) last.length++;
    else runs.push({ block, length: 1 });
  }
  return runs;
}

/** Nodes below a root of four entries; undefined when they are not enough. */
function nodesFor(check: ExtCheck, runCount: number): number | undefined {
  const inRoot = nodeCapacity(MAP_SIZE);
  if (runCount <= inRoot) return 0;
  const nodes = Math.ceil(runCount / nodeCapacity(check.geometry.blockSize));
  return nodes <= inRoot ? nodes : undefined;
}

/** Blocks of pointers beside an inode. */
export function pointerBlocksFor(check: ExtCheck, count: number): number | undefined {
  const perBlock = check.geometry.blockSize / 4;
  if (count <= DIRECT) return 0;
  const behind = count - DIRECT - perBlock;
  if (behind <= 0) return 1;
  return behind <= perBlock * perBlock ? 2 + Math.ceil(behind / perBlock) : undefined;
}

/** Returns the position behind the last run. */
function writeLeaf(view: DataView, runs: readonly Run[], first: number): number {
  writeHeader(view, 0, runs.length, nodeCapacity(view.byteLength), 0);
  let position = first;
  for (const [index, { block, length }] of runs.entries()) {
    writeExtent(view, entryAt(0, index), position, block, length, false);
    position += length;
  }
  return position;
}
