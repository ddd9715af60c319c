import fs from 'node:fs';
import os from 'node:os';
import { FsError, UnsupportedError, hasCode } from '../errors.ts';
import { blockDeviceSize } from '../host/file-device.ts';
import { requireUtf8Path } from '../host/host-text.ts';
import type { AttachRequest } from './device-state.ts';

/** What a device is made of: a file that is open, and which part of it. */
export interface DeviceImage {
  readonly fd: number;
  /** For messages; '' for memory. */
  readonly path: string;
  /** Nothing may be written to it: asked for, or it cannot be. */
  readonly readOnly: boolean;
  /** st_dev and st_ino; '' for memory. */
  readonly device: string;
  readonly inode: string;
  /** Bytes of the device that it makes now; asked anew after the file has grown. */
  readonly measure: () => number;
}

/** The kernel counts the size of a device in these, whatever its logical sectors are. */
const SIZE_UNIT = 512;

/** Opens, or makes, what the request asks for. Errors are the system's. */
export function openDeviceImage(request: AttachRequest): DeviceImage {
  return request.source === 'vnode' ? openFile(request) : makeMemory(request);
}

function openFile(request: AttachRequest): DeviceImage {
  const { image: path, offset, sizeLimit } = request;
  if (/^nbds?(\+\w+)?:\/\//.test(path)) {
    throw new UnsupportedError(
      `"${path}" is a device already, which userloop's commands open by that name; only files can be attached`,
    );
  }
  requireUtf8Path(path);
  // To open a pipe would wait for its other end.
  const kind = fs.statSync(path);
  if (kind.isDirectory()) throw new FsError('EISDIR', { syscall: 'open', path });
  if (!kind.isFile() && !kind.isBlockDevice()) {
    throw new FsError('EINVAL', {
      syscall: 'open',
      path,
      detail: 'neither a regular file nor a block device',
    });
  }
  const { fd, readOnly } = openForWriting(path, request.readOnly || request.overlay !== undefined);
  const stats = fs.fstatSync(fd, { bigint: true });
  return {
    fd,
    path,
    readOnly,
    device: String(stats.dev),
    inode: String(stats.ino),
    measure() {
      const whole = stats.isFile() ? fs.fstatSync(fd).size : blockDeviceSize(fd);
      const rest = Math.max(0, whole - offset);
      return roundDown(sizeLimit > 0 ? Math.min(sizeLimit, rest) : rest);
    },
  };
}

/** What cannot be written can be read all the same, as with the kernel's loop devices. */
function openForWriting(path: string, readOnly: boolean): { fd: number; readOnly: boolean } {
  if (!readOnly) {
    try {
      return { fd: fs.openSync(path, 'r+'), readOnly: false };
    } catch (error) {
      if (!['EACCES', 'EPERM', 'EROFS', 'ETXTBSY'].some((code) => hasCode(error, code))) throw error;
    }
  }
  return { fd: fs.openSync(path, 'r'), readOnly: true };
}

function makeMemory(request: AttachRequest): DeviceImage {
  let size = roundDown(request.sizeLimit);
  if (size <= 0)
    throw new FsError('EINVAL', { detail: `a device of ${request.sizeLimit} bytes can hold nothing` });
  // Reads as zeros and forgets what is written, wherever it is.
  const isNull = request.source === 'null';
  const fd = isNull ? fs.openSync('/dev/zero', 'r+') : openUnnamedFile(request.source === 'malloc');
  if (!isNull) fs.ftruncateSync(fd, size);
  return {
    fd,
    path: '',
    readOnly: request.readOnly,
    device: '',
    inode: '',
    measure() {
      if (!isNull) size = roundDown(fs.fstatSync(fd).size);
      return size;
    },
  };
}

/** A file that nobody else can find and that goes with the process; in memory, if that is asked for and there is room for such. */
export function openUnnamedFile(inMemory: boolean): number {
  const folders = inMemory ? ['/dev/shm', os.tmpdir()] : [os.tmpdir(), '/dev/shm'];
  const name = `.userloop-${process.pid}-${process.hrtime.bigint().toString(36)}`;
  for (const folder of folders) {
    try {
      const fd = fs.openSync(`${folder}/${name}`, 'wx+', 0o600);
      fs.unlinkSync(`${folder}/${name}`);
      return fd;
    } catch (error) {
      if (folder === folders.at(-1)) throw error;
    }
  }
  throw new FsError('ENOENT');
}

function roundDown(size: number): number {
  return size - (size % SIZE_UNIT);
}
