import fs from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { BlockDevice } from '../../src/device/block-device.ts';
import {
  ENTRY,
  MENDABLE,
  SECOND_EBR,
  gptDisk,
  mbrDisk,
  patch,
  writeImage,
} from '../support/damaged-tables.ts';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { describeWithKernelLoops } from '../support/kernel-loops.ts';
import { userloop } from '../support/run.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();

function imageOf(device: BlockDevice, name = 'disk.img', where = folder): string {
  return writeImage(path.join(where, name), device);
}

/** A bad signature of the second extended boot record, and C/H/S of partition 1 that are none. */
function twoFaults(): string {
  return imageOf(patch(patch(mbrDisk(), ENTRY + 1, 7), SECOND_EBR + 510, 0, 0));
}

function bytesAt(image: string, offset: number, length: number): number[] {
  return [...fs.readFileSync(image).subarray(offset, offset + length)];
}

describe('inspect', () => {
  test('explains what is wrong, and what a person can do where no rule can', async () => {
    const image = imageOf(patch(mbrDisk(), ENTRY + 16 + 8, 0xa0, 0x0f));
    const { status, stdout } = await userloop(['inspect', image]);
    expect(status).toBe(0);
    expect(stdout).toContain(
      `Note: Partition 2 start is sector 4000, expected at least 4096, the end of partition 1 at byte ${ENTRY + 24}\n` +
        '      Which of the two is right',
    );
    const json = await userloop(['inspect', '--json', image]);
    const [report] = JSON.parse(json.stdout) as [{ findings: object[] }];
    expect(report.findings[0]).toMatchObject({
      fault: 'overlap',
      partition: 2,
      structure: 'partition 2',
      field: 'start',
      offset: ENTRY + 24,
      found: 'sector 4000',
      expected: 'at least 4096, the end of partition 1',
    });
  });
});

describe('inspect --repair', () => {
  test('shows every byte before it asks, asks for each, and writes what was agreed to', async () => {
    const image = twoFaults();
    const { status, stdout } = await userloop(['inspect', '--repair', image], {
      stdin: 'n\nyes\n',
      isTerminal: true,
    });
    expect(status).toBe(1);
    const record = SECOND_EBR;
    expect(stdout).toBe(
      `Mend 1: give the extended boot record at byte ${record} its signature back
  Because: Extended boot record signature is 0x0000, expected 0xaa55 at byte ${record + 510}
  Writes: the extended boot record, bytes ${record} to ${record + 511}
    byte ${record + 510}, signature: 0x0000 -> 0xaa55

Mend 2: give partition 1 the C/H/S of its sectors
  Because: Partition 1 startingChs is 0/7/33, expected 0/32/33, which is sector 2048 with 255 heads and 63 sectors a track at byte ${ENTRY + 1}
  Writes: the master boot record, bytes 0 to 511
    byte ${ENTRY + 1}, entry 1 startingChs: 0/7/33 -> 0/32/33

Mend 1: give the extended boot record at byte ${record} its signature back? [y/N] ` +
        'Mend 2: give partition 1 the C/H/S of its sectors? [y/N] 1 mend written\n',
    );
    expect(bytesAt(image, record + 510, 2)).toEqual([0, 0]);
    expect(bytesAt(image, ENTRY + 1, 1)).toEqual([32]);
  });

  test('shows again what comes out differently without what was declined', async () => {
    // Without the first header anew, the protective entry is all that is wrong besides.
    const device = patch(patch(gptDisk(), 512 + 0x38, 0xff), ENTRY + 12, 77);
    const image = imageOf(device);
    const { stdout } = await userloop(['inspect', '--repair', image], { stdin: 'n\ny\n', isTerminal: true });
    expect(stdout).toContain('1 mend written');
    expect(bytesAt(image, ENTRY + 12, 2)).toEqual([0xff, 0x7f]);
    expect(bytesAt(image, 512 + 0x38, 1)).toEqual([0xff]);
  });

  test.each([
    ['no answer', ''],
    ['half of the answers', 'y\n'],
    ['no twice', 'n\n\n'],
  ])('writes nothing when the input is %s', async (_name, stdin) => {
    const image = twoFaults();
    const before = fs.readFileSync(image);
    const result = await userloop(['inspect', '--repair', image], { stdin, isTerminal: true });
    expect(result.status).toBe(1);
    expect(result.stdout).toContain('Nothing was written');
    expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);
  });

  test('asks nobody where there is no terminal', async () => {
    const image = twoFaults();
    const before = fs.readFileSync(image);
    const result = await userloop(['inspect', '--repair', image], { stdin: 'y\ny\n' });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('--yes');
    expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);
  });

  test('tells scripts what it does', async () => {
    const image = imageOf(MENDABLE['primary header']!());
    const dry = await userloop(['inspect', '--repair', '--json', '--dry-run', image]);
    expect(dry.status).toBe(1);
    expect(JSON.parse(dry.stdout)).toMatchObject([
      {
        image,
        written: false,
        mends: [
          {
            title: 'write the primary header and its table anew from the backup',
            findings: [{ fault: 'header', structure: 'primary GPT header' }],
            writes: [
              { structure: 'primary GPT header', offset: 512, size: 512, changes: [{ field: 'DiskGUID' }] },
            ],
          },
        ],
        left: [],
      },
    ]);
    const done = await userloop(['inspect', '--repair', '--json', '--yes', image]);
    expect(done.status).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject([{ written: true }]);
  });

  test('refuses what contradicts itself', async () => {
    const image = twoFaults();
    for (const args of [
      ['--yes', image],
      ['--backup', 'x', image],
      ['--repair', '--yes', '--dry-run', image],
      ['--repair', '--json', image],
      ['--repair', '--yes', image, image],
      ['--repair', '--yes', `${image}:1`],
    ]) {
      expect((await userloop(['inspect', ...args])).status).toBe(2);
    }
  });

  test('does not write over an older backup, and then not the image either', async () => {
    const image = twoFaults();
    const before = fs.readFileSync(image);
    const backup = path.join(folder, 'old.txt');
    fs.writeFileSync(backup, 'dear to somebody');
    const result = await userloop(['inspect', '--repair', '--yes', '--backup', backup, image]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('exists');
    expect(fs.readFileSync(backup, 'utf8')).toBe('dear to somebody');
    expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);
  });
});

