import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { nextName } from '../../src/filesystem/ext/check/duplicate-names.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/** Volumes of each kind; `CHECK_SEEDS=20` for a long run, from `CHECK_FIRST` on. */
const SEEDS = 2 * Number(process.env['CHECK_SEEDS'] ?? 1);
const FIRST = Number(process.env['CHECK_FIRST'] ?? 0);
const FEATURES = ['^metadata_csum,^has_journal', '^has_journal', '^has_journal,^dir_index'];
/** Files in the directory: in one block, and in several. */
const COUNTS = [12, 150];

describeWithTools(['e2fsck', 'mke2fs', 'debugfs'], 'e2fsck on names that are there twice', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');
  const their = path.join(folder, 'their');

  function names(image: string): string[] {
    const { stdout } = runTool('debugfs', ['-R', 'ls -p /dd', image]);
    return stdout
      .split('\n')
      .filter((line) => !line.startsWith('/0/'))
      .sort();
  }

  it('gives them the names that the tool gives', async () => {
    for (const features of FEATURES) {
      for (const count of COUNTS) {
        for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
          const random = seededRandom(1 + seed + count);
          const tree = path.join(folder, 'tree');
          fs.rmSync(tree, { recursive: true, force: true });
          fs.mkdirSync(path.join(tree, 'dd'), { recursive: true });
          const wide = 'x'.repeat(random(9));
          for (let i = 0; i < count; i++) fs.writeFileSync(path.join(tree, 'dd', `f${wide}${100 + i}`), '');
          fs.rmSync(file, { force: true });
          runTool('mke2fs', ['-q', '-t', 'ext4', '-b', '1024', '-O', features, '-d', tree, file, '4M']);
          runTool('e2fsck', ['-fyD', file]);
          const image = fs.readFileSync(file);
          for (let change = 0; change < 6; change++) {
            const [from, to] = [random(count), random(count)].map((i) => `f${wide}${100 + i}`);
            for (let at = image.indexOf(from!); at >= 0; at = image.indexOf(from!, at + 1))
              image.write(to!, at);
          }
          fs.writeFileSync(file, image);
          const where = `${features}, ${count} files, seed ${seed}`;
          const theirs = runTool('e2fsck', ['-fn', file]);
          const ours = await userloop(['e2fsck', '-fn', file]);
          const texts = `${where}\n${theirs.stdout}--- ours\n${ours.stdout}`;
          expect(ours.status, texts).toBe(theirs.status);
          fs.copyFileSync(file, their);
          runTool('e2fsck', ['-fy', their]);
          await userloop(['e2fsck', '-fy', file]);
          expect(runTool('e2fsck', ['-fn', file]).status, texts).toBe(0);
          expect(names(file), texts).toEqual(names(their));
        }
      }
    }
  });

  it('removes a second entry with the name for the same file', async () => {
    const tree = path.join(folder, 'links');
    fs.mkdirSync(path.join(tree, 'dd'), { recursive: true });
    fs.writeFileSync(path.join(tree, 'dd', 'name1'), 'content');
    fs.linkSync(path.join(tree, 'dd', 'name1'), path.join(tree, 'dd', 'name2'));
    fs.rmSync(file, { force: true });
    runTool('mke2fs', ['-q', '-t', 'ext2', '-d', tree, file, '1M']);
    const image = fs.readFileSync(file);
    image.write('name1', image.indexOf('name2'));
    fs.writeFileSync(file, image);
    expect((await userloop(['e2fsck', '-fy', file])).status).toBe(1);
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
    expect(names(file).filter((line) => line.includes('name'))).toHaveLength(1);
  });
});

describe('other names', () => {
  it('makes names that entries have room for', () => {
    const cases: readonly (readonly [from: string, to: string])[] = [
      ['name1', 'name1~0'],
      ['file121', 'file12~0'],
      ['a', 'a~0'],
      ['abcd', 'ab~0'],
      ['name~0', 'name~1'],
      ['name~9', 'nam~10'],
      ['name~199', 'name~200'],
    ];
    for (const [from, to] of cases)
      expect(new TextDecoder().decode(nextName(new TextEncoder().encode(from)))).toBe(to);
    expect(nextName(new Uint8Array(255).fill(0x61))).toHaveLength(255);
  });
});
