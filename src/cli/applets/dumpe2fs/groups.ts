import type { BlockDevice } from '../../../device/block-device.ts';
import { clearRange, setRange, testBit } from '../../../filesystem/ext/bitmap.ts';
import { descriptorChecksum } from '../../../filesystem/ext/checksum.ts';
import { type FeatureWords, hasGroupFlags } from '../../../filesystem/ext/features.ts';
import { type Geometry, hasSuperblockCopy } from '../../../filesystem/ext/geometry.ts';
import { GroupDescriptor, GroupFlag } from '../../../filesystem/ext/group-descriptor.ts';
import type { SuperblockEditor } from '../../../filesystem/ext/superblock-editor.ts';
import {
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
} from '../../../filesystem/ext/superblock.ts';
import { viewOf } from '../../../bytes/struct.ts';

export interface GroupListingOptions {
  /** Block and inode numbers in hexadecimal. */
  readonly hexadecimal: boolean;
}

const FLAG_NAMES: readonly (readonly [flag: number, name: string])[] = [
  [GroupFlag.inodesUninitialised, 'INODE_UNINIT'],
  [GroupFlag.blocksUninitialised, 'BLOCK_UNINIT'],
  [GroupFlag.tableZeroed, 'ITABLE_ZEROED'],
];

/** Where the superblock's copy and the descriptors of a group lie; blocks. */
interface GroupHead {
  /** Undefined in a group without a copy. */
  readonly superblock: number | undefined;
  /** The whole table of descriptors. */
  readonly table: { readonly start: number; readonly length: number; readonly reserved: number } | undefined;
  /** With meta_bg: the one block of descriptors. */
  readonly metaTable: number | undefined;
}

/** Lists the groups as dumpe2fs of e2fsprogs 1.47.0 does, through a reader of its own: a damaged descriptor is shown, not refused. */
export class GroupListing {
  readonly #device: BlockDevice;
  readonly #view: DataView;
  readonly #words: FeatureWords;
  readonly #geometry: Geometry;
  readonly #options: GroupListingOptions;
  readonly #bitmap: Uint8Array;

  constructor(editor: SuperblockEditor, device: BlockDevice, options: GroupListingOptions) {
    this.#device = device;
    this.#view = editor.view;
    this.#words = editor.features;
    this.#geometry = editor.geometry;
    this.#options = options;
    this.#bitmap = new Uint8Array(editor.geometry.blockSize);
  }

