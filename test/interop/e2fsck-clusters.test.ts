import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/** Damage that only clusters can have, to words of `i_block`: it depends on where the extents of a file start. */
const DAMAGES: readonly (readonly [kind: string, commands: (starts: readonly number[]) => string[]])[] = [
  ['a block beside its place', (starts) => [`sif /sparse block[5] ${starts[0]! + 1}`]],
  ['a position beside its block', () => ['sif /sparse block[3] 1']],
  ['a second extent in another cluster', (starts) => [`sif /sparse block[8] ${starts[1]! + 800}`]],
  ['the cluster of another file', (starts) => [`sif /large block[5] ${starts[0]!}`]],
  ['the cluster before', (starts) => [`sif /sparse block[5] ${starts[0]! - 8}`]],
];

describeWithTools(['e2fsck', 'mke2fs', 'debugfs'], 'e2fsck on clusters', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');

  beforeAll(() => {
    const tree = path.join(folder, 'tree');
    fs.mkdirSync(tree);
    const random = seededRandom(3);
    const content = (length: number): Uint8Array => Uint8Array.from({ length }, () => 1 + random(255));
    fs.writeFileSync(path.join(tree, 'large'), content(70_000));
    // Blocks 0 and 2 of a cluster, and one in another.
    const sparse = fs.openSync(path.join(tree, 'sparse'), 'w');
    for (const position of [0, 2, 9]) fs.writeSync(sparse, content(4096), 0, 4096, position * 4096);
    fs.closeSync(sparse);
    const flags = ['-t', 'ext4', '-O', 'bigalloc,^has_journal', '-C', '32768'];
    const made = runTool('mke2fs', ['-q', ...flags, '-d', tree, file, '16M']);
    expect(made.status, made.stderr).toBe(0);
  });

  for (const [kind, commands] of DAMAGES) {
    it(`tells of ${kind} as the tool does, and repairs it`, async () => {
      const good = fs.readFileSync(file);
      try {
        const extents = runTool('debugfs', ['-R', 'stat /sparse', file]).stdout.split('EXTENTS:')[1]!;
        const starts = [...extents.matchAll(/\):(\d+)/g)].map(([, start]) => Number(start));
        for (const command of commands(starts)) runTool('debugfs', ['-w', '-R', command, file]);
        const damaged = fs.readFileSync(file);
        const content = (name: string): string => runTool('debugfs', ['-R', `cat /${name}`, file]).stdout;
        const before = [content('sparse'), content('large')];
        const theirs = runTool('e2fsck', ['-fn', file]);
        const ours = await userloop(['e2fsck', '-fn', file]);
        expect(Buffer.compare(fs.readFileSync(file), damaged)).toBe(0);
        const about = (text: string): string[] =>
          text.match(/^(?:Inode \d+ logical|Multiply-claimed block\(s\)|Will fix).*$/gm) ?? [];
        expect(about(ours.stdout), ours.stdout + theirs.stdout).toEqual(about(theirs.stdout));
        expect(ours.status).toBe(theirs.status);
        const mended = await userloop(['e2fsck', '-fy', file]);
        const again = runTool('e2fsck', ['-fn', file]);
        expect([mended.status, again.status], theirs.stdout + mended.stdout + again.stdout).toEqual([1, 0]);
        expect([content('sparse'), content('large')]).toEqual(before);
      } finally {
        fs.writeFileSync(file, good);
      }
    });
  }
});
