import { crc16 } from '../../bytes/crc16.ts';
import { crc32c, crc32cWord } from '../../bytes/crc32c.ts';
import { CorruptImageError, UnsupportedError } from '../../errors.ts';
import { type FeatureWords, hasGroupFlags, readFeatures } from './features.ts';
import { hex } from './geometry.ts';
import { GroupDescriptor } from './group-descriptor.ts';
import { Inode } from './inode.ts';
import {
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  SUPERBLOCK_OFFSET,
  Superblock,
} from './superblock.ts';

/**
 * What the checksums of ext4's structures are taken over: Linux Documentation/filesystems/ext4/checksums.rst. All are CRC-32C
 * without inversion, which begins with a seed of the volume; `uninit_bg` alone has CRC-16 over descriptors.
 */

const ONES = 0xffff_ffff;
/** `s_checksum_type`: CRC-32C. */
export const CHECKSUM_TYPE = 1;
/** Stands in for a checksum's own bytes. */
const ZEROS = new Uint8Array(4);
const WORD = new DataView(new ArrayBuffer(4));

/** Bytes at the end of a directory's leaf: `struct ext4_dir_entry_tail`. */
export const DIRECTORY_TAIL = 12;
/** Bytes behind the last possible entry of a hash tree's node: `struct dx_tail`. */
export const INDEX_TAIL = 8;

/** The seed of every checksum but the superblock's: stored with `metadata_csum_seed`, else it follows from the UUID. */
export function checksumSeed(superblock: DataView, words: FeatureWords): number {
  if ((words.incompatible & IncompatibleFeature.metadata_csum_seed) !== 0) {
    return Superblock.s_checksum_seed.get(superblock, 0);
  }
  return crc32c(ONES, Superblock.s_uuid.get(superblock, 0));
}

/** `s_checksum` of these 1024 bytes. */
export function superblockChecksum(superblock: Uint8Array): number {
  return crc32c(ONES, superblock, 0, Superblock.s_checksum.offset);
}

/** Writes `s_checksum` where the volume has it. To be called right before a superblock goes out. */
export function sealSuperblock(superblock: DataView, words: FeatureWords): void {
  if ((words.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) === 0) return;
  const bytes = new Uint8Array(superblock.buffer, superblock.byteOffset, Superblock.$size);
  Superblock.s_checksum.set(superblock, 0, superblockChecksum(bytes));
}

/** `bg_checksum` of the descriptor of `size` bytes at `at`; undefined where descriptors have none. */
export function descriptorChecksum(
  superblock: DataView,
  words: FeatureWords,
  group: number,
  bytes: Uint8Array,
  at: number,
  size: number,
): number | undefined {
  if (!hasGroupFlags(words)) return undefined;
  const field = GroupDescriptor.bg_checksum.offset;
  if ((words.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) !== 0) {
    let value = crc32cWord(checksumSeed(superblock, words), group);
    value = crc32c(value, bytes, at, at + field);
    value = crc32c(value, ZEROS, 0, 2);
    return crc32c(value, bytes, at + field + 2, at + size) & 0xffff;
  }
  let value = crc16(0xffff, Superblock.s_uuid.get(superblock, 0));
  WORD.setUint32(0, group, true);
  value = crc16(value, new Uint8Array(WORD.buffer));
  value = crc16(value, bytes, at, at + field);
  const has64bit = (words.incompatible & IncompatibleFeature['64bit']) !== 0;
  return has64bit ? crc16(value, bytes, at + field + 2, at + size) : value;
}

/** Where the checksums of an inode, its directory blocks and its extent blocks begin. */
export function inodeSeed(seed: number, number: number, generation: number): number {
  return crc32cWord(crc32cWord(seed, number), generation);
}

/** All 32 bits of the checksum of the inode of `size` bytes at `at`; only the low half is stored when there is no room. */
export function inodeChecksum(
  seed: number,
  number: number,
  bytes: Uint8Array,
  at: number,
  size: number,
): number {
  const generation = at + Inode.i_generation.offset;
  const word =
    bytes[generation]! |
    (bytes[generation + 1]! << 8) |
    (bytes[generation + 2]! << 16) |
    (bytes[generation + 3]! << 24);
  const low = at + Inode.i_checksum_lo.offset;
  let value = crc32c(inodeSeed(seed, number, word), bytes, at, low);
  value = crc32c(value, ZEROS, 0, 2);
  if (!hasHighChecksum(bytes, at, size)) return crc32c(value, bytes, low + 2, at + size);
  const high = at + Inode.i_checksum_hi.offset;
  value = crc32c(value, bytes, low + 2, high);
  value = crc32c(value, ZEROS, 0, 2);
  return crc32c(value, bytes, high + 2, at + size);
}

