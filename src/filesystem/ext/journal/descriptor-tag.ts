import { crc32c } from '../../../bytes/crc32c.ts';
import { type LogFormat } from './journal-superblock.ts';

/** `t_flags` of a tag. */
export const TagFlag = {
  /** The block began with the journal's magic, which was replaced by zeros. */
  escape: 0x1,
  /** No UUID follows. */
  sameUuid: 0x2,
  deleted: 0x4,
  lastTag: 0x8,
} as const;

const UUID_SIZE = 16;
const HEADER_SIZE = 12;
const TAIL_SIZE = 4;

/** What a descriptor block says of one of the copies behind it. Callers own it and pass it in again. */
export interface Tag {
  /** Where the copy belongs, in blocks of the volume. */
  block: number;
  flags: number;
  /** 16 bits with version 2. */
  checksum: number;
}

/**
 * Bytes of a tag without its UUID. `journal_block_tag3_t` with checksums of version 3; else `journal_block_tag_t`, whose
 * upper half of the block number is there with 64bit only. Version 2 counts two more bytes than it uses.
 */
export function tagSize(format: LogFormat): number {
  if (format.checksumVersion === 3) return 16;
  return (format.has64bit ? 12 : 8) + (format.checksumVersion === 2 ? 2 : 0);
}

/** Bytes at the end of descriptor and revoke blocks that are not theirs: `struct jbd2_journal_block_tail`. */
export function tailSize(format: LogFormat): number {
  return format.checksumVersion === 0 ? 0 : TAIL_SIZE;
}

/** Most tags that fit in a descriptor block. */
export function tagsPerBlock(format: LogFormat): number {
  return Math.floor((format.blockSize - HEADER_SIZE - UUID_SIZE - tailSize(format)) / tagSize(format));
}

/** Calls `visit` with each tag of a descriptor block; returns how many there are. */
export function readTags(view: DataView, format: LogFormat, tag: Tag, visit: (tag: Tag) => void): number {
  const size = tagSize(format);
  const end = format.blockSize - tailSize(format);
  let count = 0;
  for (let at = HEADER_SIZE; at + size <= end;) {
    tag.block = view.getUint32(at);
    if (format.checksumVersion === 3) {
      tag.flags = view.getUint32(at + 4);
      tag.checksum = view.getUint32(at + 12);
    } else {
      tag.checksum = view.getUint16(at + 4);
      tag.flags = view.getUint16(at + 6);
    }
    if (format.has64bit) tag.block += view.getUint32(at + 8) * 0x1_0000_0000;
    visit(tag);
    count++;
    at += size;
    if ((tag.flags & TagFlag.sameUuid) === 0) at += UUID_SIZE;
    if ((tag.flags & TagFlag.lastTag) !== 0) break;
  }
  return count;
}

/** Writes a tag at byte `at` and returns where the next one goes; a tag without `sameUuid` is followed by `uuid`. */
export function writeTag(
  view: DataView,
  at: number,
  format: LogFormat,
  tag: Readonly<Tag>,
  uuid: Uint8Array,
): number {
  view.setUint32(at, tag.block);
  if (format.checksumVersion === 3) {
    view.setUint32(at + 4, tag.flags);
    view.setUint32(at + 12, tag.checksum);
  } else {
    view.setUint16(at + 4, format.checksumVersion === 2 ? tag.checksum : 0);
    view.setUint16(at + 6, tag.flags);
  }
  if (format.has64bit) view.setUint32(at + 8, Math.floor(tag.block / 0x1_0000_0000));
  let next = at + tagSize(format);
  if ((tag.flags & TagFlag.sameUuid) === 0) {
    new Uint8Array(view.buffer, view.byteOffset + next, UUID_SIZE).set(uuid);
    next += UUID_SIZE;
  }
  return next;
}

const SEQUENCE = new Uint8Array(4);

/** The checksum that the tag of a copy has: over the transaction's number and the copy as it lies in the log. */
export function copyChecksum(format: LogFormat, sequence: number, copy: Uint8Array): number {
  new DataView(SEQUENCE.buffer).setUint32(0, sequence);
  const sum = crc32c(crc32c(format.seed, SEQUENCE), copy);
  return format.checksumVersion === 3 ? sum : sum & 0xffff;
}

/** The checksum of a whole block of the log in which the four bytes at `hole` count as zeros. */
export function blockChecksum(format: LogFormat, block: Uint8Array, hole: number): number {
  const before = crc32c(format.seed, block, 0, hole);
  return crc32c(crc32c(before, ZEROS), block, hole + 4);
}

const ZEROS = new Uint8Array(4);
