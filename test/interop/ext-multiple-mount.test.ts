import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { FsError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const file = path.join(folder, 'mmp.img');

describeWithTools(['mke2fs', 'e2fsck', 'debugfs'], 'Multiple-mount protection', () => {
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
});
