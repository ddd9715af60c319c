import fs from 'node:fs';
import { crc32 } from '../bytes/crc32.ts';
import { bytes, struct, text, token64le, u32le, u64le, viewOf } from '../bytes/struct.ts';
import { CorruptImageError, FsError } from '../errors.ts';
import { requireUtf8Path } from './host-text.ts';
import { type OverlayShare, createOverlayShare } from './overlay-device.ts';

/**
 * An overlay that is kept: the changed blocks of a device at the offsets that they have on it, with holes in between; then a bitmap
 * of them; then, as the last 4096 bytes of the file, this header. Numbers are little-endian.
 */
const Header = struct('overlay header', 4096, {
  magic: text(0x0, 16),
  /** 1 */
  version: u32le(0x10),
  blockSize: u32le(0x14),
  /** Bytes of the device. */
  deviceSize: u64le(0x18),
  /** Byte of the image at which the device starts. */
  imageOffset: u64le(0x20),
  /** What the image must be for the blocks to fit on it. */
  imageSize: u64le(0x28),
  imageModified: token64le(0x30), // nanoseconds since 1970
  imageInode: token64le(0x38),
  bitmapOffset: u64le(0x40),
  bitmapSize: u64le(0x48),
  reserved: bytes(0x50, 0xfac), // zeros
  /** CRC-32 of what comes before. */
  checksum: u32le(0xffc),
});

const MAGIC = 'userloop overlay';
const VERSION = 1;
const BLOCK_SIZE = 4096;
/** A bit a block; for larger devices the blocks become larger. */
const LARGEST_BITMAP = 32 << 20;

/** The device that an overlay is put over. */
export interface OverlayBase {
  readonly fd: number;
  /** For messages. */
  readonly path: string;
  /** Bytes of the image at which the device starts, and of the device. */
  readonly offset: number;
  readonly size: number;
}

/** An overlay that goes with the process; `fd` is an empty file. */
export function createMemoryOverlay(fd: number, base: OverlayBase): OverlayShare {
  fs.ftruncateSync(fd, base.size);
  const blockSize = blockSizeFor(base.size);
  return createOverlayShare(
    { fd, path: 'memory' },
    blockSize,
    bitmapSizeFor(base.size, blockSize),
    undefined,
  );
}

