import fs from 'node:fs';
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { nativeFileOperations } from '../../src/host/native-file.ts';
import {
  describeFiles,
  isMounted,
  type FilesWay,
  ServedFiles,
  type ServedSettings,
} from '../support/device-files.ts';
import { findTool, firstDifference, runTool } from '../support/tools.ts';
import { until } from '../support/until.ts';

const MIB = 1 << 20;
let files: ServedFiles | undefined;

async function serve(way: FilesWay, settings: ServedSettings): Promise<ServedFiles> {
  files = await ServedFiles.start(way, settings);
  return files;
}

afterEach(async () => {
  const folder = files?.folder;
  await files?.stop();
  files = undefined;
  if (folder !== undefined) expect(isMounted(folder)).toBe(false);
});

/** Standard output of a tool that must succeed. */
function ok(served: ServedFiles, tool: string, args: readonly string[], input?: string): string {
  const result = served.run(tool, args, input);
  expect(`${tool} ${args.join(' ')}: ${result.status} ${result.status === 0 ? '' : result.stderr}`).toBe(
    `${tool} ${args.join(' ')}: 0 `,
  );
  return result.stdout;
}

const TWO_PARTITIONS = 'label: dos\n,8M,c\n,,83\n';

for (const way of ['root', 'user', 'namespace'] as const) {
  describeFiles(way, ['sfdisk', 'mkfs.ext4', 'mkfs.fat', 'e2fsck'], 'Device files', () => {
    it('can be partitioned and formatted by the real tools, without a prompt', async () => {
      const served = await serve(way, { size: 32 * MIB });
      expect(served.names()).toEqual(['loop0']);
      const stat = ok(served, 'stat', ['-c', '%a %s %F', 'loop0']);
      expect(stat).toBe(`600 ${32 * MIB} regular file\n`);
      expect(ok(served, 'sfdisk', ['loop0'], TWO_PARTITIONS)).toContain('Syncing disks.');
      expect(served.names()).toEqual(['loop0', 'loop0p1', 'loop0p2']);
      ok(served, 'mkfs.fat', ['loop0p1'], '');
      ok(served, 'mkfs.ext4', ['-q', 'loop0p2'], '');
      ok(served, 'e2fsck', ['-fn', 'loop0p2']);
      ok(served, 'fsck.fat', ['-n', 'loop0p1']);
      expect(ok(served, 'blkid', ['-p', '-o', 'value', '-s', 'TYPE', 'loop0p1'])).toBe('vfat\n');
      ok(served, 'dd', ['if=/dev/zero', 'of=loop0', 'bs=512', 'count=1', 'conv=notrunc']);
      expect(served.names()).toEqual(['loop0']);
      ok(served, 'cmp', ['loop0', served.image]);
      // df leaves out what has no blocks.
      expect(served.run('df', []).stdout).not.toContain(served.folder);
    });
  });
}

