import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/** Of names that are taken out before directories are laid out anew; `CHECK_SEEDS=20` for a long run, from `CHECK_FIRST` on. */
const SEEDS = Number(process.env['CHECK_SEEDS'] ?? 1);
const FIRST = Number(process.env['CHECK_FIRST'] ?? 0);

const VOLUMES: readonly (readonly [name: string, size: string, flags: readonly string[]])[] = [
  ['ext2', '8M', ['-t', 'ext2', '-b', '1024']],
  ['ext2 without indexes', '8M', ['-t', 'ext2', '-b', '1024', '-O', '^dir_index']],
  ['ext4', '8M', ['-t', 'ext4', '-b', '1024', '-O', '^has_journal']],
  ['ext4 in blocks of 4096 bytes', '16M', ['-t', 'ext4', '-b', '4096', '-O', '^has_journal,quota']],
  [
    'ext4 without checksums',
    '8M',
    ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^has_journal,large_dir'],
  ],
  [
    'directories in inodes',
    '8M',
    ['-t', 'ext4', '-b', '1024', '-I', '256', '-O', 'inline_data,^has_journal'],
  ],
  [
    'small groups',
    '8M',
    ['-t', 'ext4', '-b', '1024', '-g', '512', '-N', '1600', '-O', '^has_journal,uninit_bg'],
  ],
];
const COUNTS = { empty: 0, few: 5, block: 30, two: 55, some: 200, many: 900, aside: 120 } as const;

/** Names in a directory of so many. */
function nameOf(index: number): string {
  return `${'name'.repeat(1 + (index % 4))} ${index}`;
}

