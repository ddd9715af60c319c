import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { Superblock } from '../../src/filesystem/ext/superblock.ts';
import { canMount, treeOfHost, withMount } from '../support/ext-driver-trees.ts';
import { userloop } from '../support/run.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';
import { makeTree, makeTunable } from '../support/tune2fs-runs.ts';

const cases: readonly (readonly [options: string, args: string])[] = [
  ['-t ext2 -b 1024', '-j'],
  ['-t ext4 -O ^has_journal -b 4096', '-J size=8 -O fast_commit'],
  ['-t ext4 -b 1024', '-O ^has_journal'],
  ['-t ext4 -b 1024', '-O ^has_journal -J size=3'],
  ['-t ext4 -b 1024', '-U 99999999-8888-7777-6666-555555555555'],
  ['-t ext4 -b 1024 -O orphan_file', '-U random'],
  ['-t ext4 -b 1024', '-O ^metadata_csum'],
  ['-t ext4 -b 1024', '-O orphan_file'],
];

const folder = temporaryFolder();
const possible = canMount() && ['mke2fs', 'e2fsck', 'debugfs'].every((tool) => findTool(tool) !== undefined);

describe.skipIf(!possible)(
  'What tune2fs makes, the kernel mounts and writes [root, mke2fs, e2fsck, debugfs]',
  () => {
    const tree = makeTree(folder);
    const image = path.join(folder, 'volume.img');

    for (const [options, args] of cases) {
      test(`${options}: ${args}`, async () => {
        makeTunable(tree, image, options, '40M');
        let before = {};
        withMount(image, 'ro', (mounted) => void (before = treeOfHost(mounted)));
        expect((await userloop(['tune2fs', ...args.split(' '), image])).status).toBe(0);
        withMount(image, 'rw', (mounted) => {
          expect(treeOfHost(mounted)).toEqual(before);
          for (let file = 0; file < 40; file++) {
            fs.writeFileSync(path.join(mounted, `new${file}`), Buffer.alloc(10_000 * file, file));
          }
          for (let file = 0; file < 40; file += 2) fs.rmSync(path.join(mounted, `new${file}`));
        });
        const checked = runTool('e2fsck', ['-fn', image]);
        expect(checked.status, checked.stdout).toBe(0);
        // What the kernel found wrong, it has counted.
        expect(Superblock.s_error_count.get(viewOf(fs.readFileSync(image).subarray(1024, 2048)), 0)).toBe(0);
      });
    }
  },
);
