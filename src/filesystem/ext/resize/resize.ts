import type { Timestamp } from '../../../bytes/time.ts';
import { CorruptImageError, UnsupportedError } from '../../../errors.ts';
import { InodeTable } from '../inode-table.ts';
import { IncompatibleFeature, ReadOnlyCompatibleFeature, Superblock } from '../superblock.ts';
import type { Volume } from '../volume.ts';
import { BlockMover } from './block-mover.ts';
import { BlockUse } from './block-use.ts';
import { Descriptors } from './descriptors.ts';
import { DirectoryReferences } from './directory-references.ts';
import { GroupLayout } from './group-layout.ts';
import { GroupWrites } from './group-writes.ts';
import { InodeEdits } from './inode-edits.ts';
import { planInodeMoves } from './inode-moves.ts';
import { InodeScan, type MovedInode } from './inode-scan.ts';
import { InodeUse } from './inode-use.ts';
import { placeNewGroups } from './new-groups.ts';
import { resizedLayout, usableBlockCount } from './new-size.ts';
import { doubleIndirectOf, hasResizeInode, rebuildResizeInode } from './resize-inode.ts';
import { moveTables } from './table-moves.ts';
import { VacatedRanges } from './vacated.ts';
import { WriteStage } from './write-plan.ts';

export interface ResizeOptions {
  /** Blocks of the file system that are asked for. */
  readonly blockCount: number;
  readonly clock: () => Timestamp;
}

/** One pass over the volume: its stages, and what it leads to. */
export interface Pass {
  readonly stages: readonly WriteStage[];
  /** Blocks that the volume will have. */
  readonly blockCount: number;
  /** It only makes room: the size is changed by another one after it. */
  readonly isPreparation: boolean;
}

/** A run of blocks. */
interface Run {
  readonly start: number;
  readonly count: number;
}

/**
 * Works out a pass: what it gives up is not used again before it is over, so that it can be cut short anywhere. Nothing of `volume` is changed. Throws FsError
 * ENOSPC when the content has no room, UnsupportedError, or CorruptImageError.
 */
export function planPass(volume: Volume, options: ResizeOptions): Pass {
  refuseFeatures(volume, options.blockCount < volume.geometry.blockCount);
  const old = new GroupLayout(volume.superblock, volume.geometry);
  const layout = resizedLayout(old, usableBlockCount(old, options.blockCount));
  const stages = new Resize(volume, old, layout, options).plan();
  if ('wanting' in stages) {
    const same = resizedLayout(old, old.geometry.blockCount);
    const cleared = new Resize(volume, old, same, options, stages.wanting).plan();
    if ('wanting' in cleared) throw new TypeError('to make room has no tables to move');
    return { stages: cleared, blockCount: old.geometry.blockCount, isPreparation: true };
  }
  return { stages, blockCount: layout.geometry.blockCount, isPreparation: false };
}

/** UnsupportedError when the volume is of a kind whose size cannot be changed. */
export function refuseFeatures({ features, superblock }: Volume, shrinks: boolean): void {
  const refuse = (name: string, why: string): never => {
    throw new UnsupportedError(`The size cannot be changed: ${why}`, [name]);
  };
  if ((features.readOnlyCompatible & ReadOnlyCompatibleFeature.bigalloc) !== 0) {
    refuse('bigalloc', 'clusters (bigalloc) are not supported');
  }
  if ((features.readOnlyCompatible & ReadOnlyCompatibleFeature.shared_blocks) !== 0) {
    refuse('shared_blocks', 'files share blocks (shared_blocks)');
  }
  // Trees of extents are built anew for what moves, and may take another number of blocks than the quota has counted.
  if (shrinks && (features.readOnlyCompatible & ReadOnlyCompatibleFeature.quota) !== 0) {
    refuse('quota', 'blocks that move are not counted in the quota files');
  }
  if ((features.incompatible & IncompatibleFeature.needs_recovery) !== 0) {
    refuse('needs_recovery', 'the journal has to be replayed first');
  }
  const hasOrphans = (features.readOnlyCompatible & ReadOnlyCompatibleFeature.orphan_present) !== 0;
  if (hasOrphans || Superblock.s_last_orphan.get(superblock, 0) !== 0) {
    refuse('orphan_present', 'files that were deleted while they were open wait for e2fsck');
  }
}

/** The parts of one resize, in the order in which they are worked out. */
class Resize {
  readonly #volume: Volume;
  readonly #old: GroupLayout;
  readonly #layout: GroupLayout;
  readonly #oldDescriptors: Descriptors;
  readonly #descriptors: Descriptors;
  readonly #use: BlockUse;
  readonly #inodes: InodeTable;
  readonly #inodeUse: InodeUse;
  readonly #edits: InodeEdits;
  readonly #vacated = new VacatedRanges();
  readonly #mover: BlockMover;
  readonly #prepare = new WriteStage();
  readonly #references: DirectoryReferences;
  readonly #writes: GroupWrites;
  /** Runs that are to be free in the end. */
  readonly #clear: readonly Run[];
  /** Blocks in use in the vacated ranges. */
  #vacatedInUse = 0;
  #doubleIndirect = 0;

