import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { treeOfVolume } from '../support/ext-driver-trees.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** `s_sequence` of the journal's superblock. */
const SEQUENCE_OFFSET = 0x18;
const COMMITS = 170;

const folder = memoryFolder();

describeWithTools(['mke2fs', 'debugfs', 'e2fsck'], 'A log', () => {
  for (const [type, first] of [
    ['ext3', 1],
    // Numbers of transactions wrap around.
    ['ext3', 0xffff_ff80],
    ['ext4', 1],
  ] as const) {
    test(`that goes around its ring several times is replayed from wherever it begins: ${type}, from transaction ${first}`, () => {
      const file = path.join(folder, 'ring.img');
      runTool('mke2fs', ['-q', '-F', '-t', type, '-b', '1024', '-J', 'size=1', file, '16M']);
      const image = loadImage(file);
      if (first !== 1) {
        const { stdout } = runTool('debugfs', ['-R', 'blocks <8>', file]);
        const journal = Number(stdout.trim().split(/\s+/)[0]) * 1024;
        const bytes = new Uint8Array(4);
        new DataView(bytes.buffer).setUint32(0, first);
        image.write(journal + SEQUENCE_OFFSET, bytes);
      }
      const volume = extDriver.open(image, { clock: steppingClock() });
      for (let i = 0; i < COMMITS; i++) {
        const directory = volume.create(volume.root, `directory${i}`, { kind: 'directory' });
        const node = volume.create(directory, 'file', { kind: 'file' });
        volume.write(node, 0, new Uint8Array(3000).fill(i));
        volume.create(directory, 'link', { kind: 'symlink', target: 'x'.repeat(100) });
        if (i >= 20) {
          const old = volume.lookup(volume.root, `directory${i - 20}`)!;
          for (const { name } of volume.entries(old)) volume.unlink(old, name);
          volume.removeDirectory(volume.root, `directory${i - 20}`);
        }
        volume.sync();
        if (i % 13 !== 0) continue;
        const tree = treeOfVolume(volume);
        expect(treeOfVolume(extDriver.open(image, { readOnly: true })), `after commit ${i}`).toEqual(tree);
        if (i % 26 !== 0) continue;
        saveImage(image, file);
        expect(runTool('e2fsck', ['-p', file]).stdout, `after commit ${i}`).toContain('recovering journal');
        expect(runTool('e2fsck', ['-fn', file]).status, `after commit ${i}`).toBe(0);
        expect(treeOfVolume(extDriver.open(loadImage(file))), `after commit ${i}`).toEqual(tree);
      }
      volume.close();
      saveImage(image, file);
      const { status, stdout } = runTool('e2fsck', ['-fn', file]);
      expect(status, stdout).toBe(0);
      fs.rmSync(file);
    });
  }
});
