import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import {
  damageStructure,
  STRUCTURE_DAMAGES,
  type StructuredVolume,
} from '../support/ext-structure-damage.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** Seeds of each kind of damage to each volume; `CHECK_SEEDS=5` for a long run. */
const SEEDS = Number(process.env['CHECK_SEEDS'] ?? 1);
const FIRST = Number(process.env['CHECK_FIRST'] ?? 0);

const NO_SUMS = '^metadata_csum';
/** Each also without checksums, where a fault is not seen by its checksum already. */
const VOLUMES: readonly (readonly [StructuredVolume, size: string, flags: readonly string[]])[] = [
  ['indexed', '8M', ['-t', 'ext4', '-N', '5000', '-O', '^has_journal']],
  ['indexed', '8M', ['-t', 'ext4', '-N', '5000', '-O', `^has_journal,${NO_SUMS}`]],
  ['inline', '4M', ['-t', 'ext4', '-I', '256', '-O', '^has_journal,inline_data']],
  ['inline', '4M', ['-t', 'ext4', '-I', '256', '-O', `^has_journal,inline_data,${NO_SUMS}`]],
  ['journal', '8M', ['-t', 'ext4', '-J', 'size=1']],
  ['journal', '8M', ['-t', 'ext4', '-J', 'size=1', '-O', NO_SUMS]],
  ['ext3 journal', '8M', ['-t', 'ext3', '-J', 'size=1']],
  ['orphan file', '8M', ['-t', 'ext4', '-J', 'size=1', '-O', 'orphan_file']],
  ['orphan file', '8M', ['-t', 'ext4', '-J', 'size=1', '-O', `orphan_file,${NO_SUMS}`]],
  ['values', '8M', ['-t', 'ext4', '-I', '256', '-O', '^has_journal,ea_inode']],
  ['values', '8M', ['-t', 'ext4', '-I', '256', '-O', `^has_journal,ea_inode,${NO_SUMS}`]],
  ['resize', '8M', ['-t', 'ext4', '-O', '^has_journal,resize_inode']],
  ['resize', '20M', ['-t', 'ext2', '-O', 'resize_inode']],
];

/** What the tool's words are about. */
const KINDS: readonly RegExp[] = [
  /HTREE|INDEX_FL/,
  /inline data|INLINE_DATA/,
  /invalid journal|Journal|journal is present/,
  /Orphan file|orphan_present/,
  /extended attribute value inode|Extended attribute in inode|EA.inode/,
  /Resize inode not valid|Reserved inode/,
];

function makeTree(folder: string): string {
  const tree = path.join(folder, 'tree');
  const below = path.join(tree, 'd1', 'd2');
  const random = seededRandom(11);
  const content = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => random(256));
  fs.mkdirSync(below, { recursive: true });
  for (let i = 1; i <= 12; i++) {
    fs.writeFileSync(path.join(tree, 'd1', `f${i}`), content(i * 700));
    fs.writeFileSync(path.join(below, `s${i}`), content(i * 9));
  }
  return tree;
}

/** Directories with an index of one level, and with one of two. */
function makeLargeDirectories(folder: string): string {
  const tree = path.join(folder, 'large');
  for (const name of ['big', 'small']) fs.mkdirSync(path.join(tree, name), { recursive: true });
  for (let i = 1; i <= 2800; i++)
    fs.writeFileSync(path.join(tree, 'big', `a long name of a file with the number ${i}`), '');
  for (let i = 1; i <= 400; i++) fs.writeFileSync(path.join(tree, 'small', `file ${i}`), '');
  return tree;
}

