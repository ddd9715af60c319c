import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { StagingDevice } from '../../src/device/staging-device.ts';
import { checkFat } from '../../src/filesystem/fat/check/check.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

const FAT_OFFSET = 512;

describeWithTools(
  ['fsck.fat', 'mkfs.fat', 'mcopy', 'mdel', 'mmd', 'mtype'],
  'fsck.fat about files that are named, labels and bad clusters',
  () => {
    const folder = memoryFolder();
    const file = path.join(folder, 'image');

    /** A floppy with files of 3000 bytes, and one of 10. */
    function fill(label?: string): Uint8Array {
      fs.rmSync(file, { force: true });
      runTool('mkfs.fat', [
        ...(label === undefined ? [] : ['-n', label]),
        '-i',
        '1234abcd',
        '-C',
        file,
        '1440',
      ]);
      runTool('mmd', ['-i', file, '::D']);
      for (const [name, size] of [
        ['F1.TXT', 3000],
        ['F2.TXT', 3000],
        ['D/IN.TXT', 3000],
        ['D/a long name', 3000],
        ['F3', 10],
      ] as const) {
        const source = path.join(folder, 'source');
        fs.writeFileSync(source, name.repeat(500).slice(0, size));
        expect(runTool('mcopy', ['-i', file, source, `::${name}`]).status).toBe(0);
      }
      return fs.readFileSync(file);
    }

    async function both(image: Uint8Array, flags: readonly string[]): Promise<[unknown[], unknown[]]> {
      fs.writeFileSync(file, image);
      const theirs = runTool('fsck.fat', [...flags, file]);
      const theirBytes = fs.readFileSync(file);
      fs.writeFileSync(file, image);
      const ours = await userloop(['fsck.fat', ...flags, file]);
      return [
        [
          ours.status,
          ours.stdout,
          ours.stderr,
          Buffer.compare(withoutLabelTime(fs.readFileSync(file)), withoutLabelTime(theirBytes)),
        ],
        [theirs.status, theirs.stdout, theirs.stderr, 0],
      ];
    }

    it('drops files, as the tool does', async () => {
      const image = fill();
      for (const names of [
        ['/F1.TXT'],
        ['/f1.txt', '/D/IN.TXT', '/NO', '/D/NO.TXT'],
        ['/D/ALONGN~1'],
        ['/D'],
        ['/\\106\\061.TXT'],
        ['/F1.TXTMORE'],
      ]) {
        for (const manner of ['-n', '-nv']) {
          const [ours, theirs] = await both(image, [manner, ...names.flatMap((name) => ['-d', name])]);
          expect(ours, `${manner} ${names.join(' ')}`).toEqual(theirs);
        }
        await userloop(['fsck.fat', '-a', ...names.flatMap((name) => ['-d', name]), file]);
        expect(runTool('fsck.fat', ['-n', file]).status).toBe(0);
      }
    });

    it('refuses names that cannot be, as the tool does', async () => {
      const image = fill();
      for (const option of ['-d', '-u']) {
        for (const name of ['F1.TXT', '/', '//F1.TXT', '/D/', '/A.B.C', '/?', '/A\\1', '/A|B', '/A\u0001']) {
          const [ours, theirs] = await both(image, ['-n', option, name]);
          expect(ours, `${option} ${name}`).toEqual(theirs);
        }
      }
      const [ours, theirs] = await both(image, ['-n', '-d', '/F1.TXT', '-u', '/F1.TXT']);
      expect(ours).toEqual(theirs);
    });

    it('brings back deleted files where their clusters are free', async () => {
      fill();
      runTool('mdel', ['-i', file, '::F1.TXT', '::D/IN.TXT', '::F3']);
      const image = fs.readFileSync(file);
      const flags = ['-u', '/F1.TXT', '-u', '/D/IN.TXT', '-u', '/NO.TXT'];
      const { status, stdout } = await userloop(['fsck.fat', '-a', ...flags, file]);
      expect(status).toBe(1);
      expect(stdout).toContain(
        'Undeleting F1.TXT\nUndeleting IN.TXT\nWarning: did not undelete file NO.TXT\n',
      );
      expect(runTool('fsck.fat', ['-n', file]).status).toBe(0);
      expect(runTool('mtype', ['-i', file, '::F1.TXT']).stdout).toBe('F1.TXT'.repeat(500));
      expect(runTool('mtype', ['-i', file, '::D/IN.TXT']).stdout).toBe('D/IN.TXT'.repeat(500).slice(0, 3000));

      // The second and later clusters have gone to another file: what there is left is one of six.
      const table = Uint8Array.from(image);
      fs.writeFileSync(file, table);
      const source = path.join(folder, 'source');
      fs.writeFileSync(source, 'x'.repeat(5000));
      runTool('mdel', ['-i', file, '::F2.TXT']);
      runTool('mcopy', ['-i', file, source, '::NEW']);
      const taken = await userloop(['fsck.fat', '-a', '-u', '/F2.TXT', file]);
      expect(taken.stdout).toContain('Undeleting F2.TXT\nWarning: Did only undelete ');
      expect(runTool('fsck.fat', ['-n', file]).status).toBe(0);
      expect(runTool('mtype', ['-i', file, '::NEW']).stdout).toBe('x'.repeat(5000));

      // A directory cannot be.
      fs.writeFileSync(file, image);
      runTool('mdel', ['-i', file, '::D/*']);
      runTool('mrd', ['-i', file, '::D']);
      const [ours, theirs] = await both(fs.readFileSync(file), ['-n', '-u', '/D']);
      expect(ours).toEqual(theirs);
    });

    it('has labels in upper case with -U, as the tool does', async () => {
      for (const [boot, root] of [
        ['LABEL', 'LABEL'],
        ['label', 'LABEL'],
        ['LABEL', 'label'],
        ['Label 1', 'Label 1'],
        ['label', 'other'],
        ['label', ''],
        ['NO NAME', 'l*bel'],
        ['NO NAME', 'label'],
      ]) {
        const image = Uint8Array.from(fill('LABEL'));
        image.set(Buffer.from(boot!.padEnd(11)), 43);
        if (root === '') image[19 * 512] = 0xe5;
        else image.set(Buffer.from(root!.padEnd(11)), 19 * 512);
        for (const flags of ['-aU', '-nU', '-a']) {
          const [ours, theirs] = await both(image, [flags]);
          expect(ours, `${flags} ${boot} ${root}`).toEqual(theirs);
        }
      }
    });

    it('says nothing of clusters that can be read, and marks those that cannot', async () => {
      const image = fill();
      for (const flags of [['-at'], ['-atv'], ['-nt'], ['-at', '-w']]) {
        const [ours, theirs] = await both(image, flags);
        expect(ours, flags.join(' ')).toEqual(theirs);
      }
      const base = MemoryDevice.from(image);
      const dataOffset = 33 * 512;
      // Of the directory nothing; of F1.TXT the first and the fourth cluster, of F2.TXT the last; and two that are free.
      const bad = [3, 6, 14, 1000, 1001];
      const device = new FaultDevice(base, {
        badRanges: bad.map((cluster) => ({ offset: dataOffset + (cluster - 2) * 512 + 7, length: 1 })),
      });
      const staged = new StagingDevice(device);
      let told = '';
      checkFat(
        staged,
        {
          report({ toolText, mend }) {
            told += toolText;
            return mend?.automatic ?? -1;
          },
          tell: () => {},
        },
        { testsClusters: true },
      );
      expect(told).toContain('/F1.TXT\n  Cluster 0 (3) is unreadable. Skipping it.\n');
      expect(told).toContain('/F1.TXT\n  Cluster 3 (6) is unreadable. Skipping it.\n');
      expect(told).toContain('/F2.TXT\n  Cluster 5 (14) is unreadable. Skipping it.\n');
      expect(told).toContain('Cluster 1000 is unreadable.\nCluster 1001 is unreadable.\n');
      staged.apply(base);
      fs.writeFileSync(file, base.toBytes());
      expect(runTool('fsck.fat', ['-n', file]).status).toBe(0);
      const content = 'F1.TXT'.repeat(500);
      const kept = [1, 2, 4, 5].map((index) => content.slice(512 * index, 512 * (index + 1))).join('');
      const read = runTool('mtype', ['-i', file, '::F1.TXT']).stdout;
      expect([read.startsWith(kept), read.length]).toEqual([true, 4 * 512]);
      expect(runTool('mtype', ['-i', file, '::F2.TXT']).stdout).toBe('F2.TXT'.repeat(500).slice(0, 2560));
      const table = base.toBytes();
      for (const cluster of bad) {
        const at = FAT_OFFSET + Math.floor((cluster * 3) / 2);
        const word = table[at]! | (table[at + 1]! << 8);
        expect(cluster % 2 === 0 ? word & 0xfff : word >> 4).toBe(0xff7);
      }
    });
  },
);

/** The tool gives a label that it writes the time of that: the first slot of the root directory, bytes 22 to 25. */
function withoutLabelTime(bytes: Uint8Array): Uint8Array {
  return bytes.fill(0, 19 * 512 + 22, 19 * 512 + 26);
}
