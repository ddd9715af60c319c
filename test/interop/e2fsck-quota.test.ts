import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/** Random bytes in quota files of each volume; `CHECK_SEEDS=30` for a long run. */
const SEEDS = 3 * Number(process.env['CHECK_SEEDS'] ?? 1);
const FIRST = Number(process.env['CHECK_FIRST'] ?? 0);

const TYPES = 'quotatype=usrquota:grpquota:prjquota';
const VOLUMES: readonly (readonly [name: string, flags: readonly string[]])[] = [
  ['blocks of 1 KiB', ['-t', 'ext4', '-b', '1024', '-O', 'quota,project', '-E', TYPES]],
  ['blocks of 4 KiB', ['-t', 'ext4', '-b', '4096', '-O', 'quota,project', '-E', TYPES]],
  ['block maps', ['-t', 'ext2', '-b', '1024', '-O', 'quota']],
  ['small inodes', ['-t', 'ext4', '-I', '128', '-b', '1024', '-O', 'quota,^extra_isize']],
  [
    'values and data in inodes',
    ['-t', 'ext4', '-b', '1024', '-O', 'quota,project,inline_data,ea_inode', '-E', TYPES],
  ],
];
const FILES = 14;

function makeTree(folder: string): string {
  const tree = path.join(folder, 'tree');
  fs.mkdirSync(path.join(tree, 'd'), { recursive: true });
  for (let i = 0; i < FILES; i++)
    fs.writeFileSync(path.join(tree, 'd', `f${i}`), new Uint8Array(i * 777).fill(i));
  fs.symlinkSync('d/f1', path.join(tree, 'short'));
  fs.symlinkSync('x'.repeat(120), path.join(tree, 'long'));
  return tree;
}

/** What is on standard error but for places in the tool's source. */
function quotaLines(text: string): string[] {
  return text.split('\n').filter((line) => line.startsWith('[QUOTA'));
}

/** Owner, space and inodes of each line: of a file that cannot be read to its end, limits are what happened to be read. */
function usesOf(list: string): string[] {
  return list
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .map((words) => [words[0], words[1], words[4]].join(' '));
}

