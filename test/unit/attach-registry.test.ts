import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type OwnerRecord,
  giveNameBack,
  ownerRecord,
  readOwner,
  sweep,
  takeName,
} from '../../src/attach/device-folder.ts';
import type { DeviceState } from '../../src/attach/device-state.ts';
import { DeviceBusyError } from '../../src/attach/device-state.ts';
import { decodeError, encodeError } from '../../src/attach/error-transport.ts';
import { firstFreeUnit, reserveName } from '../../src/attach/names.ts';
import {
  findByImage,
  findDevice,
  listDevices,
  runtimeFolder,
  runtimePath,
} from '../../src/attach/registry.ts';
import { CorruptImageError, FsError, UnsupportedError, UsageError } from '../../src/errors.ts';
import { isAlive, ownIdentity } from '../../src/host/process-identity.ts';
import { FlockHolder } from '../support/flock-holder.ts';
import { spawnSync } from '../support/programs.ts';
import { temporaryFolder } from '../support/tools.ts';

const DEAD = { pid: 1, startTime: '999999999999' };

let runtime: string;
let env: Record<string, string>;

beforeEach(() => {
  runtime = path.join(fs.realpathSync(temporaryFolder()), 'r');
  env = { USERLOOP_RUNTIME_DIR: runtime };
  runtimeFolder(env);
});

function owner(more: Partial<OwnerRecord> = {}): OwnerRecord {
  const use = { image: '/i', imageDevice: '1', imageInode: '2', offset: 0, end: 512, readOnly: false };
  return { ...ownerRecord(use), ...more };
}

/** As if a process had attached it. */
function addDevice(name: string, more: Partial<DeviceState> = {}): void {
  const [, family, unit] = /^([a-z]+)(\d+)$/.exec(name)!;
  const whole = family === 'vnd' ? `${name}c` : name;
  const identity = { pid: more.pid ?? process.pid, startTime: more.startTime ?? ownIdentity().startTime };
  takeName(runtime, name, owner(identity));
  const state = {
    ...identity,
    name,
    family: family as DeviceState['family'],
    unit: Number(unit),
    imageDevice: '1',
    imageInode: '2',
    views: [
      { name: whole, offset: 0, size: 1024 },
      ...(family === 'vnd' ? [{ name: `r${whole}`, offset: 0, size: 1024 }] : []),
      {
        name: family === 'vnd' ? `${name}i` : family === 'md' ? `${name}s1` : `${name}p1`,
        partition: 1,
        offset: 512,
        size: 512,
      },
    ],
    mounts: [],
    ...more,
  };
  fs.writeFileSync(`${runtime}/${name}/state.json`, JSON.stringify(state));
}

