import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Random } from '../support/random.ts';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';
import { until } from '../support/until.ts';

const MIB = 1 << 20;

let mounted: MountedImage | undefined;

afterEach(async () => {
  await mounted?.close();
  mounted = undefined;
});

function newImage(type: string, blockSize: number): string {
  const image = path.join(temporaryFolder(), 'disk.img');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 64 * MIB);
  const args = ['-q', '-F', '-t', type, '-b', String(blockSize), '-E', 'lazy_itable_init=1', image];
  expect(runTool('mke2fs', args).status).toBe(0);
  return image;
}

function randomBytes(length: number, seed: number): Buffer {
  const random = new Random(seed);
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = random.below(0xffff_ffff);
  return Buffer.from(words.buffer);
}

/** Bytes that the image takes on the host. */
function allocated(image: string): number {
  return fs.statSync(image).blocks * 512;
}

function syncFile(file: string): void {
  const fd = fs.openSync(file, 'r+');
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** A large file, small ones, and some that stay, all synchronised. */
function fill(directory: string): Map<string, Buffer> {
  const kept = new Map<string, Buffer>();
  for (let i = 0; i < 60; i++) {
    const content = randomBytes(4 * (100 + 61 * i), i);
    fs.writeFileSync(path.join(directory, `file ${i}`), content);
    if (i % 3 === 0) kept.set(`file ${i}`, content);
  }
  const large = randomBytes(8 * MIB, 99);
  fs.writeFileSync(path.join(directory, 'large'), large);
  // Its middle goes by a hole, its end by truncation.
  fs.writeFileSync(path.join(directory, 'shorter'), large);
  kept.set('shorter', large.subarray(0, 2 * MIB));
  syncFile(path.join(directory, 'shorter'));
  return kept;
}

async function remove(directory: string, kept: ReadonlyMap<string, Buffer>): Promise<void> {
  const { ffree } = fs.statfsSync(directory);
  const names = fs.readdirSync(directory).filter((name) => name !== 'lost+found' && !kept.has(name));
  for (const name of names) fs.rmSync(path.join(directory, name));
  fs.truncateSync(path.join(directory, 'shorter'), 2 * MIB);
  // They are freed when the kernel forgets them, which other requests may overtake; what is free goes with a flush.
  await until(() => fs.statfsSync(directory).ffree === ffree + names.length);
  syncFile(path.join(directory, 'shorter'));
}

async function expectKept(image: string, kept: ReadonlyMap<string, Buffer>): Promise<void> {
  const checked = runTool('e2fsck', ['-fn', image]);
  expect(checked.status, checked.stdout).toBe(0);
  await mounted!.mount({ readOnly: true });
  for (const [name, content] of kept)
    expect(fs.readFileSync(path.join(mounted!.directory, name)).equals(content), name).toBe(true);
  await mounted!.unmount();
}

/** Of dumpe2fs: bytes of free blocks. */
function freeBytes(image: string): number {
  const { stdout } = runTool('dumpe2fs', ['-h', image]);
  const number = (field: string): number => Number(new RegExp(`^${field}: +(\\d+)$`, 'm').exec(stdout)![1]);
  return number('Free blocks') * number('Block size');
}

describeWithMounts(['mke2fs', 'e2fsck', 'dumpe2fs', 'fstrim'], 'space that is given back to the host', () => {
  it.each([
    ['ext4', 4096],
    ['ext4', 1024],
    ['ext3', 4096],
    ['ext2', 4096],
    ['ext2', 1024],
  ])('makes holes of what is freed, with discard: %s, blocks of %d', async (type, blockSize) => {
    const image = newImage(type, blockSize);
    mounted = new MountedImage(image);
    await mounted.mount({ discard: true });
    const kept = fill(mounted.directory);
    const full = allocated(image);
    await remove(mounted.directory, kept);
    expect(full - allocated(image)).toBeGreaterThan(14 * MIB);
    await mounted.unmount();
    expect(mounted.log).toEqual([]);
    await expectKept(image, kept);
  });

  it('keeps everything without discard', async () => {
    const image = newImage('ext4', 4096);
    mounted = new MountedImage(image);
    await mounted.mount();
    const kept = fill(mounted.directory);
    const full = allocated(image);
    await remove(mounted.directory, kept);
    expect(allocated(image)).toBeGreaterThanOrEqual(full);
    await mounted.unmount();
    await expectKept(image, kept);
  });

  it.each([
    ['ext4', 4096],
    ['ext2', 4096],
    ['ext2', 1024],
  ])('trims when fstrim asks: %s, blocks of %d', async (type, blockSize) => {
    const image = newImage(type, blockSize);
    mounted = new MountedImage(image);
    await mounted.mount();
    const kept = fill(mounted.directory);
    const full = allocated(image);
    await remove(mounted.directory, kept);
    const trimmed = runTool('fstrim', ['-v', mounted.directory]);
    expect(trimmed).toMatchObject({ status: 0, stderr: '' });
    expect(full - allocated(image)).toBeGreaterThan(14 * MIB);
    const bytes = Number(/ \((\d+) bytes\) trimmed\n$/.exec(trimmed.stdout)![1]);
    await mounted.unmount();
    // Pieces that are shorter than a page of the host are left out, as by the kernel.
    const free = freeBytes(image);
    expect(bytes).toBeLessThanOrEqual(free);
    expect(free - bytes).toBeLessThan(blockSize === 4096 ? 1 : MIB / 2);
    await expectKept(image, kept);
  });

  it('refuses a range that is not there, and what is read-only', async () => {
    const image = newImage('ext4', 4096);
    mounted = new MountedImage(image);
    await mounted.mount();
    expect(runTool('fstrim', ['-o', '1G', mounted.directory]).stderr).toContain('Invalid argument');
    expect(runTool('fstrim', ['-l', '1K', mounted.directory]).stderr).toContain('Invalid argument');
    const part = runTool('fstrim', ['-v', '-o', '16M', '-l', '8M', mounted.directory]);
    expect(part.stdout).toContain('8 MiB (8388608 bytes) trimmed');
    await mounted.unmount();
    await mounted.mount({ readOnly: true });
    expect(runTool('fstrim', [mounted.directory]).stderr).toContain('Read-only file system');
    await mounted.unmount();
  });

  it('hands down the group of a directory with grpid', async () => {
    if (process.getuid!() !== 0) return;
    const image = newImage('ext4', 4096);
    mounted = new MountedImage(image);
    await mounted.mount({ groupOfDirectory: true });
    const folder = path.join(mounted.directory, 'folder');
    fs.mkdirSync(folder);
    fs.chownSync(folder, 0, 7);
    fs.writeFileSync(path.join(folder, 'file'), '');
    fs.mkdirSync(path.join(folder, 'inner'));
    expect(fs.statSync(path.join(folder, 'file')).gid).toBe(7);
    expect(fs.statSync(path.join(folder, 'inner'))).toMatchObject({ gid: 7, mode: 0o40755 });
    await mounted.unmount();
  });

  it('refuses journal_checksum where the journal has none', async () => {
    const image = newImage('ext3', 4096);
    mounted = new MountedImage(image);
    await expect(mounted.mount({ journalChecksum: true })).rejects.toThrow(
      'journal_checksum needs checksums of metadata, which the ext3 on loop0 does not have',
    );
  });
});
