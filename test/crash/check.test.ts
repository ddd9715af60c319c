import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { StagingDevice } from '../../src/device/staging-device.ts';
import { applyCheck } from '../../src/disk/apply-check.ts';
import { checkVolume } from '../../src/disk/check-volume.ts';
import { makeDebugfsJournal } from '../support/dirty-journals.ts';
import type { CheckFinding, CheckObserver } from '../../src/filesystem/check.ts';
import { checkExt } from '../../src/filesystem/ext/check/check.ts';
import { Random } from '../support/random.ts';
import { BytesDevice, cutKinds, RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/** Where the 300 blocks lie that debugfs has written through the journal. */
const JOURNALED = 14 << 20;
const JOURNALED_BLOCKS = 300;
const CUTS = 8;
const folder = memoryFolder();

/** Replayed and mended by e2fsck. */
function mendedByTool(bytes: Uint8Array, name: string): Uint8Array {
  const image = path.join(folder, name);
  fs.writeFileSync(image, bytes);
  const { status, stderr } = runTool('e2fsck', ['-fy', image]);
  expect(status, stderr).toBeLessThan(4);
  return fs.readFileSync(image);
}

describeWithTools(['mke2fs', 'debugfs', 'e2fsck'], 'A power cut while a check is carried out', () => {
  test.each([
    { type: 'ext3', blockSize: 1024, features: 'none,has_journal,filetype', open: '', seed: 21 },
    { type: 'ext4', blockSize: 4096, features: 'has_journal,extent', open: '-c -v 3', seed: 22 },
    { type: 'ext4', blockSize: 1024, features: 'has_journal,^64bit', open: '-c -v 2', seed: 23 },
  ])('loses nothing that the journal holds: $type, blocks of $blockSize', (options) => {
    const image = makeDebugfsJournal(options);
    // Something to mend besides.
    runTool('debugfs', ['-w', '-R', 'set_inode_field <11> links_count 9', image]);
    runTool('debugfs', ['-w', '-R', 'set_super_value free_inodes_count 5', image]);
    const dirty = new Uint8Array(fs.readFileSync(image));
    const journaled = (bytes: Uint8Array) =>
      bytes.subarray(JOURNALED, JOURNALED + JOURNALED_BLOCKS * options.blockSize);
    const expected = journaled(mendedByTool(dirty, 'expected.img'));
    expect(Buffer.compare(journaled(dirty), expected)).not.toBe(0);

    const device = new RecordedDevice(dirty);
    const report = checkVolume(device);
    expect(report.journal).toBe('replayed');
    expect(report.mendCount).toBeGreaterThan(1);
    applyCheck(device, report.staged);

    const random = new Random(options.seed);
    let cuts = 0;
    device.forEachCut(
      random,
      () => cutKinds(random, CUTS),
      (state) => {
        cuts++;
        const again = MemoryDevice.from(state);
        const next = checkVolume(again);
        applyCheck(again, next.staged);
        const after = again.toBytes();
        expect(Buffer.compare(journaled(after), expected)).toBe(0);
        expect(checkVolume(new BytesDevice(after, { readOnly: true })).mendCount).toBe(0);
        if (cuts % CUTS === 0) {
          const byTool = mendedByTool(state, 'cut.img');
          expect(Buffer.compare(journaled(byTool), expected)).toBe(0);
        }
      },
    );
    expect(cuts).toBeGreaterThan(4 * CUTS);
  });

  test.each([
    { type: 'ext4', features: '^has_journal', seed: 31 },
    { type: 'ext2', features: 'none,filetype,dir_index', seed: 32 },
  ])('loses no name when directories are laid out anew: $type', ({ type, features, seed }) => {
    const image = path.join(folder, 'directories.img');
    const tree = path.join(folder, 'tree');
    for (const name of ['long', 'longer']) {
      fs.mkdirSync(path.join(tree, name), { recursive: true });
      const count = name === 'long' ? 200 : 900;
      for (let index = 0; index < count; index++)
        fs.writeFileSync(path.join(tree, name, `a name of some length ${index}`), '');
    }
    fs.rmSync(image, { force: true });
    runTool('mke2fs', [
      '-q',
      '-t',
      type,
      '-b',
      '1024',
      '-N',
      '1600',
      '-O',
      features,
      '-d',
      tree,
      image,
      '4M',
    ]);
    fs.rmSync(tree, { recursive: true });
    const names = (bytes: Uint8Array): string[] => {
      fs.writeFileSync(image, bytes);
      const listed = ['/', '/long', '/longer'].map(
        (name) => runTool('debugfs', ['-R', `ls -p ${name}`, image]).stdout,
      );
      return [...listed.join('').matchAll(/^\/(\d+\/\d+\/\d+\/\d+\/[^/]+)\//gm)]
        .map((match) => match[1]!)
        .sort();
    };
    const before = fs.readFileSync(image);
    const expected = names(before);
    expect(expected.length).toBeGreaterThan(1100);

    const device = new RecordedDevice(before);
    const staged = new StagingDevice(device);
    const { isRearranged } = checkExt(staged, new Yes(), {
      optimise: 'all',
      onFresh: (offset, length) => staged.precede(offset, length),
    });
    expect(isRearranged).toBe(true);
    applyCheck(device, staged);
    const random = new Random(seed);
    let cuts = 0;
    device.forEachCut(
      random,
      () => cutKinds(random, CUTS),
      (state) => {
        cuts++;
        expect(names(mendedByTool(state, 'cut.img'))).toEqual(expected);
      },
    );
    expect(cuts).toBeGreaterThan(2 * CUTS);
  });
});

/** Agrees to everything: there is nothing to agree to. */
class Yes implements CheckObserver {
  report(finding: CheckFinding): number {
    throw new Error(finding.meaning);
  }

  tell(): void {}
}
