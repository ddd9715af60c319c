import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { kernelLoopBackend as backend } from '../../src/attach/kernel-loop.ts';
import { masked } from '../support/fdisk-sessions.ts';
import { loopRequest } from '../support/attached.ts';
import { describeWithKernelLoops, detachKernelLoopsOf } from '../support/kernel-loops.ts';
import { spawnSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

const SIZE = 8 << 20;
const IDENTIFIER = 'x\ni\n0x12345678\nr\n';

/** After `w` the kernel is told, and what it says of it. */
describeWithKernelLoops(['fdisk', 'losetup'], 'fdisk on devices of the kernel', () => {
  let folder = '';

  afterEach(async () => {
    await detachKernelLoopsOf(folder);
  });

  test.each([
    ['that reads tables', true, `o\n${IDENTIFIER}n\n\n\n\n+2M\nw\n`],
    ['that reads no tables', false, `o\n${IDENTIFIER}n\n\n\n\n+2M\nw\n`],
    ['with a nested disklabel', true, `o\n${IDENTIFIER}n\n\n\n\n\nt\na5\nb\ny\nw\nr\nw\n`],
    ['where nothing is written', true, `o\n${IDENTIFIER}n\n\n\n\n+2M\nq\n`],
  ])('does what util-linux does with one %s', async (_, partitionScan, keys) => {
    folder = fs.realpathSync(temporaryFolder());
    const image = path.join(folder, 'disk.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, SIZE);
    const device = `/dev/${(await backend.attach(loopRequest(image, { partitionScan }))).name}`;
    const run = spawnSync(findTool('fdisk')!, [device], {
      input: keys,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' },
    });
    const expected = fs.readFileSync(image);
    expect(runTool('dd', ['if=/dev/zero', `of=${device}`, 'bs=1M', 'count=8', 'conv=fsync']).status).toBe(0);
    const { status, stdout, stderr } = await userloop(['fdisk', device], { cwd: folder, stdin: keys });
    expect(masked(status, stdout, stderr)).toEqual(masked(run.status ?? 128, run.stdout, run.stderr));
    expect(fs.readFileSync(image).equals(expected)).toBe(true);
  });
});
