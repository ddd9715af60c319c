import { crc32c } from '../bytes/crc32c.ts';
import { bytes, struct, text, token64le, u32le, u64le, viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import type { StagedRange } from '../device/staging-device.ts';
import { CorruptImageError } from '../errors.ts';

/**
 * What a repair has overwritten, as e2fsck and tune2fs keep it with `-z`: e2undo(8) puts it back, too. The format has no other document than
 * e2fsprogs' undo_io; docs/formats/undo.md has what was found by looking at such files.
 */
const UndoHeader = struct('undo header', 512, {
  magic: text(0x000, 8), // "E2UNDO02"
  num_keys: u64le(0x008),
  super_offset: u64le(0x010), // in blocks of block_size: a copy of the superblock, with its magic complemented
  key_offset: u64le(0x018), // in blocks of block_size: the first block of keys
  block_size: u32le(0x020),
  fs_block_size: u32le(0x024),
  sb_crc: u32le(0x028), // of the superblock as the repair has left it
  state: u32le(0x02c), // bit 0: the file is whole
  f_compat: u32le(0x030),
  f_incompat: u32le(0x034),
  f_rocompat: u32le(0x038),
  padding: bytes(0x040, 444),
  header_crc: u32le(0x1fc),
});

/** A block of keys; the content that the keys are about follows, in their order, each from the start of a block on. */
const KeyBlock = struct('undo key block', 16, {
  magic: u32le(0x00), // 0xcadecade
  crc: u32le(0x04), // of the block with this field 0
  reserved: token64le(0x08),
});

const UndoKey = struct('undo key', 16, {
  fsblk: u64le(0x00), // in blocks of fs_block_size
  blk_crc: u32le(0x08),
  size: u32le(0x0c), // bytes
});

const MAGIC = 'E2UNDO02';
const KEY_MAGIC = 0xcadecade;
const FINISHED = 1;
const BLOCK_SIZE = 1024;
const KEYS_A_BLOCK = (BLOCK_SIZE - KeyBlock.$size) / UndoKey.$size;
/** Bytes of one key's content; e2undo takes up to 512 blocks. */
const MAX_PIECE = 256 * BLOCK_SIZE;
const SUPERBLOCK_OFFSET = 1024;
const SUPERBLOCK_SIZE = 1024;
/** s_magic of ext: complemented in the copy, so that the file is not taken for a file system. */
const MAGIC_FIELD = 0x38;

/**
 * Tells `append` the bytes of an undo file for `ranges` of `before`, in order. `after` is the device as it will be. Blocks of 1 KiB are kept
 * whole; at the end of the device less.
 */
export function writeUndo(
  before: BlockDevice,
  after: BlockDevice,
  ranges: readonly StagedRange[],
  append: (content: Uint8Array) => void,
): void {
  const pieces = piecesOf(ranges, before.size);
  const header = new Uint8Array(BLOCK_SIZE);
  const view = viewOf(header);
  const superblock = superblockOf(after);
  UndoHeader.magic.set(view, 0, MAGIC);
  UndoHeader.num_keys.set(view, 0, pieces.length);
  UndoHeader.super_offset.set(view, 0, 1);
  UndoHeader.key_offset.set(view, 0, 2);
  UndoHeader.block_size.set(view, 0, BLOCK_SIZE);
  UndoHeader.fs_block_size.set(view, 0, BLOCK_SIZE);
  UndoHeader.sb_crc.set(view, 0, crc32c(0xffff_ffff, superblock));
  UndoHeader.state.set(view, 0, FINISHED);
  UndoHeader.header_crc.set(view, 0, crc32c(0xffff_ffff, header, 0, UndoHeader.header_crc.offset));
  append(header);
  for (let at = MAGIC_FIELD; at < MAGIC_FIELD + 2; at++) superblock[at]! ^= 0xff;
  append(superblock);
  for (let first = 0; first < pieces.length; first += KEYS_A_BLOCK) {
    appendPieces(before, pieces.slice(first, first + KEYS_A_BLOCK), append);
  }
}

function appendPieces(
  before: BlockDevice,
  pieces: readonly StagedRange[],
  append: (content: Uint8Array) => void,
): void {
  const keys = new Uint8Array(BLOCK_SIZE);
  const view = viewOf(keys);
  KeyBlock.magic.set(view, 0, KEY_MAGIC);
  for (const [index, { offset, length }] of pieces.entries()) {
    const key = KeyBlock.$size + index * UndoKey.$size;
    UndoKey.fsblk.set(view, key, offset / BLOCK_SIZE);
    UndoKey.blk_crc.set(view, key, crc32c(0xffff_ffff, readBytes(before, offset, length)));
    UndoKey.size.set(view, key, length);
  }
  KeyBlock.crc.set(view, 0, crc32c(0xffff_ffff, keys));
  append(keys);
  for (const { offset, length } of pieces) {
    const content = new Uint8Array(Math.ceil(length / BLOCK_SIZE) * BLOCK_SIZE);
    before.read(offset, content.subarray(0, length));
    append(content);
  }
}

/** The ranges in whole blocks, none overlapping, none longer than a key may be. */
function piecesOf(ranges: readonly StagedRange[], deviceSize: number): StagedRange[] {
  const pieces: { offset: number; length: number }[] = [];
  for (const { offset, length } of ranges) {
    const last = pieces.at(-1);
    let start = Math.max(
      Math.floor(offset / BLOCK_SIZE) * BLOCK_SIZE,
      last === undefined ? 0 : last.offset + last.length,
    );
    const end = Math.min(Math.ceil((offset + length) / BLOCK_SIZE) * BLOCK_SIZE, deviceSize);
    while (start < end) {
      const piece = Math.min(MAX_PIECE, end - start);
      pieces.push({ offset: start, length: piece });
      start += piece;
    }
  }
  return pieces;
}

/**
 * Puts back onto `target` what the undo file `source` keeps. Everything is verified before the first write. Throws CorruptImageError when the
 * file is damaged, or was made for something else than what is on `target` now.
 */
export function applyUndo(source: BlockDevice, target: BlockDevice): number {
  const header = readBytes(source, 0, UndoHeader.$size);
  const view = viewOf(header);
  expect(UndoHeader.magic.get(view, 0) === MAGIC, 'magic', 0, UndoHeader.magic.get(view, 0), MAGIC);
  const crc = crc32c(0xffff_ffff, header, 0, UndoHeader.header_crc.offset);
  expect(
    UndoHeader.header_crc.get(view, 0) === crc,
    'header_crc',
    0x1fc,
    UndoHeader.header_crc.get(view, 0),
    crc,
  );
  const blockSize = UndoHeader.block_size.get(view, 0);
  const targetBlockSize = UndoHeader.fs_block_size.get(view, 0);
  expect(blockSize >= 1024 && blockSize <= 1 << 20, 'block_size', 0x20, blockSize, 'from 1024 to 1048576');
  expect(
    targetBlockSize >= 512 && targetBlockSize <= 1 << 20,
    'fs_block_size',
    0x24,
    targetBlockSize,
    'from 512',
  );
  expect((UndoHeader.state.get(view, 0) & FINISHED) !== 0, 'state', 0x2c, 'unfinished', 'finished');
  const found = crc32c(0xffff_ffff, superblockOf(target));
  const wanted = UndoHeader.sb_crc.get(view, 0);
  if (found !== wanted) {
    throw new CorruptImageError({
      structure: 'undo header',
      field: 'sb_crc',
      offset: 0x28,
      found: `a device whose bytes 1024 to 2047 have the checksum 0x${found.toString(16)}`,
      expected: `0x${wanted.toString(16)}: the device has been changed since the repair, or is another`,
    });
  }
  const keys = readKeys(source, view, blockSize);
  for (const { content, size, crc: wantedCrc, target: offset } of keys) {
    const actual = crc32c(0xffff_ffff, readBytes(source, content, size));
    expect(actual === wantedCrc, 'blk_crc', content, actual, wantedCrc);
    expect(offset + size <= target.size, 'fsblk', content, offset + size, `at most ${target.size}`);
  }
  let total = 0;
  for (const { content, size, target: offset } of keys) {
    target.write(offset, readBytes(source, content, size));
    total += size;
  }
  target.flush();
  return total;
}

interface ReadKey {
  /** Byte offset in the undo file. */
  readonly content: number;
  /** Byte offset on the device. */
  readonly target: number;
  readonly size: number;
  readonly crc: number;
}

function readKeys(source: BlockDevice, header: DataView, blockSize: number): ReadKey[] {
  const targetBlockSize = UndoHeader.fs_block_size.get(header, 0);
  const count = UndoHeader.num_keys.get(header, 0);
  const keys: ReadKey[] = [];
  let at = UndoHeader.key_offset.get(header, 0) * blockSize;
  while (keys.length < count) {
    expect(at + blockSize <= source.size, 'num_keys', 0x08, count, `${keys.length}, which the file has`);
    const block = readBytes(source, at, blockSize);
    const view = viewOf(block);
    expect(KeyBlock.magic.get(view, 0) === KEY_MAGIC, 'magic', at, KeyBlock.magic.get(view, 0), KEY_MAGIC);
    const wanted = KeyBlock.crc.get(view, 0);
    KeyBlock.crc.set(view, 0, 0);
    const crc = crc32c(0xffff_ffff, block);
    expect(crc === wanted, 'crc', at + 4, wanted, crc);
    let content = at + blockSize;
    for (
      let key = KeyBlock.$size;
      key + UndoKey.$size <= blockSize && keys.length < count;
      key += UndoKey.$size
    ) {
      const size = UndoKey.size.get(view, key);
      expect(content + size <= source.size, 'size', at + key + 0x0c, size, 'content that the file has');
      const target = UndoKey.fsblk.get(view, key) * targetBlockSize;
      keys.push({ content, target, size, crc: UndoKey.blk_crc.get(view, key) });
      content += Math.ceil(size / blockSize) * blockSize;
    }
    at = content;
  }
  return keys;
}

function superblockOf(device: BlockDevice): Uint8Array {
  const superblock = new Uint8Array(SUPERBLOCK_SIZE);
  const length = Math.max(0, Math.min(SUPERBLOCK_SIZE, device.size - SUPERBLOCK_OFFSET));
  if (length > 0) device.read(SUPERBLOCK_OFFSET, superblock.subarray(0, length));
  return superblock;
}

function expect(
  holds: boolean,
  field: string,
  offset: number,
  found: number | string,
  expected: number | string,
): void {
  if (!holds) {
    throw new CorruptImageError({
      structure: 'undo file',
      field,
      offset,
      found: `${found}`,
      expected: `${expected}`,
    });
  }
}
