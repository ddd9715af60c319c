import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { MultipleMountBlock } from '../../src/filesystem/ext/multiple-mount.ts';
import { Superblock } from '../../src/filesystem/ext/superblock.ts';
import type { MountedElsewhere } from '../../src/filesystem/file-system.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const file = path.join(folder, 'mmp.img');

/** The volume as somebody else's mount leaves it, or goes on with it. */
function setHolder(device: MemoryDevice, sequence: number): void {
  const bytes = new Uint8Array(1024);
  device.read(1024, bytes);
  const superblock = viewOf(bytes);
  const at = Number(Superblock.s_mmp_block.get(superblock, 0)) * 1024;
  const seed = crc32c(0xffff_ffff, Superblock.s_uuid.get(superblock, 0));
  device.read(at, bytes);
  MultipleMountBlock.mmp_seq.set(superblock, 0, sequence);
  MultipleMountBlock.mmp_nodename.set(superblock, 0, 'elsewhere');
  MultipleMountBlock.mmp_bdevname.set(superblock, 0, 'sdz1');
  MultipleMountBlock.mmp_checksum.set(superblock, 0, crc32c(seed, bytes, 0, 0x3fc));
  device.write(at, bytes);
}

function newVolume(): MemoryDevice {
  fs.rmSync(file, { force: true });
  const options = ['-q', '-F', '-t', 'ext4', '-b', '1024', '-O', 'mmp', file, '12M'];
  expect(runTool('mke2fs', options).status).toBe(0);
  return loadImage(file);
}

