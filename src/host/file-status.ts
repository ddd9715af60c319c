import fs from 'node:fs';
import { i32le, struct, u16le, u32le, u64le } from '../bytes/struct.ts';
import { type Timestamp, timestampFromNanoseconds } from '../bytes/time.ts';
import { FsError, errnoCode } from '../errors.ts';
import type { DeviceNumber, NodeKind } from '../filesystem/file-system.ts';
import { hostText } from './host-text.ts';
import { nativeNodeOperations } from './native-node.ts';

/** What the host knows of a file; as stat(2) has it. */
export interface FileStatus {
  readonly kind: NodeKind;
  /** Of the file system that it lies in. */
  readonly device: number;
  /** Bytes. */
  readonly size: number;
  readonly allocated: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly linkCount: number;
  readonly inode: number;
  /** Of a character or block device. */
  readonly deviceNumber: DeviceNumber | undefined;
  readonly atime: Timestamp;
  readonly mtime: Timestamp;
}

/** `struct statx`, Linux include/uapi/linux/stat.h. */
const Statx = struct('statx', 256, {
  stx_nlink: u32le(0x10),
  stx_uid: u32le(0x14),
  stx_gid: u32le(0x18),
  stx_mode: u16le(0x1c),
  stx_ino: u64le(0x20),
  stx_size: u64le(0x28),
  stx_blocks: u64le(0x30), // of 512 bytes
  stx_atime_sec_lo: u32le(0x40),
  stx_atime_sec_hi: i32le(0x44),
  stx_atime_nsec: u32le(0x48),
  stx_mtime_sec_lo: u32le(0x70),
  stx_mtime_sec_hi: i32le(0x74),
  stx_mtime_nsec: u32le(0x78),
  stx_rdev_major: u32le(0x80),
  stx_rdev_minor: u32le(0x84),
  stx_dev_major: u32le(0x88),
  stx_dev_minor: u32le(0x8c),
});

const buffer = new Uint8Array(Statx.$size);
const view = new DataView(buffer.buffer);
const TWO_32 = 0x1_0000_0000;

/**
 * The status of a file; throws ENOENT and the like. Through statx(2) itself where koffi is there: that takes half as long as
 * node's lstat with nanoseconds, which are 18 BigInts, and a tree of files is mostly this.
 */
export function fileStatus(path: string, options: { readonly follow?: boolean } = {}): FileStatus {
  const follow = options.follow ?? false;
  const errno = nativeNodeOperations()?.statx?.(path, follow, buffer);
  if (errno === undefined) return statusFromNode(path, follow);
  if (errno !== 0) {
    const code = errnoCode(errno);
    if (code === undefined) return statusFromNode(path, follow);
    throw new FsError(code, { syscall: follow ? 'stat' : 'lstat', path });
  }
  const mode = Statx.stx_mode.get(view, 0);
  const kind = kindOf(mode);
  return {
    kind,
    device: deviceKey(Statx.stx_dev_major.get(view, 0), Statx.stx_dev_minor.get(view, 0)),
    size: Statx.stx_size.get(view, 0),
    allocated: Statx.stx_blocks.get(view, 0) * 512,
    mode: mode & 0o7777,
    uid: Statx.stx_uid.get(view, 0),
    gid: Statx.stx_gid.get(view, 0),
    linkCount: Statx.stx_nlink.get(view, 0),
    inode: Statx.stx_ino.get(view, 0),
    deviceNumber:
      kind === 'character-device' || kind === 'block-device'
        ? { major: Statx.stx_rdev_major.get(view, 0), minor: Statx.stx_rdev_minor.get(view, 0) }
        : undefined,
    atime: {
      seconds: Statx.stx_atime_sec_hi.get(view, 0) * TWO_32 + Statx.stx_atime_sec_lo.get(view, 0),
      nanoseconds: Statx.stx_atime_nsec.get(view, 0),
    },
    mtime: {
      seconds: Statx.stx_mtime_sec_hi.get(view, 0) * TWO_32 + Statx.stx_mtime_sec_lo.get(view, 0),
      nanoseconds: Statx.stx_mtime_nsec.get(view, 0),
    },
  };
}

function statusFromNode(path: string, follow: boolean): FileStatus {
  const text = hostText(path);
  const stats = follow ? fs.statSync(text, { bigint: true }) : fs.lstatSync(text, { bigint: true });
  const kind = kindOf(Number(stats.mode));
  const { major, minor } = splitDevice(stats.dev);
  return {
    kind,
    device: deviceKey(major, minor),
    size: Number(stats.size),
    allocated: Number(stats.blocks) * 512,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    linkCount: Number(stats.nlink),
    inode: Number(stats.ino),
    deviceNumber:
      kind === 'character-device' || kind === 'block-device' ? splitDevice(stats.rdev) : undefined,
    atime: timestampFromNanoseconds(stats.atimeNs),
    mtime: timestampFromNanoseconds(stats.mtimeNs),
  };
}

function kindOf(mode: number): NodeKind {
  switch (mode & 0o170000) {
    case 0o040000:
      return 'directory';
    case 0o120000:
      return 'symlink';
    case 0o020000:
      return 'character-device';
    case 0o060000:
      return 'block-device';
    case 0o010000:
      return 'fifo';
    case 0o140000:
      return 'socket';
    default:
      return 'file';
  }
}

/** One number for both; Linux has 20 bits of minor number. */
function deviceKey(major: number, minor: number): number {
  return major * 0x10_0000 + minor;
}

/** glibc's major() and minor(). */
function splitDevice(device: bigint): DeviceNumber {
  return {
    major: Number(((device >> 32n) & 0xfffff000n) | ((device >> 8n) & 0xfffn)),
    minor: Number(((device >> 12n) & 0xffffff00n) | (device & 0xffn)),
  };
}
