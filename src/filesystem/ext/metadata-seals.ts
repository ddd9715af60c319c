import { crc32c } from '../../bytes/crc32c.ts';
import { CorruptImageError } from '../../errors.ts';
import type { BlockContent, BlockSeal } from './block-cache.ts';
import {
  DIRECTORY_TAIL,
  INDEX_TAIL,
  attributeBlockChecksum,
  checksumSeed,
  extentTail,
  hasHighChecksum,
  indexChecksum,
  indexNode,
  inodeChecksum,
  inodeSeed,
} from './checksum.ts';
import type { FeatureWords } from './features.ts';
import { type Geometry, hex } from './geometry.ts';
import { Inode } from './inode.ts';
import { ReadOnlyCompatibleFeature } from './superblock.ts';

/** The entry of a leaf's tail: `rec_len` 12, `name_len` 0, `file_type` 0xde. */
const TAIL_ENTRY = 0xde00_000c;
/** `h_checksum` of `struct ext4_xattr_header`. */
const XATTR_CHECKSUM = 0x10;

/** The seals of a volume with `metadata_csum`. A block with a seal needs no other care than `markDirty`. */
export class MetadataSeals {
  readonly seed: number;
  /** Blocks of extended attributes. */
  readonly attributes: BlockSeal;

  constructor(seed: number) {
    this.seed = seed;
    this.attributes = new AttributeBlockSeal(seed);
  }

  /** Undefined without `metadata_csum`. */
  static of(superblock: DataView, words: FeatureWords): MetadataSeals | undefined {
    if ((words.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) === 0) return undefined;
    return new MetadataSeals(checksumSeed(superblock, words));
  }

  /** For the blocks of a directory, leaves and nodes of its hash tree. */
  directory(inode: number, generation: number): BlockSeal {
    return new DirectoryBlockSeal(inodeSeed(this.seed, inode, generation), inode);
  }

  /** For a block of an inode table that begins with the inode of this number. */
  inodes(first: number, geometry: Geometry): InodeBlockSeal {
    return new InodeBlockSeal(this.seed, first, geometry);
  }

  /** For the blocks of an inode's extent tree. */
  extents(inode: number, generation: number): BlockSeal {
    return new ExtentBlockSeal(inodeSeed(this.seed, inode, generation), inode);
  }
}

class DirectoryBlockSeal implements BlockSeal {
  readonly #seed: number;
  readonly #inode: number;

  constructor(seed: number, inode: number) {
    this.#seed = seed;
    this.#inode = inode;
  }