/** Do the extra fields of this inode reach as far as `i_checksum_hi`? */
export function hasHighChecksum(bytes: Uint8Array, at: number, size: number): boolean {
  const field = at + Inode.i_extra_isize.offset;
  return size > 128 && (bytes[field]! | (bytes[field + 1]! << 8)) >= 4;
}

/** Of the block of extended attributes that lies in block `index`. */
export function attributeBlockChecksum(seed: number, index: number, bytes: Uint8Array): number {
  let value = crc32cWord(crc32cWord(seed, index >>> 0), Math.floor(index / 0x1_0000_0000));
  value = crc32c(value, bytes, 0, 0x10);
  value = crc32c(value, ZEROS, 0, 4);
  return crc32c(value, bytes, 0x14, bytes.length);
}

/** Where the checksum of an extent block lies: behind the last entry that it could have (`struct ext4_extent_tail`). */
export function extentTail(view: DataView): number {
  return 12 + 12 * view.getUint16(4, true);
}

/**
 * Where limit and count of the hash tree's node in this directory block lie, or 0 when it is a leaf. A node looks
 * like one unused entry over the whole block, the root like `.` and a `..` that takes the rest.
 */
export function indexNode(view: DataView): number {
  const size = view.byteLength;
  const first = view.getUint16(4, true);
  if (view.getUint32(0, true) === 0 && isLength(first, size)) return 8;
  return first === 12 && isLength(view.getUint16(16, true), size - 12) ? 32 : 0;
}

/** Where the entries of this directory block end on a volume with `metadata_csum`. */
export function checksummedEntriesEnd(view: DataView): number {
  return indexNode(view) === 0 ? view.byteLength - DIRECTORY_TAIL : view.byteLength;
}

/** In blocks of 64 KiB, lengths from 65535 on are written as 65535 or 0; the others are multiples of 4. */
function isLength(stored: number, length: number): boolean {
  return stored === length || (length === 0x1_0000 && (stored === 0xffff || stored === 0));
}

/** Of the hash tree's node whose limit and count lie at `counts`; its tail lies at `tail`. */
export function indexChecksum(
  seed: number,
  bytes: Uint8Array,
  counts: number,
  count: number,
  tail: number,
): number {
  let value = crc32c(seed, bytes, 0, counts + 8 * count);
  value = crc32c(value, bytes, tail, tail + 4);
  return crc32c(value, ZEROS, 0, 4);
}

/** Does this superblock have the checksum that it should, if any? */
export function isSuperblockSealed(superblock: DataView): boolean {
  if ((readFeatures(superblock).readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) === 0)
    return true;
  const bytes = new Uint8Array(superblock.buffer, superblock.byteOffset, Superblock.$size);
  return Superblock.s_checksum.get(superblock, 0) === superblockChecksum(bytes);
}

/** CorruptImageError with advice when the superblock does not have its checksum. */
export function requireSuperblockChecksum(superblock: DataView): void {
  const words = readFeatures(superblock);
  if ((words.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) === 0) return;
  const found = Superblock.s_checksum.get(superblock, 0);
  const expected = superblockChecksum(
    new Uint8Array(superblock.buffer, superblock.byteOffset, Superblock.$size),
  );
  if (found === expected) {
    const type = Superblock.s_checksum_type.get(superblock, 0);
    if (type !== CHECKSUM_TYPE) {
      throw new UnsupportedError(
        `The file system cannot be read: metadata checksums of type ${type}, known is ${CHECKSUM_TYPE} (crc32c)`,
        ['metadata_csum'],
      );
    }
    return;
  }
  const copy =
    Superblock.s_first_data_block.get(superblock, 0) + Superblock.s_blocks_per_group.get(superblock, 0);
  throw new CorruptImageError({
    structure: Superblock.$name,
    field: 's_checksum',
    offset: SUPERBLOCK_OFFSET + Superblock.s_checksum.offset,
    found: hex(found, 8),
    expected: `${hex(expected, 8)} (the superblock is damaged; "e2fsck -b ${copy}" repairs it from its first copy)`,
  });
}
