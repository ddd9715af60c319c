import { describe, expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { readBytes } from '../../src/device/block-device.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
import { BootSector, ExtendedBpb32, FsInfo } from '../../src/filesystem/fat/boot-sector.ts';
import { CODE_PAGES } from '../../src/filesystem/fat/code-page.ts';
import { searchBadBlocks } from '../../src/filesystem/fat/format/bad-blocks.ts';
import { MAX_MESSAGE_LENGTH, prepareMessage } from '../../src/filesystem/fat/format/boot-message.ts';
import type { FormatNote } from '../../src/filesystem/fat/format/format-note.ts';
import { encodeLabel } from '../../src/filesystem/fat/format/label.ts';
import { formatFat } from '../../src/filesystem/fat/format.ts';

const FLOPPY = 1440 * 1024;
const VOLUME_ID = 0x12_34_ab_cd;

function refusal(act: () => void): string | undefined {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(FsError);
    expect(error).toMatchObject({ code: 'EINVAL', syscall: 'format' });
    return (error as FsError).detail;
  }
  throw new Error('expected a refusal');
}

describe('formatFat', () => {
  test('gives a 1.44 MB floppy the layout that DOS gives it', () => {
    const device = new MemoryDevice(FLOPPY);
    const layout = formatFat(device, { volumeId: VOLUME_ID, label: 'BOOT' });
    expect(layout).toMatchObject({ fatBits: 12, clusterCount: 2847, fatSectors: 9, rootEntryCount: 224 });
    const sector = readBytes(device, 0, 62);
    // The parameter block of every DOS-formatted 1.44 MB floppy from byte 11 on.
    expect(Buffer.from(sector.subarray(0x0b, 0x20)).toString('hex')).toBe(
      '000201010002e000400bf00900120002' + '0000000000',
    );
    expect([...sector.subarray(0x27, 0x2b)]).toEqual([0xcd, 0xab, 0x34, 0x12]);
    expect(Buffer.from(sector.subarray(0x2b, 0x3e)).toString()).toBe('BOOT       FAT12   ');
    for (const offset of [512, 512 + 9 * 512]) {
      expect([...readBytes(device, offset, 4)]).toEqual([0xf0, 0xff, 0xff, 0x00]);
    }
    expect(Buffer.from(readBytes(device, 19 * 512, 11)).toString()).toBe('BOOT       ');
  });

  test('puts FSInfo and both backups where the boot sector of FAT32 says', () => {
    const device = new MemoryDevice(64 * 1024 * 1024);
    const layout = formatFat(device, { volumeId: VOLUME_ID, fatBits: 32 });
    const view = viewOf(readBytes(device, 0, 512));
    expect(ExtendedBpb32.BPB_FSInfo.get(view, 0)).toBe(1);
    expect(ExtendedBpb32.BPB_BkBootSec.get(view, 0)).toBe(6);
    expect(readBytes(device, 6 * 512, 1024)).toEqual(readBytes(device, 0, 1024));
    const info = viewOf(readBytes(device, 512, 512));
    expect(FsInfo.FSI_Free_Count.get(info, 0)).toBe(layout.clusterCount - 1);
    expect(FsInfo.FSI_Nxt_Free.get(info, 0)).toBe(2);
  });

  test('writes a few KiB only, on however large a device', () => {
    let written = 0;
    const memory = new MemoryDevice(8 * 2 ** 40);
    const device = new FaultDevice(memory, {
      onWrite: (_, length) => (written += length < 4096 ? length : 0),
    });
    formatFat(device, { volumeId: VOLUME_ID, sectorSize: 4096 });
    expect(written).toBeLessThan(4096);
    const data = [...memory.extents(0, memory.size)].filter(({ kind }) => kind === 'data');
    expect(data.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(4 * 65_536);
  });

  test('leaves no file system when it is interrupted at any write', () => {
    for (let cut = 0; ; cut++) {
      const memory = MemoryDevice.from(new Uint8Array(64 * 1024 * 1024).fill(0xe5, 0, 1 << 20));
      const device = new FaultDevice(memory, { failWritesFrom: cut });
      try {
        formatFat(device, { volumeId: VOLUME_ID, fatBits: 32, label: 'X' });
        expect(cut).toBeGreaterThan(5);
        return;
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' });
      }
      const signature = BootSector.Signature_word.get(viewOf(readBytes(memory, 0, 512)), 0);
      expect(signature).not.toBe(0xaa55);
    }
  });

  test('marks the clusters of bad blocks in every FAT', () => {
    const device = new MemoryDevice(FLOPPY);
    // Block 17 is sectors 34 and 35; the data begins in sector 33, so these are clusters 3 and 4.
    formatFat(device, { volumeId: VOLUME_ID, badBlocks: [17] });
    for (const offset of [512, 512 + 9 * 512]) {
      expect([...readBytes(device, offset, 8)]).toEqual([0xf0, 0xff, 0xff, 0x00, 0x70, 0xff, 0xf7, 0x0f]);
    }
  });

  test('finds the blocks that cannot be read, and only these', () => {
    const memory = MemoryDevice.from(new Uint8Array(FLOPPY).fill(1));
    const badRanges = [
      { offset: 100 * 1024 + 700, length: 1 },
      { offset: 1300 * 1024, length: 2048 },
    ];
    const device = new FaultDevice(memory, { badRanges });
    expect([...searchBadBlocks(device, FLOPPY)]).toEqual([100, 1300, 1301]);
  });

  test('reads nothing where there is a hole', () => {
    const device = new FaultDevice(new MemoryDevice(2 ** 42), {
      badRanges: [{ offset: 0, length: 2 ** 42 }],
    });
    expect([...searchBadBlocks(device, 2 ** 42)]).toEqual([]);
  });

  test('tells each decision', () => {
    const notes: FormatNote[] = [];
    formatFat(new MemoryDevice(40_000 * 1024), {
      volumeId: VOLUME_ID,
      fatBits: 16,
      onNote: (note) => void notes.push(note),
    });
    expect(notes.map(({ kind }) => kind)).toEqual([
      'boot-jump',
      'reserved-sectors',
      'cluster-size-tried',
      'fat-tried',
    ]);
  });

  test.each([
    { sectorsPerCluster: 0 },
    { sectorsPerCluster: 3 },
    { sectorSize: 0 },
    { sectorSize: 1000 },
    { fatCount: 0 },
    { reservedSectors: 0 },
    { geometry: { heads: 2, sectorsPerTrack: 0 } },
    { size: Number.NaN },
  ])("takes %j for a programmer's error", (options) => {
    const device = new MemoryDevice(FLOPPY);
    expect(() => formatFat(device, { volumeId: VOLUME_ID, ...options })).toThrow(RangeError);
  });

  test('refuses before it writes', () => {
    let writes = 0;
    const device = new FaultDevice(new MemoryDevice(FLOPPY), { onWrite: () => writes++ });
    const common = { volumeId: VOLUME_ID };
    expect(refusal(() => formatFat(device, { ...common, fatBits: 16 }))).toContain('too small');
    expect(refusal(() => formatFat(device, { ...common, label: 'A*B' }))).toContain('not allowed');
    expect(refusal(() => formatFat(device, { ...common, label: '日本' }))).toContain('code page 850');
    expect(refusal(() => formatFat(device, { ...common, badBlocks: [3] }))).toContain('before data');
    expect(refusal(() => formatFat(device, { ...common, badBlocks: [1440] }))).toContain('behind the end');
    expect(refusal(() => formatFat(device, { ...common, size: 2 ** 41 }))).toContain('do not fit');
    expect(writes).toBe(0);
    const readOnly = new MemoryDevice(FLOPPY, { readOnly: true });
    expect(() => formatFat(readOnly, common)).toThrow(expect.objectContaining({ code: 'EROFS' }));
  });
});

describe('encodeLabel', () => {
  test('takes bytes above 0x7f from the code page', () => {
    const { bytes, problem } = encodeLabel('ÄØ', CODE_PAGES[850]);
    expect(problem).toBeUndefined();
    expect([...bytes!]).toEqual([0x8e, 0x9d, ...Array<number>(9).fill(0x20)]);
    expect(encodeLabel('ÄØ', CODE_PAGES[437]).missing).toBe('Ø');
  });

  test('takes blanks and NO NAME for no label', () => {
    for (const text of ['', '   ', 'NO NAME', 'NO NAME   ']) {
      expect(encodeLabel(text, CODE_PAGES[437]).bytes).toBeUndefined();
    }
  });
});

describe('prepareMessage', () => {
  test('cuts where the sector ends', () => {
    const { message, truncated } = prepareMessage(new Uint8Array(500).fill(0x41));
    expect(message.length).toBe(MAX_MESSAGE_LENGTH);
    expect(truncated).toBe(true);
  });

  test('expands tabs to columns of eight, counted anew on each line', () => {
    const { message } = prepareMessage(Buffer.from('ab\tc\n\td'));
    expect(Buffer.from(message).toString()).toBe('ab      c\r\n        d');
  });
});
