import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DeviceBusyError, type DeviceState } from '../../src/attach/device-state.ts';
import { kernelLoopBackend as backend } from '../../src/attach/kernel-loop.ts';
import { kernelLoopState } from '../../src/attach/kernel-loop-state.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { loopRequest } from '../support/attached.ts';
import { describeWithKernelLoops, detachKernelLoopsOf } from '../support/kernel-loops.ts';
import { execFileSync } from '../support/programs.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

describeWithKernelLoops(['losetup', 'blockdev', 'sfdisk', 'mke2fs'], "the kernel's loop devices", () => {
  let folder: string;
  let image: string;

  beforeEach(() => {
    folder = fs.realpathSync(temporaryFolder());
    image = path.join(folder, 'disk.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 8 << 20);
  });

  afterEach(() => detachKernelLoopsOf(folder));

  function blockdev(question: string, state: DeviceState): string {
    return runTool('blockdev', [question, `/dev/${state.name}`]).stdout.trim();
  }

  it('are what was asked for, by the word of losetup and blockdev', async () => {
    const state = await backend.attach(
      loopRequest(image, {
        offset: 4096,
        sizeLimit: 1 << 20,
        sectorSize: 4096,
        readOnly: true,
        autoclear: true,
      }),
    );
    const columns = 'BACK-FILE,OFFSET,SIZELIMIT,RO,AUTOCLEAR,DIO,LOG-SEC,BACK-INO,PARTSCAN';
    const device = `/dev/${state.name}`;
    const listing = runTool('losetup', ['-J', '-l', '-O', columns, device]);
    expect(JSON.parse(listing.stdout)).toEqual({
      loopdevices: [
        {
          'back-file': image,
          offset: 4096,
          sizelimit: 1 << 20,
          ro: true,
          autoclear: true,
          dio: false,
          'log-sec': 4096,
          'back-ino': fs.statSync(image).ino,
          partscan: false,
        },
      ],
    });
    // Whoever closes it last clears it; that was held back for whoever is to use it.
    expect(await backend.detach(state)).toBe('gone');
  });

  it('can be written again after they were made read-only', async () => {
    const state = await backend.attach(loopRequest(image));
    await backend.change(state, { readOnly: true });
    await backend.detach(state);
    const again = await backend.attach(loopRequest(image, { unit: state.unit }));
    expect(again.readOnly).toBe(false);
    expect(blockdev('--getro', again)).toBe('0');
  });

  it('tell the same of themselves as was asked for', async () => {
    const request = loopRequest(image, { offset: 512, sizeLimit: 1 << 20, directIo: false });
    const state = await backend.attach(request);
    expect(state).toMatchObject({
      backend: 'kernel',
      family: 'loop',
      image,
      imageInode: `${fs.statSync(image).ino}`,
      imageDevice: `${fs.statSync(image).dev}`,
      offset: 512,
      sizeLimit: 1 << 20,
      size: 1 << 20,
      sectorSize: 512,
      readOnly: false,
      autoclear: false,
      views: [{ name: state.name, offset: 0, size: 1 << 20 }],
      mounts: [],
    });
    expect(blockdev('--getsize64', state)).toBe(`${1 << 20}`);
    expect(backend.list()).toContainEqual(state);
    expect(await backend.detach(state)).toBe('gone');
    expect(kernelLoopState(state.unit)?.image).not.toBe(image);
  });

  it('grow with the file, change their sectors, and refuse sectors that cannot be', async () => {
    const state = await backend.attach(loopRequest(image));
    fs.truncateSync(image, 16 << 20);
    expect((await backend.change(state, { resize: true })).size).toBe(16 << 20);
    expect((await backend.change(state, { sectorSize: 2048 })).sectorSize).toBe(2048);
    expect(blockdev('--getss', state)).toBe('2048');
    await expect(backend.change(state, { sectorSize: 600 })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(backend.change(state, { resize: 4096 })).rejects.toMatchObject({ code: 'EINVAL' });
    expect((await backend.change(state, { readOnly: true })).readOnly).toBe(true);
    expect((await backend.change(state, { autoclear: true })).autoclear).toBe(true);
  });

  it('are refused twice under one name, and without an image', async () => {
    const state = await backend.attach(loopRequest(image));
    await expect(backend.attach(loopRequest(image, { unit: state.unit }))).rejects.toMatchObject({
      code: 'EBUSY',
    });
    await expect(backend.attach(loopRequest(`${folder}/none`))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(backend.attach(loopRequest(folder, { readOnly: true }))).rejects.toMatchObject({
      code: expect.stringMatching(/^(EINVAL|EISDIR)$/) as string,
    });
    await backend.detach(state);
    await expect(backend.change(state, { resize: true })).rejects.toMatchObject({ code: 'ENXIO' });
    await expect(backend.detach(state)).rejects.toMatchObject({ code: 'ENXIO' });
  });

  it('have their partitions also where the kernel cannot read the table', async () => {
    const table = 'label: dos\nstart=2048, size=2048, type=83\nstart=4096, size=12288, type=c\n';
    expect(runTool('sfdisk', ['-q', image], { input: table }).status).toBe(0);
    const state = await backend.attach(loopRequest(image, { partitionScan: true }));
    expect(state.views.slice(1)).toEqual([
      { name: `${state.name}p1`, partition: 1, offset: 1 << 20, size: 1 << 20 },
      { name: `${state.name}p2`, partition: 2, offset: 2 << 20, size: 6 << 20 },
    ]);
    const p2 = FileDevice.open(`/dev/${state.name}p2`);
    p2.write(0, new Uint8Array([1, 2, 3]));
    p2.flush();
    expect([p2.size, p2.sectorSize]).toEqual([6 << 20, 512]);
    p2.close();
    expect([...fs.readFileSync(image).subarray(2 << 20, (2 << 20) + 4)]).toEqual([1, 2, 3, 0]);
    expect(await backend.detach(state)).toBe('gone');
    expect(fs.existsSync(`/sys/block/${state.name}/${state.name}p1`)).toBe(false);
  });

  it('stay as long as somebody has them open, and who that is gets told', async () => {
    const state = await backend.attach(loopRequest(image));
    const device = `/dev/${state.name}`;
    const holder = spawn('sh', ['-c', `exec 3<${device}; echo ready; read line`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    const refusal = await backend.detach(state).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(DeviceBusyError);
    expect((refusal as DeviceBusyError).holders).toEqual([
      { pid: holder.pid, command: 'sh', what: state.name },
    ]);
    expect(await backend.detach(state, { lazy: true })).toBe('later');
    expect(kernelLoopState(state.unit)).toMatchObject({ image, autoclear: true });
    holder.stdin.end('\n');
    await once(holder, 'exit');
    expect(kernelLoopState(state.unit)?.image).not.toBe(image);
  });

  it('get as many names as there are attaches at one moment', async () => {
    const states = await Promise.all(Array.from({ length: 20 }, () => backend.attach(loopRequest(image))));
    expect(new Set(states.map(({ unit }) => unit)).size).toBe(20);
    for (const state of states) expect(await backend.detach(state)).toBe('gone');
  });

  it('tell what is mounted from them', async () => {
    execFileSync('mke2fs', ['-q', image]);
    const state = await backend.attach(loopRequest(image));
    const directory = path.join(folder, 'a b');
    fs.mkdirSync(directory);
    execFileSync('mount', ['-o', 'ro', `/dev/${state.name}`, directory]);
    try {
      expect(kernelLoopState(state.unit)?.mounts).toMatchObject([
        { directory, source: `/dev/${state.name}`, type: 'ext2', view: state.name, readOnly: true },
      ]);
      await expect(backend.detach(state)).rejects.toBeInstanceOf(DeviceBusyError);
    } finally {
      execFileSync('umount', [directory]);
    }
    expect(await backend.detach(state)).toBe('gone');
  });

  it('are devices of ours with their size and sectors, in which zeroing makes holes of the image', async () => {
    fs.writeFileSync(image, Buffer.alloc(8 << 20, 0xa5));
    execFileSync('sync', [image]);
    const state = await backend.attach(loopRequest(image, { sectorSize: 4096 }));
    const device = FileDevice.open(`/dev/${state.name}`);
    try {
      expect([device.size, device.sectorSize, device.readOnly]).toEqual([8 << 20, 4096, false]);
      const before = fs.statSync(image).blocks;
      // Neither end lies on a sector.
      device.zero(4096 * 3 + 17, (6 << 20) + 1000);
      device.flush();
      const expected = Buffer.alloc(8 << 20, 0xa5).fill(0, 4096 * 3 + 17, 4096 * 3 + 17 + (6 << 20) + 1000);
      const found = Buffer.alloc(8 << 20);
      device.read(0, found);
      expect(found.equals(expected)).toBe(true);
      expect(fs.readFileSync(image).equals(expected)).toBe(true);
      expect(fs.statSync(image).blocks).toBeLessThan(before / 2);
    } finally {
      device.close();
    }
  });
});
