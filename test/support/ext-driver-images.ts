import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { type BlockDevice, extentsOf } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { type FormatExtOptions } from '../../src/filesystem/ext/format/parameters.ts';
import { formatExt } from '../../src/filesystem/ext/format/format.ts';
import { runTool } from './tools.ts';

/** A time in 2023 that moves on by a second with every look at it. */
export function steppingClock(): () => { seconds: number; nanoseconds: number } {
  let seconds = 1_700_000_000;
  return () => ({ seconds: seconds++, nanoseconds: 123_456_789 });
}

export type ImageOptions = Omit<FormatExtOptions, 'uuid' | 'hashSeed' | 'now'>;

/** A fresh ext2 volume in memory. */
export function makeExt2(size: number, options: ImageOptions = {}): MemoryDevice {
  const device = new MemoryDevice(size);
  formatExt(device, {
    uuid: new Uint8Array(16).map((_, i) => i + 1),
    hashSeed: new Uint8Array(16).map((_, i) => 0xf0 - i),
    now: { seconds: 1_600_000_000, nanoseconds: 0 },
    ...options,
  });
  return device;
}

/** A fresh volume by mke2fs, in memory. */
export function makeByTool(folder: string, size: number, args: readonly string[]): MemoryDevice {
  const file = path.join(folder, 'made-by-mke2fs.img');
  fs.rmSync(file, { force: true });
  const made = runTool('mke2fs', ['-q', '-F', ...args, file, `${size / 1024}k`]);
  if (made.status !== 0) throw new Error(`mke2fs ${args.join(' ')}: ${made.stderr}`);
  return loadImage(file);
}

/** Writes what a device holds to a sparse file, for tools that need one. */
export function saveImage(device: BlockDevice, path: string): void {
  const fd = fs.openSync(path, 'w');
  try {
    fs.ftruncateSync(fd, device.size);
    for (const extent of extentsOf(device, 0, device.size)) {
      if (extent.kind !== 'data') continue;
      const bytes = new Uint8Array(extent.length);
      device.read(extent.offset, bytes);
      fs.writeSync(fd, bytes, 0, bytes.length, extent.offset);
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** The whole of an image file, in memory. */
export function loadImage(path: string): MemoryDevice {
  const file = FileDevice.open(path, { readOnly: true });
  try {
    const device = new MemoryDevice(file.size);
    for (const extent of file.extents(0, file.size)) {
      if (extent.kind !== 'data') continue;
      const bytes = new Uint8Array(extent.length);
      file.read(extent.offset, bytes);
      device.write(extent.offset, bytes);
    }
    return device;
  } finally {
    file.close();
  }
}

/** Saves the device to the file: e2fsck must find nothing there. `what`: told with a failure. */
export function expectClean(device: BlockDevice, file: string, what: string): void {
  saveImage(device, file);
  const { status, stdout, stderr } = runTool('e2fsck', ['-fn', file]);
  expect(stdout + stderr, `e2fsck of ${what}`).not.toMatch(/\? no\n|WARNING|ERROR/);
  expect(status, `e2fsck of ${what}: ${stdout}`).toBe(0);
}
