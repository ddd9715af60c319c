import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { Random } from '../support/random.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/** Seeds of damage; `CHECK_SEEDS=20` for a long run, from `CHECK_FIRST` on. */
const SEEDS = 60 * Number(process.env['CHECK_SEEDS'] ?? 1);
const FIRST = Number(process.env['CHECK_FIRST'] ?? 2200);
/** Of each of these something was once not told, or not mended. */
const FOUND = [114, 186, 226, 240, 302, 305, 309, 363, 468, 471, 498, 500, 549, 675, 2013, 2116];

const BLOCK = 1024;
const SMALL = ['-b', `${BLOCK}`, '-N', '256'];
const PLAIN = '^has_journal,^metadata_csum';
const ALL_QUOTAS = ['-E', 'quotatype=usrquota:grpquota:prjquota'];
const VOLUMES: readonly (readonly [name: string, size: string, args: readonly string[]])[] = [
  ['quota', '4M', ['-t', 'ext4', ...SMALL, '-O', `quota,project,${PLAIN}`, ...ALL_QUOTAS]],
  ['quota, checksums', '4M', ['-t', 'ext4', ...SMALL, '-O', 'quota,^has_journal']],
  ['orphan file', '6M', ['-t', 'ext4', ...SMALL, '-J', 'size=1', '-O', 'orphan_file,^metadata_csum']],
  ['inline', '4M', ['-t', 'ext4', ...SMALL, '-O', `inline_data,ea_inode,${PLAIN}`]],
  ['64bit', '4M', ['-t', 'ext4', ...SMALL, '-O', `64bit,${PLAIN}`]],
  ['casefold', '4M', ['-t', 'ext4', ...SMALL, '-O', `casefold,encrypt,verity,${PLAIN}`]],
  [
    'meta',
    '6M',
    ['-t', 'ext4', ...SMALL, '-N', '512', '-g', '512', '-O', `meta_bg,^resize_inode,${PLAIN},uninit_bg`],
  ],
  ['ext3', '6M', ['-t', 'ext3', ...SMALL, '-J', 'size=1']],
  [
    'sparse_super2',
    '6M',
    ['-t', 'ext4', ...SMALL, '-N', '512', '-g', '1024', '-O', `sparse_super2,^resize_inode,${PLAIN}`],
  ],
];

/** Where the two may part: what is misplaced is told only, descriptors come from a copy where -b says so, journals elsewhere are not looked for. */
const TOLD_ONLY = /is not in group|conflicts with some other fs block/;
const OTHER_WAY = /external journal|FEATURE_[CRI]\d|trying backup blocks/;
/** The tool asks about these, and takes the volume for clean when the answer is no. */
const ASKED_ONLY = /descriptor checksums are invalid|marked uninitialized without feature/;