describeWithTools(['e2fsck', 'mke2fs', 'debugfs'], 'e2fsck on quota files', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');
  const their = path.join(folder, 'their');
  const good = new Map<string, Uint8Array>();

  beforeAll(() => {
    const tree = makeTree(folder);
    const value = path.join(folder, 'value');
    fs.writeFileSync(value, new Uint8Array(2500).fill(0x61));
    for (const [name, flags] of VOLUMES) {
      fs.rmSync(file, { force: true });
      const made = runTool('mke2fs', ['-q', ...flags, '-d', tree, file, '8M']);
      expect(made.status, made.stderr).toBe(0);
      if (name.startsWith('values')) debug([`ea_set -f ${value} /d/f3 user.large`]);
      // mke2fs counts what it populates by another rule than e2fsck.
      runTool('e2fsck', ['-fy', file]);
      good.set(name, fs.readFileSync(file));
    }
  });

  function debug(commands: readonly string[]): void {
    const script = path.join(folder, 'script');
    fs.writeFileSync(script, commands.map((command) => `${command}\n`).join(''));
    runTool('debugfs', ['-w', '-f', script, file]);
  }

  function quotas(image: string): string {
    return ['user', 'group', 'project']
      .map((kind) => runTool('debugfs', ['-R', `list_quota ${kind}`, image]).stdout)
      .join('');
  }

  /** Compares the verdicts, repairs with both, and compares what the quota files hold then. */
  async function compare(where: string, isExact: boolean): Promise<void> {
    const damaged = fs.readFileSync(file);
    const theirs = runTool('e2fsck', ['-fn', file]);
    const ours = await userloop(['e2fsck', '-fn', file]);
    const texts = `${where}\n${theirs.stdout}${theirs.stderr}\n--- ours\n${ours.stdout}${ours.stderr}`;
    expect(ours.status === 0, texts).toBe(theirs.status === 0);
    if (isExact) {
      expect(ours.stdout, texts).toBe(theirs.stdout);
      expect(quotaLines(ours.stderr), texts).toEqual(quotaLines(theirs.stderr));
    }
    expect(Buffer.compare(fs.readFileSync(file), damaged), where).toBe(0);
    fs.writeFileSync(their, damaged);
    runTool('e2fsck', ['-fy', their]);
    await userloop(['e2fsck', '-fy', file]);
    const judged = runTool('e2fsck', ['-fn', file]);
    expect(judged.status, `${texts}\n--- after ours\n${judged.stdout}${judged.stderr}`).toBe(0);
    expect(usesOf(quotas(file)), texts).toEqual(usesOf(quotas(their)));
  }

  it('finds nothing in good volumes', async () => {
    for (const [name, image] of good) {
      fs.writeFileSync(file, image);
      for (const flags of [['-fn'], ['-fp']]) {
        const ours = await userloop(['e2fsck', ...flags, file]);
        const theirs = runTool('e2fsck', [...flags, file]);
        expect({ ...ours, bytes: undefined }, name).toEqual({ ...theirs, bytes: undefined });
      }
    }
  });

  it('agrees on owners that were changed, and counts them as the tool does', async () => {
    const random = seededRandom(3);
    for (const [name, image] of good) {
      fs.writeFileSync(file, image);
      const commands: string[] = [];
      for (const field of ['uid', 'gid', ...(name === 'small inodes' ? [] : ['projid'])]) {
        for (let i = 0; i < FILES; i++) {
          const owner = [random(3), random(1 << 16), random(0xffff_ffff)][random(3)]!;
          if (random(3) > 0) commands.push(`sif /d/f${i} ${field} ${owner}`);
        }
      }
      debug([...commands, 'sif /d uid 5', 'sif /short gid 6', 'sif /long gid 7']);
      await compare(name, true);
    }
  });

  it('writes the bytes that the tool writes', async () => {
    for (const [name, image] of good) {
      fs.writeFileSync(file, image);
      debug(Array.from({ length: FILES }, (_, i) => `sif /d/f${i} uid ${i * 300 * i}`));
      fs.copyFileSync(file, their);
      runTool('e2fsck', ['-fy', their]);
      await userloop(['e2fsck', '-fy', file]);
      const contents = [their, file].map((image) => {
        const to = path.join(folder, 'dump');
        runTool('debugfs', ['-R', `dump <3> ${to}`, image]);
        return fs.readFileSync(to);
      });
      expect(contents[0]!.length, name).toBeGreaterThan(6 * 1024);
      expect(Buffer.compare(contents[0]!, contents[1]!), name).toBe(0);
    }
  });

  it('makes room for a file with many owners, and -p does so, too', async () => {
    for (const flags of [
      ['-t', 'ext2', '-b', '1024'],
      ['-t', 'ext4', '-b', '1024'],
    ]) {
      fs.rmSync(file, { force: true });
      runTool('mke2fs', ['-q', ...flags, '-N', '3000', '-O', 'quota', file, '16M']);
      const names = Array.from({ length: 1500 }, (_, i) => i);
      debug(names.flatMap((i) => [`mknod n${i} p`, `sif n${i} uid ${i * 1_000_003}`]));
      fs.copyFileSync(file, their);
      const ours = await userloop(['e2fsck', '-fp', file]);
      runTool('e2fsck', ['-fy', file]);
      expect(ours.stdout).toContain('Update quota info for quota type 0.\n');
      const judged = runTool('e2fsck', ['-fn', file]);
      expect(judged.status, judged.stdout + judged.stderr).toBe(0);
      runTool('e2fsck', ['-fy', their]);
      expect(quotas(file)).toBe(quotas(their));
    }
  });

  it('agrees on what the superblock says of quota files', async () => {
    for (const change of [
      'ssv usr_quota_inum 0',
      'ssv usr_quota_inum 5',
      'ssv grp_quota_inum 8',
      'ssv usr_quota_inum 99999',
      'ssv prj_quota_inum 0',
      'ssv prj_quota_inum 99999',
      'clri <3>',
      'clri <12>',
      'sif <4> size 1024',
      'sif <3> links_count 0',
    ]) {
      fs.writeFileSync(file, good.get('blocks of 1 KiB')!);
      debug([change]);
      await compare(change, false);
    }
  });

  it('never writes over a file that has a name', async () => {
    fs.writeFileSync(file, good.get('blocks of 1 KiB')!);
    const inode = /Inode: (\d+)/.exec(runTool('debugfs', ['-R', 'stat /d/f9', file]).stdout)![1]!;
    const content = runTool('debugfs', ['-R', 'cat /d/f9', file]).stdout;
    debug([`ssv usr_quota_inum ${inode}`]);
    expect((await userloop(['e2fsck', '-fn', file])).status).toBe(4);
    await userloop(['e2fsck', '-fy', file]);
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
    expect(runTool('debugfs', ['-R', 'cat /d/f9', file]).stdout).toBe(content);
  });

  it('agrees on random bytes in quota files', async () => {
    for (const [volume, [name, image]] of [...good].entries()) {
      fs.writeFileSync(file, image);
      const blocks = runTool('debugfs', ['-R', 'blocks <3>', file]).stdout.trim().split(/\s+/).map(Number);
      const blockSize = name.includes('4 KiB') ? 4096 : 1024;
      for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
        const random = seededRandom(1 + seed * 100 + volume);
        const damaged = Uint8Array.from(image);
        for (let change = 0; change < 3; change++) {
          // Words near the start of each block of the tree hold what matters.
          const at = blocks[random(blocks.length)]! * blockSize + random(blockSize / 1024) * 1024;
          // The number at the very start is of no matter to the tool.
          damaged[at + 4 + random(84)] = [0, 1, 2, 5, 200, 255][random(6)]!;
        }
        fs.writeFileSync(file, damaged);
        await compare(`${name}, seed ${seed}`, false);
      }
    }
  });
});
