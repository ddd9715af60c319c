import { describe, expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { deviceViews, tableBlocks } from '../../src/disk/device-views.ts';
import { DiskImage } from '../../src/disk/disk-image.ts';
import { BsdDisklabelEditor } from '../../src/partition/bsd-disklabel-editor.ts';
import { Disklabel, disklabelSum, readDisklabel } from '../../src/partition/bsd-disklabel.ts';
import { diskLayout } from '../../src/partition/disk-layout.ts';
import { MbrEditor } from '../../src/partition/mbr-editor.ts';

const SIZE = 64 << 20;
const LAYOUT = diskLayout({
  size: SIZE,
  sectorSize: 512,
  geometry: { cylinders: 8, heads: 255, sectorsPerTrack: 63 },
  dosCompatible: false,
});

/** A label with a and e within a slice of this type from sector 2048, and a FAT partition behind it. */
function sliced(type: number, options: { readonly relative?: boolean } = {}): MemoryDevice {
  const device = new MemoryDevice(SIZE);
  const mbr = MbrEditor.create(device, LAYOUT, { diskIdentifier: 0x1234 });
  mbr.setPartition(0, type, 2048, 65535);
  mbr.setPartition(1, 0x0c, 65536, 100000);
  mbr.write(device);
  const slice = { startSector: 2048, sectorCount: 63488 };
  const label = BsdDisklabelEditor.create(LAYOUT, { slice });
  const shift = options.relative === true ? 0 : 2048;
  if (options.relative === true) label.setPartition(2, { startSector: 0 });
  label.setPartition(0, { startSector: shift + 16, sectorCount: 20000, type: 7 });
  label.setPartition(4, { startSector: shift + 30000, sectorCount: 1000, type: 1 });
  label.setPartition(8, { startSector: 65536, sectorCount: 34465, type: 8 });
  label.write(device);
  return device;
}

const summary = (device: MemoryDevice): unknown[] =>
  DiskImage.open(device).partitions.map(({ number, kind, name, offset, size }) => [
    number,
    kind,
    name,
    offset / 512,
    size / 512,
  ]);

describe('A BSD disklabel', () => {
  test('has a checksum over its partitions, and counts from the start of the disk', () => {
    const device = sliced(0xa6);
    const label = readDisklabel(device, { offset: 2048 * 512, size: 63488 * 512, relative: false })!;
    expect(label.checksumIsRight).toBe(true);
    expect(label.partitions.map(({ letter, startSector }) => [letter, startSector])).toEqual([
      ['a', 2064],
      ['e', 32048],
    ]);
    device.write(2048 * 512 + 512 + 0x94, Uint8Array.of(1));
    expect(
      readDisklabel(device, { offset: 2048 * 512, size: 63488 * 512, relative: false })!.checksumIsRight,
    ).toBe(false);
  });

  test('of FreeBSD may count from the start of its slice', () => {
    expect(summary(sliced(0xa5, { relative: true }))).toEqual(summary(sliced(0xa5)));
  });

  test('numbers its partitions behind those of the MBR', () => {
    expect(summary(sliced(0xa9))).toEqual([
      [1, 'primary', undefined, 2048, 63488],
      [2, 'primary', undefined, 65536, 34465],
      [5, 'bsd', 'a', 2064, 20000],
      [6, 'bsd', 'e', 32048, 1000],
    ]);
  });

  test.each([
    ['loop', 0xa5, ['loop0', 'loop0p1', 'loop0p2', 'loop0p5', 'loop0p6']],
    ['md', 0xa5, ['md0', 'md0s1', 'md0s2', 'md0s1a', 'md0s1e']],
    ['vnd', 0xa6, ['vnd0c', 'rvnd0c', 'vnd0a', 'rvnd0a', 'vnd0e', 'rvnd0e', 'vnd0i', 'rvnd0i']],
    // OpenBSD makes up a label where there is none of its own.
    ['vnd', 0xa5, ['vnd0c', 'rvnd0c', 'vnd0i', 'rvnd0i', 'vnd0j', 'rvnd0j']],
  ] as const)('gives the device of %s in a slice of type %i its names', (family, type, names) => {
    const views = deviceViews(sliced(type), family, 0);
    expect(views.map(({ name }) => name)).toEqual(names);
    expect(new Set(views.map(({ id }) => id)).size).toBe(views.length);
  });

  test('of a whole disk names all of it', () => {
    const device = new MemoryDevice(SIZE);
    expect(tableBlocks(device)).toEqual([512]);
    const label = BsdDisklabelEditor.create(LAYOUT, {});
    label.setPartition(0, { startSector: 16, sectorCount: 1000, type: 7 });
    label.write(device);
    expect(summary(device)).toEqual([[1, 'bsd', 'a', 16, 1000]]);
    expect(deviceViews(device, 'md', 3).map(({ name }) => name)).toEqual(['md3', 'md3a']);
    expect(deviceViews(device, 'vnd', 3).map(({ name }) => name)).toEqual([
      'vnd3c',
      'rvnd3c',
      'vnd3a',
      'rvnd3a',
    ]);
  });

  test('of OpenBSD, version 1, has places of 48 bits', () => {
    const device = new MemoryDevice(SIZE);
    const label = BsdDisklabelEditor.create(LAYOUT, {});
    label.setPartition(0, { startSector: 16, sectorCount: 1000, type: 7 });
    const bytes = label.image();
    Disklabel.d_version.set(viewOf(bytes), 0, 1);
    // p_offseth: 2^32 sectors on, past the end of this disk.
    viewOf(bytes).setUint16(0x94 + 8, 1, true);
    device.write(512, bytes);
    expect(readDisklabel(device)!.partitions).toEqual([]);
    viewOf(bytes).setUint16(0x94 + 8, 0, true);
    device.write(512, bytes);
    expect(readDisklabel(device)!.partitions).toHaveLength(1);
  });

  test('loses the places behind its last partition when that goes', () => {
    const label = BsdDisklabelEditor.create(LAYOUT, {});
    label.setPartition(7, { startSector: 16, sectorCount: 1000, type: 7 });
    expect(label.partitionCount).toBe(8);
    label.delete(7);
    expect(label.partitionCount).toBe(3);
    expect(disklabelSum(label.image())).toBe(0);
  });
});
