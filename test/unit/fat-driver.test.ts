import { describe, expect, it } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { readBytes } from '../../src/device/block-device.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { CorruptImageError } from '../../src/errors.ts';
import { ExtendedBpb32, FsInfo } from '../../src/filesystem/fat/boot-sector.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { formatFat } from '../../src/filesystem/fat/format.ts';
import { geometryOf } from '../../src/filesystem/fat/geometry.ts';
import { FAT_ENTRY_CODECS } from '../../src/filesystem/fat/fat-entry-codec.ts';
import { decodeTime, encodeTime } from '../../src/filesystem/fat/times.ts';
import { DosAttribute } from '../../src/filesystem/file-system.ts';
import {
  allocatedBytes,
  contentOf,
  floppy,
  image,
  namesIn,
  newFile,
  volume,
} from '../support/fat-volumes.ts';

describe('An entry of the table', () => {
  it('of FAT12 shares its middle byte with its neighbour', () => {
    // Clusters 2 and 3 with values 0xabc and 0x123: Microsoft FAT specification 1.03, section 4.1.
    const view = viewOf(new Uint8Array([0xf0, 0xff, 0xff, 0xbc, 0x3a, 0x12]));
    const codec = FAT_ENTRY_CODECS.fat12;
    expect([0, 1, 2, 3].map((index) => codec.get(view, index))).toEqual([0xff0, 0xfff, 0xabc, 0x123]);
    codec.set(view, 2, 0x456);
    codec.set(view, 3, 0x789);
    expect([...new Uint8Array(view.buffer)]).toEqual([0xf0, 0xff, 0xff, 0x56, 0x94, 0x78]);
  });

  it('of FAT32 keeps its four reserved bits', () => {
    const view = viewOf(new Uint8Array([0x78, 0x56, 0x34, 0xa2]));
    expect(FAT_ENTRY_CODECS.fat32.get(view, 0)).toBe(0x0234_5678);
    FAT_ENTRY_CODECS.fat32.set(view, 0, 0x0fff_ffff);
    expect(view.getUint32(0, true)).toBe(0xafff_ffff);
  });
});

describe('A time', () => {
  it.each([
    // 1996-11-17T22:33:44: day 17, month 11, year 16; hour 22, minute 33, two-second 22.
    [848_270_024, { date: (16 << 9) | (11 << 5) | 17, time: (22 << 11) | (33 << 5) | 22 }],
    [315_532_800, { date: (1 << 5) | 1, time: 0 }],
    [951_827_696, { date: (20 << 9) | (2 << 5) | 29, time: (12 << 11) | (34 << 5) | 28 }],
    [4_354_819_198, { date: (127 << 9) | (12 << 5) | 31, time: (23 << 11) | (59 << 5) | 29 }],
  ])('%d is the date and time of the specification', (seconds, { date, time }) => {
    expect(encodeTime({ seconds, nanoseconds: 0 }, 0)).toMatchObject({ date, time });
    expect(decodeTime(date, time, 0, 0).seconds).toBe(seconds);
  });

  it('agrees with the calendar on every day from 1980 to 2107', () => {
    for (let seconds = 315_532_800; seconds < 4_354_819_200; seconds += 86_400) {
      const { date } = encodeTime({ seconds, nanoseconds: 0 }, 0);
      const day = new Date(seconds * 1000);
      if (
        date >> 9 !== day.getUTCFullYear() - 1980 ||
        ((date >> 5) & 15) !== day.getUTCMonth() + 1 ||
        (date & 31) !== day.getUTCDate()
      )
        throw new Error(`${day.toISOString()} became ${date.toString(16)}`);
    }
  });

  it('is local time, and what FAT cannot hold becomes its nearest end', () => {
    const noon = { seconds: 1_000_000_000, nanoseconds: 990_000_000 };
    const there = encodeTime(noon, 120);
    expect(there).toEqual(encodeTime({ seconds: 1_000_007_200, nanoseconds: 990_000_000 }, 0));
    expect(decodeTime(there.date, there.time, there.hundredths, 120)).toEqual(noon);
    expect(encodeTime({ seconds: -5, nanoseconds: 0 }, 0)).toEqual({ date: 0x21, time: 0, hundredths: 0 });
    expect(encodeTime({ seconds: 5e9, nanoseconds: 0 }, 0)).toEqual({
      date: 0xff9f,
      time: 0xbf7d,
      hundredths: 199,
    });
  });
});