describeFiles('root', ['fdisk', 'sfdisk', 'parted', 'sgdisk'], 'Partition files', () => {
  it.each([
    ['fdisk', ['loop0'], 'n\np\n1\n\n+4M\nn\ne\n2\n\n\nn\n\n+3M\nw\n', ['loop0p1', 'loop0p2', 'loop0p5']],
    ['sfdisk', ['-q', 'loop0'], TWO_PARTITIONS, ['loop0p1', 'loop0p2']],
    [
      'parted',
      ['-s', 'loop0', 'mklabel', 'msdos', 'mkpart', 'primary', '1MiB', '100%'],
      undefined,
      ['loop0p1'],
    ],
    ['sgdisk', ['-o', '-n', '1:0:+4M', '-n', '2:0:0', 'loop0'], undefined, ['loop0p1', 'loop0p2']],
  ])('are there when %s has ended', async (tool, args, input, names) => {
    // Publishing takes its time: whoever closes the device waits for it.
    const served = await serve('root', { size: 32 * MIB, publishMilliseconds: 200 });
    ok(served, tool, args, input);
    expect(await served.ask('word publishedGeneration')).toBe(await served.ask('word tableGeneration'));
    expect(served.names()).toEqual(['loop0', ...names]);
    for (const name of names) {
      const fd = fs.openSync(served.file(name), 'r');
      fs.closeSync(fd);
    }
    ok(served, 'sfdisk', ['--delete', 'loop0']);
    expect(served.names()).toEqual(['loop0']);
  });

  it('lead to their part, also after another has taken the name', async () => {
    const served = await serve('root', { size: 32 * MIB });
    ok(served, 'sfdisk', ['-q', 'loop0'], 'label: dos\nstart=2048,size=2048\n');
    fs.writeFileSync(served.file('loop0p1'), 'first', { flag: 'r+' });
    const old = fs.openSync(served.file('loop0p1'), 'r+');
    ok(served, 'sfdisk', ['-q', 'loop0'], 'label: dos\nstart=8192,size=4096\n');
    const buffer = Buffer.alloc(5);
    const now = fs.openSync(served.file('loop0p1'), 'r+');
    expect(fs.fstatSync(now).size).toBe(2 * MIB);
    fs.readSync(now, buffer, 0, 5, 0);
    expect(buffer).toEqual(Buffer.alloc(5));
    fs.writeSync(now, 'other', 0);
    // The one that was there is gone, as on a device: it does not lead to where it was, or where the new one is.
    expect(() => fs.writeSync(old, 'wrong', 0)).toThrow('ENXIO');
    fs.closeSync(now);
    fs.closeSync(old);
    const image = fs.readFileSync(served.image);
    expect(image.toString('latin1', MIB, MIB + 5)).toBe('first');
    expect(image.toString('latin1', 4 * MIB, 4 * MIB + 5)).toBe('other');
  });

  it('have the names of the BSDs, too', async () => {
    const served = await serve('root', { size: 32 * MIB, family: 'vnd', unit: 3 });
    ok(served, 'sfdisk', ['-q', 'vnd3c'], TWO_PARTITIONS);
    expect(served.names()).toEqual(['rvnd3c', 'rvnd3i', 'rvnd3j', 'vnd3c', 'vnd3i', 'vnd3j']);
    fs.writeFileSync(served.file('rvnd3i'), 'raw', { flag: 'r+' });
    expect(fs.readFileSync(served.file('vnd3i')).toString('latin1', 0, 3)).toBe('raw');
  });

  it('agree with the whole device whenever they are opened', async () => {
    const served = await serve('root', { size: 8 * MIB });
    ok(served, 'sfdisk', ['-q', 'loop0'], 'label: dos\nstart=2048\n');
    const read = (name: string, at: number): string => {
      const buffer = Buffer.alloc(6);
      const fd = fs.openSync(served.file(name), 'r');
      fs.readSync(fd, buffer, 0, 6, at);
      fs.closeSync(fd);
      return buffer.toString('latin1');
    };
    for (let round = 0; round < 20; round++) {
      const text = `round${String.fromCharCode(65 + round)}`;
      const [from, to] = round % 2 === 0 ? ['loop0', 'loop0p1'] : ['loop0p1', 'loop0'];
      const fd = fs.openSync(served.file(from), 'r+');
      fs.writeSync(fd, text, from === 'loop0' ? MIB + 8192 : 8192);
      fs.closeSync(fd);
      expect(read(to!, to === 'loop0' ? MIB + 8192 : 8192)).toBe(text);
      expect(read(from!, from === 'loop0' ? MIB + 8192 : 8192)).toBe(text);
    }
  });
});

