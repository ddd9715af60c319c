import { describe, expect, test } from 'vitest';
import { crc32 } from '../../src/bytes/crc32.ts';
import { timestampFromMilliseconds } from '../../src/bytes/time.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { deviceViews } from '../../src/disk/device-views.ts';
import { DiskImage } from '../../src/disk/disk-image.ts';
import { describeFinding } from '../../src/errors.ts';
import { formatExt } from '../../src/filesystem/ext/format/format.ts';
import { diskLayout } from '../../src/partition/disk-layout.ts';
import { GptEditor } from '../../src/partition/gpt-editor.ts';
import { LINUX_FILESYSTEM } from '../../src/partition/gpt-type.ts';
import { readGpt } from '../../src/partition/gpt.ts';
import { formatGuid, parseGuid } from '../../src/partition/guid.ts';
import { MbrEditor } from '../../src/partition/mbr-editor.ts';
import { readTable } from '../../src/partition/table.ts';

const GUID = '51E32BE6-9CA0-074E-B7FF-30FAB0604E01';
const UUID = 'F7113A05-2C06-004D-B88E-458F6EE9B46F';

function layoutOf(size: number, sectorSize: number) {
  const geometry = { cylinders: 0, heads: 255, sectorsPerTrack: 63 };
  return diskLayout({ size, sectorSize, geometry, dosCompatible: false });
}

function disk(size: number, sectorSize = 512): { device: MemoryDevice; editor: GptEditor } {
  const device = new MemoryDevice(size);
  return { device, editor: GptEditor.create(device, layoutOf(size, sectorSize), { diskGuid: GUID }) };
}

describe('A GUID', () => {
  test('is mixed-endian on disk', () => {
    const bytes = parseGuid('c12a7328-f81f-11d2-ba4b-00a0c93ec93b')!;
    expect(Buffer.from(bytes).toString('hex')).toBe('28732ac11ff8d211ba4b00a0c93ec93b');
    expect(formatGuid(bytes)).toBe('C12A7328-F81F-11D2-BA4B-00A0C93EC93B');
  });

  test.each(['', 'x', '{C12A7328-F81F-11D2-BA4B-00A0C93EC93B}', 'C12A7328F81F11D2BA4B00A0C93EC93B'])(
    'is not %j',
    (text) => {
      expect(parseGuid(text)).toBeUndefined();
    },
  );
});

test('The CRC is that of its standard', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf4_3926);
  expect(crc32(new Uint8Array(0))).toBe(0);
});

