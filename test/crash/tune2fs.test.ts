import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { applyChanges } from '../../src/cli/applets/tune2fs/changes.ts';
import { parseCommandLine } from '../../src/cli/applets/tune2fs/command-line.ts';
import type { Io } from '../../src/cli/io.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { SuperblockEditor } from '../../src/filesystem/ext/superblock-editor.ts';
import { Random } from '../support/random.ts';
import { type TreeLines, treeOfVolume } from '../support/ext-driver-trees.ts';
import { BytesDevice, cutKinds, RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';
import { makeTree, makeTunable } from '../support/tune2fs-runs.ts';

/** USERLOOP_ROUNDS looks at so many times more states. */
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 31);
const NOW = 1_600_000_000;
const folder = memoryFolder();

const cases: readonly (readonly [options: string, args: string])[] = [
  ['-t ext2 -b 1024 -g 4096', '-j'],
  ['-t ext4 -O ^has_journal -b 1024 -g 4096', '-J size=2'],
  ['-t ext4 -O ^has_journal,^metadata_csum,uninit_bg -b 1024 -g 4096', '-j'],
  ['-t ext3 -b 1024 -g 4096', '-O ^has_journal'],
  ['-t ext4 -b 1024 -g 4096', '-O ^has_journal'],
  ['-t ext4 -b 1024 -g 4096', '-O ^has_journal -J size=3'],
  ['-t ext4 -b 1024 -g 4096', '-O orphan_file'],
  ['-t ext4 -b 1024 -g 4096 -O orphan_file', '-O ^orphan_file,^has_journal'],
  ['-t ext4 -O orphan_file -b 1024 -g 4096 -G 1', '-U 99999999-8888-7777-6666-555555555555'],
  ['-t ext4 -O ^metadata_csum,uninit_bg -b 1024 -g 4096', '-U 99999999-8888-7777-6666-555555555555'],
  ['-t ext4 -O ^has_journal -b 1024 -g 4096', '-O ^metadata_csum'],
];

const silent = { stdout: { write: () => true }, stderr: { write: () => true } } as unknown as Io;

describeWithTools(['mke2fs', 'e2fsck', 'debugfs'], 'tune2fs that is cut short', () => {
  const tree = makeTree(folder);
  const image = path.join(folder, 'volume.img');

  test.each(cases)(`leaves every file whole: %s: %s (seed ${SEED})`, (options, args) => {
    makeTunable(tree, image, options, '14M');
    const before = new Uint8Array(fs.readFileSync(image));
    const expected = treeOf(before);
    expect(Object.keys(expected).length).toBeGreaterThan(20);
    const device = new RecordedDevice(before);
    const editor = SuperblockEditor.open(device);
    applyChanges(silent, editor, parseCommandLine(silent, [...args.split(' '), 'x'], NOW), NOW);
    editor.save(NOW);

    const random = new Random(SEED);
    let cuts = 0;
    device.forEachCut(
      random,
      () => cutKinds(random, 3 * ROUNDS),
      (state, epoch, kind) => {
        cuts++;
        fs.writeFileSync(image, state);
        const mended = runTool('e2fsck', ['-fy', image]);
        const where = `epoch ${epoch}, ${kind}: ${mended.stdout}`;
        expect(mended.status, where).toBeLessThan(4);
        expect(treeOf(new Uint8Array(fs.readFileSync(image))), where).toEqual(expected);
      },
    );
    expect(cuts).toBeGreaterThan(10);
  });
});

function treeOf(bytes: Uint8Array): TreeLines {
  const volume = extDriver.open(new BytesDevice(bytes, { readOnly: true }), { readOnly: true });
  return treeOfVolume(volume);
}