describeWithDevices([], 'inspect --repair of an attached image', () => {
  const attached = new AttachedTest();

  afterAll(async () => {
    await attached.end();
  });

  async function detach(device: string): Promise<void> {
    expect(await userloop(['detach', device], { env: attached.env })).toMatchObject({
      status: 0,
      stderr: '',
    });
  }

  test('is refused, and goes through the device', async () => {
    const image = imageOf(MENDABLE['an image that grew']!(), 'attached.img', attached.folder);
    const { env } = attached;
    const device = (await userloop(['attach', image], { env })).stdout.trim();
    const refused = await userloop(['inspect', '--repair', '--yes', image], { env, isTerminal: true });
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toContain('is attached as');
    expect((await userloop(['inspect', '--repair', '--yes', device], { env })).status).toBe(0);
    await detach(device);
    expect((await userloop(['inspect', '--repair', '--dry-run', image], { env })).status).toBe(0);
    expect(attached.leftovers()).toEqual([]);
  });

  test('is refused where the image is attached for reading', async () => {
    const image = imageOf(MENDABLE['an image that grew']!(), 'reading.img', attached.folder);
    const { env } = attached;
    const device = (await userloop(['attach', '-r', image], { env })).stdout.trim();
    for (const name of [image, device]) {
      const refused = await userloop(['inspect', '--repair', '--yes', name], { env });
      expect(refused).toMatchObject({ status: 1, stdout: '' });
      expect(refused.stderr).toMatch(/is attached for reading|read-only/i);
    }
    await detach(device);
  });
});

describeWithKernelLoops([], 'inspect --repair of an image in a loop device of the kernel', () => {
  test('is refused', async () => {
    const image = imageOf(MENDABLE['primary header']!(), 'kernel.img');
    const before = fs.readFileSync(image);
    const device = runTool('losetup', ['--show', '-f', image]).stdout.trim();
    try {
      const refused = await userloop(['inspect', '--repair', '--yes', image]);
      expect(refused).toMatchObject({ status: 1, stdout: '' });
      expect(refused.stderr).toContain(`is attached as ${device}`);
      expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);
    } finally {
      runTool('losetup', ['-d', device]);
    }
  });
});