describeWithTools(['mke2fs', 'e2fsck', 'debugfs', 'tune2fs'], 'Multiple-mount protection', () => {
  for (const features of ['^has_journal,mmp', '^has_journal,mmp,^metadata_csum']) {
    test(`is taken by the first change and released in the end: ${features}`, () => {
      fs.rmSync(file, { force: true });
      expect(runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', features, file, '8M']).status).toBe(0);
      const device = loadImage(file);
      const clock = steppingClock();
      const volume = extDriver.open(device, { clock });
      expect(volume.readOnlyReason).toBeUndefined();
      const other = extDriver.open(device, { clock });
      volume.create(volume.root, 'a', { kind: 'file' });

      saveImage(device, file);
      expect(runTool('debugfs', ['-R', 'dump_mmp', file]).stdout).toMatch(
        /e24d4d50[\s\S]*node_name: userloop/,
      );
      // Who has opened the volume before finds out with its first change, who opens it now at once.
      expect(() => other.create(other.root, 'b', { kind: 'file' })).toThrow(FsError);
      expect(() => other.create(other.root, 'b', { kind: 'file' })).toThrow(FsError);
      other.close();
      expect(extDriver.open(device).readOnlyReason).toMatch(/on host "userloop" writes to it .*clear_mmp/);
      expect(extDriver.open(device, { readOnly: true }).readOnlyReason).toBeUndefined();

      volume.close();
      saveImage(device, file);
      expect(runTool('debugfs', ['-R', 'dump_mmp', file]).stdout).toMatch(/ff4d4d50/);
      const checked = runTool('e2fsck', ['-fn', file]);
      expect(checked.status, checked.stdout).toBe(0);
      expect(extDriver.open(device).readOnlyReason).toBeUndefined();
    });
  }

  test('A mount that gives no sign of life is over, one that does is not', () => {
    const device = newVolume();
    const clock = steppingClock();
    setHolder(device, 41);
    expect(extDriver.open(device, { clock }).readOnlyReason).toMatch(
      /a mount on host "elsewhere" .* as sdz1/,
    );
    const asked: MountedElsewhere[] = [];
    const living = extDriver.open(device, {
      clock,
      waitForIdle: (state) => {
        asked.push(state);
        setHolder(device, 42);
        return true;
      },
    });
    expect(asked).toMatchObject([{ node: 'elsewhere', device: 'sdz1', sequence: 41, patience: 11 }]);
    expect(living.readOnlyReason).toMatch(/elsewhere/);
    const ours = extDriver.open(device, { clock, waitForIdle: () => true });
    expect(ours.readOnlyReason).toBeUndefined();
    ours.create(ours.root, 'a', { kind: 'file' });
    ours.close();
    expect(extDriver.open(device).readOnlyReason).toBeUndefined();
  });

  test('A volume that was mounted elsewhere since it was opened is not written to', () => {
    const device = newVolume();
    const clock = steppingClock();
    const first = extDriver.open(device, { clock });
    const second = extDriver.open(device, { clock });
    second.create(second.root, 'b', { kind: 'file' });
    second.close();
    expect(() => first.create(first.root, 'a', { kind: 'file' })).toThrow(
      /written to on host "userloop" since/,
    );
  });

  test('Who gives signs of life holds the volume at once, counts on, and stops when somebody else has taken it', () => {
    const device = newVolume();
    const clock = steppingClock();
    const holder = { node: 'here', device: '/dev/loop7' };
    const volume = extDriver.open(device, { clock, holder, givesSigns: true });
    saveImage(device, file);
    const first = runTool('debugfs', ['-R', 'dump_mmp', file]).stdout;
    expect(first).toMatch(/node_name: here/);
    expect(first).toMatch(/device_name: \/dev\/loop7/);
    expect(volume.giveSign!()).toBe(5);
    saveImage(device, file);
    const sequence = (text: string) => /sequence: (\w+)/.exec(text)?.[1];
    expect(sequence(runTool('debugfs', ['-R', 'dump_mmp', file]).stdout)).not.toBe(sequence(first));
    // Another one sees the sign.
    const other = extDriver.open(device, {
      clock,
      waitForIdle: () => {
        volume.giveSign!();
        return true;
      },
    });
    expect(other.readOnlyReason).toMatch(/a mount on host "here"/);

    volume.create(volume.root, 'a', { kind: 'file' });
    setHolder(device, 1_000_000);
    const before = device.toBytes();
    expect(() => volume.giveSign!()).toThrow(/elsewhere/);
    expect(volume.giveSign!()).toBeUndefined();
    expect(() => volume.create(volume.root, 'b', { kind: 'file' })).toThrow();
    volume.close();
    expect(Buffer.compare(device.toBytes(), before)).toBe(0);
  });

  test('tune2fs waits for a mount that is over, and says what the real tool says of a program', async () => {
    const device = newVolume();
    setHolder(device, 41);
    saveImage(device, file);
    const tuned = await userloop(['tune2fs', '-L', 'late', file]);
    expect(tuned.stderr).toMatch(/host "elsewhere" had it mounted as sdz1: waiting 11 seconds/);
    expect(tuned.status).toBe(0);
    expect(runTool('debugfs', ['-R', 'dump_mmp', file]).stdout).toMatch(/ff4d4d50/);
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);

    const held = loadImage(file);
    setHolder(held, 0xe24d_4d50);
    saveImage(held, file);
    const theirs = runTool('tune2fs', ['-L', 'x', file], { env: { LC_ALL: 'C' } });
    const ours = await userloop(['tune2fs', '-L', 'x', file]);
    expect(ours.stdout).toBe(theirs.stdout);
    expect(ours.stderr).toBe(theirs.stderr.replaceAll(/\/\S*\/tune2fs/g, 'tune2fs'));
    expect(ours.status).toBe(theirs.status);
    const checked = await userloop(['check', '-p', file]);
    expect(checked.status).toBeGreaterThan(3);
    expect(checked.stderr).toMatch(/program .* on host "elsewhere" writes to it/);
    expect((await userloop(['tune2fs', '-f', '-E', 'clear_mmp', file])).status).toBe(0);
    expect((await userloop(['e2label', file, 'again'])).status).toBe(0);
  });

  test('e2fsck says what the real tool says of a volume that somebody writes to', async () => {
    const held = newVolume();
    for (const [sequence, flags] of [
      [0xe24d_4d50, '-fy'],
      [0xe24d_4d50, '-n'],
      [0xe24d_4d50, '-p'],
      [0xff00_0000, '-fy'],
      [0xff00_0000, '-fn'],
      [77, '-fn'],
    ] as const) {
      setHolder(held, sequence);
      saveImage(held, file);
      const theirs = runTool('e2fsck', [flags, file]);
      const ours = await userloop(['e2fsck', flags, file]);
      expect(ours.stderr, flags).toBe(theirs.stderr.replaceAll(/^\S*e2fsck: /gm, 'e2fsck: '));
      expect({ ...ours, stderr: '', bytes: undefined }).toEqual({ ...theirs, stderr: '', bytes: undefined });
      expect(Buffer.compare(fs.readFileSync(file), Buffer.from(held.toBytes()))).toBe(0);
    }
  });
});
