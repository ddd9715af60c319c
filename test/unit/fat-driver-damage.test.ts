import { describe, expect, it } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { CorruptImageError, FsError } from '../../src/errors.ts';
import { checkBootSector } from '../../src/filesystem/fat/boot-sector-check.ts';
import { BootSector, ExtendedBpb32 } from '../../src/filesystem/fat/boot-sector.ts';
import { fatDriver } from '../../src/filesystem/fat/driver.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { formatFat } from '../../src/filesystem/fat/format.ts';
import { geometryOf } from '../../src/filesystem/fat/geometry.ts';
import type { NodeId } from '../../src/filesystem/file-system.ts';

/** A floppy with `FILE.BIN` of four clusters from cluster 2 on, and `SUB` with `INNER.TXT`. */
function floppyImage(): Uint8Array {
  const device = new MemoryDevice(360 * 1024);
  formatFat(device, { volumeId: 1 });
  const fs = FatFileSystem.open(device);
  fs.write(fs.create(fs.root, 'FILE.BIN', { kind: 'file' }), 0, new Uint8Array(4000).fill(7));
  const sub = fs.create(fs.root, 'SUB', { kind: 'directory' });
  fs.write(fs.create(sub, 'INNER.TXT', { kind: 'file' }), 0, new Uint8Array(10).fill(8));
  fs.close();
  return device.toBytes();
}

function fat32Image(): Uint8Array {
  const device = new MemoryDevice(1 << 20);
  formatFat(device, { volumeId: 1, fatBits: 32 });
  return device.toBytes();
}

/** Sets entry `cluster` of both FAT12 tables. */
function setEntry(image: Uint8Array, cluster: number, value: number): void {
  const { fatOffset, fatSize } = geometryOf(image);
  for (const base of [fatOffset, fatOffset + fatSize]) {
    const at = base + Math.floor((cluster * 3) / 2);
    if (cluster % 2 === 0) {
      image[at] = value & 0xff;
      image[at + 1] = (image[at + 1]! & 0xf0) | (value >> 8);
    } else {
      image[at] = (image[at]! & 0x0f) | ((value & 0x0f) << 4);
      image[at + 1] = value >> 4;
    }
  }
}

/** Byte offset of the short entry with this name in the fixed root. */
function rootEntry(image: Uint8Array, raw: string): number {
  const { rootOffset, rootSize } = geometryOf(image);
  for (let at = rootOffset; at < rootOffset + rootSize; at += 32) {
    if (Buffer.from(image.subarray(at, at + 11)).toString('latin1') === raw) return at;
  }
  throw new Error(`${raw} is not in the root`);
}

