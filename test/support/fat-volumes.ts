import { expect } from 'vitest';
import { readBytes } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { type FatFormatOptions, formatFat } from '../../src/filesystem/fat/format.ts';
import type { NodeId, OpenOptions } from '../../src/filesystem/file-system.ts';

/** A new volume of so many bytes. */
export function volume(
  size: number,
  format: Omit<FatFormatOptions, 'volumeId'> = {},
  options: OpenOptions = {},
): FatFileSystem {
  const device = new MemoryDevice(size);
  formatFat(device, { ...format, volumeId: 0x1234_abcd });
  return FatFileSystem.open(device, options);
}

export function floppy(options: OpenOptions = {}): FatFileSystem {
  return volume(1440 * 1024, {}, options);
}

export function newFile(fs: FatFileSystem, name: string, content: Uint8Array = new Uint8Array(0)): NodeId {
  const file = fs.create(fs.root, name, { kind: 'file' });
  fs.write(file, 0, content);
  return file;
}

export function contentOf(fs: FatFileSystem, file: NodeId): Uint8Array {
  const content = new Uint8Array(fs.attributes(file).size);
  expect(fs.read(file, 0, content)).toBe(content.length);
  return content;
}

export function namesIn(fs: FatFileSystem, directory: NodeId = fs.root): string[] {
  return [...fs.entries(directory)].map(({ name }) => name);
}

export function image(fs: FatFileSystem): Uint8Array {
  return readBytes(fs.device, 0, fs.device.size);
}

/** What the volume's device takes of memory. */
export function allocatedBytes(fs: FatFileSystem): number {
  let total = 0;
  for (const { kind, length } of fs.device.extents!(0, fs.device.size)) if (kind === 'data') total += length;
  return total;
}
