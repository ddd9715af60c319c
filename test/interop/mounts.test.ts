import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { BlockView } from '../support/block-view.ts';
import { exerciseFiles } from '../support/file-exerciser.ts';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

let mounted: MountedImage | undefined;

afterEach(async () => {
  await mounted?.close();
  mounted = undefined;
});

function newImage(size: number, tool: string, args: readonly string[]): string {
  const image = path.join(temporaryFolder(), 'disk.img');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, size);
  expect(runTool(tool, [...args, image]).status).toBe(0);
  return image;
}

function expectClean(image: string, tool: 'e2fsck' | 'fsck.fat'): void {
  const result = tool === 'e2fsck' ? runTool('e2fsck', ['-fn', image]) : runTool('fsck.fat', ['-n', image]);
  expect(result.status, `${result.stdout}${result.stderr}`).toBe(0);
}

const STEPS = Number(process.env['USERLOOP_EXERCISE_STEPS'] ?? 4000);
const ROUNDS = Number(process.env['USERLOOP_EXERCISE_ROUNDS'] ?? 20);
const SEED = Number(process.env['USERLOOP_EXERCISE_SEED'] ?? 1);

describeWithMounts(
  ['mke2fs', 'e2fsck', 'debugfs', 'mkfs.fat', 'fsck.fat', 'mdir'],
  'a mounted file system',
  () => {
    it.each([
      ['ext2, blocks of 1 KiB', 'mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '1024'], 'e2fsck', true],
      ['ext2, blocks of 4 KiB', 'mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '4096'], 'e2fsck', true],
      ['ext4, blocks of 1 KiB', 'mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '1024'], 'e2fsck', true],
      ['ext4, blocks of 4 KiB', 'mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096'], 'e2fsck', true],
      ['FAT16', 'mkfs.fat', ['-F', '16'], 'fsck.fat', false],
      ['FAT32', 'mkfs.fat', ['-F', '32', '-s', '1'], 'fsck.fat', false],
    ] as const)(
      'keeps what random operations made of its files: %s',
      async (_, tool, args, judge, punches) => {
        const image = newImage(64 << 20, tool, args);
        mounted = new MountedImage(image);
        await mounted.mount();
        const contents = exerciseFiles(mounted.directory, { steps: STEPS, seed: SEED, punches });
        await mounted.unmount();
        expect(mounted.log).toEqual([]);
        expectClean(image, judge);
        await mounted.mount({ readOnly: true });
        for (const [name, content] of contents)
          expect(Buffer.compare(fs.readFileSync(path.join(mounted.directory, name)), content), name).toBe(0);
        await mounted.unmount();
      },
    );

    it.each([
      ['ext4', 'mke2fs', ['-q', '-F', '-t', 'ext4'], 'e2fsck', true],
      ['FAT32', 'mkfs.fat', ['-F', '32'], 'fsck.fat', false],
    ] as const)('keeps them when writes are long: %s', async (_, tool, args, judge, punches) => {
      const image = newImage(256 << 20, tool, args);
      mounted = new MountedImage(image);
      const view = new BlockView({ ...mounted.share }, 256 << 20);
      const { directory } = await mounted.mount();
      const options = { steps: STEPS / 8, seed: SEED + 2, punches, longest: 4 << 20 };
      const contents = exerciseFiles(directory, options);
      // What has just been written is on the device for whoever reads its blocks.
      const marked = path.join(directory, 'marked');
      const content = Buffer.alloc(5 << 20, 'so that it is found');
      const file = fs.openSync(marked, 'w');
      for (let at = 0; at < content.length; at += 1 << 20) fs.writeSync(file, content, at, 1 << 20);
      fs.closeSync(file);
      const device = await view.copy();
      await view.close();
      const found = Buffer.from(device.toBytes().buffer).indexOf(content.subarray(0, 1 << 20));
      expect(found).toBeGreaterThan(0);
      await mounted.unmount();
      expect(mounted.log).toEqual([]);
      expectClean(image, judge);
      await mounted.mount({ readOnly: true });
      contents.set('marked', content);
      for (const [name, bytes] of contents)
        expect(Buffer.compare(fs.readFileSync(path.join(mounted.directory, name)), bytes), name).toBe(0);
      await mounted.unmount();
    });

    it('keeps them also when the kernel holds writes back', async () => {
      const image = newImage(64 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2']);
      mounted = new MountedImage(image);
      await mounted.mount({ writeBack: true });
      exerciseFiles(mounted.directory, { steps: STEPS, seed: SEED + 1, punches: true });
      await mounted.unmount();
      expect(mounted.log).toEqual([]);
      expectClean(image, 'e2fsck');
    });

    it('shows the size and the use that the kernel shows', async () => {
      const image = newImage(8 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2']);
      mounted = new MountedImage(image);
      const state = await mounted.mount();
      expect(state).toMatchObject({ type: 'ext2', view: 'loop0', readOnly: false });
      const df = runTool('df', ['--output=source,fstype,size,used,avail', mounted.directory]).stdout;
      const [, line] = df.split('\n');
      // As `mount -o loop -t ext2` of the same image.
      expect(line!.split(/\s+/)).toEqual(['/dev/loop177', 'fuse.ext2', '7644', '14', '7221']);
      const { bsize, files } = fs.statfsSync(mounted.directory);
      expect([bsize, files]).toEqual([1024, 2048]);
    });

    it('keeps what was unlinked while it is open, and gives its space back afterwards', async () => {
      const image = newImage(8 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2']);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      const file = path.join(directory, 'gone');
      fs.writeFileSync(file, 'x'.repeat(2_000_000));
      const free = fs.statfsSync(directory).bfree;
      const fd = fs.openSync(file, 'r+');
      fs.unlinkSync(file);
      fs.writeSync(fd, 'y', 100);
      const found = Buffer.alloc(3);
      fs.readSync(fd, found, 0, 3, 99);
      expect(found.toString()).toBe('xyx');
      expect(fs.fstatSync(fd)).toMatchObject({ nlink: 0, size: 2_000_000 });
      expect(fs.statfsSync(directory).bfree).toBe(free);
      fs.closeSync(fd);
      await vi.waitUntil(() => fs.statfsSync(directory).bfree > free + 1900, { timeout: 120_000 });
      await mounted.unmount();
      expectClean(image, 'e2fsck');
    });

    it('comes and goes while others read and write its blocks', async () => {
      const size = 8 << 20;
      const image = newImage(size, 'mke2fs', ['-q', '-F', '-t', 'ext2']);
      mounted = new MountedImage(image);
      const views = [0, 1].map(() => new BlockView(mounted!.share, size));
      const [reader, writer] = views as [BlockView, BlockView];
      let isOver = false;
      const repeat = async (access: () => Promise<unknown>) => {
        while (!isOver) await access();
      };
      const others = [
        repeat(() => reader.read(1024, 1024)),
        // A free block.
        repeat(() => writer.write(size - 1024, new Uint8Array(1024))),
      ];
      for (let round = 0; round < ROUNDS; round++) {
        const { directory } = await mounted.mount();
        fs.writeFileSync(path.join(directory, `file${round}`), 'x'.repeat(round));
        await mounted.unmount();
      }
      isOver = true;
      await Promise.all(others);
      for (const view of views) await view.close();
      expect(mounted.log).toEqual([]);
      expectClean(image, 'e2fsck');
    });

    it.each([
      ['ext2', 'mke2fs', ['-q', '-F', '-t', 'ext2']],
      ['FAT12', 'mkfs.fat', ['-F', '12']],
    ] as const)("stands in nobody's way when its blocks are overwritten: %s", async (_, tool, args) => {
      const size = 8 << 20;
      mounted = new MountedImage(newImage(size, tool, args));
      const { directory } = await mounted.mount();
      fs.writeFileSync(path.join(directory, 'file'), 'x'.repeat(5000));
      const view = new BlockView(mounted.share, size);
      for (const pattern of [0xff, 0]) {
        for (let offset = 0; offset < size; offset += 64 << 10)
          await view.write(offset, Buffer.alloc(64 << 10, pattern));
        // What there is of it may fail, and must come to an end.
        await fs.promises.readdir(directory).catch(() => {});
      }
      expect((await view.read(0, size)).every((byte) => byte === 0)).toBe(true);
      await view.close();
      await mounted.unmount().catch(() => {});
      await mounted.close().catch(() => {});
      mounted = undefined;
    });

    it('keeps what the device does not take, though others write to its blocks', async () => {
      const size = 8 << 20;
      const image = newImage(size, 'mkfs.fat', ['-F', '12']);
      mounted = new MountedImage(image);
      // For the file system every write fails; for the blocks none does.
      const writable = mounted.share.fd;
      const view = new BlockView({ ...mounted.share }, size);
      Object.assign(mounted.share, { fd: fs.openSync(image, 'r') });
      try {
        const { directory } = await mounted.mount();
        const names = ['one', 'two'];
        for (const name of names) fs.closeSync(fs.openSync(path.join(directory, name), 'w'));
        await view.write(size - 512, new Uint8Array(512));
        expect(mounted.log.join()).toMatch(/Writing back failed/);
        expect((await fs.promises.readdir(directory)).sort()).toEqual(names);
        for (const name of names) expect(fs.statSync(path.join(directory, name)).size).toBe(0);
      } finally {
        await view.close();
        await expect(mounted.close()).rejects.toThrow(
          /it is unmounted, but not everything could be written: .*bad file descriptor/i,
        );
        mounted = undefined;
        fs.closeSync(writable);
      }
    });

    it.each([
      ['ext2', 'mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '1024']],
      ['FAT32', 'mkfs.fat', ['-F', '32', '-s', '1']],
    ] as const)('reads large pieces from a cold cache: %s', async (_, tool, options) => {
      const image = newImage(64 << 20, tool, [...options]);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      const content = Buffer.alloc(7_000_001, 'userloop');
      for (let at = 0; at < content.length; at += 512) content.writeUInt32LE(at, Math.min(at, 7_000_001 - 4));
      // Something between the pieces of the file, and a hole where there are holes.
      content.fill(0, 3_000_123, 3_900_000);
      const fd = fs.openSync(path.join(directory, 'large'), 'w');
      fs.writeSync(fd, content, 0, 3_000_123, 0);
      fs.writeFileSync(path.join(directory, 'between'), 'x'.repeat(5000));
      fs.writeSync(fd, content, 3_900_000, content.length - 3_900_000, 3_900_000);
      fs.closeSync(fd);
      await mounted.unmount();
      mounted = new MountedImage(image);
      const again = path.join((await mounted.mount()).directory, 'large');
      // In pieces that begin anywhere, the last ones past the end.
      const reader = fs.openSync(again, 'r');
      const piece = Buffer.alloc(1 << 20);
      for (let at = 5_000_000 + 77; ; at += piece.length) {
        const count = fs.readSync(reader, piece, 0, piece.length, at);
        expect(piece.subarray(0, count).equals(content.subarray(at, at + count))).toBe(true);
        if (at + count >= content.length) break;
      }
      fs.closeSync(reader);
      expect(fs.readFileSync(again).equals(content)).toBe(true);
      // What was written last is read, also where the kernel has to ask for it.
      fs.appendFileSync(again, 'the end');
      expect(fs.readFileSync(again).equals(Buffer.concat([content, Buffer.from('the end')]))).toBe(true);
      await mounted.unmount();
      expectClean(image, tool === 'mke2fs' ? 'e2fsck' : 'fsck.fat');
    });

    it('tells a full disk at the write, and goes on when there is room again', async () => {
      const image = newImage(4 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2', '-m', '0']);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      fs.writeFileSync(path.join(directory, 'small'), 'kept');
      const fd = fs.openSync(path.join(directory, 'large'), 'w');
      const chunk = Buffer.alloc(100_000, 7);
      expect(() => {
        for (let i = 0; i < 100; i++) fs.writeSync(fd, chunk);
      }).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
      fs.closeSync(fd);
      expect(() => fs.writeFileSync(path.join(directory, 'more'), chunk)).toThrow(
        expect.objectContaining({ code: 'ENOSPC' }),
      );
      fs.unlinkSync(path.join(directory, 'large'));
      // The kernel may tell some requests later that nobody has it open.
      await vi.waitUntil(() => fs.statfsSync(directory).bfree > 1000, { timeout: 120_000 });
      fs.writeFileSync(path.join(directory, 'more'), chunk);
      expect(fs.readFileSync(path.join(directory, 'small'), 'latin1')).toBe('kept');
      await mounted.unmount();
      expectClean(image, 'e2fsck');
    });

    it('lists a directory at the same places while it changes', async () => {
      const image = newImage(16 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2', '-N', '8000']);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      for (let i = 0; i < 3000; i++) fs.writeFileSync(path.join(directory, `stays ${i}`), '');
      const walk = fs.opendirSync(directory, { bufferSize: 16 });
      const seen: string[] = [];
      for (let entry = walk.readSync(), i = 0; entry !== null; entry = walk.readSync(), i++) {
        seen.push(entry.name);
        fs.writeFileSync(path.join(directory, `comes ${i}`), '');
        if (i % 2 === 0) fs.unlinkSync(path.join(directory, `comes ${i}`));
      }
      walk.closeSync();
      const staying = seen.filter((name) => name.startsWith('stays'));
      expect(staying.length).toBe(3000);
      expect(new Set(staying).size).toBe(3000);
    });

    it('makes links, pipes, devices and attributes, and hands down the group', async () => {
      const image = newImage(8 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2']);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      const at = (name: string): string => path.join(directory, name);
      fs.writeFileSync(at('a'), 'one');
      fs.linkSync(at('a'), at('b'));
      fs.symlinkSync('x'.repeat(200), at('long'));
      expect(fs.readlinkSync(at('long'))).toBe('x'.repeat(200));
      expect(fs.statSync(at('b'))).toMatchObject({ nlink: 2, ino: fs.statSync(at('a')).ino });
      expect(runTool('mkfifo', [at('pipe')]).status).toBe(0);
      expect(fs.lstatSync(at('pipe')).isFIFO()).toBe(true);
      runTool('touch', ['-a', '-d', '1969-12-31 23:59:54.5', at('a')]);
      runTool('touch', ['-m', '-d', '@4000000000.25', at('a')]);
      expect(fs.statSync(at('a'))).toMatchObject({ atimeMs: -5500, mtimeMs: 4_000_000_000_250 });
      fs.mkdirSync(at('dir'));
      expect(() => fs.renameSync(at('dir'), at('a'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
      expect(() => fs.rmdirSync(directory + '/lost+found/none')).toThrow(
        expect.objectContaining({ code: 'ENOENT' }),
      );
      if (process.getuid!() === 0) {
        fs.chownSync(at('dir'), 0, 1234);
        fs.chmodSync(at('dir'), 0o2775);
        fs.writeFileSync(at('dir/file'), '');
        fs.mkdirSync(at('dir/below'));
        expect(fs.statSync(at('dir/file')).gid).toBe(1234);
        expect(fs.statSync(at('dir/below')).mode & 0o7777).toBe(0o2755);
        fs.chmodSync(at('a'), 0o6755);
        fs.chownSync(at('a'), 7, 8);
        expect(fs.statSync(at('a'))).toMatchObject({ mode: 0o100755, uid: 7, gid: 8 });
      }
      await mounted.unmount();
      expectClean(image, 'e2fsck');
      const shown = runTool('debugfs', ['-R', 'stat /b', image]).stdout;
      expect(shown).toMatch(/Links: 2/);
    });

    it('presents FAT as Linux does', async () => {
      const image = newImage(8 << 20, 'mkfs.fat', ['-F', '12']);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount({
        uid: 1000,
        gid: 100,
        fileMask: 0o133,
        directoryMask: 0o027,
      });
      const at = (name: string): string => path.join(directory, name);
      fs.writeFileSync(at('A Long Name.txt'), 'text');
      fs.mkdirSync(at('Folder'));
      expect(fs.statSync(at('a long NAME.TXT'))).toMatchObject({
        mode: 0o100644,
        uid: 1000,
        gid: 100,
        size: 4,
      });
      expect(fs.statSync(at('Folder')).mode).toBe(0o040750);
      fs.chmodSync(at('A Long Name.txt'), 0o444);
      expect(fs.statSync(at('A Long Name.txt')).mode).toBe(0o100444);
      // What cannot be kept is ignored; what never could is refused.
      fs.chmodSync(at('A Long Name.txt'), 0o400);
      expect(fs.statSync(at('A Long Name.txt')).mode).toBe(0o100444);
      expect(() => fs.chmodSync(at('Folder'), 0o1777)).toThrow(expect.objectContaining({ code: 'EPERM' }));
      expect(() => fs.symlinkSync('x', at('link'))).toThrow(expect.objectContaining({ code: 'EPERM' }));
      expect(() => fs.linkSync(at('A Long Name.txt'), at('link'))).toThrow(
        expect.objectContaining({ code: 'EPERM' }),
      );
      expect(() => fs.writeFileSync(at('what?'), '')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
      // Every spelling leads to the file, and none when it is gone.
      fs.writeFileSync(at('Other.text'), 'x');
      expect(['other.TEXT', 'OTHER~1.TEX', 'OTHER.TEX'].map((name) => fs.existsSync(at(name)))).toEqual([
        true,
        true,
        false,
      ]);
      fs.unlinkSync(at('OTHER~1.TEX'));
      expect(['Other.text', 'other.TEXT', 'OTHER~1.TEX'].some((name) => fs.existsSync(at(name)))).toBe(false);
      expect(fs.readdirSync(directory)).toEqual(['A Long Name.txt', 'Folder']);
      await mounted.unmount();
      expectClean(image, 'fsck.fat');
      expect(runTool('mdir', ['-i', image, '-b', '::/']).stdout).toMatch(/A Long Name\.txt/);
    });

    it('mounts ext4 with blocks that files share for reading, and says why not for more', async () => {
      const image = newImage(16 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext4']);
      runTool('debugfs', ['-w', '-R', 'feature shared_blocks', image]);
      mounted = new MountedImage(image);
      const state = await mounted.mount();
      expect(state).toMatchObject({ type: 'ext4', readOnly: true });
      expect(mounted.log.join()).toMatch(/read-only/);
      expect(() => fs.writeFileSync(path.join(mounted!.directory, 'x'), '')).toThrow(
        expect.objectContaining({ code: 'EROFS' }),
      );
      await mounted.unmount();
      expectClean(image, 'e2fsck');
    });

    it('refuses what is not there, and leaves nothing behind', async () => {
      const image = newImage(4 << 20, 'mkfs.fat', ['-F', '12']);
      mounted = new MountedImage(image);
      await expect(mounted.mount({}, { type: 'ext2' })).rejects.toThrow(/holds fat12, not ext2/);
      await expect(mounted.mount({ fatBits: 16 })).rejects.toThrow(/not FAT with 16 bits/);
      await mounted.mount();
      await expect(mounted.mount()).rejects.toThrow(/mounted already/);
      expect(mounted.mounts.states.length).toBe(1);
    });

    it('names who keeps it busy, and goes lazily all the same', async () => {
      const image = newImage(4 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2']);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      const holder = spawn('sleep', ['100'], { cwd: directory });
      try {
        await once(holder, 'spawn');
        await expect(mounted.unmount()).rejects.toMatchObject({
          code: 'EBUSY',
          holders: [{ pid: holder.pid, command: 'sleep', what: directory }],
        });
        await mounted.mounts.unmount(directory, { lazy: true });
        expect(mounted.mounts.states).toEqual([]);
      } finally {
        holder.kill();
      }
      await mounted.close();
      mounted = undefined;
      expectClean(image, 'e2fsck');
    });

    it('notices that somebody else has unmounted it', async () => {
      const image = newImage(4 << 20, 'mke2fs', ['-q', '-F', '-t', 'ext2']);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      fs.writeFileSync(path.join(directory, 'file'), 'text');
      runTool(
        process.getuid!() === 0 ? 'umount' : 'fusermount3',
        process.getuid!() === 0 ? [directory] : ['-u', directory],
      );
      await vi.waitUntil(() => mounted!.mounts.states.length === 0, { timeout: 120_000 });
      expectClean(image, 'e2fsck');
      expect(runTool('debugfs', ['-R', 'cat /file', image]).stdout).toBe('text');
    });
  },
);
