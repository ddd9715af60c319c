import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeWithFuse, MountStage } from '../support/mount-stage.ts';
import type { ToolResult } from '../support/tools.ts';

const MIB = 1 << 20;

/**
 * Mounted volumes grow, by our resize2fs and by the real one, which asks whoever serves the mount as it asks the kernel. The real one is the judge of what is said.
 */
describeWithFuse(['mke2fs', 'e2fsck', 'resize2fs', 'sfdisk'], 'resize2fs of what is mounted', () => {
  let stage: MountStage;
  let mnt: string;

  beforeEach(() => {
    stage = new MountStage();
    mnt = stage.directory('mnt');
  });

  afterEach(() => stage.clear());

  // Who mounts is who looks into it.
  const uid = process.getuid!();
  const options = { uid, env: { USERLOOP_BACKEND: 'user' } };
  function run(program: string, ...args: string[]): string {
    const { status, stdout, stderr } = stage.run(program, args, options);
    expect({ status, stderr }, `${program} ${args.join(' ')}`).toMatchObject({ status: 0 });
    return stdout;
  }
  function userloop(...args: string[]): string {
    const { status, stdout, stderr } = stage.userloop(args, options);
    expect({ status, stderr }, args.join(' ')).toEqual({ status: 0, stderr: '' });
    return stdout;
  }
  function ours(...args: string[]): ToolResult {
    return stage.userloop(['resize2fs', ...args], options);
  }
  function theirs(...args: string[]): ToolResult {
    const result = stage.run('resize2fs', args, options);
    // It names itself as it was called.
    return { ...result, stderr: result.stderr.replaceAll(/^\/.*\/(?=resize2fs: )/gm, '') };
  }
  /** An attached and mounted image, and its device. */
  function mounted(type: string, size: number, ...more: string[]): { image: string; device: string } {
    const image = stage.image('disk.img', size);
    const device = userloop('attach', image).trim();
    const owner = `root_owner=${uid}:${process.getgid!()}`;
    run('mke2fs', '-q', '-t', type, '-E', owner, ...more, device);
    userloop('mount', device, mnt);
    return { image, device };
  }
  function lengthen(image: string, device: string, size: number): void {
    fs.truncateSync(image, size);
    userloop('losetup', '-c', device);
  }
  const blocksOf = (): number => {
    const { blocks, bsize } = fs.statfsSync(mnt);
    return blocks * bsize;
  };

  it.each([
    ['ext2', '1024'],
    ['ext4', '4096'],
  ])('%s with blocks of %s grows step by step, and what is in it stays', (type, blockSize) => {
    const { image, device } = mounted(type, 24 * MIB, '-b', blockSize);
    fs.writeFileSync(path.join(mnt, 'before'), Buffer.alloc(3 * MIB, 'before '));
    const open = fs.openSync(path.join(mnt, 'open'), 'w+');
    const small = blocksOf();
    lengthen(image, device, 64 * MIB);
    const said = ours(device);
    expect(said.stdout).toMatch(/is mounted on .*; on-line resizing required\nold_desc_blocks = 1, /);
    expect(said).toMatchObject({ status: 0, stderr: 'resize2fs 1.47.0 (5-Feb-2023)\n' });
    expect(blocksOf()).toBeGreaterThan(2 * small);
    // The open file goes on, into what was not there before.
    fs.writeSync(open, Buffer.alloc(40 * MIB, 'x'));
    fs.closeSync(open);
    lengthen(image, device, 300 * MIB);
    // The machine's own asks whoever serves the mount.
    expect(theirs(device)).toMatchObject({ status: 0 });
    expect(blocksOf()).toBeGreaterThan(8 * small);
    fs.cpSync('/usr/include/linux', path.join(mnt, 'linux'), { recursive: true });
    userloop('umount', mnt);
    run('e2fsck', '-fn', device);
    userloop('mount', device, mnt);
    expect(fs.readFileSync(path.join(mnt, 'before'))).toEqual(Buffer.alloc(3 * MIB, 'before '));
    expect(fs.readFileSync(path.join(mnt, 'open'))).toEqual(Buffer.alloc(40 * MIB, 'x'));
    run('diff', '-r', '/usr/include/linux', path.join(mnt, 'linux'));
  });

  it('says what the real one says', () => {
    const { image, device } = mounted('ext4', 24 * MIB, '-b', '1024');
    const both = (...args: string[]): void => {
      const their = theirs(...args);
      expect(ours(...args), args.join(' ')).toEqual(their);
    };
    both(device);
    both(device, '20M');
    both('-M', device);
    both(device, '30M');
    both('-f', device, '30M');
    lengthen(image, device, 40 * MIB);
    both(device, '20M');
    both(device, '41M');
    const first = theirs(device, '32M');
    userloop('umount', mnt);
    run('e2fsck', '-fn', device);
    run('mke2fs', '-q', '-F', '-t', 'ext4', '-b', '1024', device, '24M');
    userloop('mount', device, mnt);
    expect(ours(device, '32M')).toEqual(first);
    both(device, '32M');
  });

  it('grows while programs write', async () => {
    const { image, device } = mounted('ext4', 48 * MIB);
    const script =
      'i=0; while [ ! -e stop ]; do i=$((i+1)); mkdir -p d; echo "line $i" > "d/file $i"; [ $((i % 3)) = 0 ] && rm "d/file $((i - 1))"; done; echo $i';
    const writer = spawn('sh', ['-euc', script], { cwd: mnt });
    let count = '';
    writer.stdout.on('data', (text: Buffer) => (count += text.toString()));
    const ended = new Promise((resolve) => writer.on('close', resolve));
    for (let size = 64; size <= 192; size += 64) {
      lengthen(image, device, size * MIB);
      // A file that was just removed may still be open for a moment.
      let said = ours(device);
      for (let tries = 0; tries < 20 && said.stderr.includes('busy'); tries++) said = ours(device);
      expect(said.stdout).toContain('The filesystem on');
    }
    fs.writeFileSync(path.join(mnt, 'stop'), '');
    expect(await ended).toBe(0);
    const last = Number(count);
    expect(last).toBeGreaterThan(20);
    userloop('umount', mnt);
    run('e2fsck', '-fn', device);
    userloop('mount', device, mnt);
    for (let i = 1; i <= last; i++) {
      const isThere = i % 3 !== 2 || i === last;
      expect(fs.existsSync(path.join(mnt, `d/file ${i}`)), `file ${i} of ${last}`).toBe(isThere);
      if (isThere) expect(fs.readFileSync(path.join(mnt, `d/file ${i}`), 'utf8')).toBe(`line ${i}\n`);
    }
  });

  it('follows a partition that has become longer', () => {
    const image = stage.image('disk.img', 64 * MIB);
    expect(stage.run('sfdisk', ['-q', image], { ...options, input: 'label: dos\n2048,40960\n' }).status).toBe(
      0,
    );
    const device = userloop('attach', image).trim();
    run('mke2fs', '-q', '-t', 'ext4', '-E', `root_owner=${uid}:${process.getgid!()}`, `${device}p1`);
    userloop('mount', `${device}p1`, mnt);
    fs.writeFileSync(path.join(mnt, 'file'), 'content');
    const small = blocksOf();
    const longer = stage.run('sfdisk', ['-q', '-N', '1', '--no-reread', device], {
      ...options,
      input: ',100000\n',
    });
    expect(longer.status, longer.stderr).toBe(0);
    expect(ours(`${device}p1`)).toMatchObject({ status: 0 });
    expect(blocksOf()).toBeGreaterThan(2 * small);
    expect(fs.readFileSync(path.join(mnt, 'file'), 'utf8')).toBe('content');
    userloop('umount', mnt);
    run('e2fsck', '-fn', `${device}p1`);
  });

  it('refuses while a deleted file is open, and where the mount is read-only, and changes nothing', () => {
    const { image, device } = mounted('ext4', 24 * MIB);
    lengthen(image, device, 64 * MIB);
    const small = blocksOf();
    const open = fs.openSync(path.join(mnt, 'gone'), 'w');
    fs.rmSync(path.join(mnt, 'gone'));
    expect(ours(device)).toMatchObject({ status: 1 });
    expect(blocksOf()).toBe(small);
    fs.closeSync(open);
    expect(ours(device)).toMatchObject({ status: 0 });
    userloop('umount', mnt);
    userloop('mount', '-o', 'ro', device, mnt);
    lengthen(image, device, 80 * MIB);
    const { status, stderr } = ours(device);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr:
        'resize2fs 1.47.0 (5-Feb-2023)\nresize2fs: Read-only file system While checking for on-line resizing support\n',
    });
    expect(theirs(device).stderr).toBe(stderr);
  });
});
