import fs from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { damage, GOOD_VOLUMES, goodVolume } from '../support/fat-damage.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();

const [, SIZE, OPTIONS] = GOOD_VOLUMES[0]!;
const GOOD = goodVolume(SIZE, OPTIONS);
const DAMAGED = damage(GOOD, 'a link to another file', seededRandom(7));

function imageOf(content: Uint8Array, name = 'floppy.img', where = folder): string {
  const file = path.join(where, name);
  fs.writeFileSync(file, content);
  return file;
}

function isAsIt(image: string, content: Uint8Array): boolean {
  return Buffer.compare(fs.readFileSync(image), content) === 0;
}

/** The volume as partition 2 of a disk with a table. */
function partitioned(volume: Uint8Array): Uint8Array {
  const start = 2048 * 512;
  const disk = new Uint8Array(start + volume.length);
  disk.set(volume, start);
  disk.set([0x55, 0xaa], 510);
  const entry = new DataView(disk.buffer, 446 + 16, 16);
  entry.setUint8(4, 1);
  entry.setUint32(8, 2048, true);
  entry.setUint32(12, volume.length / 512, true);
  return disk;
}

describe('check', () => {
  test('says that nothing is wrong, and how full it is', async () => {
    const image = imageOf(GOOD);
    const { status, stdout, stderr } = await userloop(['check', image]);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/files?, \d+ of \d+ clusters in use\n.*: nothing is wrong\n$/);
  });

  test('tells where, what was found, what was expected and what would help, and writes nothing', async () => {
    const image = imageOf(DAMAGED);
    for (const flags of [[], ['-n'], ['--no']]) {
      const { status, stdout } = await userloop(['check', ...flags, image]);
      expect(status).toBe(4);
      expect(stdout).toMatch(/^damage: .*\d/m);
      expect(stdout).toMatch(/^ {2}.+ at byte \d+: .+, expected .+$/m);
      expect(stdout).toMatch(/^ {2}mend: /m);
      expect(stdout).toMatch(/: \d+ damages?.*; \d+ can be mended\n$/);
      expect(isAsIt(image, DAMAGED)).toBe(true);
    }
  });

  test('shows its plan, carries it out, and takes it back byte for byte', async () => {
    for (const yes of ['-y', '--yes']) {
      const image = imageOf(DAMAGED);
      const undo = path.join(folder, `before${yes}.undo`);
      const mended = await userloop(['check', yes, '--undo', undo, image]);
      expect(mended.status).toBe(1);
      expect(mended.stdout).toMatch(/^ {2}plan: /m);
      expect(mended.stdout).toMatch(/the plan writes \d+ bytes in \d+ places\n.*: mended\n$/s);
      expect(isAsIt(image, DAMAGED)).toBe(false);
      expect((await userloop(['check', image])).status).toBe(0);
      const absent = await userloop(['check', '--restore', 'absent.undo', image]);
      expect(absent.status).toBe(8);
      expect(absent.stderr).toMatch(/The undo file "absent\.undo" is not there\n$/);
      const restored = await userloop(['check', '--restore', undo, image]);
      expect(restored.stdout).toMatch(/: put back \d+ bytes\n$/);
      expect(isAsIt(image, DAMAGED)).toBe(true);
    }
  });

  test('does not write over an undo file, nor takes one where nothing would be written', async () => {
    const image = imageOf(DAMAGED);
    const undo = imageOf(Uint8Array.of(1, 2, 3), 'there.undo');
    const refused = await userloop(['check', '-y', '--undo', undo, image]);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('is there already');
    expect(fs.readFileSync(undo)).toHaveLength(3);
    expect((await userloop(['check', '-n', '--undo', 'new.undo', image])).status).toBe(16);
    expect(isAsIt(image, DAMAGED)).toBe(true);
  });

  test('tells the same as JSON', async () => {
    const image = imageOf(DAMAGED);
    const { status, stdout } = await userloop(['check', '--json', image]);
    expect(status).toBe(4);
    const [report] = JSON.parse(stdout) as {
      image: string;
      type: string;
      clean: boolean;
      counts: Record<string, number>;
      findings: { code: string; meaning: string; found: string; expected: string; losesData?: boolean }[];
    }[];
    expect(report).toMatchObject({ image, type: 'fat', clean: false });
    expect(report!.findings.length).toBe(
      Object.values(report!.counts).reduce((sum, count) => sum + count, 0),
    );
    for (const finding of report!.findings) {
      expect(finding.code).toMatch(/^fat-/);
      expect(finding).not.toHaveProperty('toolText');
    }
    const mended = await userloop(['check', '--json', '-y', image]);
    expect(mended.status).toBe(1);
    const [plan] = JSON.parse(mended.stdout) as { writes: { offset: number; length: number }[] }[];
    expect(plan!.writes.length).toBeGreaterThan(0);
  });

  test('checks a partition, and leaves the rest of the disk alone', async () => {
    const disk = partitioned(DAMAGED);
    const image = imageOf(disk, 'disk.img');
    expect((await userloop(['check', `${image}:2`])).status).toBe(4);
    expect((await userloop(['check', `${image}@${2048 * 512}`])).status).toBe(4);
    expect((await userloop(['check', '-y', `${image}:2`])).status).toBe(1);
    expect((await userloop(['check', `${image}:2`])).status).toBe(0);
    const after = fs.readFileSync(image);
    expect(Buffer.compare(after.subarray(0, 2048 * 512), disk.subarray(0, 2048 * 512))).toBe(0);
    const missing = await userloop(['check', `${image}:7`]);
    expect(missing.status).toBe(8);
    expect(missing.stderr).toContain('7');
  });

  test('names what it cannot check', async () => {
    const blank = await userloop(['check', imageOf(new Uint8Array(1 << 20), 'blank.img')]);
    expect(blank.status).toBe(8);
    expect(blank.stderr).toMatch(/^userloop check: cannot check .*No file system that userloop can check/);
    expect((await userloop(['check', path.join(folder, 'nowhere.img')])).status).toBe(8);
    for (const wrong of [[], ['-n', '-y', 'a.img'], ['--type', 'ntfs', 'a.img'], ['--what', 'a.img']])
      expect((await userloop(['check', ...wrong])).status, wrong.join(' ')).toBe(16);
  });

  test('says of a truncated image that it is', async () => {
    const image = imageOf(GOOD.slice(0, GOOD.length / 2), 'short.img');
    const { status, stdout, stderr } = await userloop(['check', '--type', 'fat', image]);
    expect(status & 12).not.toBe(0);
    expect(stdout + stderr).toMatch(/\d+/);
    expect(fs.statSync(image).size).toBe(GOOD.length / 2);
  });

  test('adds up what it has found in several images', async () => {
    const images = [imageOf(GOOD, 'one.img'), imageOf(DAMAGED, 'two.img'), path.join(folder, 'none.img')];
    const { status, stdout } = await userloop(['check', ...images]);
    expect(status).toBe(12);
    expect(stdout).toContain('one.img: nothing is wrong');
  });

  test('needs no right to write as long as it does not', async () => {
    const image = imageOf(DAMAGED, 'reading.img');
    fs.chmodSync(image, 0o444);
    expect((await userloop(['check', image])).status).toBe(4);
  });
});

