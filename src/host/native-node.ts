import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import type { DeviceNumber, NodeKind } from '../filesystem/file-system.ts';
import type { Timestamp } from '../bytes/time.ts';
import { encodeUtf8Into, utf8Length } from '../bytes/utf8.ts';
import { ERRNO } from '../errors.ts';
import { isWellFormed } from './host-text.ts';
import { loadLibC } from './native-file.ts';

/**
 * What node's own fs module lacks of inodes: extended attributes, device nodes, times to the nanosecond. Through koffi,
 * which is optional and loaded on first use; callers take the portable way, or say what is lost, where it is not there.
 */
export interface NativeNodeOperations {
  /** Names of the extended attributes of the file itself, not of what a symlink leads to. Mostly a shared empty array. */
  listXattrs(path: string): readonly string[];
  getXattr(path: string, name: string): Uint8Array | undefined;
  /** Each of these returns an errno number, 0 when it worked. */
  readonly statx: ((path: string, follow: boolean, into: Uint8Array) => number) | undefined;
  setXattr(path: string, name: string, value: Uint8Array): number;
  makeNode(path: string, kind: NodeKind, mode: number, device: DeviceNumber): number;
  setTimes(path: string, atime: Timestamp, mtime: Timestamp): number;
  setOpenTimes(fd: number, atime: Timestamp, mtime: Timestamp): number;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const STATX_BASIC_STATS = 0x7ff;
const XATTR_LIST_MAX = 65536;
const NO_NAMES: readonly string[] = [];

/** File type bits of st_mode (POSIX sys/stat.h, as Linux numbers them). */
const TYPE_BITS: Readonly<Record<NodeKind, number>> = {
  fifo: 0o010000,
  'character-device': 0o020000,
  directory: 0o040000,
  'block-device': 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};

let operations: NativeNodeOperations | null | undefined;

export function nativeNodeOperations(): NativeNodeOperations | undefined {
  if (operations === undefined) operations = bind() ?? null;
  return operations ?? undefined;
}

function bind(): NativeNodeOperations | undefined {
  const libc = loadLibC();
  if (libc === undefined) return undefined;
  const list = libc.func('llistxattr', 'intptr_t', ['str', 'void *', 'size_t']);
  const get = libc.func('lgetxattr', 'intptr_t', ['void *', 'void *', 'void *', 'size_t']);
  const set = libc.func('lsetxattr', 'int', ['void *', 'void *', 'void *', 'size_t', 'int']);
  const utimensat = libc.func('utimensat', 'int', ['int', 'void *', 'void *', 'int']);
  const futimens = libc.func('futimens', 'int', ['int', 'void *']);
  const listBytes = libc.func('llistxattr', 'intptr_t', ['void *', 'void *', 'size_t']);
  const { errno } = createRequire(import.meta.url)('koffi') as typeof Koffi;
  let mknod: typeof list | undefined;
  try {
    mknod = libc.func('mknod', 'int', ['void *', 'uint', 'uint64_t']);
  } catch {
    // glibc before 2.33 has it under another name only: devices are then told to be impossible.
  }
  let statx: typeof list | undefined;
  let statxBytes: typeof list | undefined;
  try {
    const parameters = ['int', 'uint', 'void *'];
    statx = libc.func('statx', 'int', ['int', 'str', ...parameters]);
    statxBytes = libc.func('statx', 'int', ['int', 'void *', ...parameters]);
  } catch {
    // glibc before 2.28: node's own call is there for that.
  }
  const names = Buffer.alloc(XATTR_LIST_MAX);
  const times = Buffer.alloc(32);

  function result(status: unknown): number {
    return status === 0 ? 0 : errno();
  }
  return {
    statx:
      statx === undefined
        ? undefined
        : (path, follow, into) => {
            const flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
            return result(
              isWellFormed(path)
                ? statx(AT_FDCWD, path, flags, STATX_BASIC_STATS, into)
                : statxBytes!(AT_FDCWD, cString(path), flags, STATX_BASIC_STATS, into),
            );
          },
    listXattrs(path) {
      // Nearly every file has none, and a call without a buffer is the cheapest way to be told.
      const plain = isWellFormed(path);
      if (plain && Number(list(path, null, 0)) <= 0) return NO_NAMES;
      const length = Number(
        plain ? list(path, names, names.length) : listBytes(cString(path), names, names.length),
      );
      if (length <= 0) return NO_NAMES;
      return names
        .toString('utf8', 0, length - 1)
        .split('\0')
        .sort();
    },
    getXattr(path, name) {
      const [pathBytes, nameBytes] = [cString(path), cString(name)];
      const length = Number(get(pathBytes, nameBytes, null, 0));
      if (length < 0) return undefined;
      const value = Buffer.alloc(Math.max(length, 1));
      const read = Number(get(pathBytes, nameBytes, value, length));
      return read < 0 ? undefined : new Uint8Array(value.subarray(0, Math.min(read, length)));
    },
    setXattr: (path, name, value) =>
      result(
        set(cString(path), cString(name), value.length === 0 ? null : Buffer.from(value), value.length, 0),
      ),
    makeNode(path, kind, mode, { major, minor }) {
      if (mknod === undefined) return ERRNO.ENOSYS[0];
      return result(mknod(cString(path), TYPE_BITS[kind] | mode, deviceNumber(major, minor)));
    },
    setTimes(path, atime, mtime) {
      putTimes(times, atime, mtime);
      return result(utimensat(AT_FDCWD, cString(path), times, AT_SYMLINK_NOFOLLOW));
    },
    setOpenTimes(fd, atime, mtime) {
      putTimes(times, atime, mtime);
      return result(futimens(fd, times));
    },
  };
}

/** As glibc's makedev() packs it into 64 bits. */
function deviceNumber(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn);
}

/** Two struct timespec of 64 bits each half, which is what every 64-bit Linux has. */
function putTimes(into: Buffer, atime: Timestamp, mtime: Timestamp): void {
  into.writeBigInt64LE(BigInt(atime.seconds), 0);
  into.writeBigInt64LE(BigInt(atime.nanoseconds), 8);
  into.writeBigInt64LE(BigInt(mtime.seconds), 16);
  into.writeBigInt64LE(BigInt(mtime.nanoseconds), 24);
}

function cString(text: string): Buffer {
  const bytes = Buffer.alloc(utf8Length(text) + 1);
  encodeUtf8Into(text, bytes);
  return bytes;
}
