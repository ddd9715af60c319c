import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { userloop } from '../support/run.ts';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { runTool } from '../support/tools.ts';

/** losetup of devices with a process of ours behind them; test/interop/losetup.test.ts compares what is printed with the classic tool. */
describeWithDevices([], "losetup of one's own devices", () => {
  let test: AttachedTest;

  beforeEach(() => {
    test = new AttachedTest();
    for (const name of ['a.img', 'b.img']) test.image(name, 8 << 20);
  });

  afterEach(async () => {
    await test.end();
  });

  function losetup(...args: string[]): ReturnType<typeof userloop> {
    return userloop(['losetup', ...args], { cwd: test.folder, env: test.env });
  }

  async function attach(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await losetup('--show', '-f', ...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout.trim();
  }

  it('prints the path that programs can open, and goes by every name', async () => {
    const free = (await losetup('-f')).stdout.trim();
    const device = await attach('a.img');
    expect(device).toBe(free);
    expect(path.dirname(device)).toBe(`${test.runtime}/dev`);
    expect(fs.statSync(device).size).toBe(8 << 20);
    const name = path.basename(device);
    const image = fs.statSync(`${test.folder}/a.img`);
    const line = `${device}: [${`${image.dev}`.padStart(4, '0')}]:${image.ino} (${test.folder}/a.img)\n`;
    for (const spelling of [device, name, `/dev/${name}`]) {
      expect((await losetup(spelling)).stdout).toBe(line);
    }
    expect((await losetup('-a')).stdout).toBe(line);
    expect((await losetup('-j', 'a.img')).stdout).toBe(line);
    expect((await losetup('-j', 'b.img')).stdout).toBe('');
    expect(await losetup('-d', `/dev/${name}`)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(await losetup(`/dev/${name}`)).toEqual(
      expect.objectContaining({ status: 1, stderr: `losetup: /dev/${name}: No such file or directory\n` }),
    );
    expect(test.leftovers()).toEqual([]);
  });

  it('lists them with all columns; what is no block device has the number 0:0', async () => {
    const device = await attach('-o', '1M', '--sizelimit', '1M', '-r', '-b', '1024', 'a.img');
    const { stdout } = await losetup('-l', '-J', '--output-all', device);
    const image = fs.statSync(`${test.folder}/a.img`);
    const numbers = [Math.floor(image.dev / 256) & 0xfff, (image.dev & 0xff) | ((image.dev >> 12) & 0xfff00)];
    expect(JSON.parse(stdout)).toEqual({
      loopdevices: [
        {
          name: device,
          autoclear: false,
          'back-file': `${test.folder}/a.img`,
          'back-ino': image.ino,
          'back-maj:min': `${numbers[0]}`.padStart(8) + ':' + `${numbers[1]}`.padEnd(3),
          'maj:min': '  0:0  ',
          offset: 1 << 20,
          partscan: false,
          ro: true,
          sizelimit: 1 << 20,
          dio: false,
          'log-sec': 1024,
        },
      ],
    });
    expect((await losetup('-n', '--raw', '-l', '-O', 'RO,SIZELIMIT,LOG-SEC')).stdout).toBe(
      '1 1048576 1024\n',
    );
  });

  it('takes the number that is named, and says nothing; a second time it is busy', async () => {
    const free = path.basename((await losetup('-f')).stdout.trim());
    expect(await losetup(`/dev/${free}`, 'a.img')).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const { status, stderr } = await losetup(`/dev/${free}`, 'b.img');
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'losetup: b.img: failed to set up loop device: Device or resource busy\n',
    });
    expect(test.list().map(({ name }) => name)).toEqual([free]);
  });

  it('grows, changes its sectors, and refuses direct I/O with the reason', async () => {
    const device = await attach('a.img');
    fs.truncateSync(`${test.folder}/a.img`, 16 << 20);
    expect((await losetup('-c', device)).status).toBe(0);
    expect(fs.statSync(device).size).toBe(16 << 20);
    expect((await losetup('-b', '4096', device)).status).toBe(0);
    expect((await losetup('-n', '-O', 'LOG-SEC', device)).stdout.trim()).toBe('4096');
    const { status, stderr } = await losetup('--direct-io=on', device);
    expect(status).toBe(1);
    expect(stderr).toContain(`losetup: ${device}: set direct io failed: Operation not supported\n`);
    expect((await losetup('-b', '600', device)).stderr).toContain(
      `losetup: ${device}: set logical block size failed: Invalid argument\n`,
    );
  });

  it('goes with the last who has it open, also when that is later', async () => {
    const device = await attach('a.img');
    const fd = fs.openSync(device, 'r');
    try {
      expect(await losetup('-d', device)).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect((await losetup('-n', '-O', 'NAME', device)).stdout.trim()).toBe(device);
    } finally {
      fs.closeSync(fd);
    }
    await expect.poll(() => test.leftovers(), { timeout: 120_000 }).toEqual([]);
  });

  it('detaches all of them', async () => {
    await attach('a.img');
    await attach('b.img');
    expect(await losetup('--backend=user', '-D')).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(test.leftovers()).toEqual([]);
  });

  it('uses the device again that has just this part of the file', async () => {
    const device = await attach('-L', '-r', '-o', '1M', 'a.img');
    expect(await attach('-L', '-r', '-o', '1M', 'a.img')).toBe(device);
    const { status, stderr } = await losetup('-L', '-r', '-f', 'a.img');
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'losetup: a.img: overlapping loop device exists\n',
    });
  });

  it('refuses a second writer, and names the first', async () => {
    const device = await attach('a.img');
    const { status, stderr } = await losetup('-f', 'a.img');
    expect(status).toBe(1);
    expect(stderr).toContain('losetup: a.img: failed to set up loop device: Device or resource busy\n');
    expect(stderr).toContain(path.basename(device));
  });
});

describe('losetup', () => {
  it('tells its version and its options as the classic tool does', async () => {
    expect((await userloop(['losetup', '-V'])).stdout).toBe('losetup from util-linux 2.38.1\n');
    const { status, stdout } = await userloop(['losetup', '-h']);
    expect(status).toBe(0);
    expect(stdout).toContain('-j, --associated FILE');
  });

  it('refuses a backend that there is not', async () => {
    expect(await userloop(['losetup', '--backend=none'])).toMatchObject({
      status: 1,
      stderr: 'losetup: --backend is "none", expected auto, kernel or user\n',
    });
    expect(await userloop(['losetup'], { env: { USERLOOP_BACKEND: 'none' } })).toMatchObject({ status: 1 });
  });

  it("lists the kernel's devices without rights and without native calls", () => {
    const program = path.resolve(import.meta.dirname, '../../bin/userloop');
    const folder = path.join(new AttachedTest().folder, 'r');
    const { status, stderr } = runTool(process.execPath, [program, 'losetup', '-l'], {
      env: { ...process.env, USERLOOP_RUNTIME_DIR: folder },
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
