import { type Geometry, hasSuperblockCopy } from '../geometry.ts';
import { CompatibleFeature, ReadOnlyCompatibleFeature, Superblock } from '../superblock.ts';

/** Where superblocks and descriptors of a volume lie: it follows from the superblock and the geometry alone. */
export class GroupLayout {
  readonly superblock: DataView;
  readonly geometry: Geometry;
  /** Blocks of descriptors. */
  readonly descriptorBlocks: number;
  /** Blocks kept free behind the descriptors, in every group that has them. */
  readonly reservedDescriptorBlocks: number;

  constructor(superblock: DataView, geometry: Geometry) {
    this.superblock = superblock;
    this.geometry = geometry;
    this.descriptorBlocks = Math.ceil(geometry.groupCount / geometry.descriptorsPerBlock);
    this.reservedDescriptorBlocks = this.#hasMetaGroups
      ? 0
      : Superblock.s_reserved_gdt_blocks.get(superblock, 0);
  }

  get #hasMetaGroups(): boolean {
    return Number.isFinite(this.geometry.firstMetaDescriptorBlock);
  }

  firstBlock(group: number): number {
    return this.geometry.firstDataBlock + group * this.geometry.blocksPerGroup;
  }

  /** Blocks in the group: fewer in the last. */
  blockCount(group: number): number {
    return Math.min(this.geometry.blocksPerGroup, this.geometry.blockCount - this.firstBlock(group));
  }

  groupOf(block: number): number {
    return Math.floor((block - this.geometry.firstDataBlock) / this.geometry.blocksPerGroup);
  }

  hasSuperblock(group: number): boolean {
    return hasSuperblockCopy(this.superblock, group);
  }

  /** Blocks at the start of the group for superblock, descriptors and what is reserved for them. */
  frontBlocks(group: number): number {
    const { descriptorsPerBlock, firstMetaDescriptorBlock } = this.geometry;
    const copy = this.hasSuperblock(group);
    if (Math.floor(group / descriptorsPerBlock) < firstMetaDescriptorBlock) {
      if (!copy) return 0;
      return 1 + Math.min(this.descriptorBlocks, firstMetaDescriptorBlock) + this.reservedDescriptorBlocks;
    }
    return (copy ? 1 : 0) + (this.#holdsMetaBlock(group) ? 1 : 0);
  }

  /** The first descriptor that a group has behind its superblock: they are followed by the reserved blocks. */
  firstReserved(group: number): number {
    return this.firstBlock(group) + 1 + this.descriptorBlocks;
  }

  /** Where the block `index` of the descriptors lies, the primary copy. */
  descriptorBlock(index: number): number {
    const { descriptorsPerBlock, firstMetaDescriptorBlock } = this.geometry;
    if (index < firstMetaDescriptorBlock) return this.firstBlock(0) + 1 + index;
    const group = index * descriptorsPerBlock;
    return this.firstBlock(group) + (this.hasSuperblock(group) ? 1 : 0);
  }

  /** Where its other copies lie. */
  *descriptorCopies(index: number): Iterable<number> {
    const { descriptorsPerBlock, firstMetaDescriptorBlock, groupCount } = this.geometry;
    if (index < firstMetaDescriptorBlock) {
      for (const group of this.backupGroups()) {
        // A backup outside of the old part has no descriptors but those of its meta group.
        if (Math.floor(group / descriptorsPerBlock) < firstMetaDescriptorBlock) {
          yield this.firstBlock(group) + 1 + index;
        }
      }
      return;
    }
    const first = index * descriptorsPerBlock;
    for (const group of [first + 1, first + descriptorsPerBlock - 1]) {
      if (group < groupCount) yield this.firstBlock(group) + (this.hasSuperblock(group) ? 1 : 0);
    }
  }

  /** The groups but the first that have a copy of the superblock, ascending. */
  *backupGroups(): Iterable<number> {
    const { groupCount } = this.geometry;
    const sparse = ReadOnlyCompatibleFeature.sparse_super;
    const some =
      (Superblock.s_feature_ro_compat.get(this.superblock, 0) & sparse) !== 0 ||
      (Superblock.s_feature_compat.get(this.superblock, 0) & CompatibleFeature.sparse_super2) !== 0;
    if (!some) {
      for (let group = 1; group < groupCount; group++) yield group;
      return;
    }
    const base = Superblock.s_backup_bgs.offset;
    const candidates = new Set([
      1,
      this.superblock.getUint32(base, true),
      this.superblock.getUint32(base + 4, true),
    ]);
    for (const power of [3, 5, 7]) {
      for (let group = power; group < groupCount; group *= power) candidates.add(group);
    }
    for (const group of [...candidates].sort((a, b) => a - b)) {
      if (group > 0 && group < groupCount && this.hasSuperblock(group)) yield group;
    }
  }

  #holdsMetaBlock(group: number): boolean {
    const within = group % this.geometry.descriptorsPerBlock;
    return within === 0 || within === 1 || within === this.geometry.descriptorsPerBlock - 1;
  }
}
