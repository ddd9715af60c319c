import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

const VOLUMES: readonly (readonly [name: string, size: string, flags: readonly string[]])[] = [
  ['ext2', '8M', ['-t', 'ext2', '-b', '1024']],
  ['many groups', '32M', ['-t', 'ext4', '-b', '1024', '-g', '1024']],
  ['a label', '8M', ['-t', 'ext4', '-L', 'some thing']],
];

/** What was used differs from run to run. */
function withoutNumbers(text: string): string {
  return text
    .replaceAll(/\d+k/g, 'Nk')
    .replaceAll(/time: [ \d.]+\/[ \d.]+\/[ \d.]+\n/g, 'time\n')
    .replaceAll(/read: \d+MB, write: \d+MB, rate: \d+\.\d\dMB\/s/g, 'rate');
}

/** How often the bar is drawn depends on the clock: what it comes to does not. */
function withoutBars(text: string): string {
  const [from, to] = ['\u0001', '\u0002'];
  return text
    .replaceAll(new RegExp(`${from}[^\r\n]*\\|[= ]+[\\\\|/-] {1,2}(?!100)[\\d.]+% {3}\r${to}`, 'g'), '')
    .replaceAll(`${from}${' '.repeat(79)}\r${to}`, '');
}

describeWithTools(['e2fsck', 'mke2fs', 'debugfs'], 'e2fsck tells how far it is, as the tool does', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');
  const good = new Map<string, Uint8Array>();

  beforeAll(() => {
    const tree = path.join(folder, 'tree');
    for (const name of ['a', 'b/c', 'b/d']) {
      fs.mkdirSync(path.join(tree, name), { recursive: true });
      for (let i = 0; i < 10; i++) fs.writeFileSync(path.join(tree, name, `file number ${i}`), `${i}`);
    }
    for (const [name, size, flags] of VOLUMES) {
      fs.rmSync(file, { force: true });
      expect(runTool('mke2fs', ['-q', ...flags, '-d', tree, file, size]).status).toBe(0);
      good.set(name, fs.readFileSync(file));
      // Two files with the same block: what is done about it has passes of its own.
      if (name !== 'ext2') continue;
      const block = runTool('debugfs', ['-R', 'bmap /a 0', file]).stdout.trim();
      runTool('debugfs', ['-w', '-R', `sif <20> block[0] ${block}`, file]);
      good.set('shared blocks', fs.readFileSync(file));
    }
  });

  it('times', async () => {
    for (const [name, image] of good) {
      for (const flags of [
        ['-fn', '-t'],
        ['-fn', '-tt'],
        ['-fp', '-tt'],
        ['-n', '-tt'],
        ['-p', '-t'],
      ]) {
        fs.writeFileSync(file, image);
        const theirs = runTool('e2fsck', [...flags, file]);
        fs.writeFileSync(file, image);
        const ours = await userloop(['e2fsck', ...flags, file]);
        if (name === 'shared blocks') {
          const lines = (text: string): string[] => text.match(/^.*(?:, time|rate).*$/gm) ?? [];
          expect(lines(withoutNumbers(ours.stdout)), flags.join(' ')).toEqual(
            lines(withoutNumbers(theirs.stdout)),
          );
        } else {
          expect(withoutNumbers(ours.stdout), `${name} ${flags.join(' ')}`).toBe(
            withoutNumbers(theirs.stdout),
          );
        }
        expect([ours.status, ours.stderr], `${name} ${flags.join(' ')}`).toEqual([
          theirs.status,
          theirs.stderr,
        ]);
      }
    }
  });

  it('lines for a program', async () => {
    for (const [name, image] of good) {
      for (const manner of ['-fn', '-fp', '-n']) {
        const told = path.join(folder, 'told');
        fs.writeFileSync(file, image);
        const descriptor = fs.openSync(told, 'w');
        const theirs = runTool('e2fsck', [manner, '-C', '3', file], {
          stdio: ['ignore', 'pipe', 'pipe', descriptor],
        });
        const theirLines = fs.readFileSync(told, 'utf8');
        fs.ftruncateSync(descriptor);
        fs.closeSync(descriptor);
        fs.writeFileSync(file, image);
        const own = fs.openSync(told, 'w');
        const ours = await userloop(['e2fsck', manner, '-C', `${own}`, file]);
        fs.closeSync(own);
        expect(fs.readFileSync(told, 'utf8'), `${name} ${manner}`).toBe(theirLines);
        expect(ours.status).toBe(theirs.status);
        if (name === 'shared blocks') continue;
        fs.writeFileSync(file, image);
        const onOutput = runTool('e2fsck', [manner, '-C', '1', file]);
        fs.writeFileSync(file, image);
        expect((await userloop(['e2fsck', manner, '-C', '1', file])).stdout).toBe(onOutput.stdout);
      }
    }
  });

  it('a bar', async () => {
    for (const [name] of VOLUMES) {
      for (const manner of ['-fn', '-fp', '-n']) {
        fs.writeFileSync(file, good.get(name)!);
        const theirs = runTool('e2fsck', [manner, '-C', '0', file]);
        fs.writeFileSync(file, good.get(name)!);
        const ours = await userloop(['e2fsck', manner, '-C', '0', file]);
        expect(withoutBars(ours.stdout), `${name} ${manner}`).toBe(withoutBars(theirs.stdout));
        if (manner !== '-n') expect(ours.stdout).toContain(' 100.0%   \r');
      }
    }
  });

  it('refuses what is no descriptor that it was given, and touches nothing', async () => {
    fs.writeFileSync(file, good.get('ext2')!);
    for (const number of ['999', 'x', '']) {
      const theirs = runTool('e2fsck', ['-fn', '-C', number, file]);
      const ours = await userloop(['e2fsck', '-fn', '-C', number, file]);
      expect({ ...ours, bytes: undefined }, number).toEqual({ ...theirs, bytes: undefined });
    }
    // The process's own event queue.
    const queue = fs
      .readdirSync('/proc/self/fd')
      .find((fd) => fs.existsSync(`/proc/self/fdinfo/${fd}`) && isEventQueue(fd));
    if (queue !== undefined) expect((await userloop(['e2fsck', '-fn', '-C', queue, file])).status).toBe(8);
    expect((await userloop(['e2fsck', '-fn', '-C', '-1', file])).status).toBe(16);
  });
});

function isEventQueue(fd: string): boolean {
  return fs.readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventpoll]';
}
