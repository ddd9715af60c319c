import fs from 'node:fs';
import { isZero } from '../../src/bytes/is-zero.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { BsdDisklabelEditor } from '../../src/partition/bsd-disklabel-editor.ts';
import { diskLayout } from '../../src/partition/disk-layout.ts';
import { GptEditor } from '../../src/partition/gpt-editor.ts';
import { GptHeader, HeaderSector } from '../../src/partition/gpt-header.ts';
import { LINUX_FILESYSTEM } from '../../src/partition/gpt-type.ts';
import { MbrEditor } from '../../src/partition/mbr-editor.ts';

/** Sound tables, and ways to spoil them one field at a time. */

export const DISK_SIZE = 16 << 20;
/** Byte offset of the first entry of a boot record; each next one is 16 bytes further. */
export const ENTRY = 0x1be;
/** Byte offsets of the two extended boot records of `mbrDisk`. */
export const FIRST_EBR = 8192 * 512;
export const SECOND_EBR = 12288 * 512;
export const GPT_UUIDS = ['F7113A05-2C06-004D-B88E-458F6EE9B46F', '0B1E2A33-4455-4667-8899-AABBCCDDEEFF'];

export function layoutOf(size = DISK_SIZE, sectorSize = 512): ReturnType<typeof diskLayout> {
  const geometry = { cylinders: 0, heads: 255, sectorsPerTrack: 63 };
  return diskLayout({ size, sectorSize, geometry, dosCompatible: false });
}

/** Partition 1 at 2048, 2 at 4096, the extended one 3 from 8192 to the end with 5 at 10240 and 6 at 14336. */
export function mbrDisk(sectorSize = 512): MemoryDevice {
  const device = new MemoryDevice(DISK_SIZE * (sectorSize / 512));
  const editor = MbrEditor.create(device, layoutOf(device.size, sectorSize), { diskIdentifier: 0x1234_5678 });
  editor.setPartition(0, 0x83, 2048, 4095);
  editor.setPartition(1, 0x0c, 4096, 8191);
  editor.setPartition(2, 0x05, 8192, 32767);
  for (const start of [10240, 14336]) {
    const index = editor.addSlot();
    editor.placeTable(index, index === 4 ? 8192 : start - 2048);
    editor.setPartition(index, 0x83, start, start + 2047);
  }
  editor.write(device);
  return device;
}

/** An MBR whose partition 2 holds a disklabel with a from 4112 to 5111 and b from 5112 to 7111. */
export function bsdDisk(): MemoryDevice {
  const device = new MemoryDevice(DISK_SIZE);
  const mbr = MbrEditor.create(device, layoutOf(), { diskIdentifier: 0x1234_5678 });
  mbr.setPartition(0, 0x83, 2048, 4095);
  mbr.setPartition(1, 0xa5, 4096, 8191);
  mbr.write(device);
  const slice = { startSector: 4096, sectorCount: 4096 };
  const label = BsdDisklabelEditor.create(layoutOf(), { slice });
  label.setPartition(0, { startSector: 4112, sectorCount: 1000, type: 7 });
  label.setPartition(1, { startSector: 5112, sectorCount: 2000, type: 1 });
  label.write(device);
  return device;
}

/** Two partitions of 100 sectors, at 1 and at 2 MiB. */
export function gptDisk(size = DISK_SIZE, sectorSize = 512): MemoryDevice {
  const device = new MemoryDevice(size);
  const editor = GptEditor.create(device, layoutOf(size, sectorSize), {
    diskGuid: '51E32BE6-9CA0-074E-B7FF-30FAB0604E01',
  });
  for (const [index, uuid] of GPT_UUIDS.entries()) {
    const startSector = (1 + index) * ((1 << 20) / sectorSize);
    const endSector = startSector + 99;
    editor.setPartition(index, { type: LINUX_FILESYSTEM, uuid, startSector, endSector });
  }
  editor.write(device);
  return device;
}

/** The same bytes on a larger or smaller device. */
export function resized(device: BlockDevice, size: number): MemoryDevice {
  const result = new MemoryDevice(size);
  result.write(0, readBytes(device, 0, Math.min(size, device.size)));
  return result;
}

