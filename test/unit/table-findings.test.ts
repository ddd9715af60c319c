import { describe, expect, test } from 'vitest';
import { readBytes } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { GptHeader, HeaderSector } from '../../src/partition/gpt-header.ts';
import { MbrEditor } from '../../src/partition/mbr-editor.ts';
import { checkTable } from '../../src/partition/table-check.ts';
import {
  DISK_SIZE,
  ENTRY,
  GPT_UUIDS,
  bsdDisk,
  fatBootSector,
  gptDisk,
  layoutOf,
  mbrDisk,
  patch,
  reseal,
  resized,
  u32,
} from '../support/damaged-tables.ts';

const SIZE = DISK_SIZE;

test('Sound tables have no findings', () => {
  expect(checkTable(mbrDisk())).toEqual([]);
  expect(checkTable(gptDisk())).toEqual([]);
  expect(checkTable(new MemoryDevice(SIZE))).toEqual([]);
  expect(checkTable(new MemoryDevice(0))).toEqual([]);
});

describe('What is wrong with an MBR is found:', () => {
  test('partitions over one another', () => {
    expect(checkTable(patch(mbrDisk(), ENTRY + 16 + 8, ...u32(4000)))).toContainEqual({
      fault: 'overlap',
      partition: 2,
      severity: 'note',
      structure: 'partition 2',
      field: 'start',
      offset: ENTRY + 16 + 8,
      found: 'sector 4000',
      expected: 'at least 4096, the end of partition 1',
      advice: expect.stringContaining('look into both') as string,
    });
  });

  test('a primary partition over the extended one', () => {
    expect(checkTable(patch(mbrDisk(), ENTRY + 16 + 12, ...u32(5000)))).toContainEqual(
      expect.objectContaining({
        fault: 'overlap',
        partition: 2,
        found: 'sectors 4096 to 9095',
        expected: 'none of the extended partition 3, 8192 to 32767',
      }),
    );
  });

  test('a partition past the end of the device', () => {
    expect(checkTable(patch(mbrDisk(), 8192 * 512 + ENTRY + 12, ...u32(40000)))).toContainEqual(
      expect.objectContaining({
        fault: 'past-end',
        partition: 5,
        offset: 8192 * 512 + ENTRY + 8,
        found: 'sector 50239',
        expected: 'at most 32767',
      }),
    );
  });

  test('a logical partition outside of the extended one', () => {
    expect(checkTable(patch(mbrDisk(), ENTRY + 32 + 12, ...u32(7000)))).toContainEqual(
      expect.objectContaining({
        fault: 'outside-extended',
        partition: 6,
        found: 'sectors 14336 to 16383',
        expected: 'a range within the extended partition, 8193 to 15191',
      }),
    );
  });

  test('a chain that returns, one that leaves the device, one that ends in nothing', () => {
    const second = 12288 * 512;
    const link = second + ENTRY + 16;
    const loop = patch(mbrDisk(), link + 4, 5, 0, 0, 0, ...u32(0), ...u32(100));
    expect(checkTable(loop)).toMatchObject([
      {
        fault: 'chain-link',
        offset: link + 8,
        found: 'sector 8192, where the chain has been before',
        expected: 'a chain without loops',
      },
    ]);
    const away = patch(mbrDisk(), link + 4, 5, 0, 0, 0, ...u32(60000), ...u32(100));
    expect(checkTable(away)).toMatchObject([
      { fault: 'chain-link', found: 'sector 68192', expected: expect.stringContaining(`byte ${SIZE}`) },
    ]);
    expect(checkTable(patch(mbrDisk(), second + 510, 0, 0))).toMatchObject([
      {
        fault: 'chain-signature',
        offset: second + 510,
        found: '0x0000',
        expected: '0xaa55',
      },
    ]);
  });

  test('an entry of no sectors', () => {
    expect(checkTable(patch(mbrDisk(), ENTRY + 12, ...u32(0)))).toMatchObject([
      {
        fault: 'zero-length',
        partition: 1,
        structure: 'entry 1 of the master boot record',
        offset: ENTRY + 12,
        found: '0, with type 0x83 from sector 2048',
      },
    ]);
  });

  test('several active partitions', () => {
    const device = patch(patch(mbrDisk(), ENTRY, 0x80), ENTRY + 16, 0x80);
    expect(checkTable(device)).toMatchObject([
      { fault: 'several-active', partition: 2, field: 'bootIndicator', offset: ENTRY + 16 },
    ]);
  });

  test('a partition over sector 0 and one over an extended boot record', () => {
    expect(checkTable(patch(mbrDisk(), ENTRY + 8, ...u32(0)))).toContainEqual(
      expect.objectContaining({ fault: 'covers-table', partition: 1, found: 'sectors 0 to 2047' }),
    );
    expect(checkTable(patch(mbrDisk(), 8192 * 512 + ENTRY + 12, ...u32(3000)))).toContainEqual(
      expect.objectContaining({
        fault: 'covers-table',
        partition: 5,
        expected: 'a range without sector 12288, which holds an extended boot record',
      }),
    );
  });

  test('addresses in C/H/S that are not those of the sectors', () => {
    expect(checkTable(patch(mbrDisk(), ENTRY + 1, 7))).toMatchObject([
      {
        fault: 'chs',
        partition: 1,
        field: 'startingChs',
        offset: ENTRY + 1,
        found: '0/7/33',
        expected: '0/32/33, which is sector 2048 with 255 heads and 63 sectors a track',
      },
    ]);
    // All zeros and the highest address say: go by the sector number.
    expect(checkTable(patch(mbrDisk(), ENTRY + 1, 0, 0, 0))).toEqual([]);
    expect(checkTable(patch(mbrDisk(), ENTRY + 1, 0xfe, 0xff, 0xff))).toEqual([]);
  });

  test('a boot sector that names another place', () => {
    const device = mbrDisk();
    const withHidden = (value: number): MemoryDevice => {
      device.write(4096 * 512, fatBootSector(value));
      return device;
    };
    expect(checkTable(withHidden(4096))).toEqual([]);
    expect(checkTable(withHidden(0))).toEqual([]);
    const expected = {
      fault: 'hidden-sectors',
      partition: 2,
      field: 'BPB_HiddSec',
      offset: 4096 * 512 + 0x1c,
      expected: '4096, the sectors before the partition',
    };
    expect(checkTable(withHidden(63))).toMatchObject([{ ...expected, found: '63' }]);
    // A partition that is booted from needs it.
    patch(device, ENTRY + 16, 0x80);
    expect(checkTable(withHidden(0))).toMatchObject([{ ...expected, found: '0' }]);
  });
});

