import { describe, expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { CorruptImageError } from '../../src/errors.ts';
import { BootRecord, PartitionEntry, entryOffset } from '../../src/partition/mbr-entry.ts';
import { partitionDevice, partitionTypeName, readMbr } from '../../src/partition/mbr.ts';
import { viewOf } from '../../src/bytes/struct.ts';

const SECTOR = 512;

/** A disk with these hexadecimal entries (16 bytes each) in these sectors. */
function diskOf(
  sectorCount: number,
  tables: Readonly<Record<number, readonly string[]>>,
  identifier = 0x12345678,
): MemoryDevice {
  const device = new MemoryDevice(sectorCount * SECTOR);
  for (const [sector, entries] of Object.entries(tables)) {
    const record = new Uint8Array(SECTOR);
    for (const [i, entry] of entries.entries()) {
      record.set(Buffer.from(entry.replaceAll(' ', ''), 'hex'), 446 + 16 * i);
    }
    if (sector === '0') viewOf(record).setUint32(440, identifier, true);
    record[510] = 0x55;
    record[511] = 0xaa;
    device.write(Number(sector) * SECTOR, record);
  }
  return device;
}

// As fdisk 2.38.1 wrote it: two primaries, one extended with two logicals in it (the second one lies before the first).
const FDISK_DISK = {
  0: ['00 20 21 00 83 66 25 01 00 08 00 00 00 50 00 00', '80 66 26 01 05 be 32 0c 00 58 00 00 00 c8 02 00'],
  22528: [
    '00 4b 0a 02 83 ed 2b 02 00 38 00 00 00 28 00 00',
    '00 66 27 01 05 2a 28 02 01 00 00 00 ff 2f 00 00',
  ],
  22529: ['00 87 07 01 0c 2a 28 02 ff 07 00 00 00 28 00 00'],
} as const;

describe('A partition table', () => {
  test('is read with its extended chain to the last field', () => {
    const table = readMbr(diskOf(204800, FDISK_DISK, 0xa1b2c3d4))!;
    expect(table.diskIdentifier).toBe(0xa1b2c3d4);
    expect(table.findings).toEqual([]);
    expect(table.protective).toBe(false);
    expect(
      table.partitions.map(({ number, kind, startSector, sectorCount }) => [
        number,
        kind,
        startSector,
        sectorCount,
      ]),
    ).toEqual([
      [1, 'primary', 2048, 20480],
      [2, 'extended', 22528, 182272],
      [5, 'logical', 36864, 10240],
      [6, 'logical', 24576, 10240],
    ]);
    expect(table.partitions[3]).toEqual({
      number: 6,
      kind: 'logical',
      type: 0x0c,
      active: false,
      startSector: 24576,
      sectorCount: 10240,
      firstChs: { cylinder: 1, head: 0x87, sector: 7 },
      lastChs: { cylinder: 2, head: 0x2a, sector: 40 },
      tableOffset: 22529 * SECTOR,
      entryOffset: 22529 * SECTOR + 446,
    });
    expect(table.partitions[1]!.active).toBe(true);
  });

  test('has cylinders of ten bits, two of them in the sector byte', () => {
    const table = readMbr(diskOf(1008000, { 0: ['80 01 01 00 83 0f ff e7 3f 00 00 00 41 61 0f 00'] }))!;
    expect(table.partitions[0]).toMatchObject({
      active: true,
      startSector: 63,
      sectorCount: 1007937,
      firstChs: { cylinder: 0, head: 1, sector: 1 },
      lastChs: { cylinder: 999, head: 15, sector: 63 },
    });
  });

  test('counts in the sectors of the device', () => {
    const device = new MemoryDevice(100 * 4096, { sectorSize: 4096 });
    device.write(446, Buffer.from('00000000830000000a00000005000000', 'hex'));
    device.write(440, Buffer.from('01000000', 'hex'));
    device.write(510, Buffer.from('55aa', 'hex'));
    const { partitions } = readMbr(device)!;
    const slice = partitionDevice(device, partitions[0]!);
    expect(slice.size).toBe(5 * 4096);
    slice.write(0, Buffer.from('here'));
    const found = new Uint8Array(4);
    device.read(10 * 4096, found);
    expect(Buffer.from(found).toString()).toBe('here');
  });

  test('reaches to the last of 2^32 sectors', () => {
    const device = diskOf(2 ** 32, { 0: ['00 fe ff ff 83 fe ff ff 00 08 80 82 00 f8 7f 7d'] });
    const { partitions, findings } = readMbr(device)!;
    expect(findings).toEqual([]);
    expect(partitionDevice(device, partitions[0]!).size).toBe(2105538560 * SECTOR);
  });

  test('that is protective says that the partitions are in a GPT', () => {
    const table = readMbr(diskOf(4096, { 0: ['00 00 02 00 ee ff ff ff 01 00 00 00 ff 0f 00 00'] }))!;
    expect(table.protective).toBe(true);
    expect(table.findings[0]!.found).toContain('GPT');
  });
});

describe('No partition table', () => {
  const boot = (change: (record: Uint8Array) => void): MemoryDevice => {
    const device = diskOf(4096, { 0: ['80 20 21 00 83 66 25 01 00 08 00 00 00 01 00 00'] });
    const record = new Uint8Array(SECTOR);
    device.read(0, record);
    change(record);
    device.write(0, record);
    return device;
  };

  test('is seen on an empty device and on one of less than a sector', () => {
    expect(readMbr(new MemoryDevice(0))).toBeUndefined();
    expect(readMbr(new MemoryDevice(511))).toBeUndefined();
    expect(readMbr(new MemoryDevice(1 << 20))).toBeUndefined();
  });

  test('is seen without the signature', () => {
    expect(readMbr(boot(() => undefined))).toBeDefined();
    expect(readMbr(boot((record) => void (record[510] = 0x54)))).toBeUndefined();
  });

  test('is seen where a boot indicator is neither 0x00 nor 0x80', () => {
    for (let i = 0; i < 4; i++) {
      expect(readMbr(boot((record) => void (record[446 + 16 * i] = 0x01)))).toBeUndefined();
    }
  });

  test('is seen in the boot sector of a FAT, NTFS or exFAT volume, whatever stands where a table would', () => {
    const fat = boot((record) => {
      record.set(Buffer.from('eb3c906d6b66732e666174', 'hex'), 0);
      record.set(Buffer.from('0002040100020002e8fef8fa00', 'hex'), 11);
    });
    expect(readMbr(fat)).toBeUndefined();
    expect(readMbr(boot((record) => record.set(Buffer.from('NTFS    '), 3)))).toBeUndefined();
    expect(readMbr(boot((record) => record.set(Buffer.from('EXFAT   '), 3)))).toBeUndefined();
  });

  test('is seen where the table is empty and there is no disk identifier', () => {
    expect(readMbr(diskOf(4096, { 0: [] }, 0))).toBeUndefined();
    expect(readMbr(diskOf(4096, { 0: [] }, 7))).toMatchObject({ diskIdentifier: 7, partitions: [] });
  });
});

describe('A chain of logical partitions', () => {
  const extended = '00 00 01 00 05 00 01 00 00 08 00 00 00 80 00 00';
  const data = '00 00 01 00 83 00 01 00 40 00 00 00 10 00 00 00';
  const link = (offset: number): string => {
    const entry = Buffer.alloc(16);
    entry[4] = 5;
    entry.writeUInt32LE(offset, 8);
    entry.writeUInt32LE(0x100, 12);
    return entry.toString('hex');
  };

  test('that returns to where it was ends there with a finding', () => {
    for (const offset of [0, 0x200]) {
      const table = readMbr(
        diskOf(40000, { 0: [extended], 2048: [data, link(0x200)], [2048 + 0x200]: [data, link(offset)] }),
      )!;
      expect(table.partitions.map(({ number }) => number)).toEqual([1, 5, 6]);
      expect(table.findings).toContainEqual(
        expect.objectContaining({
          field: 'startingSector',
          offset: (2048 + 0x200) * SECTOR + 446 + 16 + 8,
          found: expect.stringContaining(`sector ${2048 + offset}`) as string,
        }),
      );
    }
  });

  test('that leaves the device ends there with a finding', () => {
    const table = readMbr(diskOf(40000, { 0: [extended], 2048: [data, link(0x7fff_ffff)] }))!;
    expect(table.partitions.map(({ number }) => number)).toEqual([1, 5]);
    expect(table.findings.map(({ structure, field }) => [structure, field])).toEqual([
      ['extended boot record', 'startingSector'],
    ]);
  });

  test('whose boot record has no signature ends there with a finding', () => {
    const table = readMbr(diskOf(40000, { 0: [extended] }))!;
    expect(table.partitions.map(({ number }) => number)).toEqual([1]);
    expect(table.findings[0]).toMatchObject({
      field: 'signature',
      found: '0x0000',
      offset: 2048 * SECTOR + 510,
    });
  });

  test('goes on past a boot record without a partition, which takes no number', () => {
    const table = readMbr(diskOf(40000, { 0: [extended], 2048: [link(0x200)], [2048 + 0x200]: [data] }))!;
    expect(table.partitions.map(({ number, startSector }) => [number, startSector])).toEqual([
      [1, 2048],
      [5, 2048 + 0x200 + 0x40],
    ]);
  });

  test('is followed through 251 boot records at most', () => {
    const tables: Record<number, string[]> = { 0: [extended] };
    for (let i = 0; i < 300; i++) tables[2048 + i * 0x80] = [data, link((i + 1) * 0x80)];
    const table = readMbr(diskOf(200000, tables))!;
    expect(table.partitions).toHaveLength(1 + 251);
    expect(table.findings.some(({ expected }) => expected.includes('251'))).toBe(true);
  });
});

describe('Odd partitions', () => {
  test('past the end of the device are noted, and refused as a device with both numbers', () => {
    const device = diskOf(4096, { 0: ['00 20 21 00 83 66 25 01 00 08 00 00 01 08 00 00'] });
    const table = readMbr(device)!;
    expect(table.findings[0]).toMatchObject({ structure: 'partition 1', field: 'end', found: 'sector 4096' });
    expect(() => partitionDevice(device, table.partitions[0]!)).toThrow(CorruptImageError);
    expect(() => partitionDevice(device, table.partitions[0]!)).toThrow(
      `Partition 1 end is byte ${4097 * SECTOR}, expected at most ${4096 * SECTOR}, the size of the device`,
    );
  });

  test('that overlap are noted', () => {
    const table = readMbr(
      diskOf(9000, {
        0: [
          '00 00 00 00 83 00 00 00 00 08 00 00 00 08 00 00',
          '00 00 00 00 83 00 00 00 ff 0f 00 00 02 00 00 00',
        ],
      }),
    )!;
    expect(table.findings).toHaveLength(1);
    expect(table.findings[0]).toMatchObject({
      structure: 'partition 2',
      field: 'start',
      found: 'sector 4095',
    });
  });

  test('outside of the extended partition that holds them are noted', () => {
    const table = readMbr(
      diskOf(9000, {
        0: ['00 00 00 00 0f 00 00 00 00 08 00 00 00 01 00 00'],
        2048: ['00 00 00 00 83 00 00 00 80 00 00 00 81 00 00 00'],
      }),
    )!;
    expect(table.findings[0]).toMatchObject({ structure: 'partition 5', field: 'range' });
  });
});

test('The boot record and its entry write what they read', () => {
  const bytes = Uint8Array.from({ length: 512 }, (_, i) => (i * 73 + 11) & 0xff);
  const copy = new Uint8Array(512);
  for (const field of Object.values(BootRecord.$fields)) {
    field.set(viewOf(copy), 0, field.get(viewOf(bytes), 0) as never);
  }
  expect(copy).toEqual(bytes);
  const entry = new Uint8Array(512);
  for (let i = 0; i < 4; i++) {
    for (const field of Object.values(PartitionEntry.$fields)) {
      field.set(viewOf(entry), entryOffset(i), field.get(viewOf(bytes), entryOffset(i)) as never);
    }
  }
  expect(entry.subarray(446, 510)).toEqual(bytes.subarray(446, 510));
});

test('Partition types have the names that fdisk gives them', () => {
  expect([0x83, 0x0c, 0x05, 0x0f, 0x82, 0xef, 0x77].map(partitionTypeName)).toEqual([
    'Linux',
    'W95 FAT32 (LBA)',
    'Extended',
    "W95 Ext'd (LBA)",
    'Linux swap / Solaris',
    'EFI (FAT-12/16/32)',
    'unknown',
  ]);
});
