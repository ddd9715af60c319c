import fs from 'node:fs';
import { UnsupportedError } from '../errors.ts';
import { nativeError } from './native-error.ts';
import { loadLibC } from './native-file.ts';

/** _IOW('f', 16, __u64). */
const EXT4_IOC_RESIZE_FS = 0x40086610;

/**
 * Has whoever serves the mounted ext volume make it larger while it is in use, to so many of its blocks: the kernel's driver or ours. Throws errors with the code of
 * the errno, UnsupportedError where libc cannot be called.
 */
export function growMountedVolume(directory: string, blockCount: number): void {
  const libc = loadLibC();
  if (libc === undefined)
    throw new UnsupportedError('A mounted file system can be resized only with the optional package koffi');
  const ioctl = libc.func('ioctl', 'int', ['int', 'ulong', 'void *']);
  const fd = fs.openSync(directory, 'r');
  try {
    const argument = new BigUint64Array([BigInt(blockCount)]);
    if (Number(ioctl(fd, EXT4_IOC_RESIZE_FS, argument)) < 0)
      throw nativeError('EXT4_IOC_RESIZE_FS', { path: directory });
  } finally {
    fs.closeSync(fd);
  }
}