describe('the folder of the devices', () => {
  it('is where the environment says, and private', () => {
    expect(runtimePath({ USERLOOP_RUNTIME_DIR: '/a/b', XDG_RUNTIME_DIR: '/x' })).toBe('/a/b');
    expect(runtimePath({ XDG_RUNTIME_DIR: runtime })).toBe(`${runtime}/userloop`);
    const temporary = temporaryFolder();
    expect(runtimePath({ TMPDIR: temporary })).toBe(`${temporary}/userloop-${process.getuid!()}`);
    for (const TMPDIR of ['', `${temporary}/absent`, '/proc/self/status']) {
      expect(runtimePath({ TMPDIR })).toBe(`/tmp/userloop-${process.getuid!()}`);
    }
    expect(runtimePath({})).toBe(`/tmp/userloop-${process.getuid!()}`);
    expect(fs.statSync(runtime).mode & 0o777).toBe(0o700);
    fs.chmodSync(runtime, 0o750);
    expect(() => runtimeFolder(env)).toThrow(/mode 750, expected 700/);
    fs.rmdirSync(runtime);
    fs.symlinkSync('/tmp', runtime);
    expect(() => runtimeFolder(env)).toThrow(/not a directory/);
  });

  it('is not the one that su has left of another user, and none that is not there', () => {
    const other = temporaryFolder();
    const file = path.join(other, 'file');
    fs.writeFileSync(file, '');
    const left = ['/nonexistent', 'relative', '', file, `${file}/below`];
    if (process.getuid!() === 0) {
      fs.chownSync(other, 65534, 65534);
      left.push(other);
    }
    const TMPDIR = temporaryFolder();
    for (const XDG_RUNTIME_DIR of left) {
      expect(runtimePath({ XDG_RUNTIME_DIR, TMPDIR })).toBe(`${TMPDIR}/userloop-${process.getuid!()}`);
    }
  });

  it('is told by its name when it cannot be made', () => {
    const USERLOOP_RUNTIME_DIR = '/proc/self/fd/none/of/these';
    expect(() => runtimeFolder({ USERLOOP_RUNTIME_DIR })).toThrow(
      /the folder of the attached devices, \/proc\/self\/fd\/none\/of\/these, cannot be made: .*USERLOOP_RUNTIME_DIR/,
    );
  });

  it('is not made by those who only look', () => {
    fs.rmdirSync(runtime);
    expect(listDevices(env)).toEqual([]);
    expect(findDevice(env, '/', '/dev/loop0')).toBeUndefined();
    expect(fs.existsSync(runtime)).toBe(false);
  });

  it('is not believed where another user has made it', () => {
    addDevice('loop0');
    expect(listDevices(env)).toHaveLength(1);
    expect(findDevice(env, '/', '/dev/loop0')).toBeDefined();
    const uid = vi.spyOn(process, 'getuid').mockReturnValue(process.getuid!() + 1);
    try {
      expect(listDevices(env)).toEqual([]);
      expect(findDevice(env, '/', '/dev/loop0')).toBeUndefined();
    } finally {
      uid.mockRestore();
    }
  });
});

describe('a name', () => {
  it('is taken once, in one step, and can be given back', () => {
    expect(takeName(runtime, 'md0', owner())).toBe(true);
    expect(takeName(runtime, 'md0', owner())).toBe(false);
    fs.writeFileSync(`${runtime}/md0/log`, 'x');
    fs.mkdirSync(`${runtime}/md0/files`);
    giveNameBack(runtime, 'md0');
    expect(fs.readdirSync(runtime).filter((name) => !name.startsWith('.new'))).toEqual([]);
    expect(takeName(runtime, 'md0', owner())).toBe(true);
  });

  it('is the first that is free, or the wanted one', () => {
    expect(reserveName(runtime, 'md', undefined, owner())).toBe(0);
    expect(reserveName(runtime, 'md', 2, owner())).toBe(2);
    expect(firstFreeUnit(runtime, 'md')).toBe(1);
    expect(reserveName(runtime, 'md', undefined, owner())).toBe(1);
    expect(reserveName(runtime, 'md', undefined, owner())).toBe(3);
    expect(reserveName(runtime, 'vnd', undefined, owner())).toBe(0);
    expect(() => reserveName(runtime, 'md', 2, owner())).toThrow(/EBUSY: md2 is in use/);
    expect(fs.readdirSync(runtime).some((name) => name.startsWith('.'))).toBe(false);
  });

  it('of a dead process is free; of one that is starting it is not', () => {
    takeName(runtime, 'md0', owner(DEAD));
    takeName(runtime, 'md1', owner());
    addDevice('md2', DEAD);
    expect(listDevices(env)).toEqual([]);
    expect(fs.readdirSync(runtime)).toEqual(['md1']);
    expect(reserveName(runtime, 'md', undefined, owner())).toBe(0);
  });

  it('of a process in another container is left alone', () => {
    takeName(runtime, 'md0', owner({ ...DEAD, processNamespace: 'pid:[1]' }));
    expect(listDevices(env)).toEqual([]);
    expect(fs.readdirSync(runtime)).toEqual(['md0']);
  });

  it('of a process in another container is free when the lock of its owner has gone with it', async () => {
    const elsewhere = owner({ ...DEAD, processNamespace: 'pid:[1]' });
    for (const name of ['md0', 'md1']) {
      fs.mkdirSync(`${runtime}/${name}`);
      fs.writeFileSync(`${runtime}/${name}/owner.json`, JSON.stringify({ ...elsewhere, isLocked: true }));
    }
    const holder = await FlockHolder.start(`${runtime}/md0/owner.json`);
    expect(listDevices(env)).toEqual([]);
    expect(fs.readdirSync(runtime)).toEqual(['md0']);
    await holder.end();
    expect(firstFreeUnit(runtime, 'md')).toBe(0);
    // Ours is held as long as this process lives.
    expect(takeName(runtime, 'md2', owner())).toBe(true);
    const own = readOwner(`${runtime}/md2`)!;
    fs.writeFileSync(
      `${runtime}/md2/owner.json`,
      JSON.stringify({ ...own, ...DEAD, processNamespace: 'pid:[1]' }),
    );
    expect(own.isLocked).toBe(true);
    expect(firstFreeUnit(runtime, 'md')).toBe(0);
    expect(fs.readdirSync(runtime)).toEqual(['md2']);
  });

  it('is taken after what was left under other names was cleaned up', () => {
    addDevice('md3', DEAD);
    addDevice('loop4', DEAD);
    addDevice('md5');
    expect(reserveName(runtime, 'md', undefined, owner())).toBe(0);
    expect(fs.readdirSync(runtime).sort()).toEqual(['md0', 'md5']);
  });

  it('too long for a socket is refused with the numbers', () => {
    const deep = `${runtime}/${'x'.repeat(100)}`;
    fs.mkdirSync(deep);
    expect(() => takeName(deep, 'loop0', owner())).toThrow(/would have \d+ bytes, 107 are possible/);
  });
});