  seal({ view, bytes }: BlockContent): void {
    const counts = indexNode(view);
    if (counts === 0) {
      const tail = bytes.length - DIRECTORY_TAIL;
      // The tail looks like an unused entry to who does not know it.
      view.setUint32(tail, 0, true);
      view.setUint32(tail + 4, TAIL_ENTRY, true);
      view.setUint32(tail + 8, crc32c(this.#seed, bytes, 0, tail), true);
      return;
    }
    const tail = counts + 8 * view.getUint16(counts, true);
    const checksum = indexChecksum(this.#seed, bytes, counts, view.getUint16(counts + 2, true), tail);
    view.setUint32(tail + 4, checksum, true);
  }

  verify(block: BlockContent): void {
    const { view, bytes } = block;
    const structure = `directory block ${block.index} of inode ${this.#inode}`;
    const origin = block.index * bytes.length;
    const counts = indexNode(view);
    if (counts === 0) {
      const tail = bytes.length - DIRECTORY_TAIL;
      const entry = view.getUint32(tail + 4, true);
      if (entry !== TAIL_ENTRY || view.getUint32(tail, true) !== 0) {
        throw new CorruptImageError({
          structure,
          field: 'det_reserved_ft',
          offset: origin + tail,
          found: `${hex(view.getUint32(tail, true), 8)} ${hex(entry, 8)}`,
          expected: `0x00000000 ${hex(TAIL_ENTRY, 8)}, the entry that holds the checksum`,
        });
      }
      const expected = crc32c(this.#seed, bytes, 0, tail);
      requireEqual(structure, 'det_checksum', origin + tail + 8, view.getUint32(tail + 8, true), expected);
      return;
    }
    const limit = view.getUint16(counts, true);
    const count = view.getUint16(counts + 2, true);
    const most = (bytes.length - counts - INDEX_TAIL) / 8;
    if (limit !== most || count > limit) {
      throw new CorruptImageError({
        structure,
        field: 'dx_countlimit',
        offset: origin + counts,
        found: `${count} of ${limit}`,
        expected: `at most ${most} of ${most}`,
      });
    }
    const tail = counts + 8 * limit;
    const expected = indexChecksum(this.#seed, bytes, counts, count, tail);
    requireEqual(structure, 'dt_checksum', origin + tail + 4, view.getUint32(tail + 4, true), expected);
  }
}

class ExtentBlockSeal implements BlockSeal {
  readonly #seed: number;
  readonly #inode: number;

  constructor(seed: number, inode: number) {
    this.#seed = seed;
    this.#inode = inode;
  }

  seal({ view, bytes }: BlockContent): void {
    const tail = extentTail(view);
    view.setUint32(tail, crc32c(this.#seed, bytes, 0, tail), true);
  }

  verify(block: BlockContent): void {
    const { view, bytes } = block;
    const structure = `extent block ${block.index} of inode ${this.#inode}`;
    const tail = extentTail(view);
    const origin = block.index * bytes.length;
    if (tail + 4 > bytes.length) {
      const most = Math.floor((bytes.length - 12) / 12);
      throw new CorruptImageError({
        structure,
        field: 'eh_max',
        offset: origin + 4,
        found: `${view.getUint16(4, true)}`,
        expected: `at most ${most}`,
      });
    }
    const expected = crc32c(this.#seed, bytes, 0, tail);
    requireEqual(structure, 'et_checksum', origin + tail, view.getUint32(tail, true), expected);
  }
}

class AttributeBlockSeal implements BlockSeal {
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  seal({ index, view, bytes }: BlockContent): void {
    view.setUint32(XATTR_CHECKSUM, attributeBlockChecksum(this.#seed, index, bytes), true);
  }

  verify({ index, view, bytes }: BlockContent): void {
    const expected = attributeBlockChecksum(this.#seed, index, bytes);
    const offset = index * bytes.length + XATTR_CHECKSUM;
    requireEqual(
      `attribute block ${index}`,
      'h_checksum',
      offset,
      view.getUint32(XATTR_CHECKSUM, true),
      expected,
    );
  }
}

/**
 * One block of an inode table. Inodes are verified one by one when they are used, and only those that have changed are
 * sealed: a damaged neighbour neither keeps them from being read nor is made to look sound.
 */
export class InodeBlockSeal implements BlockSeal {
  readonly #seed: number;
  /** Number of the inode at the block's start. */
  readonly #first: number;
  readonly #inodeSize: number;
  readonly #verified: Uint8Array;
  readonly #changed: Uint8Array;

  constructor(seed: number, first: number, geometry: Geometry) {
    this.#seed = seed;
    this.#first = first;
    this.#inodeSize = geometry.inodeSize;
    this.#verified = new Uint8Array(geometry.blockSize / geometry.inodeSize);
    this.#changed = new Uint8Array(this.#verified.length);
  }

  /** The inode at this byte of the block has changed, and is sound from now on. */
  touch(at: number): void {
    const slot = at / this.#inodeSize;
    this.#changed[slot] = 1;
    this.#verified[slot] = 1;
  }

  /** CorruptImageError unless the inode at this byte has its checksum; one of zeros was never used and needs none. */
  verifyInode(block: BlockContent, at: number): void {
    const slot = at / this.#inodeSize;
    if (this.#verified[slot] === 1) return;
    const { view, bytes } = block;
    const number = this.#first + slot;
    const whole = inodeChecksum(this.#seed, number, bytes, at, this.#inodeSize);
    const hasHigh = hasHighChecksum(bytes, at, this.#inodeSize);
    const low = Inode.i_checksum_lo.get(view, at);
    const stored = hasHigh ? (low | (Inode.i_checksum_hi.get(view, at) << 16)) >>> 0 : low;
    const expected = hasHigh ? whole : whole & 0xffff;
    if (stored !== expected && !isBlank(bytes, at)) {
      const offset = block.index * bytes.length + at + Inode.i_checksum_lo.offset;
      requireEqual(`inode ${number}`, 'i_checksum_lo', offset, stored, expected, hasHigh ? 8 : 4);
    }
    this.#verified[slot] = 1;
  }

  seal({ view, bytes }: BlockContent): void {
    for (let slot = 0; slot < this.#changed.length; slot++) {
      if (this.#changed[slot] === 0) continue;
      this.#changed[slot] = 0;
      this.sealInode(bytes, view, slot * this.#inodeSize);
    }
  }

  /** Brings the checksum of the inode at this byte up to date, in the block or in a copy of it. */
  sealInode(bytes: Uint8Array, view: DataView, at: number): void {
    const number = this.#first + at / this.#inodeSize;
    const checksum = inodeChecksum(this.#seed, number, bytes, at, this.#inodeSize);
    Inode.i_checksum_lo.set(view, at, checksum & 0xffff);
    if (hasHighChecksum(bytes, at, this.#inodeSize)) Inode.i_checksum_hi.set(view, at, checksum >>> 16);
  }

  /** Nothing: see `verifyInode`. */
  verify(): void {
    return;
  }
}

function isBlank(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 128; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** CorruptImageError when the stored checksum is not the computed one. */
export function requireEqual(
  structure: string,
  field: string,
  offset: number,
  found: number,
  expected: number,
  digits = 8,
): void {
  if (found === expected) return;
  throw new CorruptImageError({
    structure,
    field,
    offset,
    found: `checksum ${hex(found, digits)}`,
    expected: hex(expected, digits),
  });
}