describe('A GPT', () => {
  test('has the bytes that fdisk gives it', () => {
    const { device, editor } = disk(100 << 20);
    editor.setPartition(0, { type: LINUX_FILESYSTEM, uuid: UUID, startSector: 2048, endSector: 12287 });
    editor.write(device);
    const sector = new Uint8Array(512);
    const hex = (offset: number, length: number): string => {
      device.read(offset, sector.subarray(0, length));
      return Buffer.from(sector.subarray(0, length)).toString('hex');
    };
    expect(hex(0x1be, 16)).toBe('00000200eeffffff01000000ff1f0300');
    expect(hex(512, 16)).toBe('4546492050415254000001005c000000');
    expect(hex(512 + 24, 32)).toBe('0100000000000000ff1f0300000000000008000000000000de1f030000000000');
    expect(hex(512 + 56, 32)).toBe('e62be351a09c4e07b7ff30fab0604e0102000000000000008000000080000000');
    expect(hex(1024, 56)).toBe(
      'af3dc60f838472478e793d69d8477de4053a11f7062c4d00b88e458f6ee9b46f0008000000000000ff2f0000000000000000000000000000',
    );
    // The backup: the table before the header, the header in the last sector.
    expect(hex((204800 - 33) * 512, 16)).toBe('af3dc60f838472478e793d69d8477de4');
    expect(hex(204799 * 512 + 24, 16)).toBe('ff1f0300000000000100000000000000');
    expect(hex(204799 * 512 + 72, 8)).toBe('df1f030000000000');
  });

  test('keeps names, attributes and types', () => {
    const { device, editor } = disk(16 << 20);
    const name = 'äöü 😀 '.repeat(9);
    editor.setPartition(4, {
      type: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
      uuid: UUID,
      startSector: 2048,
      endSector: 4095,
      name,
      attributes: (1n << 63n) | 4n,
    });
    editor.write(device);
    const table = readGpt(device)!;
    expect(table.findings).toEqual([]);
    // 36 units of UTF-16 fit, and no half of a character.
    expect(table.partitions).toEqual([
      {
        number: 5,
        kind: 'gpt',
        type: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
        typeName: 'EFI System',
        uuid: UUID,
        name: name.slice(0, 36),
        attributes: 0x8000_0000_0000_0004n,
        startSector: 2048,
        sectorCount: 2048,
        entryOffset: 1024 + 4 * 128,
      },
    ]);
  });

  test('made for sectors of 4096 bytes is recognised without a hint', () => {
    const { device, editor } = disk(64 << 20, 4096);
    editor.setPartition(0, { type: LINUX_FILESYSTEM, uuid: UUID, startSector: 256, endSector: 4095 });
    editor.write(device);
    const image = DiskImage.open(device);
    expect(image.table).toMatchObject({ kind: 'gpt', sectorSize: 4096 });
    expect(describeFinding(image.table!.findings[0]!)).toContain('4096 bytes, by the place of its header');
    expect(image.partition(1)).toMatchObject({ offset: 1 << 20, size: 15 << 20 });
    expect(image.volume(1).sectorSize).toBe(4096);
    expect(deviceViews(device, 'loop', 3)).toMatchObject([
      { id: 1, name: 'loop3', partition: undefined, offset: 0, size: 64 << 20 },
      { id: 17, name: 'loop3p1', partition: 1, offset: 1 << 20, size: 15 << 20 },
    ]);
  });

  test('that is damaged is read from its backup, and written whole again', () => {
    for (const place of [512, 512 + 20, 1024, 512 + 56]) {
      const { device, editor } = disk(16 << 20);
      editor.setPartition(0, { type: LINUX_FILESYSTEM, uuid: UUID, startSector: 2048, endSector: 4095 });
      editor.write(device);
      device.write(place, Uint8Array.of(0x99));
      const table = readGpt(device)!;
      expect(table.source).toBe('backup');
      expect(table.partitions).toHaveLength(1);
      expect(table.findings.map(({ structure }) => structure)).toEqual(['primary GPT header']);
      const repaired = GptEditor.open(device, layoutOf(16 << 20, 512))!;
      expect(repaired.warnings).toEqual([
        'The primary GPT table is corrupt, but the backup appears OK, so that will be used.',
      ]);
      repaired.write(device);
      expect(readGpt(device)).toMatchObject({ source: 'primary', findings: [] });
    }
  });

  test('whose image grew gets its backup at the new end', () => {
    const { device, editor } = disk(16 << 20);
    editor.setPartition(0, { type: LINUX_FILESYSTEM, uuid: UUID, startSector: 2048, endSector: 4095 });
    editor.write(device);
    const grown = new MemoryDevice(24 << 20);
    const content = new Uint8Array(16 << 20);
    device.read(0, content);
    grown.write(0, content);
    expect(readGpt(grown)!.findings.map(({ field }) => field)).toEqual(['AlternateLBA', 'numberOfSectors']);
    GptEditor.open(grown, layoutOf(24 << 20, 512))!.write(grown);
    expect(readGpt(grown)).toMatchObject({ findings: [], lastUsable: 49152 - 34 });
  });

  test('has other numbers of entries', () => {
    const { device, editor } = disk(16 << 20);
    editor.setPartition(0, { type: LINUX_FILESYSTEM, uuid: UUID, startSector: 2048, endSector: 4095 });
    expect(editor.resizeTable(8192)).toEqual(['Partition #1 out of range (minimal start is 2050 sectors)']);
    expect(editor.resizeTable(256)).toEqual([]);
    editor.write(device);
    expect(readGpt(device)).toMatchObject({ entryCount: 256, firstUsable: 66, findings: [] });
  });

  test('does not fit on the smallest devices', () => {
    expect(() => disk(5 * 512)).toThrow('does not fit on 5 sectors of 512 bytes');
    expect(disk(67 * 512).editor.entryCount).toBe(124);
    const { device, editor } = disk(68 * 512);
    editor.setPartition(0, { type: LINUX_FILESYSTEM, uuid: UUID, startSector: 34, endSector: 34 });
    editor.write(device);
    expect(readGpt(device)?.findings).toEqual([]);
  });

  test('that no MBR tells of is none', () => {
    const { device, editor } = disk(16 << 20);
    editor.write(device);
    device.write(510, Uint8Array.of(0, 0));
    expect(readTable(device)).toBeUndefined();
  });
});

test('An MBR made for sectors of 4096 bytes is recognised by what its partitions begin with', () => {
  const device = new MemoryDevice(64 << 20);
  const editor = MbrEditor.create(device, layoutOf(64 << 20, 4096), { diskIdentifier: 1 });
  editor.setPartition(0, 0x83, 256, 4095);
  editor.write(device);
  expect(readTable(device)).toMatchObject({ sectorSize: 512, findings: [] });
  formatExt(DiskImage.open(device).volumeAt(1 << 20), {
    type: 'ext2',
    uuid: new Uint8Array(16).fill(1),
    hashSeed: new Uint8Array(16).fill(2),
    now: timestampFromMilliseconds(0),
  });
  const table = readTable(device)!;
  expect(table.sectorSize).toBe(4096);
  expect(DiskImage.open(device).volume(1).size).toBe(15 << 20);
});