describeFiles('root', [], 'A device file', () => {
  it('ends as a device ends', async () => {
    const size = 3 * MIB + 512;
    const served = await serve('root', { size: 4 * MIB, offset: 1024, deviceSize: size });
    const fd = fs.openSync(served.file(), 'r+');
    const data = Buffer.alloc(8192, 'x');
    expect(fs.readSync(fd, data, 0, 8192, size)).toBe(0);
    expect(fs.readSync(fd, data, 0, 8192, size + 1e12)).toBe(0);
    expect(fs.readSync(fd, data, 0, 8192, size - 700)).toBe(700);
    data.fill('x');
    // A write across the end is cut short, one past it finds no space.
    expect(fs.writeSync(fd, data, 0, 8192, size - 512)).toBe(512);
    expect(() => fs.writeSync(fd, data, 0, 512, size)).toThrow('ENOSPC');
    expect(() => fs.writeSync(fd, data, 0, 512, 1e13)).toThrow('ENOSPC');
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    // Not the size of a device: neither O_TRUNC nor truncate changes it, nor what is there.
    fs.closeSync(fs.openSync(served.file(), 'w'));
    fs.truncateSync(served.file(), 100);
    expect(fs.statSync(served.file()).size).toBe(size);
    const image = fs.readFileSync(served.image);
    expect(image.indexOf('x')).toBe(1024 + size - 512);
    expect(image.lastIndexOf('x')).toBe(1024 + size - 1);
    expect(image.length).toBe(4 * MIB);
    expect(() => fs.writeFileSync(served.file('other'), '')).toThrow('EPERM');
    expect(() => fs.rmSync(served.file())).toThrow('EPERM');
    expect(() => fs.statSync(served.file('loop0p1'))).toThrow('ENOENT');
  });

  it('refuses writes as a read-only loop device does', async () => {
    const served = await serve('root', { size: MIB, readOnly: true });
    const fd = fs.openSync(served.file(), 'r+');
    expect(() => fs.writeSync(fd, 'x', 0)).toThrow('EPERM');
    fs.closeSync(fd);
    expect(runTool('fallocate', ['-z', '-l', '4096', served.file()]).stderr).toContain('not permitted');
  });

  it('knows holes, and makes them', async () => {
    const served = await serve('root', { size: 16 * MIB });
    const fd = fs.openSync(served.file(), 'r+');
    fs.writeSync(fd, Buffer.alloc(MIB, 1), 0, MIB, 4 * MIB);
    const native = nativeFileOperations()!;
    expect(native.seekData(fd, 0)).toBe(4 * MIB);
    expect(native.seekHole(fd, 4 * MIB)).toBe(5 * MIB);
    expect(native.seekData(fd, 5 * MIB)).toBe(undefined);
    expect(native.punchHole(fd, 4 * MIB, MIB / 2)).toBe(true);
    expect(native.seekData(fd, 0)).toBe(4 * MIB + MIB / 2);
    const buffer = Buffer.alloc(MIB);
    fs.readSync(fd, buffer, 0, MIB, 4 * MIB);
    expect(buffer.equals(Buffer.concat([Buffer.alloc(MIB / 2), Buffer.alloc(MIB / 2, 1)]))).toBe(true);
    fs.closeSync(fd);
    expect(fs.statSync(served.image).blocks).toBe(MIB / 2 / 512);
    expect(fs.statSync(served.file()).blocks).toBe(MIB / 2 / 512);
    // What a device cannot do it does not do here: be given space, or another length.
    const fallocate = (...args: string[]): string => runTool('fallocate', [...args, served.file()]).stderr;
    expect(fallocate('-l', '4096')).toContain('not supported');
    expect(fallocate('-c', '-o', '0', '-l', '4096')).toContain('not supported');
    expect(fallocate('-z', '-o', String(16 * MIB - 4096), '-l', '8192')).toContain('Invalid argument');
    expect(fallocate('-z', '-n', '-o', String(16 * MIB - 4096), '-l', '8192')).toBe('');
    expect(fallocate('-p', '-o', String(16 * MIB), '-l', '4096')).toContain('No space left');
    const copy = `${served.image}.copy`;
    fs.writeFileSync(served.file(), 'data', { flag: 'r+' });
    runTool('cp', [served.file(), copy]);
    expect(firstDifference(copy, served.image)).toBe(undefined);
    expect(fs.statSync(copy).blocks).toBeLessThan(2 * (MIB / 512));
  });

  it('answers the ioctls that can be answered', async () => {
    const served = await serve('root', { size: 8 * MIB });
    const blockdev = (...args: string[]): string => ok(served, 'blockdev', [...args, 'loop0']);
    expect(blockdev('--getsize64', '--getsz', '--getbsz')).toBe(`${8 * MIB}\n${(8 * MIB) / 512}\n4096\n`);
    blockdev('--flushbufs');
    blockdev('--rereadpt');
    blockdev('--setbsz', '1024');
    expect(served.run('blockdev', ['--getro', 'loop0']).stderr).toContain('Inappropriate ioctl');
  });

  it('follows the size of the device', async () => {
    const served = await serve('root', { size: 8 * MIB, deviceSize: 4 * MIB });
    const fd = fs.openSync(served.file(), 'r+');
    expect(() => fs.writeSync(fd, 'x', 5 * MIB)).toThrow('ENOSPC');
    await served.ask(`resize ${8 * MIB}`);
    expect(fs.fstatSync(fd).size).toBe(8 * MIB);
    expect(fs.writeSync(fd, 'x', 5 * MIB)).toBe(1);
    fs.closeSync(fd);
  });

  it('can be read past what is left of a file that has shrunk', async () => {
    const served = await serve('root', { size: 4 * MIB });
    fs.writeFileSync(served.image, Buffer.alloc(MIB + 100, 7));
    const buffer = fs.readFileSync(served.file());
    expect(buffer.equals(Buffer.concat([Buffer.alloc(MIB + 100, 7), Buffer.alloc(3 * MIB - 100)]))).toBe(
      true,
    );
  });

  it('is not cached while a file system of the device is mounted', async () => {
    const served = await serve('root', { size: 4 * MIB });
    const cached = fs.openSync(served.file(), 'r');
    expect(await served.ask('word cachedHandles')).toBe(1);
    await served.ask('mounts 1');
    const direct = fs.openSync(served.file(), 'r');
    expect(await served.ask('word cachedHandles')).toBe(1);
    const image = fs.openSync(served.image, 'r+');
    const buffer = Buffer.alloc(5);
    for (const text of ['first', 'other']) {
      fs.writeSync(image, text, 0);
      fs.readSync(direct, buffer, 0, 5, 0);
      expect(buffer.toString()).toBe(text);
    }
    fs.readSync(cached, buffer, 0, 5, 0);
    fs.writeSync(image, 'third', 0);
    fs.readSync(cached, buffer, 0, 5, 0);
    expect(buffer.toString()).toBe('other');
    await served.ask('drop');
    fs.readSync(cached, buffer, 0, 5, 0);
    expect(buffer.toString()).toBe('third');
    await served.ask('mounts 0');
    for (const fd of [cached, direct, image]) fs.closeSync(fd);
    await served.ask('idle');
    expect(await served.ask('word cachedHandles')).toBe(0);
  });

  it('tells who has it open, and when nobody has', async () => {
    const served = await serve('root', { size: 4 * MIB });
    ok(served, 'sfdisk', ['-q', 'loop0'], 'label: dos\nstart=2048\n');
    expect(await served.holders()).toEqual([]);
    const fd = fs.openSync(served.file('loop0p1'), 'r');
    const command = fs.readFileSync('/proc/self/comm', 'utf8').trim();
    expect(await served.holders()).toEqual([{ pid: process.pid, command, what: 'loop0p1' }]);
    // Whoever inherits it has it open as well, though it has not opened it.
    const inherited = fs.openSync(served.file(), 'r+');
    const child = spawn('sleep', ['60'], { stdio: [inherited, 'ignore', 'ignore'] });
    await new Promise((resolve) => child.once('spawn', resolve));
    fs.closeSync(inherited);
    expect(await served.holders()).toEqual([
      { pid: process.pid, command, what: 'loop0p1' },
      { pid: child.pid, command: 'sleep', what: 'loop0' },
    ]);
    fs.closeSync(fd);
    const idle = served.ask('idle');
    child.kill();
    await idle;
    expect(await served.holders()).toEqual([]);
  });

  it('does not wait for a file system that is mounted from it', async () => {
    const served = await serve('root', { size: 4 * MIB });
    await served.ask('gate');
    const done = Promise.all([served.ask('drop'), served.holders()]);
    const result = await Promise.race([done, delay(10_000, 'it waits')]);
    if (result === 'it waits') process.kill(served.pid, 'SIGKILL');
    expect(result).toEqual([null, []]);
  });

  it('is gone soon when it is closed under load', async () => {
    const served = await serve('root', { size: 64 * MIB });
    const script = `while dd if=/dev/zero of=${served.file()} bs=64k conv=notrunc 2>/dev/null; do :; done; true`;
    const readers = [
      `while dd if=${served.file()} of=/dev/null bs=64k iflag=direct; do :; done`,
      `exec sleep 60 < ${served.file()}`,
      script,
      script,
    ].map((command) => spawn('sh', ['-c', command], { stdio: 'ignore' }));
    await new Promise((resolve) => setTimeout(resolve, 500));
    await served.ask('close');
    expect(isMounted(served.folder)).toBe(false);
    expect(fs.readdirSync(served.folder)).toEqual([]);
    readers[1]!.kill();
    for (const child of readers) {
      if (child.exitCode === null && child.signalCode === null)
        await new Promise((resolve) => child.once('close', resolve));
    }
  });

  it('is served on when a thread of it dies', async () => {
    const served = await serve('root', { size: 4 * MIB });
    fs.writeFileSync(served.file(), 'data', { flag: 'r+' });
    for (let round = 1; round <= 3; round++) {
      await served.ask('crash');
      // What it was asked in that moment fails, and nobody waits for ever.
      try {
        fs.readFileSync(served.file());
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('EIO');
      }
      expect(fs.readFileSync(served.file()).toString('latin1', 0, 4)).toBe('data');
      // Another thread may have answered before this one was missed.
      await until(async () => Number(await served.ask('threads')) >= 1 + round, 'No thread takes its place');
    }
  });

  it('survives that somebody else unmounts it', async () => {
    const served = await serve('root', { size: 4 * MIB });
    expect(runTool('umount', [served.folder]).status).toBe(0);
    await served.ask('idle');
    await served.ask('close');
  });
});

