import { viewOf } from '../../../bytes/struct.ts';
import { crc32c } from '../../../bytes/crc32c.ts';
import { FsError } from '../../../errors.ts';
import { hasHighChecksum, inodeChecksum } from '../checksum.ts';
import { Inode } from '../inode.ts';
import { BlockUsage } from './block-usage.ts';
import { countsWrites, hasGroupFlags, hasReadOnlyCompatible } from './features.ts';
import { clearUninitialized, type GroupTables, placeGroups } from './group-tables.ts';
import {
  type ExtLayout,
  groupFirstBlock,
  groupOfBlock,
  hasSuperblock,
  superAndDescriptorBlocks,
} from './layout.ts';
import { FIRST_INODE } from './parameters.ts';
import { WriteCounter } from './write-counter.ts';

/**
 * A volume in memory, before the device sees any of it: what is taken, where the tables are, and the few inodes and
 * blocks that are not zero, however large it is.
 */
export class NewVolume {
  readonly layout: ExtLayout;
  readonly usage: BlockUsage;
  readonly tables: GroupTables;
  /** Ascending, each once. */
  readonly badBlocks: readonly number[];
  /** With metadata_csum, where checksums begin; undefined without. */
  readonly checksumSeed: number | undefined;
  /** Inode number to its record. */
  readonly inodes = new Map<number, Uint8Array>();
  /** Number of the first block to the bytes of it and of those behind it. */
  readonly blocks = new Map<number, Uint8Array>();
  /** Runs that files have and that hold zeros. */
  readonly zeroBlocks: { readonly block: number; readonly count: number }[] = [];
  readonly counter: WriteCounter;
  /** Fields of the superblock that what is in the volume asks for. */
  readonly superblockFields: SuperblockFields = {};
  /** The block of the root directory. */
  rootBlock = 0;
  /** Clusters that were taken before there was any file. */
  readonly tableClusters: number;
  /** Blocks of the journal; 0 for none. */
  journalBlocks = 0;
  /** Inodes 1 to this are taken. */
  lastInode = 0;
  #inodeBlock = -1;
  #bitmapsWritten = false;

  constructor(layout: ExtLayout, badBlocks: readonly number[]) {
    this.layout = layout;
    this.badBlocks = [...new Set(badBlocks)].sort((a, b) => a - b);
    const blockUsage = new BlockUsage(layout.firstDataBlock, layout.blockCount, 1);
    for (const block of this.badBlocks) blockUsage.mark(block);
    this.tables = placeGroups(layout, blockUsage);
    // A bitmap that is made anew from the descriptor would not have them.
    for (const block of this.badBlocks) clearUninitialized(layout, this.tables, block, 1);
    // Tables are placed block by block, whatever clusters there are; files are not.
    this.usage = layout.clusterBlocks > 1 ? blockUsage.inClusters(layout.clusterBlocks) : blockUsage;
    this.checksumSeed = hasReadOnlyCompatible(layout.features, 'metadata_csum')
      ? crc32c(0xffff_ffff, layout.parameters.options.uuid)
      : undefined;
    this.tableClusters = this.usage.usedClusters(0, layout.blockCount);
    // The boot block and what is in front of the first descriptors.
    this.counter = new WriteCounter(layout.blockSize, BOOT_AREA, countsWrites(layout.features));
  }

  /** Takes the first free block (with clusters: the first block of a free cluster) at or after `goal`, else the first of all. */
  allocate(goal: number): number {
    const { firstDataBlock, blockCount, clusterBlocks } = this.layout;
    let start = goal < firstDataBlock || goal >= blockCount ? firstDataBlock : goal;
    start -= start % clusterBlocks;
    const found =
      this.usage.findFree(start, blockCount) ??
      this.usage.findFree(firstDataBlock, Math.max(start, firstDataBlock));
    if (found === undefined) throw noSpace();
    this.take(found, 1);
    return found;
  }

  /** The first run of free blocks at or after `goal`, at most `count`, not taken yet. */
  findSpace(goal: number, count: number): { readonly block: number; readonly count: number } {
    const { firstDataBlock, blockCount, clusterBlocks } = this.layout;
    let start = goal < firstDataBlock || goal >= blockCount ? firstDataBlock : goal;
    start -= start % clusterBlocks;
    const block =
      this.usage.findFree(start, blockCount) ??
      this.usage.findFree(firstDataBlock, Math.max(start, firstDataBlock));
    if (block === undefined) throw noSpace();
    return { block, count: Math.min(count, this.usage.findUsed(block) - block) };
  }

  take(block: number, count: number): void {
    this.#bitmapsWritten = false;
    this.usage.mark(block, count);
    clearUninitialized(this.layout, this.tables, block, count);
  }

  /** Where the blocks of this inode are looked for. */
  goalOf(inode: number): number {
    const group = Math.floor((inode - 1) / this.layout.inodesPerGroup);
    return groupFirstBlock(this.layout, group - (group % this.layout.flexGroups));
  }