describe('what killed processes left', () => {
  it('goes with its links, whoever else cleans up at the same time', () => {
    addDevice('loop7', { ...DEAD, folder: `${runtime}/dev` });
    fs.mkdirSync(`${runtime}/dev`);
    fs.mkdirSync(`${runtime}/loop7/files`);
    fs.symlinkSync(`${runtime}/loop7/files/loop7`, `${runtime}/dev/loop7`);
    fs.symlinkSync(`${runtime}/loop70/files/loop70`, `${runtime}/dev/loop70`);
    // Somebody lives who is at it.
    fs.symlinkSync(`${process.pid}:${ownIdentity().startTime}`, `${runtime}/loop7/cleaner`);
    expect(listDevices(env)).toEqual([]);
    expect(fs.existsSync(`${runtime}/loop7`)).toBe(true);
    // And has been killed, too.
    fs.rmSync(`${runtime}/loop7/cleaner`);
    fs.symlinkSync('1:999999999999', `${runtime}/loop7/cleaner`);
    expect(listDevices(env)).toEqual([]);
    expect(fs.existsSync(`${runtime}/loop7`)).toBe(false);
    expect(fs.readdirSync(`${runtime}/dev`)).toEqual(['loop70']);
  });

  it('as it took a name or gave it back is swept', () => {
    fs.mkdirSync(`${runtime}/.new-1-999999999999`);
    fs.writeFileSync(`${runtime}/.new-1-999999999999/owner.json`, '');
    fs.mkdirSync(`${runtime}/.gone-${spawnSync('true').pid}-loop0-x`);
    const own = `.new-${process.pid}-${ownIdentity().startTime}`;
    fs.mkdirSync(`${runtime}/${own}`);
    sweep(runtime);
    expect(fs.readdirSync(runtime)).toEqual([own]);
  });

  it('and cannot be removed keeps nobody from a name', () => {
    const left = `.gone-${spawnSync('true').pid}-loop0-x`;
    fs.mkdirSync(`${runtime}/${left}/files/somebody`, { recursive: true });
    expect(reserveName(runtime, 'md', undefined, owner())).toBe(0);
    expect(fs.readdirSync(runtime)).toContain(left);
  });

  it('a process counts as dead when only its parent has not been told', async () => {
    const child = spawn('sh', ['-c', 'sleep 0 & exec sleep 10'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const stat = (): string => fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1').replace(/.*\) /, '');
    const startTime = stat().split(' ')[19]!;
    expect(isAlive({ pid: child.pid!, startTime })).toBe(true);
    expect(isAlive({ pid: child.pid!, startTime: `${Number(startTime) + 1}` })).toBe(false);
    // The shell's first child, which the sleep that took the shell's place never waits for.
    const children = fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
    if (children !== '') {
      const zombie = Number(children);
      for (let wait = 0; wait < 200 && isAlive({ pid: zombie, startTime: '' }); wait++) {
        const text = fs.readFileSync(`/proc/${zombie}/stat`, 'latin1').replace(/.*\) /, '');
        if (!text.startsWith('Z')) await new Promise((resolve) => setTimeout(resolve, 10));
        else {
          expect(isAlive({ pid: zombie, startTime: text.split(' ')[19]! })).toBe(false);
          break;
        }
      }
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isAlive({ pid: child.pid!, startTime })).toBe(false);
  });
});

describe('a name on the command line', () => {
  it('means the device, or its view, by any of its paths', () => {
    addDevice('loop7', { folder: `${runtime}/dev` });
    addDevice('vnd0');
    addDevice('md3');
    const names: Record<string, string | undefined> = {
      loop7: 'loop7',
      '/dev/loop7': 'loop7',
      '/dev/loop7p1': 'loop7p1',
      '../dev/loop7p1': 'loop7p1',
      [`${runtime}/dev/loop7p1`]: 'loop7p1',
      [`${runtime}/loop7/files/loop7`]: 'loop7',
      '/dev/loop7p2': undefined,
      '/dev/loop70': undefined,
      '/dev/loop07': undefined,
      '/elsewhere/loop7': undefined,
      './loop7': undefined,
      [`${runtime}/loop7/x/loop7`]: undefined,
      '/dev/md3s1': 'md3s1',
      md3: 'md3',
      '/dev/md3p1': undefined,
      '/dev/vnd0': 'vnd0c',
      vnd0c: 'vnd0c',
      '/dev/rvnd0c': 'rvnd0c',
      rvnd0: 'rvnd0c',
      '/dev/svnd0c': 'vnd0c',
      svnd0: 'vnd0c',
      '/dev/vnd0i': 'vnd0i',
      '/dev/vnd0j': undefined,
      '': undefined,
      '/dev/': undefined,
      loop: undefined,
    };
    for (const [name, view] of Object.entries(names))
      expect([name, findDevice(env, '/tmp', name)?.view.name]).toEqual([name, view]);
    expect(
      findDevice({ ...env, USERLOOP_DEV_FOLDER: '/elsewhere' }, '/', '/elsewhere/loop7')?.view.name,
    ).toBe('loop7');
    expect(listDevices(env).map(({ name }) => name)).toEqual(['loop7', 'md3', 'vnd0']);
  });

  it('of a file finds the devices that are made of it, under any name of the file', () => {
    const file = path.join(runtime, 'a.img');
    fs.writeFileSync(file, '');
    const stats = fs.statSync(file, { bigint: true });
    addDevice('md1', { imageDevice: String(stats.dev), imageInode: String(stats.ino) });
    addDevice('md0');
    fs.linkSync(file, `${runtime}/b.img`);
    fs.symlinkSync('b.img', `${runtime}/c.img`);
    for (const name of ['a.img', 'b.img', 'c.img'])
      expect(findByImage(env, `${runtime}/${name}`).map((state) => state.name)).toEqual(['md1']);
    expect(findByImage(env, `${runtime}/d.img`)).toEqual([]);
  });
});

describe('an error', () => {
  it('comes through a socket as what it was', () => {
    const errors = [
      new FsError('EBUSY', { syscall: 'open', path: '/x', detail: 'it is 1, not 2' }),
      new FsError('ENOENT'),
      new UnsupportedError('Not that', ['that']),
      new UsageError('wrong', 3),
      new DeviceBusyError('busy', [{ pid: 1, command: 'cat', what: 'loop0' }]),
      new CorruptImageError({ structure: 'a', field: 'b', offset: 3, found: 'c', expected: 'd' }),
      Object.assign(new Error('ENOMSG: x, open'), { code: 'ENOMSG', errno: -42, syscall: 'open' }),
    ];
    for (const error of errors) {
      const back = decodeError(JSON.parse(JSON.stringify(encodeError(error))));
      expect(back).toEqual(error);
      expect(back.constructor).toBe(error.constructor);
      expect(Object.entries(back)).toEqual(Object.entries(error));
    }
    expect(decodeError(encodeError('text')).message).toBe('text');
  });
});