describeFiles('root', ['fio'], 'A device file under fio', () => {
  it.each([
    ['psync, cached', ['--ioengine=psync', '--bsrange=512-256k']],
    ['libaio, direct, deep', ['--ioengine=libaio', '--direct=1', '--iodepth=16', '--bsrange=4k-1M']],
    ['mmap', ['--ioengine=mmap', '--bs=4k']],
    ['two at once', ['--ioengine=psync', '--bs=4k', '--numjobs=2', '--offset_increment=8M', '--size=8M']],
  ])('gives back what was written: %s', async (_name, options) => {
    const served = await serve('root', { size: 24 * MIB });
    const common = [
      '--name=job',
      '--filename=loop0',
      '--rw=randrw',
      '--verify=crc32c',
      '--size=16M',
      '--output-format=terse',
      '--verify_state_save=0',
    ];
    const { status, stderr, stdout } = runTool(findTool('fio')!, [...common, ...options], {
      cwd: served.folder,
    });
    expect(`${stderr}${status === 0 ? '' : stdout}`).toBe('');
    expect(runTool('cmp', [served.file(), served.image]).stdout).toBe('');
  });
});

describeFiles('root', ['qemu-img', 'mkswap', 'wipefs', 'mkfs.ext2', 'debugfs'], 'Other tools', () => {
  it('take a device file for what it is', async () => {
    const served = await serve('root', { size: 16 * MIB });
    ok(served, 'mkfs.ext2', ['-q', 'loop0'], '');
    ok(served, 'debugfs', ['-w', '-R', 'write /etc/passwd passwd', 'loop0']);
    expect(ok(served, 'debugfs', ['-R', 'cat passwd', 'loop0'])).toBe(fs.readFileSync('/etc/passwd', 'utf8'));
    const copy = `${served.image}.qcow2`;
    ok(served, 'qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', 'loop0', copy]);
    ok(served, 'wipefs', ['-a', 'loop0']);
    ok(served, 'mkswap', ['loop0']);
    ok(served, 'qemu-img', ['convert', '-n', '-O', 'raw', copy, 'loop0']);
    ok(served, 'qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', 'loop0', copy]);
    ok(served, 'e2fsck', ['-fn', 'loop0']);
  });
});
