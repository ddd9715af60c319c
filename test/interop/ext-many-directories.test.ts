import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
/** Links that a directory can count. */
const LIMIT = 65_000;

/** USERLOOP_ROUNDS above 1 also runs what takes as long again. */
const all: readonly (readonly [features: string, counted: number])[] = [
  ['^has_journal,inline_data', 1],
  ['^has_journal,inline_data,^dir_nlink', LIMIT],
];
const cases = Number(process.env['USERLOOP_ROUNDS'] ?? 1) > 1 ? all : all.slice(0, 1);

describeWithTools(['mke2fs', 'e2fsck'], 'A directory with more directories than it can count', () => {
  for (const [features, counted] of cases) {
    test(`has ${counted} links: ${features}`, () => {
      const file = path.join(folder, 'many.img');
      const args = ['-q', '-F', '-t', 'ext4', '-b', '1024', '-N', '66000', '-O', features, file, '64M'];
      expect(runTool('mke2fs', args).status).toBe(0);
      const device = loadImage(file);
      const volume = extDriver.open(device, { clock: steppingClock() });
      const parent = volume.create(volume.root, 'parent', { kind: 'directory' });
      const make = (i: number): unknown => volume.create(parent, `d${i}`, { kind: 'directory' });
      for (let i = 0; i < LIMIT - 2; i++) make(i);
      expect(volume.attributes(parent).linkCount).toBe(LIMIT);
      if (counted === LIMIT) expect(() => make(LIMIT)).toThrow(/EMLINK/);
      else for (let i = LIMIT - 2; i < LIMIT + 10; i++) make(i);
      expect(volume.attributes(parent).linkCount).toBe(counted);
      if (counted === 1) {
        for (let i = 0; i < 100; i++) volume.removeDirectory(parent, `d${i}`);
        expect(volume.attributes(parent).linkCount).toBe(1);
      }
      volume.close();
      saveImage(device, file);
      const checked = runTool('e2fsck', ['-fn', file]);
      expect(checked.status, checked.stdout).toBe(0);
    });
  }
});
