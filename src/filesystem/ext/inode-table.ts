import type { Timestamp } from '../../bytes/time.ts';
import { CorruptImageError } from '../../errors.ts';
import type { NodeKind } from '../file-system.ts';
import { type CachedBlock, WriteRank } from './block-cache.ts';
import { hex } from './geometry.ts';
import type { Group } from './group-table.ts';
import { Inode, InodeFlag, InodeKind } from './inode.ts';
import { InodeBlockSeal } from './metadata-seals.ts';
import { ReadOnlyCompatibleFeature, Superblock } from './superblock.ts';
import { type TimeFields, decodeTime, encodeTime } from './timestamp.ts';
import type { Volume } from './volume.ts';

/** An inode in its place in the cached inode table. Good within one operation. */
export interface InodeRef {
  readonly number: number;
  readonly block: CachedBlock;
  readonly view: DataView;
  readonly base: number;
}

/** By the four bits of `i_mode` that tell the kind. */
const KINDS: readonly (NodeKind | undefined)[] = kindsByBits();

function kindsByBits(): (NodeKind | undefined)[] {
  const kinds = Array.from<NodeKind | undefined>({ length: 16 });
  kinds[InodeKind.fifo >>> 12] = 'fifo';
  kinds[InodeKind.characterDevice >>> 12] = 'character-device';
  kinds[InodeKind.directory >>> 12] = 'directory';
  kinds[InodeKind.blockDevice >>> 12] = 'block-device';
  kinds[InodeKind.file >>> 12] = 'file';
  kinds[InodeKind.symlink >>> 12] = 'symlink';
  kinds[InodeKind.socket >>> 12] = 'socket';
  return kinds;
}

/** Longest size of a file that needs no `large_file`. */
const SMALL_FILE = 0x7fff_ffff;

/** Blocks of an inode table that are read at once. */
const READ_AHEAD = 16;

/** Finds inodes, and reads and writes those of their fields that are spread over several places. */
export class InodeTable {
  readonly #volume: Volume;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  /** RangeError for a number that no inode has, CorruptImageError when the inode does not have its checksum. */
  load(number: number): InodeRef {
    const ref = this.peek(number);
    if (ref.block.seal instanceof InodeBlockSeal) ref.block.seal.verifyInode(ref.block, ref.base);
    return ref;
  }

  /** Unlike `load`, whatever its checksum says: for an inode that is about to be overwritten, or matters little. */
  peek(number: number): InodeRef {
    const { geometry, groups, cache, seals } = this.#volume;
    if (!Number.isInteger(number) || number < 1 || number > geometry.inodeCount) {
      throw new RangeError(`There is no inode ${number}: the volume has 1 to ${geometry.inodeCount}`);
    }
    const group = groups.get(Math.floor((number - 1) / geometry.inodesPerGroup));
    const offset = ((number - 1) % geometry.inodesPerGroup) * geometry.inodeSize;
    const within = offset % geometry.blockSize;
    const index = group.inodeTable + (offset - within) / geometry.blockSize;
    let block = cache.find(index);
    if (block === undefined) {
      const first = number - within / geometry.inodeSize;
      const inodesPerBlock = geometry.blockSize / geometry.inodeSize;
      if (groups.isTableBlockUnused(group, index)) {
        block = cache.blank(index, WriteRank.inodeTable, seals?.inodes(first, geometry));
      } else {
        const count = cache.find(index - 1) === undefined ? 1 : this.#ahead(group, index);
        block = cache.getAhead(index, count, WriteRank.inodeTable, (at) =>
          seals?.inodes(first + (at - index) * inodesPerBlock, geometry),
        );
      }
    }
    return { number, block, view: block.view, base: within };
  }

