import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { nativeAffinity, processorsOf, setOfProcessor } from '../../src/host/affinity.ts';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

const LOWEST_PRIORITY = 19;
/** Bits that are set in a hexadecimal digit. */
const BITS = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];
/** Hundredths of a second. */
const TICKS = 100;

interface Thread {
  readonly processors: number;
  readonly nice: number;
  /** Of processor time. */
  readonly ticks: number;
}

/** What proc(5) tells of the threads of this process. */
function threads(): Thread[] {
  return fs.readdirSync('/proc/self/task').map((id) => {
    const stat = fs.readFileSync(`/proc/self/task/${id}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const status = fs.readFileSync(`/proc/self/task/${id}/status`, 'latin1');
    const [, allowed] = /^Cpus_allowed:\t(.*)$/m.exec(status)!;
    return {
      processors: Array.from(
        allowed!.replaceAll(',', ''),
        (digit) => BITS[Number.parseInt(digit, 16)]!,
      ).reduce((sum, bits) => sum + bits, 0),
      nice: Number(fields[19 - 3]),
      ticks: Number(fields[14 - 3]) + Number(fields[15 - 3]),
    };
  });
}

const isNeighbour = ({ nice }: Thread): boolean => nice === LOWEST_PRIORITY;

/** How long it may take at most until the thread has moved, where other programs want the processors, too. Milliseconds. */
const LONGEST = 30_000;

/** In a process of its own, until it is ended, for the time given in milliseconds at most. */
const WORK = `
  const fs = require('node:fs');
  const [directory, milliseconds] = process.argv.slice(1);
  for (let i = 0, until = Date.now() + Number(milliseconds); Date.now() < until; i++) {
    fs.writeFileSync(directory + '/file ' + (i % 100), String(i));
    fs.unlinkSync(directory + '/file ' + (i % 100));
  }`;

async function ended(worker: ChildProcess): Promise<void> {
  if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
}

const work = (directory: string, milliseconds: number) =>
  spawn(process.execPath, ['-e', WORK, directory, String(milliseconds)], { stdio: 'ignore' });

/** Threads that may run on one processor only, the neighbour left out. */
const kept = () => threads().filter((thread) => !isNeighbour(thread) && thread.processors === 1).length;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const all = nativeAffinity()?.get() ?? new Uint8Array();
const [first, second] = processorsOf(all);
let mounted: MountedImage | undefined;

afterEach(async () => {
  await mounted?.close();
  mounted = undefined;
  nativeAffinity()!.set(0, all);
});

async function mountImage(...processors: number[]): Promise<string> {
  const sets = processors.map(setOfProcessor);
  const set = sets[0]!.map((_, at) => sets.reduce((sum, each) => sum | each[at]!, 0));
  // The threads of the mount begin where this one may be.
  expect(nativeAffinity()!.set(0, set)).toBe(true);
  const image = path.join(temporaryFolder(), 'disk.img');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 16 << 20);
  expect(runTool('mke2fs', ['-q', '-F', image]).status).toBe(0);
  mounted = new MountedImage(image);
  return (await mounted.mount()).directory;
}

describeWithMounts(['mke2fs', 'e2fsck'], 'The processor of a caller', () => {
  it.skipIf(second === undefined)('has the thread of the mount while he works, and no longer', async () => {
    const directory = await mountImage(first!, second!);
    const before = kept();
    const worker = work(directory, LONGEST);
    await expect.poll(kept, { timeout: LONGEST, interval: 5 }).toBe(before + 1);
    worker.kill();
    await ended(worker);
    expect(threads().filter(isNeighbour)).toHaveLength(1);

    // When nothing has come for a while.
    await expect.poll(kept, { timeout: 5000 }).toBe(before);
    const { ticks } = threads().find(isNeighbour)!;
    await pause(500);
    expect(threads().find(isNeighbour)!.ticks - ticks).toBeLessThan(0.1 * TICKS);

    await mounted!.unmount();
    expect(runTool('e2fsck', ['-fn', mounted!.share.path]).status).toBe(0);
  });

  it('is not sought where there is one only', async () => {
    const directory = await mountImage(first!);
    await ended(work(directory, 500));
    expect(threads().filter(isNeighbour)).toHaveLength(0);
  });
});
