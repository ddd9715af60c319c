import { UnsupportedError } from '../../../errors.ts';
import { Inode, ReservedInode } from '../inode.ts';
import type { ExtCheck } from './context.ts';
import { pointerBlocksFor, writePointers } from './file-map-writer.ts';
import { findFree } from './file-rewrite.ts';
import { eachRun } from './file-runs.ts';
import { releaseBlock, takeBlock } from './moved-blocks.ts';
import { eachBlock, ownBlocks } from './shared-pass.ts';

const MAP_SIZE = 60;

/** What the list of bad blocks, which are the content of inode 1, is to become. */
export interface BadBlocks {
  /** Numbers of blocks, in any order, those among them that the file system does not have. */
  readonly find: (check: ExtCheck) => readonly number[];
  /** Those that are on the list now go. */
  readonly replaces: boolean;
  /** Seconds since 1970. */
  readonly now: number;
  /** Called before anything is changed, with blocks that are not there. */
  readonly onUpdate: (ignored: readonly number[]) => void;
}

/**
 * Gives inode 1 its blocks. `check` knows which are in use; those that a file has are on the list then, too, and pass 1 gives that file others.
 * Returns the blocks that cannot be on it, since the format itself needs them where they are.
 */
export function setBadBlocks(check: ExtCheck, { find, replaces, now, onUpdate }: BadBlocks): number[] {
  const { geometry } = check;
  if (geometry.blocksPerCluster > 1)
    throw new UnsupportedError('A list of bad blocks cannot be set on a volume with clusters (bigalloc)', [
      'bigalloc',
    ]);
  const inode = check.readInode(ReservedInode.badBlocks);
  const found = find(check);
  onUpdate(found.filter((block) => !check.isDataBlock(block)));
  const own = ownBlocks(check);
  const needed = new Set(found.filter((block) => own.get(check.bitOf(block))));
  const wanted = new Set(found.filter((block) => check.isDataBlock(block) && !needed.has(block)));
  if (!replaces) for (const block of listedBlocks(check, inode)) wanted.add(block);
  const blocks = [...wanted].sort((a, b) => a - b);

  const before = new Set<number>();
  eachBlock(check, ReservedInode.badBlocks, (start, length) => {
    for (let block = start; block < start + length; block++) before.add(block);
  });
  for (const block of before) if (!wanted.has(block)) releaseBlock(check, block);
  const count = pointerBlocksFor(check, blocks.length) ?? 0;
  const mapBlocks = findFree(check, count + blocks.length, new Set())
    .filter((block) => !wanted.has(block))
    .slice(0, count);
  for (const block of [...blocks, ...mapBlocks]) takeBlock(check, block);
  Inode.i_block.set(inode, 0, new Uint8Array(MAP_SIZE));
  writePointers(check, inode, blocks, mapBlocks);
  Inode.i_size_lo.set(inode, 0, blocks.length * geometry.blockSize);
  Inode.i_size_high.set(inode, 0, 0);
  // Those of the map are not counted, here alone.
  Inode.i_blocks_lo.set(inode, 0, blocks.length * geometry.sectorsPerBlock);
  Inode.i_atime.set(inode, 0, now >>> 0);
  Inode.i_mtime.set(inode, 0, now >>> 0);
  if (Inode.i_ctime.get(inode, 0) === 0) Inode.i_ctime.set(inode, 0, now >>> 0);
  check.writeInode(ReservedInode.badBlocks, inode);
  return [...needed].sort((a, b) => a - b);
}

/** What the list has, in its order. */
export function listedBlocks(check: ExtCheck, inode: DataView): number[] {
  const blocks: number[] = [];
  eachRun(check, inode, (_, start, length) => {
    for (let block = start; block < start + length; block++) blocks.push(block);
  });
  return blocks;
}

/** A bad block where the format needs a good one: nothing can be done about it here. */
export function reportNeeded(check: ExtCheck, block: number): void {
  const { geometry } = check;
  check.ask({
    code: 'ext-bad-block',
    structure: 'inode',
    field: 'i_block',
    offset: check.inodeOffset(ReservedInode.badBlocks) + Inode.i_block.offset,
    found: `block ${block}`,
    expected: 'a block for files',
    meaning: `Block ${block} holds a superblock, descriptors, a bitmap or a part of an inode table, so it cannot be on the list of bad blocks`,
    text: `Block ${block} is needed by group ${Math.floor((block - geometry.firstDataBlock) / geometry.blocksPerGroup)} itself: it is not put on the list of bad blocks.\n`,
  });
}