describeWithTools(['e2fsck', 'mke2fs', 'debugfs'], 'e2fsck lays out directories as the tool does', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');
  const good = new Map<string, Uint8Array>();

  beforeAll(() => {
    const tree = path.join(folder, 'tree');
    for (const [name, count] of Object.entries(COUNTS)) {
      fs.mkdirSync(path.join(tree, name), { recursive: true });
      for (let index = 0; index < count; index++) {
        const target = path.join(tree, name, nameOf(index));
        if (index % 5 === 0) fs.symlinkSync('somewhere', target);
        else if (index % 7 === 0) fs.mkdirSync(target);
        else fs.writeFileSync(target, '');
      }
    }
    for (const [name, size, flags] of VOLUMES) {
      fs.rmSync(file, { force: true });
      const made = runTool('mke2fs', ['-q', '-N', '2000', ...flags, '-d', tree, file, size]);
      expect(made.status, made.stderr).toBe(0);
      good.set(name, fs.readFileSync(file));
    }
    fs.rmSync(tree, { recursive: true });
  });

  /** Size of each directory, and its names with their inodes. */
  function directories(): Record<string, { size: string; names: string[] }> {
    const found: Record<string, { size: string; names: string[] }> = {};
    for (const name of ['', ...Object.keys(COUNTS)]) {
      const [stat, list] = ['stat', 'ls -p'].map(
        (command) => runTool('debugfs', ['-R', `${command} /${name}`, file]).stdout,
      );
      const names = [...list!.matchAll(/^\/(\d+)\/\d+\/\d+\/\d+\/([^/]+)\//gm)];
      found[name] = {
        size: /Size: (\d+)/.exec(stat!)![1]!,
        names: names.map(([, inode, text]) => `${inode} ${text}`).sort(),
      };
    }
    return found;
  }

  for (const [name] of VOLUMES) {
    it(`-D and long directories without an index: ${name}`, async () => {
      for (let seed = FIRST; seed < FIRST + 2 * SEEDS; seed++) {
        const random = seededRandom(1 + seed);
        fs.writeFileSync(file, good.get(name)!);
        // Of every other one nothing is taken out, of the others a few names or most.
        if (seed % 2 === 1) {
          const script: string[] = [];
          for (const [directory, count] of Object.entries(COUNTS)) {
            const part = 1 + random(10);
            for (let index = 0; index < count; index++)
              if (index % 7 !== 0 && random(10) < part) script.push(`rm "/${directory}/${nameOf(index)}"`);
          }
          expect(runTool('debugfs', ['-w', '-f', '-', file], { input: script.join('\n') }).status).toBe(0);
          runTool('e2fsck', ['-fyD', file]);
          runTool('debugfs', ['-w', '-R', `rm "/many/${nameOf(1)}"`, file]);
        }
        const image = fs.readFileSync(file);
        for (const flags of ['-fyD', '-fy', '-fpD', '-fp']) {
          const where = `${name}, seed ${seed}, ${flags}`;
          fs.writeFileSync(file, image);
          const theirs = runTool('e2fsck', [flags, file]);
          const expected = directories();
          fs.writeFileSync(file, image);
          const ours = await userloop(['e2fsck', flags, file]);
          // Blocks of extent trees are as many as where the directories come to lie takes.
          const told = (text: string): string =>
            text.replace(/\d+(?=\/\d+ blocks)/, 'N').replaceAll(/(?<=actual \()\d+/g, 'N');
          expect([ours.status, told(ours.stdout), told(ours.stderr)], where).toEqual([
            theirs.status,
            told(theirs.stdout),
            told(theirs.stderr),
          ]);
          const judged = runTool('e2fsck', ['-fn', file]);
          expect(judged.status, where + judged.stdout).toBe(0);
          expect(directories(), where).toEqual(expected);
        }
      }
    });
  }

  it('leaves alone what is full, and what hashes as it cannot', async () => {
    const small = path.join(folder, 'small');
    for (const features of ['casefold', 'encrypt', 'inline_data,casefold']) {
      fs.rmSync(small, { force: true });
      runTool('mke2fs', ['-q', '-t', 'ext4', '-b', '1024', '-O', `${features},^has_journal`, small, '4M']);
      const script = ['mkdir /a'];
      if (features !== 'encrypt') script.push('sif /a flags 0x40080000');
      for (let index = 0; index < 120; index++) script.push(`mknod "/a/A name ${index}" p`);
      runTool('debugfs', ['-w', '-f', '-', small], { input: script.join('\n') });
      runTool('e2fsck', ['-fy', small]);
      expect(runTool('e2fsck', ['-fn', small]).status).toBe(0);
      expect((await userloop(['e2fsck', '-fyD', small])).status, features).toBe(0);
      const judged = runTool('e2fsck', ['-fn', small]);
      expect(judged.status, judged.stdout).toBe(0);
    }
    // Not a block is free.
    fs.writeFileSync(file, good.get('ext4')!);
    const big = path.join(folder, 'big');
    fs.writeFileSync(big, new Uint8Array(8 << 20));
    runTool('debugfs', ['-w', '-R', `write ${big} big`, file]);
    runTool('e2fsck', ['-fy', file]);
    const before = directories();
    expect((await userloop(['e2fsck', '-fyD', file])).status).toBe(0);
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
    for (const [name, { names }] of Object.entries(directories())) expect(names).toEqual(before[name]!.names);
  });

  it('does without blocks that are lost, and keeps the names in the others', async () => {
    for (const [name, holes] of [
      ['ext2', [0]],
      ['ext2', [1, 2]],
      ['ext4', [0]],
      ['ext4', [0, 1, 4]],
      ['ext4 without checksums', [3]],
    ] as const) {
      fs.writeFileSync(file, good.get(name)!);
      const damaged = holes.length > 1 ? ['some'] : ['some', 'two'];
      for (const hole of holes) {
        for (const directory of damaged)
          runTool('debugfs', ['-w', '-R', `punch /${directory} ${hole} ${hole}`, file]);
      }
      const where = `${name}, without ${holes.join(' ')}`;
      const image = fs.readFileSync(file);
      const theirs = runTool('e2fsck', ['-fn', file]);
      const ours = await userloop(['e2fsck', '-fn', file]);
      const told = /^Directory inode .* has an unallocated block #.*$|^'..' in \/.* is .*$/gm;
      // Where extents can be drawn together the tool says that instead.
      const isTold = theirs.stdout.match(told) !== null;
      expect([ours.status, isTold ? ours.stdout.match(told)?.[0] : undefined], where).toEqual([
        theirs.status,
        theirs.stdout.match(told)?.[0],
      ]);
      runTool('e2fsck', ['-fy', file]);
      const expected = directories();
      fs.writeFileSync(file, image);
      const { status, stdout } = await userloop(['e2fsck', '-fy', file]);
      expect(status, where).toBe(1);
      const judged = runTool('e2fsck', ['-fn', file]);
      expect(judged.status, where + stdout + judged.stdout).toBe(0);
      const found = directories();
      for (const directory of damaged)
        expect(found[directory]!.names, where).toEqual(expect.arrayContaining(expected[directory]!.names));
    }
  });

  it('does not go with -n', async () => {
    const theirs = runTool('e2fsck', ['-fnD', file]);
    const ours = await userloop(['e2fsck', '-fnD', file]);
    expect([ours.status, ours.stdout]).toEqual([theirs.status, theirs.stdout]);
    expect(ours.stderr).toBe(path.basename(theirs.stderr));
  });
});
