import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { attachDevice, changeDevice, detachDevice } from '../../src/attach/client.ts';
import type { AttachRequest, DeviceState } from '../../src/attach/device-state.ts';
import { viewPath } from '../../src/attach/registry.ts';
import { openNbdDevice } from '../../src/host/nbd-client-device.ts';
import { AttachedTest, describeWithDevices, loopRequest } from '../support/attached.ts';
import { type RunResult, userloop } from '../support/run.ts';
import { findTool, runTool } from '../support/tools.ts';
import { until } from '../support/until.ts';

const MIB = 1 << 20;

let test: AttachedTest;

beforeEach(() => {
  test = new AttachedTest();
});

afterEach(() => test.end());

function attach(image: string, more: Partial<AttachRequest> = {}): Promise<DeviceState> {
  return attachDevice(test.env, loopRequest(image, more));
}

function run(...argv: string[]): Promise<RunResult> {
  return userloop(argv, { cwd: test.folder, env: test.env });
}

describeWithDevices(['sfdisk', 'mke2fs', 'e2fsck', 'mkfs.fat', 'fsck.fat'], 'an attached image', () => {
  it('is a disk whose partitions follow its table, and is in the file when it is detached', async () => {
    const image = test.image('disk.img', 32 * MIB);
    const state = await attach(image);
    const device = viewPath(state);
    const names = () => fs.readdirSync(path.dirname(device)).sort();
    const table = 'label: dos\nstart=2048, size=16384, type=83\nstart=20480, type=c\n';
    const partitioned = runTool('sfdisk', ['-q', device], { input: table });
    expect([partitioned.stderr, partitioned.status]).toEqual(['', 0]);
    expect(names()).toEqual([state.name, `${state.name}p1`, `${state.name}p2`]);
    expect(runTool('mke2fs', ['-q', '-t', 'ext2', `${device}p1`]).stderr).toBe('');
    expect(runTool('mkfs.fat', [`${device}p2`]).stderr).toBe('');
    expect(test.list()[0]!.views.map(({ name, offset, size }) => [name, offset, size])).toEqual([
      [state.name, 0, 32 * MIB],
      [`${state.name}p1`, MIB, 8 * MIB],
      [`${state.name}p2`, 10 * MIB, 22 * MIB],
    ]);
    fs.writeFileSync(`${test.folder}/hello`, 'hello\n');
    expect((await run('cp', 'hello', `/dev/${state.name}p1:/by-partition`)).stderr).toBe('');
    expect((await run('cp', 'hello', `${device}:2:/by-number`)).stderr).toBe('');
    expect((await run('ls', 'disk.img:1:/')).stdout).toBe('by-partition\nlost+found\n');
    const removed = runTool('sfdisk', ['-q', '--delete', device, '2']);
    expect([removed.stderr, removed.status]).toEqual(['', 0]);
    expect(names()).toEqual([state.name, `${state.name}p1`]);
    expect(await detachDevice(state)).toBe('gone');
    expect(test.leftovers()).toEqual([]);
    const volume = `${test.folder}/volume`;
    fs.writeFileSync(volume, fs.readFileSync(image).subarray(MIB, 9 * MIB));
    expect(runTool('e2fsck', ['-fn', volume]).status).toBe(0);
    fs.writeFileSync(volume, fs.readFileSync(image).subarray(10 * MIB));
    expect(runTool('fsck.fat', ['-n', volume]).status).toBe(0);
    expect((await run('cat', 'disk.img@10M:/by-number')).stdout).toBe('hello\n');
  });

  it('leaves nothing behind, round after round', async () => {
    const image = test.image('a.img', MIB);
    for (let round = 0; round < 4; round++) {
      const state = await attach(image);
      expect(await detachDevice(state)).toBe('gone');
      expect(test.leftovers()).toEqual([]);
    }
  });

  it('gets a name of its own, however many are attached at the same moment', async () => {
    const images = Array.from({ length: 6 }, (_, index) => test.image(`${index}.img`, MIB));
    const states = await Promise.all(images.map((image) => attach(image)));
    expect(new Set(states.map(({ name }) => name)).size).toBe(6);
    expect(test.list().length).toBe(6);
    expect((await run('detach', '--all')).stderr).toBe('');
    expect(test.leftovers()).toEqual([]);
  });

  it('has what was acknowledged when its process is killed, and can be attached again at once', async () => {
    const image = test.image('a.img', 16 * MIB);
    const state = await attach(image);
    const of = `conv=notrunc,fsync of=${viewPath(state)}`;
    const script = `i=0; while printf 'block %s\\n' $i | dd bs=4096 seek=$i ${of}; do echo $i; i=$((i + 1)); done`;
    const writer = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    let printed = '';
    writer.stdout.on('data', (chunk) => (printed += String(chunk)));
    await until(() => printed.length > 20);
    process.kill(state.pid, 'SIGKILL');
    await once(writer, 'close');
    const again = await attach(image);
    expect(again.name).toBe(state.name);
    const content = fs.readFileSync(viewPath(again), 'latin1');
    for (const block of printed.trim().split('\n')) {
      const at = Number(block) * 4096;
      expect(content.slice(at, at + 6 + block.length)).toBe(`block ${block}`);
    }
    await detachDevice(again);
    expect(test.leftovers()).toEqual([]);
  });

  it('stays while somebody has it open, and goes later when that is asked for', async () => {
    const state = await attach(test.image('a.img', MIB));
    const reader = spawn('sh', ['-c', `exec sleep 60 < ${viewPath(state)}`], { stdio: 'ignore' });
    const isOpen = () => fs.readlinkSync(`/proc/${reader.pid}/fd/0`).startsWith(test.folder);
    await until(isOpen);
    await expect(detachDevice(state)).rejects.toMatchObject({
      name: 'DeviceBusyError',
      code: 'EBUSY',
      holders: [{ pid: reader.pid, what: state.name }],
    });
    expect(await detachDevice(state, { lazy: true })).toBe('later');
    expect(test.list()[0]!.detaching).toBe(true);
    reader.kill('SIGKILL');
    await until(() => test.leftovers().length === 0);
  });

  it('does not wait for ever for a process that cannot be asked, and ends it when told to', async () => {
    const state = await attach(test.image('a.img', MIB));
    fs.unlinkSync(state.controlSocket!);
    await expect(detachDevice(state)).rejects.toMatchObject({
      code: 'ETIMEDOUT',
      message: expect.stringContaining(`process ${state.pid}`) as string,
    });
    expect(test.list()).toHaveLength(1);
    expect(await detachDevice(state, { force: true })).toBe('gone');
    await until(() => test.leftovers().length === 0);
  });

  it('goes right after its last client has gone, whether or not that was seen yet', async () => {
    const state = await attach(test.image('a.img', MIB));
    const clients = Array.from({ length: 12 }, () => openNbdDevice(`nbd+unix:///?socket=${state.nbdSocket}`));
    await expect(detachDevice(state)).rejects.toMatchObject({ code: 'EBUSY' });
    for (const client of clients) client.close();
    expect(await detachDevice(state)).toBe('gone');
    expect(test.leftovers()).toEqual([]);
  });

  it('goes by force from whoever has it open', async () => {
    const state = await attach(test.image('a.img', MIB));
    const fd = fs.openSync(viewPath(state), 'r');
    await expect(detachDevice(state)).rejects.toThrow(`(${process.pid}) has ${state.name}`);
    expect(await detachDevice(state, { force: true })).toBe('gone');
    expect(test.leftovers()).toEqual([]);
    expect(() => fs.readSync(fd, new Uint8Array(512))).toThrow(/ENOTCONN|ECONNABORTED|ENODEV|EIO/);
    fs.closeSync(fd);
  });

  it('goes with the last who has it open when it is to be cleared', async () => {
    const state = await attach(test.image('a.img', MIB), { autoclear: true });
    expect(runTool('mke2fs', ['-q', viewPath(state)]).status).toBe(0);
    await until(() => test.leftovers().length === 0);
  });

  it('ends well when its process is told to', async () => {
    const state = await attach(test.image('a.img', MIB));
    process.kill(state.pid, 'SIGTERM');
    await until(() => test.leftovers().length === 0);
  });

  it('has the size that the kernel gives a loop device of it', async () => {
    const image = test.image('odd.img', 10_000);
    for (const [offset, sizeLimit, size] of [
      [100, 0, 9728],
      [512, 1000, 512],
      [0, 1 << 30, 9728],
      [20_000, 0, 0],
    ] as const) {
      const state = await attach(image, { offset, sizeLimit });
      const found = fs.statSync(viewPath(state)).size;
      expect([offset, sizeLimit, state.size, found]).toEqual([offset, sizeLimit, size, size]);
      await detachDevice(state);
    }
    const empty = await attach(test.image('empty.img', 0));
    expect(empty.size).toBe(0);
    expect(fs.readFileSync(viewPath(empty)).length).toBe(0);
  });

  it('grows and shrinks with its file when it is told', async () => {
    const image = test.image('a.img', MIB);
    const state = await attach(image);
    const device = viewPath(state);
    fs.truncateSync(image, 3 * MIB);
    expect(fs.statSync(device).size).toBe(MIB);
    expect((await changeDevice(state, { resize: true })).size).toBe(3 * MIB);
    expect(fs.statSync(device).size).toBe(3 * MIB);
    const fd = fs.openSync(device, 'r+');
    fs.writeSync(fd, 'end', 3 * MIB - 3);
    fs.closeSync(fd);
    expect(fs.readFileSync(image, 'latin1').slice(-3)).toBe('end');
    fs.truncateSync(image, MIB);
    // What is not there any more reads as zeros, as with the kernel's loop devices.
    const copy = `${test.folder}/copy`;
    expect(runTool('dd', [`if=${device}`, `of=${copy}`, 'bs=1M', 'skip=2', 'iflag=direct']).status).toBe(0);
    expect(fs.readFileSync(copy).every((byte) => byte === 0)).toBe(true);
    expect((await changeDevice(state, { resize: true })).size).toBe(MIB);
    expect(fs.readFileSync(device).length).toBe(MIB);
  });

  it('is refused when it cannot be one, with the reason, and leaves nothing', async () => {
    const image = test.image('a.img', MIB);
    fs.mkdirSync(`${test.folder}/directory`);
    runTool('mkfifo', [`${test.folder}/pipe`]);
    await expect(attach(`${test.folder}/absent`)).rejects.toMatchObject({ code: 'ENOENT', syscall: 'stat' });
    await expect(attach(`${test.folder}/directory`)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(attach(`${test.folder}/pipe`)).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(attach(image, { sectorSize: 1000 })).rejects.toMatchObject({ code: 'EINVAL' });
    await attach(image, { family: 'md', unit: 3 });
    const other = test.image('b.img', MIB);
    await expect(attach(other, { family: 'md', unit: 3 })).rejects.toMatchObject({
      code: 'EBUSY',
      detail: 'md3 is in use',
    });
    await expect(attach(image)).rejects.toThrow(
      /is attached as md3 \(process \d+\); a writer needs it alone/,
    );
    expect(test.list().map(({ name }) => name)).toEqual(['md3']);
    expect((await run('detach', 'md3')).status).toBe(0);
    expect(test.leftovers()).toEqual([]);
  });

  it('cannot be written beside its device, and is one device for readers of the file', async () => {
    const state = await attach(test.image('a.img', 4 * MIB));
    expect((await run('mkfs.ext2', '-q', `/dev/${state.name}`)).stderr).toBe('');
    for (const argv of [
      ['mkfs.fat', 'a.img'],
      ['mkfs.ext2', '-q', 'a.img'],
      ['newfs_msdos', 'a.img'],
      ['mkdir', 'a.img:/x'],
    ]) {
      const refused = await run(...argv);
      expect([argv, refused.status]).toEqual([argv, 1]);
      expect(refused.stderr).toMatch(/a\.img"? is attached as .*: name that device instead, or detach it/);
    }
    expect((await run('mkdir', `${state.name}:/x`)).stderr).toBe('');
    expect((await run('ls', 'a.img:/')).stdout).toBe('lost+found\nx\n');
    const uri = `nbd+unix:///?socket=${state.nbdSocket}`;
    expect((await run('ls', `${uri}:/`)).stdout).toBe('lost+found\nx\n');
  });

  it('keeps what is written to an overlay, and the image as it is', async () => {
    const image = test.image('a.img', 4 * MIB);
    const overlay = `${test.folder}/over`;
    const first = await attach(image, { overlay });
    expect(runTool('mke2fs', ['-q', '-t', 'ext2', viewPath(first)]).stderr).toBe('');
    await expect(attach(image, { overlay })).rejects.toThrow(/writes to the overlay/);
    process.kill(first.pid, 'SIGKILL');
    const second = await attach(image, { overlay });
    expect(runTool('e2fsck', ['-fn', viewPath(second)]).status).toBe(0);
    const memory = await attach(image, { overlay: 'memory' });
    expect(runTool('mkfs.fat', [viewPath(memory)]).stderr).toBe('');
    await detachDevice(memory);
    await detachDevice(second);
    const apart = await run('attach', '--overlay', 'over', 'a.img');
    expect([apart.stderr.split('\n')[0], apart.status]).toEqual([
      'userloop attach: the file of an overlay is named with --overlay=FILE, not "--overlay FILE"',
      2,
    ]);
    expect(fs.readFileSync(image).every((byte) => byte === 0)).toBe(true);
    expect(test.leftovers()).toEqual([]);
  });

  it('may be memory, or nothing', async () => {
    const request = { source: 'malloc', sizeLimit: 2 * MIB, family: 'md' } as const;
    const memory = await attach('', request);
    expect(runTool('mkfs.fat', [viewPath(memory)]).stderr).toBe('');
    expect(runTool('fsck.fat', ['-n', viewPath(memory)]).status).toBe(0);
    expect((await changeDevice(memory, { resize: 4 * MIB })).size).toBe(4 * MIB);
    const none = await attach('', { ...request, source: 'null' });
    fs.writeFileSync(viewPath(none), 'x', { flag: 'r+' });
    expect(fs.readFileSync(viewPath(none)).length).toBe(2 * MIB);
    await expect(attach('', { ...request, sizeLimit: 0 })).rejects.toMatchObject({ code: 'EINVAL' });
  });
});

describeWithDevices(['qemu-io'], 'the lock on an image', () => {
  const io = (image: string, ...options: string[]) => runTool('qemu-io', ['-f', 'raw', ...options, image]);

  it('lets writers in one by one, readers together, and is one with that of QEMU', async () => {
    const image = test.image('a.img', 4 * MIB);
    const writer = await attach(image);
    await expect(attach(image, { readOnly: true })).rejects.toMatchObject({ code: 'EBUSY' });
    expect(io(image, '-c', 'write 0 4k').stderr).toMatch(/Failed to get "write" lock/);
    await detachDevice(writer);
    const readers = [await attach(image, { readOnly: true }), await attach(image, { readOnly: true })];
    await expect(attach(image)).rejects.toMatchObject({ code: 'EBUSY' });
    expect(io(image, '-c', 'write 0 4k').stderr).toMatch(/Failed to get "write" lock/);
    expect(io(image, '-r', '-c', 'read 0 4k').stdout).toMatch(/read 4096\/4096/);
    for (const reader of readers) await detachDevice(reader);
    const qemu = spawn(findTool('qemu-io')!, ['-f', 'raw', image], { stdio: ['pipe', 'pipe', 'ignore'] });
    qemu.stdin.write('write 0 512\n');
    await once(qemu.stdout, 'data');
    await expect(attach(image)).rejects.toThrow(/is locked by qemu-io \(process \d+\)/);
    qemu.stdin.end('quit\n');
    await once(qemu, 'exit');
    // Two partitions at a time, but not one twice.
    const part = { offset: MIB, sizeLimit: MIB };
    const first = await attach(image, part);
    const second = await attach(image, { offset: 2 * MIB });
    await expect(attach(image, part)).rejects.toThrow(new RegExp(`attached as ${first.name} `));
    expect(io(image, '-c', 'write 0 4k').stderr).toMatch(/Failed to get "write" lock/);
    await detachDevice(first);
    await detachDevice(second);
    expect(io(image, '-c', 'write 0 4k').stdout).toMatch(/wrote 4096\/4096/);
  });
});

describeWithDevices([], 'userloop attach, list and detach', () => {
  it('print where programs find the device, what is attached, and who is in the way', async () => {
    const image = test.image('a.img', MIB);
    const attached = await run('attach', '--name', 'md5', '-r', 'a.img');
    expect(attached).toMatchObject({ status: 0, stdout: `${test.runtime}/dev/md5\n`, stderr: '' });
    const listed = await run('list');
    expect(listed.stdout.split('\n')[1]!.split(/ +/)).toEqual([
      `${test.runtime}/dev/md5`,
      `${MIB}`,
      '1',
      image,
    ]);
    const [json] = JSON.parse((await run('list', '--json')).stdout) as (DeviceState & { path: string })[];
    expect(json).toMatchObject({ path: `${test.runtime}/dev/md5`, name: 'md5', readOnly: true, image });
    expect(fs.statSync(json!.nbdSocket!).isSocket()).toBe(true);
    const fd = fs.openSync(json!.path, 'r');
    const busy = await run('detach', 'a.img');
    fs.closeSync(fd);
    expect(busy.status).toBe(1);
    expect(busy.stderr).toMatch(/^userloop detach: md5 is in use: .* has md5\n$/);
    expect(await run('detach', 'a.img')).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(await run('detach', 'a.img')).toMatchObject({
      status: 1,
      stderr: "userloop detach: 'a.img' is not attached\n",
    });
    expect((await run('list')).stdout).toBe('');
    expect(test.leftovers()).toEqual([]);
  });

  // Root may write what is not to be written.
  it.skipIf(process.getuid!() === 0)('say that an image cannot be written', async () => {
    fs.chmodSync(test.image('fixed.img', MIB), 0o444);
    const attached = await run('attach', 'fixed.img');
    expect(attached.status).toBe(0);
    expect(attached.stderr).toMatch(
      /^userloop attach: fixed\.img cannot be written, so loop\d+ is for reading;/,
    );
    expect(await run('attach', '-r', 'fixed.img')).toMatchObject({ status: 0, stderr: '' });
    for (const { name } of test.list()) expect((await run('detach', name)).status).toBe(0);
  });

  it('print a line for a device, whatever its image is called', async () => {
    test.image('two\nlines.img', MIB);
    expect((await run('attach', 'two\nlines.img')).status).toBe(0);
    expect((await run('list')).stdout).toMatch(/^DEVICE .*\n.*two\?lines\.img\n$/);
    expect((await run('detach', 'two\nlines.img')).status).toBe(0);
  });

  it('do without device files', async () => {
    test.image('a.img', MIB);
    const attached = await run('attach', '--no-files', '--name=loop77', 'a.img');
    expect(attached).toMatchObject({ status: 0, stdout: '/dev/loop77\n', stderr: '' });
    expect((await run('mkfs.ext2', '-q', 'loop77')).stderr).toBe('');
    expect((await run('ls', '/dev/loop77:/')).stdout).toBe('lost+found\n');
  });
});
