import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { masked } from '../support/fdisk-sessions.ts';
import { FlockHolder } from '../support/flock-holder.ts';
import { spawnSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, findTool, temporaryFolder } from '../support/tools.ts';

interface Call {
  readonly tool: 'sfdisk' | 'fdisk';
  readonly args: readonly string[];
  readonly stdin?: string;
  readonly env?: Record<string, string>;
}

const SCRIPT = 'label: dos\nlabel-id: 0x12345678\n,1M\n';
const sfdisk = (...args: string[]): Call => ({ tool: 'sfdisk', args, stdin: SCRIPT });
const fdisk = (...args: string[]): Call => ({ tool: 'fdisk', args, stdin: 'p\nq\n' });
const MODES = ['--lock=nonblock', '--lock==nonblock', '--lock=no', '--lock=0', '--lock=foo', '--lock='];
const VARIABLES = ['nonblock', 'no', '0', 'foo', ''];
const COMMANDS: readonly (readonly string[])[] = [
  ['-r'],
  ['-n'],
  ['-a'],
  ['--delete'],
  ['-A', 'disk.img', '1'],
  ['--disk-id', 'disk.img', '7'],
  ['--relocate', 'gpt-bak-std'],
  // These only look, and need no lock.
  ['-d'],
  ['-l'],
  ['-J'],
  ['-V'],
  ['-F'],
  ['-s'],
  ['-g'],
  ['-A'],
  ['--disk-id'],
  ['--part-type', 'disk.img', '1'],
];

describeWithTools(['sfdisk', 'fdisk', 'flock'], 'the lock of a device', () => {
  const folder = temporaryFolder();
  const image = path.join(folder, 'disk.img');

  fs.writeFileSync(image, '');
  fs.truncateSync(image, 4 << 20);
  spawnSync(findTool('sfdisk')!, ['-q', image], { input: SCRIPT });
  const table = fs.readFileSync(image).subarray(0, 512);

  /** The same file, so that who has it locked keeps it so. */
  function newImage(): void {
    const fd = fs.openSync(image, 'r+');
    fs.writeSync(fd, table, 0, 512, 0);
    fs.closeSync(fd);
  }

  /** The outcome, and the table as it is then. */
  type Outcome = ReturnType<typeof masked> & { readonly table: string };

  async function both(call: Call, hold?: () => Promise<FlockHolder>): Promise<[Outcome, Outcome]> {
    const argv = call.args.includes('disk.img') ? call.args : [...call.args, 'disk.img'];
    const outcome = async (run: () => Promise<ReturnType<typeof masked>>): Promise<Outcome> => {
      newImage();
      const holder = await hold?.();
      try {
        const result = await run();
        return { ...result, table: fs.readFileSync(image).subarray(0, 512).toString('hex') };
      } finally {
        await holder?.end();
      }
    };
    const ours = await outcome(async () => {
      const options = { cwd: folder, stdin: call.stdin ?? '', env: { HOME: folder, ...call.env } };
      const { status, stdout, stderr } = await userloop([call.tool, ...argv], options);
      return masked(status, stdout, stderr);
    });
    const reference = await outcome(async () => {
      const result = spawnSync(findTool(call.tool)!, argv, {
        argv0: call.tool,
        cwd: folder,
        input: call.stdin ?? '',
        encoding: 'utf8',
        timeout: 120_000,
        env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', HOME: folder, ...call.env },
      });
      return masked(result.status ?? 128, result.stdout, result.stderr);
    });
    return [ours, reference];
  }

  describe('that another program has is told of as util-linux does', () => {
    let holder: FlockHolder;
    beforeAll(async () => {
      holder = await FlockHolder.start(image);
    });
    afterAll(() => holder.end());

    test.each([
      ...MODES.map((mode) => sfdisk(mode)),
      ...MODES.map((mode) => fdisk(mode)),
      ...VARIABLES.map((mode) => ({ ...sfdisk(), env: { LOCK_BLOCK_DEVICE: mode } })),
      ...VARIABLES.map((mode) => ({ ...fdisk(), env: { LOCK_BLOCK_DEVICE: mode } })),
      { ...sfdisk('--lock=no'), env: { LOCK_BLOCK_DEVICE: 'nonblock' } },
      { ...sfdisk('--lock=nonblock'), env: { LOCK_BLOCK_DEVICE: 'no' } },
      ...COMMANDS.map((args) => sfdisk('--lock=nonblock', ...args)),
      ...[['-l'], ['-x'], ['-s']].map((args) => fdisk('--lock=nonblock', ...args)),
    ])('$tool $args $env', async (call) => {
      const [ours, reference] = await both(call);
      expect(ours).toEqual(reference);
    });
  });

  test.each([
    sfdisk('--lock'),
    sfdisk('--lock=1'),
    { ...sfdisk(), env: { LOCK_BLOCK_DEVICE: 'yes' } },
    fdisk('--lock=yes'),
  ])('is waited for: $tool $args $env', async (call) => {
    const [ours, reference] = await both(call, () => FlockHolder.start(image, 0.4));
    expect(ours).toEqual(reference);
    expect(ours.status).toBe(0);
    expect(ours.stderr).toContain('waiting to get lock ... OK\n');
  });

  test.each([
    ['sfdisk', '>>> '],
    ['fdisk', 'Command (m for help): '],
  ])('is held by %s as long as it works, and no longer', async (tool, prompt) => {
    newImage();
    let seen: number | null | undefined;
    const result = await userloop([tool, '--lock', 'disk.img'], {
      cwd: folder,
      stdin(output) {
        expect(output).toContain(prompt);
        seen = spawnSync(findTool('flock')!, ['-n', image, 'true']).status;
        return undefined;
      },
    });
    expect(result.status).toBe(0);
    expect(seen).toBe(1);
    expect(spawnSync(findTool('flock')!, ['-n', image, 'true']).status).toBe(0);
  });

  test('that is waited for guards the table that is read then', async () => {
    newImage();
    const script = `${SCRIPT},1M\n`;
    const holder = await FlockHolder.start(image, 0.5);
    // Whoever has the lock writes while ours waits for it.
    const writer = spawn(
      'sh',
      ['-c', 'sleep 0.2; printf "$1" | "$0" -q disk.img', findTool('sfdisk')!, script],
      {
        cwd: folder,
        stdio: 'ignore',
      },
    );
    const result = await userloop(['sfdisk', '--lock', '-a', 'disk.img'], { cwd: folder, stdin: ',500K\n' });
    if (writer.exitCode === null) await once(writer, 'exit');
    await holder.end();
    expect(result.status).toBe(0);
    expect(result.stdout).toContain('disk.img3');
  });
});