  /** The bytes of one block, which the caller may go on to change. */
  putBlock(block: number, bytes: Uint8Array): void {
    this.blocks.set(block, bytes);
    this.counter.write(block);
  }

  putInode(inode: number, record: Uint8Array): void {
    this.inodes.set(inode, record);
    this.#visit(inode);
    this.counter.write(this.#inodeBlock);
  }

  /** Written, with content that is yet to come. */
  touchInode(inode: number): void {
    this.#visit(inode);
    this.counter.write(this.#inodeBlock);
  }

  readInode(inode: number): void {
    this.#visit(inode);
  }

  /** The next inode that is not taken. */
  allocateInode(): number {
    if (this.lastInode >= this.layout.inodeCount) throw noInode();
    this.takeInodes(this.lastInode + 1);
    return this.lastInode;
  }

  /** Inodes 1 to `last` are taken; the groups that hold them need their bitmaps written. */
  takeInodes(last: number): void {
    this.#bitmapsWritten = false;
    this.lastInode = last;
    const groups = Math.ceil(last / this.layout.inodesPerGroup);
    this.tables.blockUninitialized.fill(0, 0, groups);
  }

  /** Counts the bitmaps as written where something was taken since they were last. */
  countBitmaps(): void {
    if (this.#bitmapsWritten) return;
    this.#bitmapsWritten = true;
    const { tables, layout, counter } = this;
    for (let group = 0; group < layout.groupCount; group++) {
      if (tables.blockUninitialized[group] === 0) counter.write(tables.blockBitmap[group]!);
      const used = this.lastInode > group * layout.inodesPerGroup;
      if (used || !hasGroupFlags(layout.features)) counter.write(tables.inodeBitmap[group]!);
    }
  }

  /** Puts checksums into all inodes; to be called when they are as they stay. */
  sealInodes(): void {
    if (this.checksumSeed === undefined) return;
    for (const [inode, record] of this.inodes) {
      const view = viewOf(record);
      const value = inodeChecksum(this.checksumSeed, inode, record, 0, record.length);
      Inode.i_checksum_lo.set(view, 0, value & 0xffff);
      if (hasHighChecksum(record, 0, record.length)) Inode.i_checksum_hi.set(view, 0, value >>> 16);
    }
  }

  /** The block of the table is read when it is not the one that was used last. */
  #visit(inode: number): void {
    const { inodesPerGroup, inodeSize, blockSize } = this.layout;
    const group = Math.floor((inode - 1) / inodesPerGroup);
    const index = (inode - 1) % inodesPerGroup;
    const block = this.tables.inodeTable[group]! + Math.floor((index * inodeSize) / blockSize);
    if (block === this.#inodeBlock) return;
    this.#inodeBlock = block;
    this.counter.read(block);
  }

  /** Blocks of a group that are free, as its descriptor counts them. */
  freeClusters(group: number): number {
    const { layout } = this;
    const first = groupFirstBlock(layout, group);
    const count = Math.min(layout.blocksPerGroup, layout.blockCount - first);
    return Math.ceil(count / layout.clusterBlocks) - this.usage.usedClusters(first, count);
  }

  /** Directories among the group's inodes: the root and lost+found. */
  directoriesIn(group: number): number {
    const lostAndFound = Math.floor((FIRST_INODE - 1) / this.layout.inodesPerGroup);
    return (group === 0 ? 1 : 0) + (group === lostAndFound ? 1 : 0);
  }

  /** Bad blocks that lie under superblocks and descriptors. */
  badOverhead(): number {
    return this.badBlocks.filter((block) => {
      const group = groupOfBlock(this.layout, block);
      return block - groupFirstBlock(this.layout, group) < superAndDescriptorBlocks(this.layout, group);
    }).length;
  }

  /** Bad blocks of a group that the reference counts as taken though something else has them: all but those under a backup. */
  badBlocksCountedTwice(group: number): number {
    if (this.badBlocks.length === 0) return 0;
    const { layout } = this;
    const first = groupFirstBlock(layout, group);
    const backup = group > 0 && hasSuperblock(layout, group) ? 1 + layout.descriptorBlocks : 0;
    const prefix = superAndDescriptorBlocks(layout, group);
    return this.badBlocks.filter((block) => block >= first + backup && block < first + prefix).length;
  }
}

export interface SuperblockFields {
  journalInode?: number;
  /** The 17 words of `s_jnl_blocks`. */
  journalBackup?: Uint8Array;
  orphanFileInode?: number;
  userQuotaInode?: number;
  groupQuotaInode?: number;
  projectQuotaInode?: number;
  mmpBlock?: number;
  mmpInterval?: number;
}

/** Bytes that are zeroed at the start before anything else. */
const BOOT_AREA = 4096;

function noSpace(): FsError {
  return new FsError('ENOSPC', { detail: 'Could not allocate block in ext2 filesystem' });
}

function noInode(): FsError {
  return new FsError('ENOSPC', { detail: 'Could not allocate inode in ext2 filesystem' });
}
