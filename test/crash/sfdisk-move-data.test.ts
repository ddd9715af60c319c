import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Disk } from '../../src/cli/applets/fdisk/disk.ts';
import { OPTIONS, readOptions } from '../../src/cli/applets/sfdisk/command-line.ts';
import type { Context } from '../../src/cli/applets/sfdisk/context.ts';
import { prepareDataMove } from '../../src/cli/applets/sfdisk/move-data.ts';
import { Talk } from '../../src/cli/applets/sfdisk/talk.ts';
import { getopt } from '../../src/cli/getopt.ts';
import type { Io } from '../../src/cli/io.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { FsError } from '../../src/errors.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

const SECTOR = 512;
const MOVES: readonly (readonly [name: string, from: number, to: number, count: number])[] = [
  ['up by less than a step', 3000, 3200, 1500],
  ['down by less than a step', 3200, 3000, 1500],
  ['up by a sector', 3000, 3001, 40],
  ['down by a sector', 3001, 3000, 40],
  ['up by more than a step', 3000, 5100, 7001],
  ['down by more than a step', 5100, 3000, 7001],
  ['far up', 3000, 20_000, 5000],
];

/** Every sector tells which one it is. */
function content(count: number): Uint8Array {
  const bytes = new Uint8Array(count * SECTOR);
  for (let sector = 0; sector < count; sector++) {
    for (let at = 0; at < SECTOR; at += 4)
      new DataView(bytes.buffer).setUint32(sector * SECTOR + at, sector * 131 + at);
  }
  return bytes;
}

function silentContext(folder: string): Context {
  const output = { isTerminal: false, columns: 80, write: () => {} };
  const input = { isTerminal: false, readLine: () => undefined, readAll: () => new Uint8Array(0) };
  const io: Io = { stdin: input, stdout: output, stderr: output, cwd: folder, env: { HOME: folder } };
  const options = readOptions(getopt(['-N', '1', '-q', '--move-data=log', 'disk.img'], OPTIONS));
  return { io, talk: new Talk(io, true), options };
}

function openDisk(context: Context): Disk {
  return Disk.open(context.io, 'disk.img', {
    geometry: {},
    dosCompatible: false,
    cylinders: false,
    classic: false,
    keepBootCode: true,
  });
}

/** Goes on by hand: makes the steps that the log does not name, in its order. */
function resume(image: string, log: string): void {
  const text = fs.readFileSync(log, 'utf8');
  const bytes = (field: string): number => Number(new RegExp(`${field}.*: \\d+/(\\d+)`).exec(text)![1]);
  const [from, to] = [bytes('Original start offset'), bytes('New start offset')];
  const [size, step] = [bytes('Area size'), bytes('Step size')];
  const done = text.split('\n').filter((line) => /^\d+:/.test(line)).length;
  const fd = fs.openSync(image, 'r+');
  for (let i = done; i * step < size; i++) {
    const length = Math.min(step, size - i * step);
    const offset = to > from ? size - i * step - length : i * step;
    const part = new Uint8Array(length);
    fs.readSync(fd, part, 0, length, from + offset);
    fs.writeSync(fd, part, 0, length, to + offset);
  }
  fs.closeSync(fd);
}

describe('data that moves with its partition', () => {
  const folder = temporaryFolder();
  const image = path.join(folder, 'disk.img');
  const log = path.join(folder, 'log-disk.img1.move');

  async function prepare(from: number, data: Uint8Array): Promise<void> {
    fs.rmSync(image, { force: true });
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 32 << 20);
    const { status } = await userloop(['sfdisk', '-q', 'disk.img'], {
      cwd: folder,
      stdin: `${from},${data.length / SECTOR}\n`,
    });
    expect(status).toBe(0);
    const fd = fs.openSync(image, 'r+');
    fs.writeSync(fd, data, 0, data.length, from * SECTOR);
    fs.closeSync(fd);
  }

  function read(sector: number, count: number): Uint8Array {
    const bytes = new Uint8Array(count * SECTOR);
    const fd = fs.openSync(image, 'r');
    fs.readSync(fd, bytes, 0, bytes.length, sector * SECTOR);
    fs.closeSync(fd);
    return bytes;
  }

  test.each(MOVES)('%s is there in the end', async (_, from, to, count) => {
    const data = content(count);
    await prepare(from, data);
    const { status, stderr } = await userloop(['sfdisk', '-q', '-N', '1', '--move-data', 'disk.img'], {
      cwd: folder,
      stdin: `${to},\n`,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(Buffer.compare(read(to, count), data)).toBe(0);
  });

  test.each(MOVES)('%s can be moved on by its log, whichever write was cut', async (_, from, to, count) => {
    const data = content(count);
    for (let cut = 0; ; cut++) {
      await prepare(from, data);
      const context = silentContext(folder);
      const disk = openDisk(context);
      const before = disk.label!.editor.partition(0);
      disk.editor!.setRange(0, to, to + count - 1);
      const move = prepareDataMove(context, disk, 0, before);
      const device = new FaultDevice(FileDevice.open(image), {
        failWritesFrom: cut,
        tornBytes: 100 * (cut % 7),
      });
      let finished = true;
      try {
        move.run(device);
      } catch (error) {
        expect(error).toBeInstanceOf(FsError);
        finished = false;
      }
      move.close();
      device.close();
      disk.close();
      if (finished) break;
      resume(image, log);
      expect(Buffer.compare(read(to, count), data)).toBe(0);
    }
  });
});
