import fs from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { spawnSync } from '../support/programs.ts';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { type RunResult, userloop } from '../support/run.ts';
import { findTool, runTool } from '../support/tools.ts';
import { until } from '../support/until.ts';

/** The folder of the attached devices, as others meet it who know nothing of it. */
let test: AttachedTest;

beforeEach(() => {
  test = new AttachedTest();
});

afterEach(() => test.end());

function run(...argv: string[]): Promise<RunResult> {
  return userloop(argv, { cwd: test.folder, env: test.env });
}

describeWithDevices(['flock', 'sfdisk'], 'the folder of the attached devices', () => {
  it('is left alone by those who clear temporary folders of what is old, while a device is attached', async () => {
    test.image('a.img', 1 << 20);
    expect((await run('attach', 'a.img')).status).toBe(0);
    expect(runTool('flock', ['-n', '-x', test.runtime, 'true']).status).toBe(1);
    if (findTool('systemd-tmpfiles') !== undefined) {
      const config = `${test.folder}/old.conf`;
      fs.writeFileSync(config, `d ${test.folder} - - - 0\n`);
      expect(runTool('systemd-tmpfiles', ['--clean', config]).status).toBe(0);
      // The image, for one, is gone by that.
      expect(fs.readdirSync(test.folder)).toEqual(['r']);
    }
    expect(test.list().map(({ views }) => views.length)).toEqual([1]);
    expect((await run('detach', '-a')).status).toBe(0);
    // The process answers before it ends.
    await until(() => runTool('flock', ['-n', '-x', test.runtime, 'true']).status === 0);
    expect(test.leftovers()).toEqual([]);
  });

  it('has the names of devices where nobody makes a plain file of a partition that has gone', async () => {
    const names = `${test.runtime}/dev`;
    const images = ['a', 'b', 'c', 'd', 'e'].map((name) => test.image(name, 4 << 20));
    const attached = await Promise.all(images.map((image) => run('attach', image)));
    expect(attached.map(({ status }) => status)).toEqual([0, 0, 0, 0, 0]);
    const modeOf = () => (fs.statSync(names).mode & 0o777).toString(8);
    expect([modeOf(), fs.readdirSync(names).length]).toEqual(['500', 5]);
    const devices = attached.map(({ stdout }) => stdout.trim());
    for (const device of devices) runTool('sfdisk', ['-q', device], { input: 'start=2048\n' });
    expect([modeOf(), fs.readdirSync(names).length]).toEqual(['500', 10]);
    for (const device of devices) runTool('sfdisk', ['-q', '--delete', device]);
    expect([modeOf(), fs.readdirSync(names).length]).toEqual(['500', 5]);
    const detached = await Promise.all(images.map((image) => run('detach', image)));
    expect(detached.map(({ stderr }) => stderr)).toEqual(['', '', '', '', '']);
    expect(modeOf()).toBe('500');
    expect(test.leftovers()).toEqual([]);
  });

  it('is cleared of device files whose process found no way to unmount them', async () => {
    test.image('a.img', 1 << 20);
    expect((await run('attach', 'a.img')).status).toBe(0);
    const [state] = test.list();
    process.kill(state!.pid, 'SIGKILL');
    await until(() => !fs.existsSync(`/proc/${state!.pid}/fd/0`));
    // As it is when it has given its name back and no more.
    const left = `${test.runtime}/.gone-${spawnSync('true').pid}-${state!.name}-x`;
    fs.renameSync(`${test.runtime}/${state!.name}`, left);
    expect(fs.readFileSync('/proc/self/mounts', 'utf8')).toContain(left);
    fs.chmodSync(`${test.runtime}/dev`, 0o700);
    fs.rmSync(`${test.runtime}/dev`, { recursive: true });
    expect((await run('attach', 'a.img')).status).toBe(0);
    expect((await run('detach', '-a')).status).toBe(0);
    expect(test.leftovers()).toEqual([]);
  });

  it('may be full: devices and mounts stay, and others hear of changes when there is room again', async () => {
    test.image('a.img', 24 << 20);
    const device = (await run('attach', 'a.img')).stdout.trim();
    const name = device.split('/').at(-1)!;
    const mountPoint = `${test.folder}/mnt`;
    fs.mkdirSync(mountPoint);
    const partition = (script: string) => runTool('sfdisk', ['-q', '-f', device], { input: script });
    expect(partition('start=2048, size=16384\n').status).toBe(0);
    expect((await run('mkfs.ext2', '-q', `${device}p1`)).stderr).toBe('');
    expect((await run('mount', `${device}p1`, mountPoint)).stderr).toBe('');
    fs.writeFileSync(`${mountPoint}/before`, 'before');
    // What a full disk refuses, whoever asks: the new state, and a new name.
    const names = `${test.runtime}/dev`;
    fs.mkdirSync(`${test.runtime}/${name}/state.json.new`);
    fs.renameSync(names, `${names}.away`);
    fs.writeFileSync(names, '');
    const files = `${test.runtime}/${name}/files/${name}`;
    const added = runTool('sfdisk', ['-q', '-f', '-a', files], { input: 'size=4096\n' });
    expect([added.stderr, added.status]).toEqual(['', 0]);
    fs.writeFileSync(`${mountPoint}/after`, 'after');
    expect(fs.readFileSync(`${mountPoint}/before`, 'latin1')).toBe('before');
    expect(fs.existsSync(`${files}p2`)).toBe(true);
    fs.rmSync(names);
    fs.renameSync(`${names}.away`, names);
    await until(() => fs.existsSync(`${device}p2`));
    // The mount goes while its end cannot be told to others; they hear of it later.
    const unmounted = await run('umount', mountPoint);
    expect([unmounted.stderr, unmounted.status]).toEqual(['', 0]);
    expect(test.list()[0]!.mounts.length).toBe(1);
    fs.rmdirSync(`${test.runtime}/${name}/state.json.new`);
    await until(() => test.list()[0]!.mounts.length === 0);
    expect(test.list()[0]!.views.map((view) => view.name)).toEqual([name, `${name}p1`, `${name}p2`]);
    expect((await run('detach', device)).stderr).toBe('');
    expect(test.leftovers()).toEqual([]);
  });
});
