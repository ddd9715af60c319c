import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { damageExt, EXT_DAMAGES } from '../support/ext-damage.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** Seeds of each kind of damage to each volume; `CHECK_SEEDS=20` for a long run, from `CHECK_FIRST` on. */
const SEEDS = Number(process.env['CHECK_SEEDS'] ?? 1);
const FIRST = Number(process.env['CHECK_FIRST'] ?? 0);

const VOLUMES: readonly (readonly [name: string, size: string, flags: readonly string[]])[] = [
  ['ext2', '2M', ['-t', 'ext2', '-b', '1024']],
  ['ext4 without checksums', '4M', ['-t', 'ext4', '-O', '^metadata_csum,^has_journal']],
  ['ext4', '4M', ['-t', 'ext4', '-b', '1024', '-O', '^has_journal']],
  ['bigalloc', '4M', ['-t', 'ext4', '-b', '1024', '-O', '^has_journal,bigalloc', '-C', '8192']],
  [
    'bigalloc without checksums',
    '8M',
    ['-t', 'ext4', '-O', '^metadata_csum,^has_journal,bigalloc', '-C', '16384'],
  ],
];

/** A tree with directories, files of several blocks, hard links, symbolic links of both kinds, an indexed directory. */
function makeTree(folder: string): string {
  const tree = path.join(folder, 'tree');
  const random = seededRandom(5);
  for (let i = 0; i < 4; i++) {
    const directory = path.join(tree, `directory${i}`, 'below');
    fs.mkdirSync(directory, { recursive: true });
    for (let j = 0; j < 4; j++) {
      const content = Uint8Array.from({ length: 300 + j * 5000 }, () => random(256));
      fs.writeFileSync(path.join(tree, `directory${i}`, `file${j}`), content);
      fs.writeFileSync(path.join(directory, `another file ${j}`), content.subarray(0, 2000));
    }
  }
  fs.linkSync(path.join(tree, 'directory0', 'file1'), path.join(tree, 'hard'));
  fs.symlinkSync('directory1/file2', path.join(tree, 'short'));
  fs.symlinkSync('x'.repeat(100), path.join(tree, 'long'));
  return tree;
}