describeWithTools(['e2fsck', 'mke2fs', 'debugfs'], 'e2fsck on structures that some volumes have', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');
  const good: { kind: StructuredVolume; where: string; image: Uint8Array }[] = [];

  beforeAll(() => {
    const tree = makeTree(folder);
    const large = makeLargeDirectories(folder);
    const value = path.join(folder, 'value');
    fs.writeFileSync(value, new Uint8Array(3000).fill(0x61));
    for (const [kind, size, flags] of VOLUMES) {
      fs.rmSync(file, { force: true });
      const source = kind === 'indexed' ? large : tree;
      const made = runTool('mke2fs', ['-q', '-b', '1024', ...flags, '-d', source, file, size]);
      expect(made.status, made.stderr).toBe(0);
      if (kind === 'values') {
        for (const [target, name] of [
          ['/d1/f2', 'user.two'],
          ['/d1', 'user.one'],
        ] as const)
          runTool('debugfs', ['-w', '-R', `ea_set -f ${value} ${target} ${name}`, file]);
      }
      // The judge makes indexes, and counts blocks of values.
      runTool('e2fsck', [kind === 'indexed' ? '-fyD' : '-fy', file]);
      expect(runTool('e2fsck', ['-fn', file]).status, kind).toBe(0);
      good.push({ kind, where: `${kind} ${flags.join(' ')}`, image: fs.readFileSync(file) });
    }
  });

  it('finds nothing in good volumes', async () => {
    for (const { where, image } of good) {
      fs.writeFileSync(file, image);
      const theirs = runTool('e2fsck', ['-fn', file]);
      const ours = await userloop(['e2fsck', '-fn', file]);
      expect({ ...ours, bytes: undefined }, where).toEqual({ ...theirs, bytes: undefined });
    }
  });

  for (const [index, [kind, { volumes }]] of Object.entries(STRUCTURE_DAMAGES).entries()) {
    it(`agrees on ${kind}, and repairs it to the reference's content`, async () => {
      for (const { where, image } of good.filter((volume) => volumes.includes(volume.kind))) {
        for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
          const damaged = damageStructure(image, kind, seededRandom(1 + 1000 * seed + index));
          fs.writeFileSync(file, damaged);
          const theirs = runTool('e2fsck', ['-fn', file]);
          const ours = await userloop(['e2fsck', '-fn', file]);
          const texts = `${where}, seed ${seed}\n${theirs.stdout}${theirs.stderr}\n--- ours\n${ours.stdout}${ours.stderr}`;
          expect(Buffer.compare(fs.readFileSync(file), damaged), texts).toBe(0);
          expect(ours.status === 0, texts).toBe(theirs.status === 0);
          const told = KINDS.filter((pattern) => pattern.test(theirs.stdout));
          if (told.length > 0)
            expect(
              told.some((pattern) => pattern.test(ours.stdout)),
              texts,
            ).toBe(true);
          const repaired = await userloop(['e2fsck', '-fy', file]);
          const again = runTool('e2fsck', ['-fn', file]);
          const after = `${texts}\n--- repaired\n${repaired.stdout}${repaired.stderr}\n--- again\n${again.stdout}`;
          // Of features that neither knows, neither can say what a repair would be.
          if (theirs.stdout.includes('unknown'))
            expect([again.status, repaired.status], after).toEqual([12, 4]);
          else expect([again.status, repaired.status > 1], after).toEqual([0, false]);
        }
      }
    });
  }

  it('makes indexes anew, over all names', async () => {
    const INDEX = 0x1000;
    const namesOf = (directory: string): string[] =>
      runTool('debugfs', ['-R', `ls -p ${directory}`, file])
        .stdout.split('\n')
        .map((line) => line.split('/')[5] ?? '')
        .toSorted();
    for (const { image, where } of good.filter(({ kind }) => kind === 'indexed')) {
      fs.writeFileSync(file, image);
      const names = ['/big', '/small'].map(namesOf);
      for (const damage of [
        'the count of an index',
        'a block of an index',
        'the count of a node',
        'a hash of a node',
      ]) {
        for (let seed = 1; seed < 3; seed++) {
          fs.writeFileSync(file, damageStructure(image, damage, seededRandom(seed)));
          await userloop(['e2fsck', '-fy', file]);
          const told = `${where}, ${damage}, seed ${seed}`;
          expect(runTool('e2fsck', ['-fn', file]).status, told).toBe(0);
          expect(['/big', '/small'].map(namesOf), told).toEqual(names);
          for (const directory of ['/big', '/small']) {
            const flags = /Flags: 0x([0-9a-f]+)/.exec(
              runTool('debugfs', ['-R', `stat ${directory}`, file]).stdout,
            );
            expect(Number.parseInt(flags![1]!, 16) & INDEX, told).toBe(INDEX);
          }
        }
      }
    }
  });

  it('gives up a journal that cannot be read before anything is replayed from it', async () => {
    const { image } = good.find(({ kind }) => kind === 'journal')!;
    for (const damage of ['the magic of a journal', 'the inode of a journal that is wiped']) {
      fs.writeFileSync(file, image);
      runTool('debugfs', ['-w', '-R', 'feature needs_recovery', file]);
      fs.writeFileSync(file, damageStructure(fs.readFileSync(file), damage, seededRandom(1)));
      expect((await userloop(['e2fsck', '-fp', file])).status & 4, damage).toBe(4);
      const repaired = await userloop(['e2fsck', '-fy', file]);
      expect(repaired.status, repaired.stdout + repaired.stderr).toBe(1);
      expect(runTool('e2fsck', ['-fn', file]).status, damage).toBe(0);
    }
  });

  it('frees what was deleted while it was in use, as the tool does', async () => {
    const { image } = good.find(({ kind }) => kind === 'ext3 journal')!;
    fs.writeFileSync(file, image);
    const number = /Inode: (\d+)/.exec(runTool('debugfs', ['-R', 'stat /d1/f9', file]).stdout)![1]!;
    for (const request of ['unlink /d1/f9', `sif <${number}> links_count 0`, `ssv last_orphan ${number}`])
      runTool('debugfs', ['-w', '-R', request, file]);
    const deleted = fs.readFileSync(file);
    const theirs = runTool('e2fsck', ['-fp', file]);
    fs.writeFileSync(file, deleted);
    // Also on a volume that is clean otherwise, where nothing else is looked at.
    const quick = await userloop(['e2fsck', '-p', file]);
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
    fs.writeFileSync(file, deleted);
    expect({ ...quick, bytes: undefined }).toEqual({ ...runTool('e2fsck', ['-p', file]), bytes: undefined });
    fs.writeFileSync(file, deleted);
    const ours = await userloop(['e2fsck', '-fp', file]);
    const line = `${file}: Clearing orphaned inode ${number} (uid=${process.getuid!()}, gid=${process.getgid!()}, mode=0100644, size=6300)`;
    for (const text of [theirs, ours]) expect(text.stdout).toContain(line);
    expect(runTool('debugfs', ['-R', 'stats', file]).stdout).not.toContain('First orphan inode');
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
  });
});