describeWithDevices([], 'check of an attached image', () => {
  const attached = new AttachedTest();

  afterAll(async () => {
    await attached.end();
  });

  test('writes through the device, not beside it', async () => {
    const image = imageOf(DAMAGED, 'attached.img', attached.folder);
    const { env } = attached;
    const device = (await userloop(['attach', image], { env })).stdout.trim();
    const refused = await userloop(['check', '-y', image], { env });
    expect(refused.status).toBe(8);
    expect(refused.stderr).toContain('is attached as');
    expect(isAsIt(image, DAMAGED)).toBe(true);
    expect((await userloop(['check', image], { env })).status).toBe(4);
    expect((await userloop(['check', '-y', device], { env })).status).toBe(1);
    expect((await userloop(['check', image], { env })).status).toBe(0);
    expect((await userloop(['detach', device], { env })).status).toBe(0);
    expect((await userloop(['check', image])).status).toBe(0);
  });

  test('does not write a device that is there for reading', async () => {
    const image = imageOf(DAMAGED, 'reading.img', attached.folder);
    const { env } = attached;
    const device = (await userloop(['attach', '-r', image], { env })).stdout.trim();
    expect((await userloop(['check', device], { env })).status).toBe(4);
    expect((await userloop(['check', '-y', device], { env })).status).toBe(8);
    expect((await userloop(['detach', device], { env })).status).toBe(0);
    expect(isAsIt(image, DAMAGED)).toBe(true);
  });
});