  /** Blocks that are worth reading at once by who goes through a table in order: those from `index` on that mean something. */
  #ahead(group: Group, index: number): number {
    const { groups, geometry } = this.#volume;
    const end = group.inodeTable + geometry.inodeTableBlocks;
    let count = 1;
    while (count < READ_AHEAD && index + count < end && !groups.isTableBlockUnused(group, index + count))
      count++;
    return count;
  }

  markDirty(ref: InodeRef): void {
    if (ref.block.seal instanceof InodeBlockSeal) ref.block.seal.touch(ref.base);
    this.#volume.cache.markDirty(ref.block);
  }

  /** Undefined for a mode that stands for no kind, as in an inode that was never used. */
  kindIfKnown(ref: InodeRef): NodeKind | undefined {
    return KINDS[Inode.i_mode.get(ref.view, ref.base) >>> 12];
  }

  kind(ref: InodeRef): NodeKind {
    const kind = this.kindIfKnown(ref);
    if (kind !== undefined) return kind;
    const mode = Inode.i_mode.get(ref.view, ref.base);
    throw this.corrupt(
      ref,
      'i_mode',
      hex(mode, 4),
      'the mode of a file, directory, link, device, pipe or socket',
    );
  }

  size(ref: InodeRef): number {
    const low = Inode.i_size_lo.get(ref.view, ref.base);
    const kind = Inode.i_mode.get(ref.view, ref.base) & 0xf000;
    if (kind !== InodeKind.file && !(kind === InodeKind.directory && this.#hasLargeDirectories)) return low;
    return low + Inode.i_size_high.get(ref.view, ref.base) * 0x1_0000_0000;
  }

  /** Says `large_file` in the superblock when this is the first that needs it. */
  setSize(ref: InodeRef, size: number): void {
    Inode.i_size_lo.set(ref.view, ref.base, size % 0x1_0000_0000);
    const kind = Inode.i_mode.get(ref.view, ref.base) & 0xf000;
    if (kind === InodeKind.file || (kind === InodeKind.directory && this.#hasLargeDirectories)) {
      Inode.i_size_high.set(ref.view, ref.base, Math.floor(size / 0x1_0000_0000));
      if (size > SMALL_FILE) this.#requireLargeFile();
    }
    this.markDirty(ref);
  }

  /** Bytes on the device, as `i_blocks` counts them: content, its index and the attribute block. */
  allocated(ref: InodeRef): number {
    const low = Inode.i_blocks_lo.get(ref.view, ref.base);
    if (!this.countsHugeFiles) return low * 512;
    const blocks = low + Inode.i_blocks_high.get(ref.view, ref.base) * 0x1_0000_0000;
    const huge = this.hasFlag(ref, InodeFlag.hugeFile);
    return blocks * (huge ? this.#volume.geometry.blockSize : 512);
  }

  /**
   * Adds to `i_blocks`; `count` in file-system blocks, may be negative. With `huge_file` the field has 48 bits, and counts blocks
   * of the file system once sectors are too many.
   */
  addBlocks(ref: InodeRef, count: number): void {
    const { features, geometry, quotas } = this.#volume;
    quotas?.addBlocks(ref, count);
    const low = Inode.i_blocks_lo.get(ref.view, ref.base);
    if ((features.readOnlyCompatible & ReadOnlyCompatibleFeature.huge_file) === 0) {
      Inode.i_blocks_lo.set(ref.view, ref.base, Math.max(0, low + count * geometry.sectorsPerBlock));
      this.markDirty(ref);
      return;
    }
    const isHuge = this.hasFlag(ref, InodeFlag.hugeFile);
    const old = low + Inode.i_blocks_high.get(ref.view, ref.base) * 0x1_0000_0000;
    const oldSectors = isHuge ? old * geometry.sectorsPerBlock : old;
    const sectors = Math.max(0, oldSectors + count * geometry.sectorsPerBlock);
    const needsHuge = sectors >= 2 ** 48;
    if (needsHuge !== isHuge) this.setFlag(ref, InodeFlag.hugeFile, needsHuge);
    const units = needsHuge ? sectors / geometry.sectorsPerBlock : sectors;
    Inode.i_blocks_lo.set(ref.view, ref.base, units % 0x1_0000_0000);
    Inode.i_blocks_high.set(ref.view, ref.base, Math.floor(units / 0x1_0000_0000));
    this.markDirty(ref);
  }

  /** Has `i_blocks` a high half? */
  get countsHugeFiles(): boolean {
    return (this.#volume.features.readOnlyCompatible & ReadOnlyCompatibleFeature.huge_file) !== 0;
  }

  /** Of several: one of them. */
  hasFlag(ref: InodeRef, flag: number): boolean {
    return (Inode.i_flags.get(ref.view, ref.base) & flag) !== 0;
  }

  setFlag(ref: InodeRef, flag: number, on: boolean): void {
    const flags = Inode.i_flags.get(ref.view, ref.base);
    Inode.i_flags.set(ref.view, ref.base, (on ? flags | flag : flags & ~flag) >>> 0);
    this.markDirty(ref);
  }

  uid(ref: InodeRef): number {
    return Inode.i_uid.get(ref.view, ref.base) + Inode.i_uid_high.get(ref.view, ref.base) * 0x1_0000;
  }

  gid(ref: InodeRef): number {
    return Inode.i_gid.get(ref.view, ref.base) + Inode.i_gid_high.get(ref.view, ref.base) * 0x1_0000;
  }

  setOwner(ref: InodeRef, uid: number, gid: number): void {
    Inode.i_uid.set(ref.view, ref.base, uid & 0xffff);
    Inode.i_uid_high.set(ref.view, ref.base, (uid >>> 16) & 0xffff);
    Inode.i_gid.set(ref.view, ref.base, gid & 0xffff);
    Inode.i_gid_high.set(ref.view, ref.base, (gid >>> 16) & 0xffff);
    this.markDirty(ref);
  }

  attributeBlock(ref: InodeRef): number {
    const low = Inode.i_file_acl_lo.get(ref.view, ref.base);
    if (!this.#volume.geometry.has64bit) return low;
    return low + Inode.i_file_acl_high.get(ref.view, ref.base) * 0x1_0000_0000;
  }

  setAttributeBlock(ref: InodeRef, block: number): void {
    Inode.i_file_acl_lo.set(ref.view, ref.base, block % 0x1_0000_0000);
    if (this.#volume.geometry.has64bit) {
      Inode.i_file_acl_high.set(ref.view, ref.base, Math.floor(block / 0x1_0000_0000));
    }
    this.markDirty(ref);
  }

  /** Bytes past the first 128 that hold fields; 0 in small inodes. CorruptImageError when they would leave the inode. */
  extraSize(ref: InodeRef): number {
    const { inodeSize } = this.#volume.geometry;
    if (inodeSize === 128) return 0;
    const extra = Inode.i_extra_isize.get(ref.view, ref.base);
    if (extra <= inodeSize - 128 && extra % 4 === 0) return extra;
    throw this.corrupt(ref, 'i_extra_isize', `${extra}`, `a multiple of 4 up to ${inodeSize - 128}`);
  }

  time(ref: InodeRef, fields: TimeFields): Timestamp | undefined {
    return decodeTime(ref.view, ref.base, this.extraSize(ref), fields);
  }

  setTime(ref: InodeRef, fields: TimeFields, time: Timestamp): void {
    encodeTime(ref.view, ref.base, this.extraSize(ref), fields, time);
    this.markDirty(ref);
  }

  /** `i_extra_isize` of new inodes. */
  get newExtraSize(): number {
    const most = this.#volume.geometry.inodeSize - 128;
    const wanted = Superblock.s_want_extra_isize.get(this.#volume.superblock, 0);
    return wanted >= 4 && wanted <= most && wanted % 4 === 0 ? wanted : Math.min(32, most);
  }

  /** All zero, but for a generation that differs from the previous inode's in this place, and the size of the extra fields. */
  reset(ref: InodeRef): void {
    const { inodeSize } = this.#volume.geometry;
    const generation = Inode.i_generation.get(ref.view, ref.base);
    const wasUsed = Inode.i_mode.get(ref.view, ref.base) !== 0;
    ref.block.bytes.fill(0, ref.base, ref.base + inodeSize);
    Inode.i_generation.set(ref.view, ref.base, wasUsed ? (generation + 1) >>> 0 : generation);
    if (inodeSize > 128) Inode.i_extra_isize.set(ref.view, ref.base, this.newExtraSize);
    this.markDirty(ref);
  }

  /** Zero but for the generation, which the next inode in this place goes on from. */
  wipe(ref: InodeRef): void {
    const generation = Inode.i_generation.get(ref.view, ref.base);
    ref.block.bytes.fill(0, ref.base, ref.base + this.#volume.geometry.inodeSize);
    Inode.i_generation.set(ref.view, ref.base, (generation + 1) >>> 0);
    this.markDirty(ref);
  }

  corrupt(ref: InodeRef, field: string, found: string, expected: string): CorruptImageError {
    return new CorruptImageError({
      structure: `inode ${ref.number}`,
      field,
      offset: ref.block.index * this.#volume.geometry.blockSize + ref.base,
      found,
      expected,
    });
  }

  get #hasLargeDirectories(): boolean {
    // Only volumes with the feature large_dir may use the high half for directories.
    return (this.#volume.features.incompatible & 0x4000) !== 0;
  }

  #requireLargeFile(): void {
    const { superblock } = this.#volume;
    const features = Superblock.s_feature_ro_compat.get(superblock, 0);
    if ((features & ReadOnlyCompatibleFeature.large_file) !== 0) return;
    Superblock.s_feature_ro_compat.set(superblock, 0, features | ReadOnlyCompatibleFeature.large_file);
    // Revision 0 has no feature words: the kernel raises the revision together with the first feature.
    if (Superblock.s_rev_level.get(superblock, 0) === 0) {
      Superblock.s_rev_level.set(superblock, 0, 1);
      Superblock.s_first_ino.set(superblock, 0, 11);
      Superblock.s_inode_size.set(superblock, 0, 128);
    }
    this.#volume.markSuperblockDirty();
  }
}