/** The overlay in that file, made when the file is not there or is empty. CorruptImageError or EINVAL when it is not one of this image as it is now. */
export function openOverlayFile(path: string, base: OverlayBase): OverlayShare {
  requireUtf8Path(path);
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o666);
  try {
    const overlay = fs.fstatSync(fd, { bigint: true });
    const image = fs.fstatSync(base.fd, { bigint: true });
    if (!overlay.isFile()) throw new FsError('EINVAL', { path, detail: 'an overlay must be a regular file' });
    if (overlay.ino === image.ino && overlay.dev === image.dev)
      throw new FsError('EINVAL', { path, detail: 'the overlay is the image itself' });
    return overlay.size === 0n
      ? create(fd, path, base, image)
      : reopen(fd, path, base, image, Number(overlay.size));
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function create(fd: number, path: string, base: OverlayBase, image: fs.BigIntStats): OverlayShare {
  const blockSize = blockSizeFor(base.size);
  const bitmapOffset = Math.ceil(base.size / BLOCK_SIZE) * BLOCK_SIZE;
  const bitmapSize = bitmapSizeFor(base.size, blockSize);
  const header = new Uint8Array(Header.$size);
  const view = viewOf(header);
  Header.magic.set(view, 0, MAGIC);
  Header.version.set(view, 0, VERSION);
  Header.blockSize.set(view, 0, blockSize);
  Header.deviceSize.set(view, 0, base.size);
  Header.imageOffset.set(view, 0, base.offset);
  Header.imageSize.set(view, 0, Number(image.size));
  Header.imageModified.set(view, 0, image.mtimeNs);
  Header.imageInode.set(view, 0, image.ino);
  Header.bitmapOffset.set(view, 0, bitmapOffset);
  Header.bitmapSize.set(view, 0, bitmapSize);
  Header.checksum.set(view, 0, crc32(header.subarray(0, Header.checksum.offset)));
  fs.writeSync(fd, header, 0, header.length, bitmapOffset + bitmapSize);
  fs.fsyncSync(fd);
  return createOverlayShare({ fd, path }, blockSize, bitmapSize, bitmapOffset);
}

function reopen(
  fd: number,
  path: string,
  base: OverlayBase,
  image: fs.BigIntStats,
  fileSize: number,
): OverlayShare {
  const at = fileSize - Header.$size;
  const header = new Uint8Array(Header.$size);
  if (at < 0 || fs.readSync(fd, header, 0, header.length, at) !== header.length)
    refuse('magic', at, 'no header');
  const view = viewOf(header);
  if (Header.magic.get(view, 0) !== MAGIC) refuse('magic', at, `"${path}" is something else`);
  if (Header.checksum.get(view, 0) !== crc32(header.subarray(0, Header.checksum.offset)))
    refuse('checksum', at + Header.checksum.offset, 'another one than that of the header');
  const version = Header.version.get(view, 0);
  if (version !== VERSION) refuse('version', at + Header.version.offset, `${version}`);
  const blockSize = Header.blockSize.get(view, 0);
  const bitmapOffset = Header.bitmapOffset.get(view, 0);
  const bitmapSize = Header.bitmapSize.get(view, 0);
  const isBlockSize = blockSize >= BLOCK_SIZE && (blockSize & (blockSize - 1)) === 0;
  if (!isBlockSize || bitmapSize < bitmapSizeFor(Header.deviceSize.get(view, 0), blockSize))
    refuse('blockSize', at + Header.blockSize.offset, `${blockSize}`);
  if (bitmapOffset + bitmapSize !== at)
    refuse('bitmapOffset', at + Header.bitmapOffset.offset, `${bitmapOffset}`);
  checkBase(view, path, base, image);
  const share = createOverlayShare({ fd, path }, blockSize, bitmapSize, bitmapOffset);
  const bitmap = new Uint8Array(share.bitmap);
  const copy = new Uint8Array(Math.min(bitmapSize, 1 << 20));
  for (let done = 0; done < bitmapSize;) {
    const count = fs.readSync(fd, copy, 0, Math.min(copy.length, bitmapSize - done), bitmapOffset + done);
    bitmap.set(copy.subarray(0, count), done);
    done += count;
  }
  return share;
}

/** Blocks on an image that has changed below them would make a mixture of both. */
function checkBase(view: DataView, path: string, base: OverlayBase, image: fs.BigIntStats): void {
  const facts: readonly (readonly [string, number | bigint | string, number | bigint | string])[] = [
    ['size of the image', Header.imageSize.get(view, 0), Number(image.size)],
    ['inode of the image', Header.imageInode.get(view, 0), image.ino],
    ['time of its last change', timeText(Header.imageModified.get(view, 0)), timeText(image.mtimeNs)],
    ['offset', Header.imageOffset.get(view, 0), base.offset],
    ['size of the device', Header.deviceSize.get(view, 0), base.size],
  ];
  for (const [what, kept, found] of facts) {
    if (kept === found) continue;
    throw new FsError('EINVAL', {
      path,
      detail: `the overlay is for another state of "${base.path}": ${what} was ${kept}, is ${found}; remove the overlay, or name another one`,
    });
  }
}

/** `2026-11-22T16:34:53.123456789Z` */
function timeText(nanoseconds: bigint): string {
  const text = new Date(Number(nanoseconds / 1_000_000n)).toISOString();
  return text.replace('Z', `${String(nanoseconds % 1_000_000n).padStart(6, '0')}Z`);
}

function refuse(field: string, offset: number, found: string): never {
  throw new CorruptImageError({
    structure: Header.$name,
    field,
    offset: Math.max(0, offset),
    found,
    expected: 'that of an overlay made by userloop',
  });
}

function blockSizeFor(size: number): number {
  let blockSize = BLOCK_SIZE;
  while (size / blockSize / 8 > LARGEST_BITMAP) blockSize *= 2;
  return blockSize;
}

/** Whole blocks of the file, and at least one. */
function bitmapSizeFor(size: number, blockSize: number): number {
  return Math.max(1, Math.ceil(size / blockSize / 8 / BLOCK_SIZE)) * BLOCK_SIZE;
}