  constructor(
    volume: Volume,
    old: GroupLayout,
    layout: GroupLayout,
    options: ResizeOptions,
    clear: readonly Run[] = [],
  ) {
    this.#clear = clear;
    this.#volume = volume;
    this.#old = old;
    this.#layout = layout;
    // Reads and verifies them.
    for (let group = 0; group < old.geometry.groupCount; group++) volume.groups.get(group);
    this.#oldDescriptors = Descriptors.read(volume.device, old, volume.features);
    this.#descriptors = this.#oldDescriptors.resized(layout);
    this.#use = new BlockUse(volume, old, layout);
    this.#inodes = new InodeTable(volume);
    this.#inodeUse = new InodeUse(volume);
    this.#edits = new InodeEdits(volume, this.#descriptors);
    this.#mover = new BlockMover(this.#use, this.#vacated, this.#prepare);
    this.#references = new DirectoryReferences(volume, this.#inodeUse.moves);
    this.#writes = new GroupWrites({
      old: this.#oldDescriptors,
      descriptors: this.#descriptors,
      use: this.#use,
      inodes: this.#inodeUse,
      now: options.clock().seconds,
    });
  }

  /** What is to be done; or the runs that have to be free before that. */
  plan(): readonly WriteStage[] | { readonly wanting: readonly Run[] } {
    const writes = this.#writes;
    const begin = writes.begin();
    this.#changeFronts();
    placeNewGroups(this.#descriptors, this.#use, this.#old.geometry.groupCount);
    writes.makeNewTables(this.#prepare);
    const tables = moveTables({
      old: this.#oldDescriptors,
      descriptors: this.#descriptors,
      use: this.#use,
      stage: this.#prepare,
      isVacated: (start, count) => this.#vacated.overlaps(start, count),
    });
    if (tables.wanting.length > 0) return tables;
    for (const { start, count } of this.#clear) this.#vacate(start, count);
    this.#freeOldTables();
    if (hasResizeInode(this.#volume.superblock)) this.#doubleIndirect = doubleIndirectOf(this.#inodes);
    const moved = this.#vacated.isEmpty ? [] : this.#moveContent();
    const taken = writes.taken();
    const mapping = new WriteStage();
    for (const [block, bytes] of this.#edits.take()) mapping.blocks.set(block, bytes);
    const kept = this.#edits;
    const old = new InodeEdits(this.#volume, this.#oldDescriptors);
    const room = Math.floor(writes.freeMeanwhile() / 2);
    const renumbered = planInodeMoves(moved, this.#references, { kept, old }, room);
    const descriptors = writes.newDescriptors();
    const last = new WriteStage();
    if (hasResizeInode(this.#volume.superblock) && this.#isResizeInodeStale()) {
      rebuildResizeInode(this.#volume, this.#layout, this.#edits, this.#doubleIndirect, last);
      for (const [block, bytes] of this.#edits.take()) last.blocks.set(block, bytes);
    }
    for (const { start, count } of this.#clear) this.#use.free(start, count);
    this.#use.release();
    for (const { start, end } of this.#vacated) {
      // What descriptors and tables have got is not free because somebody has left it.
      const stop = Math.min(end, this.#layout.geometry.blockCount);
      if (start < stop && this.#clear.length === 0) this.#use.mark(start, stop - start);
    }
    writes.finish(last);
    this.#noteSteps(renumbered.at(-1), last, tables.groups);
    const stages = [
      begin,
      this.#prepare,
      taken,
      mapping,
      ...renumbered,
      descriptors,
      writes.switch(),
      last,
      writes.backups(),
      writes.end(),
    ];
    return stages.filter(({ isEmpty, steps }) => !isEmpty || steps.length > 0);
  }

  #noteSteps(references: WriteStage | undefined, last: WriteStage, movedTables: number): void {
    const oldGroups = this.#old.geometry.groupCount;
    const newGroups = this.#layout.geometry.groupCount;
    const { moved } = this.#mover;
    const { steps } = this.#prepare;
    if (newGroups > oldGroups && !this.#descriptors.hasFlags) {
      steps.push({ name: 'new tables', total: newGroups - oldGroups });
    }
    if (moved > 0) steps.push({ name: 'relocation', total: moved });
    if (moved > 0 || newGroups < oldGroups) steps.push({ name: 'scan', total: oldGroups });
    if (this.#inodeUse.moves.size > 0) {
      references?.steps.push({ name: 'references', total: this.#references.blockCount });
    }
    if (movedTables > 0) last.steps.push({ name: 'tables', total: movedTables });
  }

  /** Superblocks and descriptors of the groups that stay may take less or more; what is behind the new end is to be left. */
  #changeFronts(): void {
    const { groupCount, blockCount } = this.#layout.geometry;
    for (let group = 0; group < Math.min(this.#old.geometry.groupCount, groupCount); group++) {
      const first = this.#layout.firstBlock(group);
      const front = this.#layout.frontBlocks(group);
      const before = this.#old.frontBlocks(group);
      this.#use.free(first + front, before - front);
      if (front > before) this.#vacate(first + before, front - before);
    }
    this.#vacate(blockCount, this.#old.geometry.blockCount - blockCount);
  }

  #vacate(start: number, count: number): void {
    if (count <= 0) return;
    this.#vacatedInUse += this.#use.countUsed(start, start + count);
    this.#vacated.add(start, count);
    if (start < this.#layout.geometry.blockCount) this.#use.mark(start, count);
  }

  #freeOldTables(): void {
    const { groupCount, blockCount } = this.#layout.geometry;
    for (let group = groupCount; group < this.#old.geometry.groupCount; group++) {
      for (const { start, count } of this.#tablesOf(group)) {
        if (start < blockCount) this.#use.free(start, Math.min(count, blockCount - start));
      }
    }
  }

  #tablesOf(group: number): { readonly start: number; readonly count: number }[] {
    const { blockBitmap, inodeBitmap, inodeTable } = this.#volume.groups.get(group);
    return [
      { start: blockBitmap, count: 1 },
      { start: inodeBitmap, count: 1 },
      { start: inodeTable, count: this.#old.geometry.inodeTableBlocks },
    ];
  }

  /** Finds a new place for everything in the vacated ranges, and for the inodes of groups that go. */
  #moveContent(): readonly MovedInode[] {
    const both = [this.#oldDescriptors, this.#descriptors];
    this.#inodeUse.place(this.#layout, this.#inodes, both);
    const scan = new InodeScan(this.#volume, this.#inodes, {
      use: this.#inodeUse,
      mover: this.#mover,
      edits: this.#edits,
      references: this.#references,
    });
    scan.run();
    const { superblock } = this.#layout;
    if (scan.journal !== undefined && Superblock.s_jnl_backup_type.get(superblock, 0) !== 0) {
      const backup = Superblock.s_jnl_blocks.get(superblock, 0).slice();
      backup.set(scan.journal.root);
      Superblock.s_jnl_blocks.set(superblock, 0, backup);
    }
    for (const field of ['s_orphan_file_inum', 's_lpf_ino', 's_prj_quota_inum'] as const) {
      const number = this.#inodeUse.moves.get(Superblock[field].get(superblock, 0));
      if (number !== undefined) Superblock[field].set(superblock, 0, number);
    }
    if (this.#vacated.has(this.#doubleIndirect)) {
      const { blockSize } = this.#volume.geometry;
      this.#mover.giveUp(this.#doubleIndirect, 1);
      this.#doubleIndirect = this.#mover.put(new Uint8Array(blockSize));
    }
    this.#moveMultipleMountBlock();
    this.#requireAllMoved();
    return scan.moved;
  }

  #moveMultipleMountBlock(): void {
    const { superblock } = this.#layout;
    if ((this.#volume.features.incompatible & IncompatibleFeature.mmp) === 0) return;
    const block = Number(Superblock.s_mmp_block.get(superblock, 0));
    if (!this.#vacated.has(block)) return;
    this.#mover.move(block, 1, true, (start) => Superblock.s_mmp_block.set(superblock, 0, BigInt(start)));
  }

  /** CorruptImageError when blocks are marked as used that nothing was found to lead to: they might be somebody's. */
  #requireAllMoved(): void {
    let own = 0;
    for (let group = 0; group < this.#old.geometry.groupCount; group++) {
      const start = this.#old.firstBlock(group);
      own += this.#vacated.overlap(start, this.#old.frontBlocks(group));
      for (const table of this.#tablesOf(group)) own += this.#vacated.overlap(table.start, table.count);
    }
    const inUse = this.#vacatedInUse - own;
    if (inUse === this.#mover.moved) return;
    throw new CorruptImageError({
      structure: 'block bitmaps',
      field: 'blocks in use where they have to move',
      found: `${inUse}`,
      expected: `${this.#mover.moved}, which files have; run e2fsck -f first`,
    });
  }

  #isResizeInodeStale(): boolean {
    const { descriptorBlocks, reservedDescriptorBlocks } = this.#layout;
    if (descriptorBlocks !== this.#old.descriptorBlocks) return true;
    if (reservedDescriptorBlocks !== this.#old.reservedDescriptorBlocks) return true;
    if (this.#doubleIndirect !== doubleIndirectOf(this.#inodes)) return true;
    return [...this.#layout.backupGroups()].join() !== [...this.#old.backupGroups()].join();
  }
}
