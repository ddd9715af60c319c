import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { BlockDevice } from '../../src/device/block-device.ts';
import { MENDABLE, UNDECIDABLE, writeImage } from '../support/damaged-tables.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

const folder = memoryFolder();

function imageOf(device: BlockDevice): string {
  return writeImage(path.join(folder, 'disk.img'), device);
}

/** What the judges object to. */
function objections(image: string): string[] {
  const said: string[] = [];
  for (const [tool, args] of [
    ['parted', ['-s', '-m', image, 'unit', 's', 'print']],
    ['fdisk', ['-l', image]],
    ['sfdisk', ['-V', image]],
  ] as const) {
    const { status, stdout, stderr } = runTool(tool, args);
    if (status !== 0 || stderr !== '') said.push(`${tool}: ${status} ${stderr}${status === 0 ? '' : stdout}`);
  }
  if (fs.readFileSync(image, 'latin1').startsWith('EFI PART', 512)) {
    const { stdout } = runTool('sgdisk', ['-v', image]);
    if (!stdout.includes('No problems found')) said.push(`sgdisk: ${stdout}`);
  }
  return said;
}

describeWithTools(['sgdisk', 'sfdisk', 'parted', 'fdisk', 'xxd'], 'inspect --repair', () => {
  test.each(Object.keys(MENDABLE))(
    '%s: what is written satisfies the judges, and can be undone',
    async (name) => {
      const image = imageOf(MENDABLE[name]!());
      const before = fs.readFileSync(image);
      const backup = path.join(folder, 'before.txt');
      fs.rmSync(backup, { force: true });

      const shown = await userloop(['inspect', '--repair', '--dry-run', image]);
      expect(shown).toMatchObject({ status: 1, stderr: '' });
      expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);

      const done = await userloop(['inspect', '--repair', '--yes', '--backup', backup, image]);
      expect(done).toMatchObject({ status: 0, stderr: '' });
      expect(objections(image)).toEqual([]);
      expect(await userloop(['inspect', '--repair', '--dry-run', image])).toMatchObject({
        status: 0,
        stdout: `${image}: nothing is wrong with the table\n`,
      });

      expect(runTool('xxd', ['-r', backup, image]).status).toBe(0);
      expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);
    },
  );

  test('the judges are not blind', () => {
    for (const name of ['primary header', 'an image that grew', 'a chain that returns']) {
      expect(objections(imageOf(MENDABLE[name]!()))).not.toEqual([]);
    }
  });

  test.each(Object.keys(UNDECIDABLE))('%s: nothing is written, and it says so', async (name) => {
    const image = imageOf(UNDECIDABLE[name]!());
    const before = fs.readFileSync(image);
    const done = await userloop(['inspect', '--repair', '--yes', image]);
    expect(done.status).toBe(1);
    expect(done.stdout).toContain('No rule mends: ');
    expect(done.stdout).toContain('Nothing was written');
    expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);
  });
});