/** The device as a sparse file. Returns its name. */
export function writeImage(file: string, device: BlockDevice): string {
  fs.rmSync(file, { force: true });
  const fd = fs.openSync(file, 'w');
  fs.ftruncateSync(fd, device.size);
  for (let offset = 0; offset < device.size; offset += 1 << 16) {
    const chunk = readBytes(device, offset, Math.min(1 << 16, device.size - offset));
    if (!isZero(chunk)) fs.writeSync(fd, chunk, 0, chunk.length, offset);
  }
  fs.closeSync(fd);
  return file;
}

/** Changes headers or entries of `gptDisk` and makes the CRCs of both tables right again. */
export function reseal(
  device: MemoryDevice,
  change: (primary: HeaderSector, backup: HeaderSector, entries: DataView) => void,
): MemoryDevice {
  const last = device.size / 512 - 1;
  const primary = new HeaderSector(readBytes(device, 512, 512));
  const backup = new HeaderSector(readBytes(device, last * 512, 512));
  const entries = readBytes(device, 1024, 128 * 128);
  change(primary, backup, viewOf(entries));
  for (const header of [primary, backup]) {
    header.seal(entries);
    device.write(header.tableLba * 512, entries);
  }
  device.write(512, primary.bytes);
  device.write(last * 512, backup.bytes);
  return device;
}

export function patch(device: MemoryDevice, offset: number, ...bytes: number[]): MemoryDevice {
  device.write(offset, Uint8Array.from(bytes));
  return device;
}

export function u32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
}

/** The first sector of a FAT16 volume that says that so many sectors are before it. */
export function fatBootSector(hiddenSectors: number): Uint8Array {
  const sector = new Uint8Array(512);
  const view = viewOf(sector);
  sector.set([0xeb, 0x3c, 0x90]);
  sector.set(new TextEncoder().encode('mkfs.fat'), 3);
  view.setUint16(0x0b, 512, true);
  sector[0x0d] = 4;
  view.setUint16(0x0e, 1, true);
  sector[0x10] = 2;
  view.setUint16(0x11, 512, true);
  view.setUint16(0x13, 4096, true);
  sector[0x15] = 0xf8;
  view.setUint16(0x16, 4, true);
  view.setUint32(0x1c, hiddenSectors, true);
  sector[0x26] = 0x29;
  sector.set([0x55, 0xaa], 510);
  return sector;
}

function withBoot(device: MemoryDevice, hiddenSectors: number): MemoryDevice {
  device.write(4096 * 512, fatBootSector(hiddenSectors));
  return device;
}

const LAST = DISK_SIZE / 512 - 1;