describeWithTools(
  ['e2fsck', 'mke2fs', 'debugfs'],
  'e2fsck beside the reference tool, on single bytes',
  () => {
    const folder = memoryFolder();
    const file = path.join(folder, 'image');
    const good: {
      name: string;
      image: Uint8Array;
      tables: number[][];
      directories: number[];
      special: number[];
    }[] = [];

    beforeAll(() => {
      const tree = path.join(folder, 'tree');
      fs.mkdirSync(path.join(tree, 'a/b/c'), { recursive: true });
      for (let i = 0; i < 24; i++) {
        const content = Buffer.alloc((i * i * 30) % 9000, i + 1);
        fs.writeFileSync(path.join(tree, ['', 'a', 'a/b', 'a/b/c'][i % 4]!, `file${i}`), content);
      }
      fs.linkSync(path.join(tree, 'file4'), path.join(tree, 'a/link'));
      fs.symlinkSync('x'.repeat(100), path.join(tree, 'slow'));
      fs.symlinkSync('short', path.join(tree, 'fast'));
      const blocksOf = (what: string): number[] =>
        runTool('debugfs', ['-R', `blocks ${what}`, file])
          .stdout.split(/\s+/)
          .filter(Boolean)
          .map(Number);
      for (const [name, size, args] of VOLUMES) {
        fs.rmSync(file, { force: true });
        const made = runTool('mke2fs', ['-q', ...args, '-d', tree, file, size]);
        expect(made.status, made.stderr).toBe(0);
        const { stdout } = runTool('debugfs', ['-R', 'stats', file]);
        const places = /block bitmap at (\d+), inode bitmap at (\d+), inode table at (\d+)/g;
        good.push({
          name,
          image: fs.readFileSync(file),
          tables: [...stdout.matchAll(places)].map((found) => found.slice(1).map(Number)),
          directories: ['/', '/a', '/a/b', '/a/b/c'].flatMap(blocksOf),
          special: [3, 4, 7, 8, 12, 13].flatMap((number) => blocksOf(`<${number}>`)).slice(0, 60),
        });
      }
    });

    /** One to three bytes of the superblock, descriptors, inodes, directories, files of the format, or bitmaps are others. */
    function damaged(seed: number): { what: string; image: Uint8Array } {
      const random = new Random(seed);
      const { name, image: whole, tables, directories, special } = random.pick(good);
      const image = Uint8Array.from(whole);
      let what = `seed ${seed}, ${name}:`;
      for (let change = 1 + random.below(3); change > 0; change--) {
        const where = random.below(10);
        const group = random.pick(tables);
        let at: number;
        if (where < 2) at = 1024 + random.below(400);
        else if (where < 3) at = 2048 + random.below(64 * good.length);
        else if (where < 6) at = tables[0]![2]! * BLOCK + 256 * random.below(45) + random.below(200);
        else if (where < 8)
          at = random.pick(directories) * BLOCK + random.below(random.below(2) === 1 ? 200 : 1024);
        else if (where < 9) at = random.pick(special.length > 0 ? special : [5]) * BLOCK + random.below(256);
        else at = group[random.below(2)]! * BLOCK + random.below(64);
        const values = [0, 1, 255, 128, random.below(256), image[at]! ^ (1 << random.below(8))];
        const value = random.pick(values);
        if (image[at] === value) continue;
        what += ` byte ${at} is ${value}, not ${image[at]},`;
        image[at] = value;
      }
      return { what, image };
    }

    it(`agrees on whether there is damage, and mends it to the reference's content (${SEEDS} seeds)`, async () => {
      const problems: string[] = [];
      for (const seed of [...FOUND, ...Array.from({ length: SEEDS }, (_, i) => FIRST + i)]) {
        const { what, image } = damaged(seed);
        fs.writeFileSync(file, image);
        const theirs = runTool('e2fsck', ['-fn', file]);
        const ours = await userloop(['e2fsck', '-fn', file]);
        expect(Buffer.compare(fs.readFileSync(file), image), what).toBe(0);
        const told = theirs.stdout + theirs.stderr;
        const texts = `${what}\n${told}\n--- ours\n${ours.stdout}${ours.stderr}`;
        if (OTHER_WAY.test(told) && !told.includes('superblock is corrupt')) continue;
        if (theirs.status === 0 && ASKED_ONLY.test(told)) continue;
        if ((ours.status === 0) !== (theirs.status === 0)) problems.push(texts);
        if (theirs.status === 0 || TOLD_ONLY.test(ours.stdout) || ours.status >= 8) continue;
        const mended = await userloop(['e2fsck', '-fy', file]);
        // What it says itself that it could not mend is no surprise.
        if ((mended.status & 4) !== 0) continue;
        const again = runTool('e2fsck', ['-fn', file]);
        if (again.status !== 0)
          problems.push(`${texts}\n--- mended\n${mended.stdout}\n--- again\n${again.stdout}`);
      }
      expect(problems).toEqual([]);
    });
  },
);