/** What the tool's words are about. */
const KINDS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['illegal block', /illegal block|invalid extent|out of order extents|extent header/],
  ['size', /i_size is/],
  ['block count', /i_blocks is/],
  ['deletion time', /dtime/],
  ['shared blocks', /Multiply-claimed/],
  ['checksum', /checksum/],
  ['directory', /directory corrupted|Missing '\.|Invalid inode number for '\.|should be '\./],
  ['entry', /deleted\/unused inode|invalid inode #|link to directory|link to the root|link to '\.'/],
  ['name', /illegal characters|zero-length name/],
  ['type', /incorrect filetype/],
  ['symbolic link', /Symlink .*is invalid/],
  ['unconnected', /Unconnected|Unattached/],
  ['link count', /ref count/],
  ['bitmap', /bitmap differences/],
  ['count', /count wrong/],
];

function kindsOf(text: string): string[] {
  return KINDS.filter(([, pattern]) => pattern.test(text)).map(([kind]) => kind);
}

describeWithTools(['e2fsck', 'mke2fs', 'e2undo', 'debugfs'], 'e2fsck beside the reference tool', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');
  const good = new Map<string, Uint8Array>();

  beforeAll(() => {
    const tree = makeTree(folder);
    for (const [name, size, flags] of VOLUMES) {
      fs.rmSync(file, { force: true });
      const made = runTool('mke2fs', ['-q', ...flags, '-d', tree, file, size]);
      expect(made.status, made.stderr).toBe(0);
      good.set(name, fs.readFileSync(file));
    }
  });

  it('agrees on good volumes to the letter', async () => {
    for (const [name] of VOLUMES) {
      fs.writeFileSync(file, good.get(name)!);
      for (const flags of [['-fn'], ['-fnv'], ['-n'], ['-p'], ['-fp']]) {
        const ours = await userloop(['e2fsck', ...flags, file]);
        fs.writeFileSync(file, good.get(name)!);
        const theirs = runTool('e2fsck', [...flags, file]);
        expect({ ...ours, bytes: undefined }, `${name} ${flags.join(' ')}`).toEqual({
          ...theirs,
          bytes: undefined,
        });
      }
    }
  });

  it('calls a volume by its label, as the tool does', async () => {
    for (const label of ['my volume', 'a:b', 'sixteen-chars-ab', '']) {
      for (const flags of ['-fn', '-fp', '-fy', '-p']) {
        const told: unknown[] = [];
        for (const run of [
          (argv: string[]) => runTool('e2fsck', argv),
          (argv: string[]) => userloop(['e2fsck', ...argv]),
        ]) {
          fs.writeFileSync(file, good.get('ext4')!);
          runTool('debugfs', ['-w', '-R', `ssv volume_name "${label}"`, file]);
          runTool('debugfs', ['-w', '-R', 'sif /directory0/file0 links_count 5', file]);
          const { status, stdout } = await run([flags, file]);
          told.push([status, stdout]);
        }
        expect(told[1], `${label}, ${flags}`).toEqual(told[0]);
      }
    }
  });

  it('agrees on times of deletion to the letter', async () => {
    const unused = '<200>';
    for (const change of [
      'sif <8> dtime 5',
      'sif <7> dtime 1000000000',
      'sif <2> dtime 5',
      'sif <2> dtime 1000000000',
      'sif <1> dtime 9',
      'sif /hard dtime 1000000000',
      'sif /hard dtime 77',
      `sif ${unused} dtime 9`,
      `sif ${unused} mode 0100644`,
    ]) {
      for (const flags of ['-fn', '-fy']) {
        const [theirs, ours] = [[], []] as [string[], string[]];
        for (const [told, run] of [
          [theirs, (argv: string[]) => runTool('e2fsck', argv)],
          [ours, (argv: string[]) => userloop(['e2fsck', ...argv])],
        ] as const) {
          fs.writeFileSync(file, good.get('ext4')!);
          runTool('debugfs', ['-w', '-R', change, file]);
          const { status, stdout } = await run([flags, file]);
          told.push(`${status}`, stdout, `${runTool('e2fsck', ['-fn', file]).status}`);
        }
        expect(ours, `${change}, ${flags}`).toEqual(theirs);
      }
    }
  });

  it('agrees on the casefold flag of what is no directory to the letter', async () => {
    const tree = path.join(folder, 'tree');
    for (const feature of ['casefold', '^casefold']) {
      const volume = ['-t', 'ext4', '-O', `^has_journal,${feature}`, '-d', tree, file, '4M'];
      fs.rmSync(file);
      expect(runTool('mke2fs', ['-q', ...volume]).status).toBe(0);
      for (const name of ['/hard', '/long'])
        runTool('debugfs', ['-w', '-R', `sif ${name} flags 0x40080000`, file]);
      const image = fs.readFileSync(file);
      for (const flags of ['-fn', '-fp', '-fy']) {
        const [theirs, ours] = [[], []] as [string[], string[]];
        for (const [told, run] of [
          [theirs, (argv: string[]) => runTool('e2fsck', argv)],
          [ours, (argv: string[]) => userloop(['e2fsck', ...argv])],
        ] as const) {
          fs.writeFileSync(file, image);
          const { status, stdout } = await run([flags, file]);
          told.push(`${status}`, stdout.trimEnd(), `${runTool('e2fsck', ['-fn', file]).status}`);
        }
        expect(ours, `${feature}, ${flags}`).toEqual(theirs);
      }
    }
  });

  it('leaves a journal alone with -n and replays it otherwise, as the tool does', async () => {
    const dirty = path.join(folder, 'dirty');
    runTool('mke2fs', ['-q', '-t', 'ext4', dirty, '16M']);
    runTool('debugfs', ['-w', '-R', 'feature needs_recovery', dirty]);
    const only = ['-E', 'journal_only'];
    for (const flags of [['-fn'], ['-p'], ['-fy'], ['-n', ...only], ['-p', ...only], ['-fy', ...only]]) {
      fs.copyFileSync(dirty, file);
      const theirs = runTool('e2fsck', [...flags, file]);
      fs.copyFileSync(dirty, file);
      const ours = await userloop(['e2fsck', ...flags, file]);
      expect({ ...ours, bytes: undefined }, flags.join(' ')).toEqual({ ...theirs, bytes: undefined });
      expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
    }
  });

  it('takes extended options as the tool does, or refuses them by name', async () => {
    fs.writeFileSync(file, good.get('ext4')!);
    for (const options of [
      'nodiscard,no_optimize_extents,inode_count_fullmap,readahead_kb=128',
      'what,where=1',
      'readahead_kb=much',
    ]) {
      const theirs = runTool('e2fsck', ['-fn', '-E', options, file]);
      const ours = await userloop(['e2fsck', '-fn', '-E', options, file]);
      expect({ ...ours, bytes: undefined }, options).toEqual({ ...theirs, bytes: undefined });
    }
    const refused = await userloop(['e2fsck', '-fy', '-E', 'unshare_blocks', file]);
    expect(refused.status).toBe(16);
    expect(refused.stderr).toContain('unshare_blocks is not supported');
    expect(Buffer.compare(fs.readFileSync(file), good.get('ext4')!)).toBe(0);
  });

  it('gives each file that shares blocks a copy, and keeps what it can be kept of', async () => {
    for (const [name, changes] of [
      ['ext2', ['sif /directory1/file2 block[IND] FIRST', 'sif /directory1/file3 block[0] OTHER']],
      ['ext4', ['sif /directory1/file2 block[5] OTHER', 'sif /directory1/file3 block[5] OTHER']],
    ] as const) {
      fs.writeFileSync(file, good.get(name)!);
      const stat = runTool('debugfs', ['-R', 'stat /directory0/file3', file]).stdout;
      const first = /\(IND\):(\d+)/.exec(stat)?.[1] ?? '';
      const other = /\(0[-)\d]*:(\d+)/.exec(stat)![1]!;
      for (const change of changes) {
        const command = change.replace('FIRST', first).replace('OTHER', other);
        runTool('debugfs', ['-w', '-R', command, file]);
      }
      const before = fs.readFileSync(file);
      const content = runTool('debugfs', ['-R', 'cat /directory1/file3', file]).stdout;
      const kept = runTool('debugfs', ['-R', 'cat /directory0/file3', file]).stdout;
      const theirs = runTool('e2fsck', ['-fn', file]);
      const ours = await userloop(['e2fsck', '-fn', file]);
      for (const text of [theirs, ours]) expect(text.status & 4).toBe(4);
      const claims = (text: string): string[] => text.match(/^Multiply-claimed block.*$/gm) ?? [];
      expect(claims(ours.stdout)).toEqual(claims(theirs.stdout));
      // Nothing is decided unasked.
      expect((await userloop(['e2fsck', '-fp', file])).status & 4).toBe(4);
      expect(Buffer.compare(fs.readFileSync(file), before)).toBe(0);
      const mended = await userloop(['e2fsck', '-fy', file]);
      expect(mended.status, mended.stdout + mended.stderr).toBe(1);
      expect(mended.stdout).toContain('Clone multiply-claimed blocks? yes');
      const again = runTool('e2fsck', ['-fn', file]);
      expect(again.status, mended.stdout + again.stdout).toBe(0);
      expect(runTool('debugfs', ['-R', 'cat /directory1/file3', file]).stdout).toBe(content);
      expect(runTool('debugfs', ['-R', 'cat /directory0/file3', file]).stdout).toBe(kept);
    }
  });

  for (const [index, kind] of Object.keys(EXT_DAMAGES).entries()) {
    it(`agrees on ${kind}, and repairs it to the reference's content`, async () => {
      for (const [name] of VOLUMES) {
        for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
          const where = `${name}, seed ${seed}`;
          const image = damageExt(good.get(name)!, kind, seededRandom(1 + seed * 1000 + index));
          fs.writeFileSync(file, image);
          const theirs = runTool('e2fsck', ['-fn', file]);
          const ours = await userloop(['e2fsck', '-fn', file]);
          expect(Buffer.compare(fs.readFileSync(file), image), where).toBe(0);
          const texts = `${where}\n${theirs.stdout}${theirs.stderr}\n--- ours\n${ours.stdout}${ours.stderr}`;
          expect(ours.status === 0, texts).toBe(theirs.status === 0);
          // What follows from its own answers of "no" differs; what it is about does not.
          const ourKinds = kindsOf(ours.stdout);
          const theirKinds = kindsOf(theirs.stdout);
          if (theirKinds.length > 0)
            expect(
              theirKinds.some((told) => ourKinds.includes(told)),
              texts,
            ).toBe(true);
          const undo = path.join(folder, 'undo');
          fs.rmSync(undo, { force: true });
          const repaired = await userloop(['e2fsck', '-fy', '-z', undo, file]);
          const again = runTool('e2fsck', ['-fn', file]);
          const after = `${texts}\n--- repaired\n${repaired.stdout}${repaired.stderr}\n--- again\n${again.stdout}`;
          expect([again.status, repaired.status > 1], after).toEqual([0, false]);
          if (!fs.existsSync(undo)) continue;
          const undone = runTool('e2undo', [undo, file]);
          expect(undone.status, undone.stderr + undone.stdout).toBe(0);
          expect(Buffer.compare(fs.readFileSync(file), image), where).toBe(0);
        }
      }
    });
  }
});