/** One fault each, by what is wrong; a rule mends it wholly. */
export const MENDABLE: Readonly<Record<string, () => MemoryDevice>> = {
  'primary header': () => patch(gptDisk(), 512 + 0x38, 0xff),
  'primary signature': () => patch(gptDisk(), 512, 0),
  'primary table': () => patch(gptDisk(), 1024 + 300, 0xff),
  'backup header': () => patch(gptDisk(), LAST * 512 + 0x38, 0xff),
  'backup table': () => patch(gptDisk(), (LAST - 32) * 512 + 300, 0xff),
  'no backup at all': () => {
    const device = gptDisk();
    device.write((LAST - 32) * 512, new Uint8Array(33 * 512));
    return device;
  },
  'headers that differ': () => {
    const device = gptDisk();
    const backup = new HeaderSector(readBytes(device, LAST * 512, 512));
    backup.bytes[0x38] = 0xff;
    GptHeader.HeaderCRC32.set(backup.view, 0, backup.computeCrc()!);
    device.write(LAST * 512, backup.bytes);
    return device;
  },
  'an image that grew': () => resized(gptDisk(), 2 * DISK_SIZE),
  'an image that shrank behind its partitions': () => resized(gptDisk(), DISK_SIZE / 2),
  'a protective entry of the wrong size': () => patch(gptDisk(), ENTRY + 12, ...u32(77)),
  'no protective entry': () => patch(gptDisk(), ENTRY + 4, 0),
  'sector 0 of zeros': () => {
    const device = gptDisk();
    device.write(0, new Uint8Array(512));
    return device;
  },
  'sector 0 of zeros and a damaged primary header': () => {
    const device = patch(gptDisk(), 512 + 0x18, 7);
    device.write(0, new Uint8Array(512));
    return device;
  },
  'a GUID twice': () =>
    reseal(gptDisk(), (_primary, _backup, entries) => {
      for (let i = 0; i < 16; i++) entries.setUint8(128 + 16 + i, entries.getUint8(16 + i));
    }),
  'usable sectors that are not free': () =>
    reseal(gptDisk(), (primary, backup) => {
      for (const header of [primary, backup]) {
        GptHeader.FirstUsableLBA.set(header.view, 0, 20);
        GptHeader.LastUsableLBA.set(header.view, 0, LAST);
      }
    }),
  'a partition beyond usable sectors that are too few': () =>
    reseal(gptDisk(), (primary, backup) => {
      for (const header of [primary, backup]) GptHeader.LastUsableLBA.set(header.view, 0, 4000);
    }),
  'an empty entry in a GPT': () =>
    reseal(gptDisk(), (_primary, _backup, entries) => entries.setBigUint64(0x28, 2047n, true)),
  'a chain that returns': () =>
    patch(mbrDisk(), SECOND_EBR + ENTRY + 16 + 4, 5, 0, 0, 0, ...u32(0), ...u32(100)),
  'a chain that leaves the device': () =>
    patch(mbrDisk(), SECOND_EBR + ENTRY + 16 + 4, 5, 0, 0, 0, ...u32(60000), ...u32(100)),
  'an extended boot record without signature': () => patch(mbrDisk(), SECOND_EBR + 510, 0, 0),
  'an extended boot record that is something else': () => {
    const device = mbrDisk();
    device.write(SECOND_EBR, new Uint8Array(512).fill(0x6b));
    return device;
  },
  'an extended partition without a boot record': () => {
    const device = mbrDisk();
    device.write(FIRST_EBR, new Uint8Array(512));
    return device;
  },
  'an extended partition that is too short': () => patch(mbrDisk(), ENTRY + 32 + 12, ...u32(7000)),
  'an empty entry in an MBR': () => patch(mbrDisk(), ENTRY + 12, ...u32(0)),
  'several active partitions': () => patch(patch(mbrDisk(), ENTRY, 0x80), ENTRY + 16, 0x80),
  'C/H/S that are not those of the sectors': () => patch(mbrDisk(), ENTRY + 1, 7, 9),
  'C/H/S of a logical partition': () => patch(mbrDisk(), SECOND_EBR + ENTRY + 1, 7, 9),
  'hidden sectors': () => withBoot(mbrDisk(), 63),
};

/** Faults that only a person can decide. */
export const UNDECIDABLE: Readonly<Record<string, () => MemoryDevice>> = {
  'partitions over one another': () => patch(mbrDisk(), ENTRY + 16 + 8, ...u32(4000)),
  'a partition over the extended one': () => patch(mbrDisk(), ENTRY + 16 + 12, ...u32(5000)),
  'a partition past the end': () => patch(mbrDisk(), ENTRY + 12, ...u32(40000)),
  'a partition over sector 0': () => patch(mbrDisk(), ENTRY + 8, ...u32(0)),
  'a GPT partition past the end': () =>
    reseal(gptDisk(), (_primary, _backup, entries) => entries.setBigUint64(128 + 0x28, 40000n, true)),
  'GPT partitions over one another': () =>
    reseal(gptDisk(), (_primary, _backup, entries) => entries.setBigUint64(0x28, 4100n, true)),
  'an image cut within its partitions': () => resized(gptDisk(), 2 << 20),
  'a GPT below another table': () => {
    const device = gptDisk();
    const editor = MbrEditor.create(device, layoutOf(), { diskIdentifier: 1 });
    editor.setPartition(0, 0x83, 2048, 4095);
    editor.write(device);
    return device;
  },
};