/** Runs `change` on the image, expects an error of this kind, and that not one byte of the image is another. */
function refused<T extends Error = CorruptImageError>(
  image: Uint8Array,
  change: (fs: FatFileSystem) => void,
  kind: abstract new (...args: never[]) => T = CorruptImageError as never,
): T {
  const device = MemoryDevice.from(image);
  let thrown: unknown;
  try {
    const fs = FatFileSystem.open(device);
    try {
      change(fs);
    } finally {
      fs.close();
    }
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(kind);
  expect(Buffer.compare(device.toBytes(), image)).toBe(0);
  return thrown as T;
}

function node(fs: FatFileSystem, ...names: string[]): NodeId {
  return names.reduce<NodeId>((directory, name) => fs.lookup(directory, name)!, fs.root);
}

function nothing(): void {}

describe('A boot sector', () => {
  it.each<[string, keyof typeof BootSector.$fields, number]>([
    ['zero bytes a sector', 'BPB_BytsPerSec', 0],
    ['513 bytes a sector', 'BPB_BytsPerSec', 513],
    ['huge sectors', 'BPB_BytsPerSec', 0x8001],
    ['zero sectors a cluster', 'BPB_SecPerClus', 0],
    ['three sectors a cluster', 'BPB_SecPerClus', 3],
    ['no reserved sectors', 'BPB_RsvdSecCnt', 0],
    ['no FAT', 'BPB_NumFATs', 0],
    ['no root entries', 'BPB_RootEntCnt', 0],
  ])('with %s is refused by name', (_, field, value) => {
    const image = floppyImage();
    (BootSector[field] as { set(view: DataView, base: number, value: number): void }).set(
      viewOf(image),
      0,
      value,
    );
    expect(refused(image, nothing).field).toBe(field);
    expect(fatDriver.probe(MemoryDevice.from(image))).toBe(false);
  });

  it.each<[string, string, number, number]>([
    ['reserved sectors beyond the volume', 'BPB_TotSec16', 0x0e, 0xffff],
    ['a FAT larger than the volume', 'BPB_TotSec16', 0x16, 0xffff],
    ['a root larger than the volume', 'BPB_TotSec16', 0x11, 0xffff],
    ['fewer sectors than its tables', 'BPB_TotSec16', 0x13, 5],
    ['more sectors than the device', 'BPB_TotSec16', 0x13, 721],
  ])('with %s is refused', (_, field, offset, value) => {
    const image = floppyImage();
    viewOf(image).setUint16(offset, value, true);
    expect(refused(image, nothing).field).toBe(field);
  });

  it('with no total at all is refused', () => {
    const image = floppyImage();
    viewOf(image).setUint16(0x13, 0, true);
    expect(refused(image, nothing).message).toBe(
      'Boot sector BPB_TotSec32 is 0, expected at least 1, since BPB_TotSec16 is 0 at byte 32',
    );
  });

  it.each([0, 1, 0x0fffffff])('with root cluster %d is refused on FAT32', (cluster) => {
    const image = fat32Image();
    ExtendedBpb32.BPB_RootClus.set(viewOf(image), 0, cluster);
    expect(refused(image, nothing).field).toBe('BPB_RootClus');
  });

  it('of another version, or with an active FAT that is not there, is refused on FAT32', () => {
    const version = fat32Image();
    ExtendedBpb32.BPB_FSVer.set(viewOf(version), 0, 1);
    expect(refused(version, nothing).field).toBe('BPB_FSVer');
    const active = fat32Image();
    ExtendedBpb32.BPB_ExtFlags.set(viewOf(active), 0, 0x82);
    expect(refused(active, nothing).field).toBe('BPB_ExtFlags');
  });

  it('without its signature is noted, not refused', () => {
    const image = floppyImage();
    image[0x1fe] = 0;
    expect(checkBootSector(image.subarray(0, 512), image.length)).toEqual([
      {
        severity: 'note',
        structure: 'boot sector',
        field: 'Signature_word',
        offset: 0x1fe,
        found: '0xaa00',
        expected: '0xaa55',
      },
    ]);
    const device = MemoryDevice.from(image);
    expect(fatDriver.probe(device)).toBe(true);
    expect(node(FatFileSystem.open(device), 'FILE.BIN')).toBeDefined();
  });

  it('of a sound volume gives no findings', () => {
    for (const image of [floppyImage(), fat32Image()]) {
      expect(checkBootSector(image.subarray(0, 512), image.length)).toEqual([]);
    }
  });
});

describe('A truncated image', () => {
  it.each([0, 1, 511, 512, 5000, 360 * 1024 - 1])('of %d bytes is refused', (size) => {
    refused(floppyImage().slice(0, size), nothing);
  });
});

describe('The probe', () => {
  it('does not take a partition table, an ext volume, zeros or noise for FAT', () => {
    const mbr = new Uint8Array(1 << 16);
    mbr.set([0xeb, 0x63, 0x90]);
    mbr.set([0x80, 0x20, 0x21, 0, 0x0c, 0xfe, 0xff, 0xff, 0, 8, 0, 0, 0, 0x20, 0, 0], 0x1be);
    mbr.set([0x55, 0xaa], 0x1fe);
    const ext = floppyImage();
    ext.fill(0, 512, 3000);
    ext.set([0x53, 0xef], 1080);
    const noise = new Uint8Array(1 << 16).map((_, i) => (i * 31 + (i >> 3)) & 0xff);
    noise.set([0x55, 0xaa], 0x1fe);
    for (const image of [mbr, ext, noise, new Uint8Array(1 << 16), new Uint8Array(100), new Uint8Array(0)]) {
      expect(fatDriver.probe(MemoryDevice.from(image))).toBe(false);
    }
  });

  it('does not take a FAT32 volume that ext was made on for FAT', () => {
    const image = fat32Image();
    image.set([0x53, 0xef], 1080);
    expect(fatDriver.probe(MemoryDevice.from(image))).toBe(false);
  });
});

describe('A cluster chain', () => {
  it('that runs in a circle is refused', () => {
    const image = floppyImage();
    setEntry(image, 4, 3);
    const error = refused(image, (fs) => void fs.read(node(fs, 'FILE.BIN'), 0, new Uint8Array(10)));
    expect(error.message).toContain('expected an end; it may run in a circle');
    refused(image, (fs) => fs.unlink(fs.root, 'FILE.BIN'));
    refused(image, (fs) => fs.write(node(fs, 'FILE.BIN'), 4000, new Uint8Array(4000)));
  });

  it.each([
    [0, '0 (free)'],
    [1, '1'],
    [0x800, '2048'],
    [0xff7, 'the bad mark'],
  ])('that leads to %d is refused', (value, found) => {
    const image = floppyImage();
    setEntry(image, 3, value);
    const error = refused(image, (fs) => void fs.read(node(fs, 'FILE.BIN'), 0, new Uint8Array(10)));
    expect(error.found).toBe(found);
    expect(error.offset).toBe(512 + 4);
  });

  it('that is shorter than the file is refused', () => {
    const image = floppyImage();
    setEntry(image, 3, 0xfff);
    const error = refused(image, (fs) => void fs.read(node(fs, 'FILE.BIN'), 0, new Uint8Array(10)));
    expect(error.message).toBe(
      'FAT chain of "FILE.BIN" is 2 clusters, expected at least 4 for its size of 4000 bytes',
    );
  });

  it('that begins out of range is refused', () => {
    const image = floppyImage();
    viewOf(image).setUint16(rootEntry(image, 'FILE    BIN') + 26, 0x7777, true);
    refused(image, (fs) => void fs.read(node(fs, 'FILE.BIN'), 0, new Uint8Array(10)));
    refused(image, (fs) => fs.unlink(fs.root, 'FILE.BIN'));
  });
});

describe('A directory', () => {
  it('that holds itself is refused at the second step', () => {
    const image = floppyImage();
    const sub = rootEntry(image, 'SUB        ');
    const cluster = viewOf(image).getUint16(sub + 26, true);
    const { dataOffset, clusterSize } = geometryOf(image);
    const inner = dataOffset + (cluster - 2) * clusterSize + 64;
    image[inner + 11] = 0x10;
    viewOf(image).setUint16(inner + 26, cluster, true);
    const error = refused(image, (fs) => void [...fs.entries(node(fs, 'SUB', 'INNER.TXT'))]);
    expect(error.message).toContain('which is part of another directory');
  });

  it('whose first cluster is 0 is refused', () => {
    const image = floppyImage();
    viewOf(image).setUint16(rootEntry(image, 'SUB        ') + 26, 0, true);
    refused(image, (fs) => void [...fs.entries(node(fs, 'SUB'))]);
    refused(image, (fs) => fs.removeDirectory(fs.root, 'SUB'));
  });

  it('with a size and a read-only bit is read all the same', () => {
    const image = floppyImage();
    const sub = rootEntry(image, 'SUB        ');
    image[sub + 11] = 0x11;
    viewOf(image).setUint32(sub + 28, 99_999, true);
    const fs = FatFileSystem.open(MemoryDevice.from(image));
    expect([...fs.entries(node(fs, 'SUB'))].map(({ name }) => name)).toEqual(['INNER.TXT']);
    expect(fs.attributes(node(fs, 'SUB')).mode).toBe(0o755);
  });

  it('passes over labels, deleted entries and long names that belong to nothing', () => {
    const image = floppyImage();
    const { rootOffset } = geometryOf(image);
    const free = rootOffset + 2 * 32;
    // A piece of a long name without the others, then a label, a deleted entry, a file with name byte 05.
    image.set([0x42, 0x61, 0], free);
    image[free + 11] = 0x0f;
    image.set(Buffer.from('A LABEL    '), free + 32);
    image[free + 43] = 0x08;
    image.set(Buffer.from('\xe5ONE    TXT', 'latin1'), free + 64);
    image.set(Buffer.from('\x05IVE    TXT', 'latin1'), free + 96);
    const fs = FatFileSystem.open(MemoryDevice.from(image));
    expect([...fs.entries(fs.root)].map(({ name }) => name)).toEqual(['FILE.BIN', 'SUB', 'σIVE.TXT']);
    expect(fs.label).toBe('A LABEL');
  });
});

describe('A volume', () => {
  it('that is read-only says so and stays as it is', () => {
    const image = floppyImage();
    const device = MemoryDevice.from(image, { readOnly: true });
    const fs = FatFileSystem.open(device);
    expect(fs.readOnlyReason).toBe('the device is read-only');
    for (const change of [
      () => fs.create(fs.root, 'x', { kind: 'file' }),
      () => fs.unlink(fs.root, 'FILE.BIN'),
      () => fs.write(node(fs, 'FILE.BIN'), 0, new Uint8Array(1)),
      () => fs.rename(fs.root, 'FILE.BIN', fs.root, 'y'),
      () => (fs.label = 'X'),
    ]) {
      expect(change).toThrow(expect.objectContaining({ code: 'EROFS' }));
    }
    fs.close();
    expect(Buffer.compare(device.toBytes(), image)).toBe(0);
  });

  it('that is opened, read and closed is not written to', () => {
    for (const image of [floppyImage(), fat32Image()]) {
      const device = MemoryDevice.from(image);
      const fs = FatFileSystem.open(device);
      expect([...fs.entries(fs.root)].length).toBeLessThan(3);
      fs.usage();
      fs.close();
      expect(Buffer.compare(device.toBytes(), image)).toBe(0);
    }
  });

  it.each<[string, string, (fs: FatFileSystem) => void]>([
    ['a missing name', 'ENOENT', (fs) => fs.unlink(fs.root, 'MISSING')],
    ['a file taken for a directory', 'ENOTDIR', (fs) => void fs.lookup(node(fs, 'FILE.BIN'), 'x')],
    ['a directory taken for a file', 'EISDIR', (fs) => fs.unlink(fs.root, 'SUB')],
    ['a directory that holds something', 'ENOTEMPTY', (fs) => fs.removeDirectory(fs.root, 'SUB')],
    ['a name that is there', 'EEXIST', (fs) => void fs.create(fs.root, 'file.bin', { kind: 'file' })],
    ['a symlink', 'EPERM', (fs) => void fs.create(fs.root, 'x', { kind: 'symlink', target: 'y' })],
    ['a hard link', 'EPERM', (fs) => fs.link(node(fs, 'FILE.BIN'), fs.root, 'x')],
    ['a file beyond 4 GiB', 'EFBIG', (fs) => fs.setAttributes(node(fs, 'FILE.BIN'), { size: 2 ** 32 })],
    [
      'a file larger than what is free',
      'ENOSPC',
      (fs) => fs.setAttributes(node(fs, 'FILE.BIN'), { size: 400_000 }),
    ],
    ['an owner', 'EPERM', (fs) => fs.setAttributes(node(fs, 'FILE.BIN'), { uid: 1000 })],
    ['a directory into itself', 'EINVAL', (fs) => fs.rename(fs.root, 'SUB', node(fs, 'SUB'), 'x')],
    ['a label that is too long', 'ENAMETOOLONG', (fs) => (fs.label = 'twelve chars')],
    ['a label with a dot', 'EINVAL', (fs) => (fs.label = 'A.B')],
  ])('refuses %s with %s and stays as it is', (_, code, change) => {
    expect(refused(floppyImage(), change, FsError).code).toBe(code);
  });
});
