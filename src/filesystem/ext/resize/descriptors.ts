import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { checksumSeed, descriptorChecksum } from '../checksum.ts';
import { type FeatureWords, hasGroupFlags } from '../features.ts';
import { GroupDescriptor } from '../group-descriptor.ts';
import { ReadOnlyCompatibleFeature } from '../superblock.ts';
import type { GroupLayout } from './group-layout.ts';

type Location = 'block_bitmap' | 'inode_bitmap' | 'inode_table';
type Count = 'free_blocks_count' | 'free_inodes_count' | 'used_dirs_count' | 'itable_unused';
type Sum = 'block_bitmap_csum' | 'inode_bitmap_csum';

/** The descriptors of all groups in memory, in the bytes that they have on the device. */
export class Descriptors {
  /** Whole blocks. */
  readonly bytes: Uint8Array;
  readonly layout: GroupLayout;
  readonly features: FeatureWords;
  /** Have descriptors checksums and flags? */
  readonly hasFlags: boolean;
  readonly #view: DataView;
  readonly #size: number;
  readonly #has64bit: boolean;

  constructor(layout: GroupLayout, features: FeatureWords) {
    const { geometry, descriptorBlocks } = layout;
    this.layout = layout;
    this.features = features;
    this.hasFlags = hasGroupFlags(features);
    this.#size = geometry.descriptorSize;
    this.#has64bit = geometry.has64bit;
    this.bytes = new Uint8Array(descriptorBlocks * geometry.blockSize);
    this.#view = viewOf(this.bytes);
  }

  /** As they are on the device. They are to be verified elsewhere. */
  static read(device: BlockDevice, layout: GroupLayout, features: FeatureWords): Descriptors {
    const descriptors = new Descriptors(layout, features);
    const { blockSize } = layout.geometry;
    for (let index = 0; index < layout.descriptorBlocks; index++) {
      const into = descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      device.read(layout.descriptorBlock(index) * blockSize, into);
    }
    return descriptors;
  }

  /** The same for another layout: groups that it does not have are left out, new ones are zeros. */
  resized(layout: GroupLayout): Descriptors {
    const result = new Descriptors(layout, this.features);
    const groups = Math.min(layout.geometry.groupCount, this.layout.geometry.groupCount);
    result.bytes.set(this.bytes.subarray(0, groups * this.#size));
    return result;
  }

  location(group: number, which: Location): number {
    const at = group * this.#size;
    const low = GroupDescriptor[`bg_${which}_lo`].get(this.#view, at);
    return this.#has64bit ? low + GroupDescriptor[`bg_${which}_hi`].get(this.#view, at) * 0x1_0000_0000 : low;
  }

  setLocation(group: number, which: Location, block: number): void {
    const at = group * this.#size;
    GroupDescriptor[`bg_${which}_lo`].set(this.#view, at, block % 0x1_0000_0000);
    if (this.#has64bit) {
      GroupDescriptor[`bg_${which}_hi`].set(this.#view, at, Math.floor(block / 0x1_0000_0000));
    }
  }

  count(group: number, which: Count): number {
    const at = group * this.#size;
    const low = GroupDescriptor[`bg_${which}_lo`].get(this.#view, at);
    return this.#has64bit ? low + GroupDescriptor[`bg_${which}_hi`].get(this.#view, at) * 0x1_0000 : low;
  }

  setCount(group: number, which: Count, count: number): void {
    const at = group * this.#size;
    GroupDescriptor[`bg_${which}_lo`].set(this.#view, at, count & 0xffff);
    if (this.#has64bit) GroupDescriptor[`bg_${which}_hi`].set(this.#view, at, count >>> 16);
  }

  /** 0 where descriptors have no checksums: then flags mean nothing. */
  flags(group: number): number {
    return this.hasFlags ? GroupDescriptor.bg_flags.get(this.#view, group * this.#size) : 0;
  }

  setFlags(group: number, flags: number): void {
    if (this.hasFlags) GroupDescriptor.bg_flags.set(this.#view, group * this.#size, flags);
  }

  /** Notes the checksum of a bitmap of the group, where there are such. */
  sealBitmap(group: number, which: 'block' | 'inode', bitmap: Uint8Array): void {
    if ((this.features.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) === 0) return;
    const { inodesPerGroup, blocksPerGroup } = this.layout.geometry;
    const bits = which === 'inode' ? inodesPerGroup : blocksPerGroup;
    const seed = checksumSeed(this.layout.superblock, this.features);
    this.#setSum(group, `${which}_bitmap_csum`, crc32c(seed, bitmap, 0, bits >>> 3));
  }

  /** Brings the checksum of the descriptor up to date. */
  seal(group: number): void {
    const at = group * this.#size;
    const { superblock } = this.layout;
    const checksum = descriptorChecksum(superblock, this.features, group, this.bytes, at, this.#size);
    if (checksum !== undefined) GroupDescriptor.bg_checksum.set(this.#view, at, checksum);
  }

  #setSum(group: number, which: Sum, checksum: number): void {
    const at = group * this.#size;
    GroupDescriptor[`bg_${which}_lo`].set(this.#view, at, checksum & 0xffff);
    if (this.#has64bit) GroupDescriptor[`bg_${which}_hi`].set(this.#view, at, checksum >>> 16);
  }
}
