import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { spawnSync } from '../support/programs.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/userloop', import.meta.url));

/** The process for a device starts before the command line is read in full. */
describeWithDevices([], 'a process that is started early', () => {
  let test: AttachedTest;

  beforeEach(() => {
    test = new AttachedTest();
    test.image('a.img', 8 << 20);
  });

  afterEach(async () => {
    await test.end();
  });

  function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
      cwd: test.folder,
      env: test.env,
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  }

  /** Processes that were started in this test's environment. */
  function processes(): string[] {
    return fs.readdirSync('/proc').filter((name) => {
      if (!/^\d+$/.test(name)) return false;
      try {
        return fs.readFileSync(`/proc/${name}/environ`, 'latin1').includes(`=${test.runtime}\0`);
      } catch {
        return false;
      }
    });
  }

  async function processesAreGone(): Promise<void> {
    await expect.poll(processes, { timeout: 120_000, interval: 20 }).toEqual([]);
  }

  it.each([
    ['attach', 'a.img'],
    ['losetup', '-f', '--show', 'a.img'],
  ])('serves the device: %s', async (...args) => {
    const { status, stdout, stderr } = run(...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [state] = test.list();
    expect(stdout).toContain(state!.name);
    expect(processes()).toEqual([`${state!.pid}`]);
    expect(run('detach', state!.name).status).toBe(0);
    await processesAreGone();
    expect(test.leftovers()).toEqual([]);
  });

  it.each([
    ['attach', 'none.img'],
    ['attach', '--no-such-option', 'a.img'],
    ['losetup', '-f', 'none.img'],
    ['losetup', '-f', '-o', 'nonsense', 'a.img'],
    ['losetup', '-f', '--sector-size', '7', 'a.img'],
  ])('goes when nothing comes of it: %s %s %s', async (...args) => {
    const { status, stderr } = run(...args);
    expect(status).not.toBe(0);
    expect(stderr).not.toBe('');
    await processesAreGone();
    expect(test.leftovers()).toEqual([]);
  });
});