  /** The lines of one group. */
  text(group: number): string {
    const geometry = this.#geometry;
    const first = geometry.firstDataBlock + group * geometry.blocksPerGroup;
    const last = Math.min(first + geometry.blocksPerGroup, geometry.blockCount) - 1;
    const head = this.#head(group);
    const bytes = this.#descriptor(group, head);
    const view = viewOf(bytes);
    const has64bit = geometry.has64bit;
    const count = (
      field: 'free_blocks_count' | 'free_inodes_count' | 'used_dirs_count' | 'itable_unused',
    ): number =>
      GroupDescriptor[`bg_${field}_lo`].get(view, 0) +
      (has64bit ? GroupDescriptor[`bg_${field}_hi`].get(view, 0) * 0x1_0000 : 0);
    const location = (field: 'block_bitmap' | 'inode_bitmap' | 'inode_table'): number =>
      GroupDescriptor[`bg_${field}_lo`].get(view, 0) +
      (has64bit ? GroupDescriptor[`bg_${field}_hi`].get(view, 0) * 0x1_0000_0000 : 0);
    const hasFlags = hasGroupFlags(this.#words);
    const flags = hasFlags ? GroupDescriptor.bg_flags.get(view, 0) : 0;

    let text = `Group ${group}: (Blocks ${this.#range(first, last)})`;
    if (hasFlags) {
      const checksum = GroupDescriptor.bg_checksum.get(view, 0);
      text += ` csum ${hex(checksum, 4)}`;
      const expected = descriptorChecksum(this.#view, this.#words, group, bytes, 0, geometry.descriptorSize);
      if (checksum !== expected) text += ` (EXPECTED ${hex(expected!, 4)})`;
      const names = FLAG_NAMES.filter(([flag]) => (flags & flag) !== 0).map(([, name]) => name);
      if (names.length > 0) text += ` [${names.join(', ')}]`;
    }
    text += '\n';
    text += this.#headText(group, head);
    for (const kind of ['block', 'inode'] as const) {
      const block = location(`${kind}_bitmap`);
      text += `${kind === 'block' ? '  Block' : '  Inode'} bitmap at ${this.#number(block)}`;
      text += this.#relative(block, first, last, false);
      if ((this.#words.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) !== 0) {
        const low = GroupDescriptor[`bg_${kind}_bitmap_csum_lo`].get(view, 0);
        const high = has64bit ? GroupDescriptor[`bg_${kind}_bitmap_csum_hi`].get(view, 0) : 0;
        text += `, csum ${hex(high * 0x1_0000 + low, 8)}`;
      }
      text += '\n';
    }
    const table = location('inode_table');
    text += `  Inode table at ${this.#range(table, table + geometry.inodeTableBlocks - 1)}`;
    text += `${this.#relative(table, first, last, true)}\n`;
    const units = geometry.blocksPerCluster > 1 || this.#hasClusters ? 'clusters' : 'blocks';
    text +=
      `  ${count('free_blocks_count')} free ${units}, ${count('free_inodes_count')} free inodes, ` +
      `${count('used_dirs_count')} directories`;
    const unused = hasFlags ? count('itable_unused') : 0;
    text += unused === 0 ? '\n' : `, ${unused} unused inodes\n`;

    const ratio = geometry.blocksPerCluster;
    const clusters = geometry.blocksPerGroup / ratio;
    if ((flags & GroupFlag.blocksUninitialised) !== 0) {
      this.#bitmap.fill(0);
      this.#markOwn(group, head, [location('block_bitmap'), location('inode_bitmap')], table, first, last);
    } else this.#readBitmap(location('block_bitmap'));
    const present = Math.ceil((last - first + 1) / ratio);
    setRange(this.#bitmap, present, clusters - present);
    const offset = Math.floor(geometry.firstDataBlock / ratio) + group * clusters;
    text += `  Free blocks: ${this.#free(clusters, offset, ratio)}\n`;

    if ((flags & GroupFlag.inodesUninitialised) !== 0) clearRange(this.#bitmap, 0, geometry.inodesPerGroup);
    else this.#readBitmap(location('inode_bitmap'));
    text += `  Free inodes: ${this.#free(geometry.inodesPerGroup, 1 + group * geometry.inodesPerGroup, 1)}\n`;
    return text;
  }

  get #hasClusters(): boolean {
    return (this.#words.readOnlyCompatible & ReadOnlyCompatibleFeature.bigalloc) !== 0;
  }

  #headText(group: number, { superblock, table, metaTable }: GroupHead): string {
    let text = '';
    if (superblock !== undefined) {
      text += `  ${group === 0 ? 'Primary' : 'Backup'} superblock at ${this.#number(superblock)}`;
    }
    if (table !== undefined) {
      text += `, Group descriptors at ${this.#range(table.start, table.start + table.length - 1)}`;
      const reserved = table.start + table.length;
      if (table.reserved > 0) {
        text += `\n  Reserved GDT blocks at ${this.#range(reserved, reserved + table.reserved - 1)}`;
      }
    } else if (metaTable !== undefined) {
      text += `${superblock === undefined ? ' ' : ','} Group descriptor at ${this.#number(metaTable)}`;
    }
    return text === '' ? '' : `${text}\n`;
  }

  #head(group: number): GroupHead {
    const geometry = this.#geometry;
    const perBlock = geometry.descriptorsPerBlock;
    let first = geometry.firstDataBlock + group * geometry.blocksPerGroup;
    // The superblock lies at byte 1024, also where the first group begins with block 0.
    if (first === 0 && geometry.blockSize === 1024) first = 1;
    const superblock = hasSuperblockCopy(this.#view, group) ? first : undefined;
    const own = Math.floor(group / perBlock);
    if (own < geometry.firstMetaDescriptorBlock) {
      if (superblock === undefined) return { superblock, table: undefined, metaTable: undefined };
      const all = Math.ceil(geometry.groupCount / perBlock);
      const length = Math.min(all, geometry.firstMetaDescriptorBlock);
      const reserved = Superblock.s_reserved_gdt_blocks.get(this.#view, 0);
      return { superblock, table: { start: first + 1, length, reserved }, metaTable: undefined };
    }
    const within = group % perBlock;
    const holds = within === 0 || within === 1 || within === perBlock - 1;
    const metaTable = holds ? first + (superblock === undefined ? 0 : 1) : undefined;
    return { superblock, table: undefined, metaTable };
  }

  #descriptor(group: number, head: GroupHead): Uint8Array {
    const { blockSize, descriptorSize, descriptorsPerBlock, firstMetaDescriptorBlock } = this.#geometry;
    const own = Math.floor(group / descriptorsPerBlock);
    let block = (blockSize === 1024 ? 1 : 0) + 1 + own;
    if (own >= firstMetaDescriptorBlock) {
      const holder = group % descriptorsPerBlock === 0 ? head : this.#head(own * descriptorsPerBlock);
      block = holder.metaTable!;
    }
    const bytes = new Uint8Array(Math.max(descriptorSize, GroupDescriptor.$size));
    const place = block * blockSize + (group % descriptorsPerBlock) * descriptorSize;
    if (place + descriptorSize <= this.#device.size)
      this.#device.read(place, bytes.subarray(0, descriptorSize));
    return bytes;
  }

  #readBitmap(block: number): void {
    const { blockSize, blockCount } = this.#geometry;
    if (block < blockCount) this.#device.read(block * blockSize, this.#bitmap);
    else this.#bitmap.fill(0xff);
  }

  /** What the format itself takes of a group that was never used. */
  #markOwn(
    group: number,
    { superblock, table: descriptors, metaTable }: GroupHead,
    bitmaps: readonly number[],
    table: number,
    first: number,
    last: number,
  ): void {
    const ratio = this.#geometry.blocksPerCluster;
    const mark = (start: number, length: number): void => {
      const from = Math.max(start, first);
      const end = Math.min(start + length - 1, last);
      if (from > end) return;
      const low = Math.floor((from - first) / ratio);
      setRange(this.#bitmap, low, Math.floor((end - first) / ratio) - low + 1);
    };
    if (superblock !== undefined) mark(superblock, 1);
    if (group === 0) mark(0, 1);
    if (descriptors !== undefined) mark(descriptors.start, descriptors.length + descriptors.reserved);
    if (metaTable !== undefined) mark(metaTable, 1);
    for (const bitmap of bitmaps) mark(bitmap, 1);
    mark(table, this.#geometry.inodeTableBlocks);
  }

  /** `1-5, 9`: what is not in use, counted from `offset` and in steps of `ratio`. */
  #free(count: number, offset: number, ratio: number): string {
    const runs: string[] = [];
    for (let bit = 0; bit < count; bit++) {
      if (testBit(this.#bitmap, bit)) continue;
      let end = bit;
      while (end + 1 < count && !testBit(this.#bitmap, end + 1)) end++;
      const from = this.#number((bit + offset) * ratio);
      runs.push(end === bit ? from : `${from}-${this.#number((end + offset) * ratio)}`);
      bit = end;
    }
    return runs.join(', ');
  }

  #relative(block: number, first: number, last: number, isTable: boolean): string {
    const { firstDataBlock, blocksPerGroup } = this.#geometry;
    if (block >= first && block <= last) return isTable && block === first ? '' : ` (+${block - first})`;
    if ((this.#words.incompatible & IncompatibleFeature.flex_bg) === 0) return '';
    const group = Math.floor((block - firstDataBlock) / blocksPerGroup);
    return ` (bg #${group} + ${block - firstDataBlock - group * blocksPerGroup})`;
  }

  #range(from: number, to: number): string {
    return `${this.#number(from)}-${this.#number(to)}`;
  }

  #number(value: number): string {
    return this.#options.hexadecimal ? hex(value, this.#geometry.has64bit ? 8 : 4) : `${value}`;
  }
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
