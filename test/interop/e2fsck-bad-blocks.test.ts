import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { findBadBlocks } from '../../src/device/bad-blocks.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { StagingDevice } from '../../src/device/staging-device.ts';
import { checkExt } from '../../src/filesystem/ext/check/check.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

const TIME = { E2FSPROGS_FAKE_TIME: '1700000000' };
const VOLUMES: readonly (readonly [name: string, size: string, flags: readonly string[]])[] = [
  ['ext2', '8M', ['-t', 'ext2', '-b', '1024']],
  ['ext4', '8M', ['-t', 'ext4', '-b', '1024', '-O', '^has_journal']],
  ['ext4 in blocks of 4096 bytes', '32M', ['-t', 'ext4', '-b', '4096']],
  ['ext4 in small groups', '8M', ['-t', 'ext4', '-b', '1024', '-g', '1024', '-O', '^has_journal,uninit_bg']],
];

describeWithTools(
  ['e2fsck', 'mke2fs', 'debugfs', 'dumpe2fs'],
  'e2fsck lists bad blocks as the tool does',
  () => {
    const folder = memoryFolder();
    const file = path.join(folder, 'image');
    const list = path.join(folder, 'list');
    const good = new Map<string, Uint8Array>();

    beforeAll(() => {
      const tree = path.join(folder, 'tree');
      fs.mkdirSync(path.join(tree, 'a'), { recursive: true });
      for (let index = 0; index < 9; index++)
        fs.writeFileSync(path.join(tree, 'a', `${index}`), new Uint8Array(3000 * index).fill(65 + index));
      for (const [name, size, flags] of VOLUMES) {
        fs.rmSync(file, { force: true });
        expect(runTool('mke2fs', ['-q', ...flags, '-d', tree, file, size]).status).toBe(0);
        // It gives long directories an index, which is not what this is about.
        runTool('e2fsck', ['-fyD', file]);
        good.set(name, fs.readFileSync(file));
      }
    });

    /** Inode 1 without the numbers of its map's blocks, and the list. */
    function listed(): string[] {
      const stat = runTool('debugfs', ['-R', 'stat <1>', file]).stdout;
      return [
        stat
          .replaceAll(/ND\):\d+/g, 'ND)')
          .replace(/checksum: \w+/, 'checksum')
          .replaceAll(/(?<=[acm]time: ).*$/gm, 'now'),
        runTool('dumpe2fs', ['-b', file]).stdout,
      ];
    }

    const sequences: readonly (readonly (readonly [flags: readonly string[], content: string])[])[] = [
      [[['-fy', '-l'], '5000\n5001\n 6000 \n5000\n']],
      [
        [['-fyv', '-l'], '5000'],
        [['-fyv', '-l'], '7000\n'],
        [['-fy', '-L'], '6000\n'],
        [['-p', '-L'], ''],
      ],
      [[['-p', '-l'], Array.from({ length: 700 }, (_, index) => 5500 + 2 * index).join('\n')]],
      [
        [['-fy', '-l'], 'x\n\n6000 7\n6001x\n'],
        [['-fyc'], ''],
        [['-fy', '-l'], '6000'],
        [['-fyck'], ''],
      ],
      [[['-fy', '-l'], '8192\n4000000000\n']],
      [[['-fy', '-l'], '-3\n']],
      [[['-fy', '-l'], '5000000000\n']],
    ];
    for (const [name] of VOLUMES) {
      it(`from files: ${name}`, async () => {
        for (const [number, sequence] of sequences.entries()) {
          const told: unknown[][] = [];
          for (const run of [
            (argv: string[]) => runTool('e2fsck', argv, { env: TIME }),
            (argv: string[]) => userloop(['e2fsck', ...argv], { env: TIME }),
          ]) {
            fs.writeFileSync(file, good.get(name)!);
            const results: unknown[] = [];
            for (const [flags, content] of sequence) {
              fs.writeFileSync(list, content);
              const named = flags.some((flag) => /^-[lL]$/.test(flag));
              const result = await run([...flags, ...(named ? [list] : []), file]);
              // The tool counts the block of a longer extent tree twice when it is made.
              results.push([result.status, result.stdout, withoutProgress(result.stderr)], listed());
            }
            expect(runTool('e2fsck', ['-fn', file]).status, `sequence ${number}`).toBe(0);
            expect((await userloop(['e2fsck', '-fn', file])).status, `sequence ${number}`).toBe(0);
            told.push(results);
          }
          expect(told[1], `sequence ${number}`).toEqual(told[0]);
        }
      });
    }

    it('takes blocks from files that have them, and leaves the rest of the files as it was', async () => {
      for (const [name] of VOLUMES) {
        fs.writeFileSync(file, good.get(name)!);
        const block = Number(runTool('debugfs', ['-R', 'bmap /a/7 2', file]).stdout);
        fs.writeFileSync(list, `${block}\n`);
        const content = runTool('debugfs', ['-R', 'cat /a/7', file]).stdout;
        const theirs = runTool('e2fsck', ['-fy', '-l', list, file], { env: { ...TIME, TZ: 'UTC' } });
        fs.writeFileSync(file, good.get(name)!);
        const ours = await userloop(['e2fsck', '-fy', '-l', list, file], { env: TIME });
        // The list is changed in one second or the next.
        const told = (text: string): string =>
          text
            .replace(/\(\d+\.\d% non-contiguous\), \d+/, '')
            .replaceAll(/(?<=inode #1, mod time )[^)]*/g, 'now');
        expect([ours.status, told(ours.stdout)], name).toEqual([theirs.status, told(theirs.stdout)]);
        expect(runTool('debugfs', ['-R', 'cat /a/7', file]).stdout).toBe(content);
        expect(runTool('dumpe2fs', ['-b', file]).stdout).toBe(`${block}\n`);
        const judged = runTool('e2fsck', ['-fn', file]);
        expect(judged.status, judged.stdout).toBe(0);
      }
    });

    it('does not list what the format itself needs, and says so', async () => {
      const image = good.get('ext4')!;
      for (const block of [1, 2, 66]) {
        fs.writeFileSync(file, image);
        fs.writeFileSync(list, `${block}\n6000\n`);
        const { status, stdout } = await userloop(['e2fsck', '-fy', '-l', list, file]);
        expect(status & 4).toBe(4);
        expect(stdout).toContain(`Block ${block} is needed by group 0 itself`);
        expect(runTool('dumpe2fs', ['-b', file]).stdout).toBe('6000\n');
        expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
      }
    });

    it('refuses what does not go together, and what is not there', async () => {
      fs.writeFileSync(file, good.get('ext4')!);
      for (const flags of [
        ['-nc'],
        ['-n', '-l', list],
        ['-n', '-L', list],
        ['-nk'],
        ['-fy', '-l', `${list}.none`],
      ]) {
        const theirs = runTool('e2fsck', [...flags, file]);
        const ours = await userloop(['e2fsck', ...flags, file]);
        expect([ours.status, ours.stdout, ours.stderr]).toEqual([
          theirs.status,
          theirs.stdout,
          theirs.stderr.replace(/^.*\/(?=e2fsck: )/, ''),
        ]);
      }
      expect((await userloop(['e2fsck', '-fy', '-cc', file])).status).toBe(16);
      expect(Buffer.compare(fs.readFileSync(file), good.get('ext4')!)).toBe(0);
    });

    it('finds what cannot be read, and goes on without it', () => {
      fs.writeFileSync(file, good.get('ext4')!);
      const block = Number(runTool('debugfs', ['-R', 'bmap /a/8 1', file]).stdout);
      const base = MemoryDevice.from(fs.readFileSync(file));
      const badRanges = [block, 6001, 6002].map((number) => ({ offset: number * 1024 + 100, length: 1 }));
      const device = new FaultDevice(base, { badRanges });
      const staged = new StagingDevice(device);
      const bad = findBadBlocks(device, { offset: 0, blockSize: 1024, count: 8192 });
      expect(bad).toEqual([block, 6001, 6002]);
      checkExt(
        staged,
        { report: (finding) => (finding.mend === undefined ? -1 : 0), tell: () => {} },
        { badBlocks: { find: () => bad, replaces: true, now: 1, onUpdate: () => {} } },
      );
      // The tests' own repair may read everything that is to be written.
      staged.apply(base);
      fs.writeFileSync(file, base.toBytes());
      expect(runTool('dumpe2fs', ['-b', file]).stdout).toBe(`${bad.join('\n')}\n`);
      const judged = runTool('e2fsck', ['-fn', file]);
      expect(judged.status, judged.stdout).toBe(0);
      const expected = `${'I'.repeat(1024)}${'\0'.repeat(1024)}${'I'.repeat(24000 - 2048)}`;
      expect(runTool('debugfs', ['-R', 'cat /a/8', file]).stdout).toBe(expected);
    });
  },
);

function withoutProgress(text: string): string {
  return text.replaceAll(/ *\d+\.\d\d% done, [^\b]*[\b]+/g, '');
}