describe('What is wrong with a GPT is found:', () => {
  const last = SIZE / 512 - 1;

  test.each([
    ['primary', 512],
    ['backup', last * 512],
  ])('the %s header', (which, offset) => {
    const wrong = (at: number, ...bytes: number[]) => checkTable(patch(gptDisk(), offset + at, ...bytes));
    expect(wrong(0, 0)).toMatchObject([
      { fault: 'header', structure: `${which} GPT header`, field: 'Signature', offset },
    ]);
    expect(wrong(0x10, 1, 2, 3, 4)).toMatchObject([
      { fault: 'header', field: 'HeaderCRC32', offset: offset + 0x10, found: '0x04030201' },
    ]);
  });

  test.each([
    ['primary', 1024, 512],
    ['backup', (last - 32) * 512, last * 512],
  ])('the %s table', (which, table, header) => {
    expect(checkTable(patch(gptDisk(), table + 5 * 128, 1))).toMatchObject([
      {
        fault: 'header',
        structure: `${which} GPT header`,
        field: 'PartitionEntryArrayCRC32',
        offset: header + 0x58,
      },
    ]);
  });

  test('two headers that say different things', () => {
    const device = gptDisk();
    const backup = new HeaderSector(readBytes(device, last * 512, 512));
    backup.bytes[0x38] = 0xff;
    GptHeader.HeaderCRC32.set(backup.view, 0, backup.computeCrc()!);
    device.write(last * 512, backup.bytes);
    expect(checkTable(device)).toMatchObject([{ fault: 'headers-differ', offset: last * 512 }]);
  });

  test('a backup that is not at the end, since the image grew', () => {
    expect(checkTable(resized(gptDisk(), 2 * SIZE))).toMatchObject([
      {
        fault: 'backup-place',
        field: 'AlternateLBA',
        offset: 512 + 0x20,
        found: '32767',
        expected: '65535, the last sector of the device',
      },
      { fault: 'protective-size', offset: ENTRY + 12, found: '32767' },
    ]);
  });

  test('an image that shrank below its table', () => {
    expect(checkTable(resized(gptDisk(), SIZE / 2))).toMatchObject([
      { fault: 'unreadable-gpt', found: '0xee (GPT protective)' },
      {
        fault: 'header',
        field: 'LastUsableLBA',
        found: '32734',
        expected: 'at most 16383, the last sector of the device',
        advice: expect.stringContaining(`truncate -s ${SIZE}`),
      },
      { fault: 'header', structure: 'backup GPT header', field: 'Signature' },
    ]);
  });

  test('no protective MBR, and one of the wrong size', () => {
    expect(checkTable(patch(gptDisk(), ENTRY + 4, 0))).toMatchObject([
      { fault: 'protective-missing', offset: ENTRY, found: 'without an entry of type 0xee from sector 1' },
    ]);
    expect(checkTable(patch(gptDisk(), 510, 0, 0))).toMatchObject([{ fault: 'protective-missing' }]);
    expect(checkTable(patch(gptDisk(), ENTRY + 12, ...u32(77)))).toMatchObject([
      {
        fault: 'protective-size',
        offset: ENTRY + 12,
        found: '77',
        expected: '32767, all sectors but the first',
      },
    ]);
  });

  test('one that is left over below another table', () => {
    const device = gptDisk();
    const editor = MbrEditor.create(device, layoutOf(), { diskIdentifier: 1 });
    editor.setPartition(0, 0x83, 2048, 4095);
    editor.write(device);
    expect(checkTable(device)).toMatchObject([
      {
        fault: 'protective-missing',
        found: 'in use for something else',
        advice: expect.stringContaining('left'),
      },
    ]);
  });

  test('entries beyond the usable sectors, over one another, backwards, and twice with one GUID', () => {
    const device = gptDisk();
    reseal(device, (_primary, _backup, entries) => {
      entries.setBigUint64(0x28, 40000n, true);
    });
    const usable = 'within the usable ones, 2048 to 32734';
    expect(checkTable(device)).toMatchObject([
      { fault: 'outside-usable', partition: 1, offset: 1024 + 0x20, expected: usable },
      { fault: 'overlap', partition: 2, found: '4096', expected: 'at least 40001, behind partition 1' },
    ]);
    reseal(device, (_primary, _backup, entries) => {
      entries.setBigUint64(0x28, 2000n, true);
      for (let i = 0; i < 16; i++) entries.setUint8(128 + 16 + i, entries.getUint8(16 + i));
    });
    expect(checkTable(device)).toMatchObject([
      { fault: 'zero-length', partition: 1, field: 'EndingLBA', expected: 'at least StartingLBA, 2048' },
      { fault: 'duplicate-guid', partition: 2, offset: 1024 + 128 + 0x10, found: GPT_UUIDS[0] },
    ]);
  });

  test('usable sectors that are not free', () => {
    const device = gptDisk();
    reseal(device, (primary, backup) => {
      for (const header of [primary, backup]) {
        GptHeader.FirstUsableLBA.set(header.view, 0, 20);
        GptHeader.LastUsableLBA.set(header.view, 0, last);
      }
    });
    expect(checkTable(device)).toMatchObject([
      { fault: 'usable-range', field: 'FirstUsableLBA', offset: 512 + 0x28, found: '20' },
      {
        fault: 'usable-range',
        field: 'LastUsableLBA',
        offset: 512 + 0x30,
        found: '32767',
        expected: 'at most 32734, before the backup table',
      },
    ]);
  });

  test('sectors of 4096 bytes', () => {
    expect(checkTable(gptDisk(64 << 20, 4096))).toMatchObject([{ fault: 'sector-size' }]);
  });
});

describe('What is wrong with a BSD disklabel is found:', () => {
  const label = 4096 * 512 + 512;

  test('a checksum that is not that of its words, and partitions over one another', () => {
    expect(checkTable(bsdDisk())).toEqual([]);
    const sum = readBytes(bsdDisk(), label + 0x88, 2);
    const hex = (low: number, high: number): string =>
      `0x${((high << 8) | low).toString(16).padStart(4, '0')}`;
    // The words of a partition's place change from 5112 to 5111, and so does the checksum.
    expect(checkTable(patch(bsdDisk(), label + 0x94 + 16 + 4, ...u32(5111)))).toMatchObject([
      {
        fault: 'label-checksum',
        structure: 'BSD disklabel in partition 2',
        field: 'd_checksum',
        offset: label + 0x88,
        found: hex(sum[0]!, sum[1]!),
        expected: hex(sum[0]! ^ (5111 & 0xff) ^ (5112 & 0xff), sum[1]!),
      },
      {
        fault: 'overlap',
        structure: 'partition b of the BSD disklabel in partition 2',
        offset: label + 0x94 + 16 + 4,
        found: 'sector 5111',
        expected: 'at least 5112, the end of a',
      },
    ]);
  });
});