describe('A file', () => {
  it('keeps its number when it is renamed', () => {
    const fs = floppy();
    const file = newFile(fs, 'one', new Uint8Array([1, 2, 3]));
    const folder = fs.create(fs.root, 'folder', { kind: 'directory' });
    fs.rename(fs.root, 'one', folder, 'a longer name than before');
    expect(fs.lookup(folder, 'A LONGER NAME THAN BEFORE')).toBe(file);
    expect([...contentOf(fs, file)]).toEqual([1, 2, 3]);
  });

  it('can change nothing but the case of its name', () => {
    const fs = floppy();
    const file = newFile(fs, 'readme.txt');
    fs.rename(fs.root, 'readme.txt', fs.root, 'README.txt');
    expect([...fs.entries(fs.root)]).toMatchObject([{ name: 'README.txt', node: file }]);
  });

  it('lives on without a name while it is retained, and its space comes back afterwards', () => {
    const fs = floppy();
    const { freeBlocks } = fs.usage();
    const file = newFile(fs, 'open', new Uint8Array(5000).fill(9));
    fs.retain(file);
    fs.retain(file);
    fs.unlink(fs.root, 'open');
    newFile(fs, 'other', new Uint8Array(9000).fill(1));
    fs.unlink(fs.root, 'other');
    fs.write(file, 5000, new Uint8Array(3000).fill(9));
    expect(contentOf(fs, file)).toEqual(new Uint8Array(8000).fill(9));
    expect(fs.attributes(file).linkCount).toBe(0);
    fs.release(file);
    expect(contentOf(fs, file)).toHaveLength(8000);
    fs.release(file);
    expect(() => fs.attributes(file)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(fs.usage().freeBlocks).toBe(freeBlocks);
  });

  it('reads as zeros where nothing was written, also over what was deleted before', () => {
    const fs = floppy();
    newFile(fs, 'old', new Uint8Array(60_000).fill(0xee));
    fs.unlink(fs.root, 'old');
    fs.sync();
    const file = newFile(fs, 'new', new Uint8Array(100).fill(1));
    fs.write(file, 20_000, new Uint8Array(100).fill(2));
    fs.setAttributes(file, { size: 30_000 });
    const expected = new Uint8Array(30_000).fill(1, 0, 100).fill(2, 20_000, 20_100);
    expect(contentOf(fs, file)).toEqual(expected);
  });

  it('that grows by zeros takes no space on a sparse device', () => {
    const fs = volume(1 << 30);
    const before = allocatedBytes(fs);
    const file = newFile(fs, 'large');
    fs.setAttributes(file, { size: 800 << 20 });
    fs.sync();
    // The tables' entries only: 2 bytes a cluster of 16 KiB or 4 of 8 KiB, twice, in chunks of 64 KiB.
    expect(allocatedBytes(fs) - before).toBeLessThan(2 << 20);
    // The device knows holes in chunks of 64 KiB, and the first one is shared with the tables.
    const extents = [...fs.extents(file)];
    expect(extents.at(-1)).toMatchObject({ kind: 'zero' });
    expect(extents.at(-1)!.length).toBeGreaterThan((800 << 20) - (1 << 16));
    expect(extents.reduce((sum, { length }) => sum + length, 0)).toBe(800 << 20);
    const tail = new Uint8Array(10).fill(1);
    expect(fs.read(file, (800 << 20) - 5, tail)).toBe(5);
    expect([...tail]).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
  });

  it('goes up to 4 GiB less one byte', () => {
    const fs = volume(5 * 2 ** 30, { fatBits: 32 });
    const file = newFile(fs, 'huge');
    fs.write(file, 0xffff_fffe, new Uint8Array([0x5a]));
    expect(fs.attributes(file).size).toBe(0xffff_ffff);
    expect(() => fs.write(file, 0xffff_ffff, new Uint8Array(1))).toThrow(
      expect.objectContaining({ code: 'EFBIG' }),
    );
    fs.close();
    const again = FatFileSystem.open(fs.device);
    const last = new Uint8Array(4);
    expect(again.read(again.lookup(again.root, 'huge')!, 0xffff_fffe, last)).toBe(1);
    expect(last[0]).toBe(0x5a);
  });

  it('is placed in one piece where it is said how long it will be', () => {
    const fs = floppy();
    const holes = Array.from({ length: 20 }, (_, i) => newFile(fs, `h${i}`, new Uint8Array(2000)));
    expect(holes).toHaveLength(20);
    for (let i = 0; i < 20; i += 2) fs.unlink(fs.root, `h${i}`);
    fs.sync();
    const file = fs.create(fs.root, 'whole', { kind: 'file', expectedSize: 30_000 });
    for (let offset = 0; offset < 30_000; offset += 3000)
      fs.write(file, offset, new Uint8Array(3000).fill(7));
    expect([...fs.placement(file)]).toEqual([
      { fileOffset: 0, deviceOffset: expect.any(Number), length: 30_000 },
    ]);
    const { deviceOffset } = [...fs.placement(file)][0]!;
    expect(readBytes(fs.device, deviceOffset, 30_000)).toEqual(new Uint8Array(30_000).fill(7));
  });

  it('keeps its DOS attributes, and read-only is the only mode', () => {
    const fs = floppy();
    const { hidden, system, readOnly, archive } = DosAttribute;
    const file = fs.create(fs.root, 'io.sys', { kind: 'file', dosAttributes: hidden | system | readOnly });
    expect(fs.attributes(file)).toMatchObject({ dosAttributes: hidden | system | readOnly, mode: 0o444 });
    fs.setAttributes(file, { mode: 0o600 });
    expect(fs.attributes(file)).toMatchObject({ dosAttributes: hidden | system, mode: 0o644 });
    fs.setAttributes(file, { dosAttributes: archive | DosAttribute.directory | DosAttribute.volumeId });
    expect(fs.attributes(file)).toMatchObject({ dosAttributes: archive, kind: 'file' });
    fs.setAttributes(file, { mode: 0o444 });
    expect(fs.attributes(file)).toMatchObject({ dosAttributes: archive | readOnly, mode: 0o444 });
  });

  it('keeps its times in the steps of each', () => {
    const fs = floppy({ clock: () => ({ seconds: 1_700_000_001, nanoseconds: 0 }), utcOffsetMinutes: -300 });
    const file = fs.create(fs.root, 'x', {
      kind: 'file',
      mtime: { seconds: 1_500_000_003, nanoseconds: 5 },
      birthtime: { seconds: 1_400_000_003, nanoseconds: 123_456_789 },
    });
    fs.close();
    const again = FatFileSystem.open(fs.device, { utcOffsetMinutes: -300 });
    const found = again.attributes(again.lookup(again.root, 'x')!);
    expect(found.mtime).toEqual({ seconds: 1_500_000_002, nanoseconds: 0 });
    expect(found.birthtime).toEqual({ seconds: 1_400_000_003, nanoseconds: 120_000_000 });
    expect(file).toBeDefined();
  });

  it('that is written to gets a new time and the archive bit', () => {
    let seconds = 1_700_000_000;
    const fs = floppy({ clock: () => ({ seconds, nanoseconds: 0 }) });
    const file = fs.create(fs.root, 'x', { kind: 'file', dosAttributes: 0 });
    seconds += 100;
    fs.write(file, 0, new Uint8Array(1));
    expect(fs.attributes(file).mtime.seconds).toBe(1_700_000_100);
    expect(fs.attributes(file).dosAttributes).toBe(DosAttribute.archive);
  });
});

describe('A volume', () => {
  it('keeps every FAT the same', () => {
    const fs = volume(8 << 20, { fatCount: 3 });
    for (let i = 0; i < 40; i++) newFile(fs, `file ${i}`, new Uint8Array(i * 1000));
    for (let i = 0; i < 40; i += 3) fs.unlink(fs.root, `file ${i}`);
    fs.close();
    const bytes = image(fs);
    const { fatOffset, fatSize } = geometryOf(bytes);
    const fats = [0, 1, 2].map((copy) =>
      bytes.subarray(fatOffset + copy * fatSize, fatOffset + (copy + 1) * fatSize),
    );
    expect(Buffer.compare(fats[0]!, fats[1]!)).toBe(0);
    expect(Buffer.compare(fats[0]!, fats[2]!)).toBe(0);
    expect(fats[0]!.some((byte, i) => i > 4 && byte !== 0)).toBe(true);
  });

  it('writes only the active FAT where mirroring is off', () => {
    const device = new MemoryDevice(34 << 20);
    formatFat(device, { volumeId: 1, fatBits: 32 });
    const sector = readBytes(device, 0, 512);
    ExtendedBpb32.BPB_ExtFlags.set(viewOf(sector), 0, 0x81);
    device.write(0, sector);
    const { fatOffset, fatSize } = geometryOf(sector);
    const first = readBytes(device, fatOffset, fatSize);
    const fs = FatFileSystem.open(device);
    newFile(fs, 'file', new Uint8Array(5000).fill(3));
    fs.close();
    expect(Buffer.compare(readBytes(device, fatOffset, fatSize), first)).toBe(0);
    const again = FatFileSystem.open(device);
    expect(contentOf(again, again.lookup(again.root, 'file')!)).toEqual(new Uint8Array(5000).fill(3));
  });

  it('keeps FSInfo right', () => {
    const fs = volume(34 << 20, { fatBits: 32 });
    const info = (): number => FsInfo.FSI_Free_Count.get(viewOf(readBytes(fs.device, 512, 512)), 0);
    const before = info();
    const { clusterSize } = geometryOf(readBytes(fs.device, 0, 512));
    newFile(fs, 'file', new Uint8Array(10 * clusterSize));
    fs.sync();
    expect(info()).toBe(before - 10);
    expect(fs.usage().freeBlocks).toBe(before - 10);
    fs.unlink(fs.root, 'file');
    expect(fs.usage().freeBlocks).toBe(before);
    fs.close();
    expect(info()).toBe(before);
  });

  it('is marked dirty from the first change to the end', () => {
    const fs = floppy();
    const flag = (): number => readBytes(fs.device, 0x25, 1)[0]!;
    expect(flag()).toBe(0);
    newFile(fs, 'x');
    fs.sync();
    expect(flag()).toBe(1);
    fs.close();
    expect(flag()).toBe(0);
  });

  it('that came dirty stays marked', () => {
    const fs = floppy();
    fs.device.write(0x25, new Uint8Array([1]));
    const again = FatFileSystem.open(fs.device);
    newFile(again, 'x');
    again.close();
    expect(readBytes(fs.device, 0x25, 1)[0]).toBe(1);
  });

  it('has a label in the root and in both boot sectors, and a serial', () => {
    const fs = volume(34 << 20, { fatBits: 32, label: 'FIRST' });
    expect([fs.label, fs.uuid]).toEqual(['FIRST', '1234-ABCD']);
    fs.label = 'Größer';
    const text = (offset: number): string => Buffer.from(readBytes(fs.device, offset, 11)).toString('latin1');
    expect([text(0x47), text(6 * 512 + 0x47)]).toEqual(['Gr\x94\xe1er     ', 'Gr\x94\xe1er     ']);
    expect(FatFileSystem.open(fs.device).label).toBe('Größer');
    fs.label = '';
    expect([FatFileSystem.open(fs.device).label, text(0x47)]).toEqual(['', 'NO NAME    ']);
    expect(namesIn(fs)).toEqual([]);
  });

  it('tells the label of the boot sector where the root has none', () => {
    const fs = floppy();
    fs.device.write(0x2b, new Uint8Array(Buffer.from('OLD DOS    ')));
    expect(FatFileSystem.open(fs.device).label).toBe('OLD DOS');
  });

  it('that is full takes nothing, and takes again what was deleted, before it is synced', () => {
    const fs = floppy();
    const { freeBlocks, blockSize } = fs.usage();
    newFile(fs, 'most', new Uint8Array((freeBlocks - 2) * blockSize).fill(1));
    const small = newFile(fs, 'small', new Uint8Array(blockSize).fill(2));
    expect(() => fs.write(small, blockSize, new Uint8Array(blockSize + 1))).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    );
    expect(fs.attributes(small).size).toBe(blockSize);
    fs.unlink(fs.root, 'most');
    fs.write(small, 0, new Uint8Array(100 * blockSize).fill(3));
    expect(contentOf(fs, small)).toEqual(new Uint8Array(100 * blockSize).fill(3));
  });

  it('of 1 TiB is opened with a few small reads', () => {
    const memory = new MemoryDevice(2 ** 40);
    formatFat(memory, { volumeId: 1, fatBits: 32 });
    let bytes = 0;
    const counting = new FaultDevice(memory);
    const read = counting.read.bind(counting);
    counting.read = (offset, into) => {
      bytes += into.length;
      read(offset, into);
    };
    const fs = FatFileSystem.open(counting);
    newFile(fs, 'x', new Uint8Array(1000));
    fs.close();
    expect(bytes).toBeLessThan(1 << 18);
  });

  it('keeps a table right that is larger than what is kept of it in memory', () => {
    const fs = volume(2 ** 31, { fatBits: 32, sectorsPerCluster: 1 });
    const { fatSize } = geometryOf(readBytes(fs.device, 0, 512));
    expect(fatSize).toBeGreaterThan(12 << 20);
    const before = fs.usage().freeBlocks;
    const mark = new Uint8Array([1, 2, 3, 4]);
    const sizes = [900_000_001, 600_000_003, 400_000_007];
    for (const size of sizes) fs.write(newFile(fs, `${size} bytes`), size - 4, mark);
    fs.unlink(fs.root, `${sizes[1]} bytes`);
    const late = newFile(fs, 'late');
    fs.write(late, 700_000_000, mark);
    fs.close();
    const again = FatFileSystem.open(fs.device);
    const tail = new Uint8Array(8);
    for (const [name, size] of [
      ...sizes.map((n) => [`${n} bytes`, n] as const),
      ['late', 700_000_004] as const,
    ]) {
      const file = again.lookup(again.root, name);
      if (size === sizes[1]) expect(file).toBeUndefined();
      else {
        again.read(file!, size - 8, tail);
        expect([...tail]).toEqual([0, 0, 0, 0, 1, 2, 3, 4]);
      }
    }
    const clusters = (bytes: number): number => Math.ceil(bytes / 512);
    const used = clusters(sizes[0]!) + clusters(sizes[2]!) + clusters(700_000_004);
    expect(again.usage().freeBlocks).toBe(before - used);
    const [first, second] = [0, 1].map((copy) => readBytes(fs.device, 32 * 512 + copy * fatSize, fatSize));
    expect(Buffer.compare(first!, second!)).toBe(0);
    expect(geometryOf(readBytes(fs.device, 0, 512)).fatOffset).toBe(32 * 512);
  });

  it('loses nothing that was written when a write fails', () => {
    const memory = new MemoryDevice(1440 * 1024);
    formatFat(memory, { volumeId: 1 });
    const first = FatFileSystem.open(memory);
    newFile(first, 'kept', new Uint8Array(3000).fill(4));
    first.close();
    const fs = FatFileSystem.open(new FaultDevice(memory, { failWritesFrom: 0 }));
    const kept = fs.lookup(fs.root, 'kept')!;
    expect(() => fs.write(kept, 3000, new Uint8Array(200_000))).toThrow(
      expect.objectContaining({ code: 'EIO' }),
    );
    expect(fs.attributes(kept).size).toBe(3000);
    const again = FatFileSystem.open(memory);
    expect(contentOf(again, again.lookup(again.root, 'kept')!)).toEqual(new Uint8Array(3000).fill(4));
  });

  it.each([1024, 2048, 4096])('with sectors of %d bytes is written and read', (sectorSize) => {
    for (const fatBits of [12, 16, 32] as const) {
      const size = fatBits === 16 ? 6000 * sectorSize : 1500 * sectorSize;
      const fs = volume(size, { fatBits, sectorSize, sectorsPerCluster: 1 });
      const file = newFile(fs, 'some file', new Uint8Array(3 * sectorSize + 1).fill(6));
      expect(fs.usage().blockSize).toBe(sectorSize);
      fs.close();
      const again = FatFileSystem.open(fs.device);
      expect(contentOf(again, again.lookup(again.root, 'SOME FILE')!)).toEqual(
        new Uint8Array(3 * sectorSize + 1).fill(6),
      );
      expect(file).toBeGreaterThan(0);
    }
  });

  it('whose root does not begin at cluster 2 is read from where it begins', () => {
    const fs = volume(34 << 20, { fatBits: 32 });
    newFile(fs, 'in the way', new Uint8Array(1));
    const folder = fs.create(fs.root, 'NEWROOT', { kind: 'directory' });
    fs.create(folder, 'inside', { kind: 'file' });
    fs.close();
    const sector = readBytes(fs.device, 0, 512);
    ExtendedBpb32.BPB_RootClus.set(viewOf(sector), 0, 4);
    fs.device.write(0, sector);
    expect(namesIn(FatFileSystem.open(fs.device))).toEqual(['inside']);
  });

  it('whose device lies is a damaged one', () => {
    const fs = floppy();
    expect(() => FatFileSystem.open(MemoryDevice.from(image(fs).slice(0, 9000)))).toThrow(CorruptImageError);
  });
});
