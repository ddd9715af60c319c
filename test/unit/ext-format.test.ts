import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixedClock } from '../../src/bytes/time.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError, UnsupportedError } from '../../src/errors.ts';
import { formatExt, planExt } from '../../src/filesystem/ext/format/format.ts';
import { hasSuperblock } from '../../src/filesystem/ext/format/layout.ts';
import type { FormatExtOptions } from '../../src/filesystem/ext/format/parameters.ts';
import { Superblock, SUPERBLOCK_OFFSET } from '../../src/filesystem/ext/superblock.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

const IDENTITY: FormatExtOptions = {
  uuid: new Uint8Array(16).fill(7),
  hashSeed: new Uint8Array(16).fill(9),
  now: fixedClock(1_600_000_000)(),
};
const KIB = 1024;
const MIB = 1024 * KIB;
const FLOPPY = 1440 * KIB;

describe('formatExt', () => {
  it('makes the 1.44 MB floppy that mke2fs reports: 176 inodes, 5 reserved descriptor blocks, 72 reserved blocks', () => {
    const device = new MemoryDevice(FLOPPY);
    formatExt(device, IDENTITY);
    const view = viewOf(device.toBytes().subarray(SUPERBLOCK_OFFSET));
    expect(Superblock.s_inodes_count.get(view, 0)).toBe(176);
    expect(Superblock.s_reserved_gdt_blocks.get(view, 0)).toBe(5);
    expect(Superblock.s_r_blocks_count_lo.get(view, 0)).toBe(72);
    expect(Superblock.s_free_blocks_count_lo.get(view, 0)).toBe(1372);
  });

  it('makes the same bytes twice, and on a device that held something else', () => {
    const fresh = new MemoryDevice(FLOPPY);
    formatExt(fresh, IDENTITY);
    const used = MemoryDevice.from(new Uint8Array(FLOPPY).fill(0xa5));
    formatExt(used, IDENTITY);
    expect(Buffer.from(used.toBytes()).equals(fresh.toBytes())).toBe(true);
  });

  it('writes the primary superblock last', () => {
    const writes: number[] = [];
    const device = new FaultDevice(new MemoryDevice(20 * MIB), { onWrite: (offset) => writes.push(offset) });
    formatExt(device, IDENTITY);
    expect(writes.at(-1)).toBe(SUPERBLOCK_OFFSET);
    expect(writes.slice(0, -1).filter((offset) => offset === SUPERBLOCK_OFFSET)).toEqual([]);
  });

  it.each<[string, Partial<FormatExtOptions>]>([
    ['an external journal', { features: 'journal_dev' }],
    ['quotas with clusters', { type: 'ext4', features: 'quota,bigalloc' }],
  ])('refuses %s by name and writes nothing', (_, options) => {
    const device = new FaultDevice(new MemoryDevice(20 * MIB));
    expect(() => formatExt(device, { ...IDENTITY, ...options })).toThrow(UnsupportedError);
    expect(device.writeCount).toBe(0);
  });

  it.each<[string, number, Partial<FormatExtOptions>]>([
    ['a device without room for its tables', 20 * KIB, {}],
    ['a device without room for lost+found', 64 * KIB, {}],
    ['a block size that is no power of two', 20 * MIB, { blockSize: 3000 }],
    ['more inodes than blocks hold', 20 * MIB, { inodeCount: 100_000 }],
    ['a size beyond the device', MIB, { size: 2 * MIB }],
  ])('refuses %s and writes nothing', (_, size, options) => {
    const device = new FaultDevice(new MemoryDevice(size));
    expect(() => formatExt(device, { ...IDENTITY, ...options })).toThrow(FsError);
    expect(device.writeCount).toBe(0);
  });

  it('puts backups in group 1 and in the powers of 3, 5 and 7', () => {
    const layout = planExt(2 ** 40, IDENTITY);
    const groups = Array.from({ length: 400 }, (_, group) => group).filter((g) => hasSuperblock(layout, g));
    expect(groups).toEqual([0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
  });

  it('keeps a sparse device of 4 TiB sparse', () => {
    const device = new MemoryDevice(2 ** 42);
    formatExt(device, { ...IDENTITY, blockSize: 65536, inodeRatio: 1 << 26 });
    let data = 0;
    for (const extent of device.extents(0, device.size)) if (extent.kind === 'data') data += extent.length;
    expect(data).toBeLessThan(256 * MIB);
  });
});

describe('mkfs', () => {
  const folder = temporaryFolder();

  function image(): string {
    const file = path.join(folder, 'image');
    fs.rmSync(file, { force: true });
    fs.writeFileSync(file, '');
    fs.truncateSync(file, FLOPPY);
    return file;
  }

  function magics(file: string): { ext: number; fat: string } {
    const content = fs.readFileSync(file);
    return { ext: content.readUInt16LE(1080), fat: content.toString('latin1', 54, 59) };
  }

  it('makes ext2 where no type is given, and with -t ext2', async () => {
    for (const options of [[], ['-t', 'ext2'], ['-text2'], ['--type=ext2']]) {
      const file = image();
      expect((await userloop(['mkfs', ...options, '-q', file])).status).toBe(0);
      expect(magics(file).ext).toBe(0xef53);
    }
  });

  it('makes FAT with -t vfat, fat and msdos', async () => {
    for (const type of ['vfat', 'fat', 'msdos']) {
      const file = image();
      expect((await userloop(['mkfs', '-t', type, file])).status).toBe(0);
      expect(magics(file).fat).toBe('FAT12');
    }
  });

  it('says which types there are when it does not know one', async () => {
    const { status, stderr } = await userloop(['mkfs', '-t', 'foo', image()]);
    expect(status).toBe(1);
    expect(stderr).toContain('mkfs: failed to execute mkfs.foo: No such file or directory');
    expect(stderr).toContain('ext2');
  });

  it('prints the command with -V and only that with -VV', async () => {
    const file = image();
    const { stdout, status } = await userloop(['mkfs', '-V', '-V', '-t', 'ext2', file]);
    expect(stdout).toBe(`mkfs from util-linux 2.38.1\nmkfs.ext2 ${file} \n`);
    expect(status).toBe(0);
    expect(magics(file).ext).toBe(0);
  });

  it.each([
    ['mke2fs -J device=journal.img', 'journal lies in the file system'],
    ['mke2fs -O journal_dev', 'journal_dev'],
    ['mke2fs -d nowhere', 'No such file or directory while populating file system'],
  ])('%s is refused with the reason, and the image stays as it was', async (command, reason) => {
    const file = image();
    const { status, stderr } = await userloop([...command.split(' '), file]);
    expect(status).toBe(1);
    expect(stderr).toContain(reason);
    expect(magics(file)).toEqual({ ext: 0, fat: '\0'.repeat(5) });
  });

  it('takes SOURCE_DATE_EPOCH for the time of creation', async () => {
    const file = image();
    await userloop(['mke2fs', '-q', file], { env: { SOURCE_DATE_EPOCH: '1234567890' } });
    expect(fs.readFileSync(file).readUInt32LE(SUPERBLOCK_OFFSET + 0x108)).toBe(1_234_567_890);
  });
});
