import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { kernelLoopBackend as backend } from '../../src/attach/kernel-loop.ts';
import { type FdiskOutcome, masked } from '../support/fdisk-sessions.ts';
import { loopRequest } from '../support/attached.ts';
import { describeWithKernelLoops, detachKernelLoopsOf } from '../support/kernel-loops.ts';
import { spawnSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

const SIZE = 8 << 20;
const DOS = 'label: dos\nlabel-id: 0x12345678\n';
const GPT = 'label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n';
const UUID = (digit: number): string => `uuid=${`${digit}`.repeat(8)}-2222-3333-4444-555555555555`;

interface Call {
  readonly args: readonly string[];
  readonly script?: string;
}
const call = (...args: string[]): Call => ({ args });
const LOOKS = ['-d', '-J', '-l', '-F', '-V', '-g', '-s', '--disk-id', '-A'].map((option) => call(option));
const CHANGES: readonly Call[] = [
  call('-r'),
  call('--delete'),
  call('-A', 'DISK', '1'),
  call('--disk-id', 'DISK', '7'),
  call('--part-type', 'DISK', '1', '82'),
  call('--relocate', 'gpt-bak-std'),
];
const SCRIPTS: readonly Call[] = [
  { args: [], script: `${DOS},2M\n,,S\n` },
  { args: ['-q'], script: `${DOS},2M\n` },
  { args: ['-n'], script: `${DOS},2M\n` },
  { args: ['-a'], script: ',1M\n' },
  { args: ['-N', '1'], script: ',3M\n' },
  { args: ['--force'], script: `${DOS},2M\n` },
  { args: ['--no-reread'], script: `${DOS},2M\n` },
  { args: ['--no-tell-kernel'], script: `${DOS},2M\n` },
  { args: ['--force', '--no-tell-kernel', '-q'], script: `${DOS},2M\n` },
];

describeWithKernelLoops(
  ['sfdisk', 'losetup', 'mke2fs', 'mount', 'python3'],
  'sfdisk on devices of the kernel',
  () => {
    let folder: string;
    let image: string;
    let table: Uint8Array;
    let others: ChildProcess[];

    beforeAll(() => {
      const file = path.join(temporaryFolder(), 'table.img');
      fs.writeFileSync(file, '');
      fs.truncateSync(file, SIZE);
      const input = `${DOS}2048,1M\n6144,2M,E\n8192,500K,S\n`;
      expect(runTool('sfdisk', ['-q', file], { input }).status).toBe(0);
      table = fs.readFileSync(file);
    });

    beforeEach(() => {
      folder = fs.realpathSync(temporaryFolder());
      image = path.join(folder, 'disk.img');
      fs.writeFileSync(image, table);
      others = [];
    });

    afterEach(async () => {
      for (const other of others) {
        if (other.exitCode !== null) continue;
        other.stdin!.end();
        await once(other, 'exit');
      }
      await detachKernelLoopsOf(folder);
    });

    async function attach(more: Parameters<typeof loopRequest>[1] = {}): Promise<string> {
      return `/dev/${(await backend.attach(loopRequest(image, more))).name}`;
    }

    async function ours(device: string, { args, script = '' }: Call): Promise<FdiskOutcome> {
      const { status, stdout, stderr } = await userloop(['sfdisk', ...named(device, args)], {
        cwd: folder,
        stdin: script,
        env: { HOME: folder },
      });
      return masked(status, stdout, stderr);
    }

    function reference(device: string, { args, script = '' }: Call): FdiskOutcome {
      const { status, stdout, stderr } = spawnSync(findTool('sfdisk')!, named(device, args), {
        argv0: 'sfdisk',
        cwd: folder,
        input: script,
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', HOME: folder },
      });
      return masked(status ?? 128, stdout, stderr);
    }

    /** Both on the same device one after the other, from the same content; the contents that they left. */
    async function both(
      device: string,
      each: Call,
      content: Uint8Array,
    ): Promise<[FdiskOutcome, FdiskOutcome, Buffer, Buffer]> {
      fill(device, content);
      const theirs = reference(device, each);
      const after = contentOf(device);
      fill(device, content);
      const mine = await ours(device, each);
      return [mine, theirs, contentOf(device), after];
    }

    /** Another program that has the device open or mounted, and says a line once it has. */
    async function use(command: string, ...args: string[]): Promise<void> {
      const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      others.push(child);
      await once(child.stdout, 'data');
    }

    describe('that nobody uses does what util-linux does', () => {
      test.each([...SCRIPTS, ...CHANGES, ...LOOKS])('$args $script', async (each) => {
        const device = await attach();
        const [mine, theirs, result, expected] = await both(device, each, table);
        expect(mine).toEqual(theirs);
        expect(result.equals(expected)).toBe(true);
      });
    });

    describe('with sectors of 4096 bytes does what util-linux does', () => {
      const GPT_SCRIPT = `${GPT}start=256,size=1M,${UUID(1)}\nsize=2M,type=S,name="one two",${UUID(2)}\nsize=+,type=home,${UUID(3)}\n`;
      const DOS_SCRIPT = `${DOS},1M,L,*\n,3M,E\n,1M\n,500K,S\n,\n1000,100\n`;
      test.each([
        ['an MBR', DOS_SCRIPT, [',1M\n', '300,20,,*\n']],
        ['a GPT', GPT_SCRIPT, [',500K\n', 'name=three\n']],
        ['a GPT with headers', `${GPT}first-lba: 6\ntable-length: 32\ngrain: 4096\n,100K,U,\n`, [',+1M\n']],
        ['a script for smaller sectors', `${DOS}sector-size: 512\n2048,2048\n,1M\n`, [',+\n']],
        ['what is too large', `${GPT},7M\n,7M\n`, [',9M\n']],
      ])('for %s', async (_, script, changes) => {
        const device = await attach({ sectorSize: 4096 });
        const [mine, theirs, result, expected] = await both(
          device,
          { args: [], script },
          new Uint8Array(SIZE),
        );
        // A GPT whose partitions have no identifiers gets random ones.
        expect(mine).toEqual(theirs);
        if (!script.includes('gpt') || script.includes('uuid')) expect(result.equals(expected)).toBe(true);
        const content = expected;
        for (const each of [
          ...LOOKS,
          ...CHANGES,
          ...changes.map((line) => ({ args: ['-N', '1'], script: line })),
          { args: ['-a'], script: `size=100K,${UUID(4)}\n` },
        ]) {
          const outcome = await both(device, each, content);
          expect({ each, ...outcome[0] }).toEqual({ each, ...outcome[1] });
          expect({ each, same: outcome[2].equals(outcome[3]) }).toEqual({ each, same: true });
        }
      });
    });

    /** Ours names the holder in one more line. */
    function withoutHolder({ stderr, ...rest }: FdiskOutcome, device: string): FdiskOutcome {
      const lines = stderr.split('\n').filter((line) => !line.startsWith(`sfdisk: ${device} is mounted on `));
      return { ...rest, stderr: lines.join('\n') };
    }

    describe('that is mounted tells and refuses what util-linux does', () => {
      test.each([...SCRIPTS, ...CHANGES, ...LOOKS])('$args $script', async (each) => {
        const device = await attach();
        // An ext2 file system leaves the first sector, where the table is.
        const blank = new Uint8Array(SIZE);
        fill(device, blank);
        expect(runTool('mke2fs', ['-q', '-F', '-t', 'ext2', device]).status).toBe(0);
        reference(device, { args: ['-q'], script: `${DOS}2048,1M\n6144,2M\n` });
        const directory = path.join(folder, 'mnt');
        fs.mkdirSync(directory);
        expect(runTool('mount', ['-t', 'ext2', '-o', 'ro', device, directory]).status).toBe(0);
        try {
          const sector = contentOf(device).subarray(0, 512);
          const theirs = reference(device, each);
          const expected = contentOf(device).subarray(0, 512);
          fill(device, sector);
          const mine = await ours(device, each);
          expect(withoutHolder(mine, device)).toEqual(theirs);
          expect(contentOf(device).subarray(0, 512).equals(expected)).toBe(true);
          if (mine.stderr.includes('--force flag')) {
            expect(mine.stderr).toContain(`sfdisk: ${device} is mounted on ${directory}; unmount it first\n`);
            expect(mine.stdout).not.toContain('>>> ');
          }
        } finally {
          expect(runTool('umount', [directory]).status).toBe(0);
        }
      });
    });

    test('that another program has for itself is in use', async () => {
      const device = await attach();
      const open = `import os,sys; os.open("${device}", os.O_RDONLY|os.O_EXCL); print("open", flush=True); sys.stdin.read()`;
      await use(findTool('python3')!, '-c', open);
      const { status, stdout, stderr } = await ours(device, { args: [], script: ',1M\n' });
      expect(reference(device, { args: [], script: ',1M\n' }).stdout).toBe(stdout);
      expect(status).toBe(1);
      expect(stdout).toBe('Checking that no-one is using this disk right now ... FAILED\n\n');
      expect(stderr).toContain('Use the --force flag to overrule all checks.\n');
      expect(stderr).toContain('another program has it for itself');
      expect(contentOf(device).equals(table)).toBe(true);
    });

    test('that is read-only is refused before a line is read, and can be looked at', async () => {
      const device = await attach({ readOnly: true });
      for (const each of [...SCRIPTS, ...CHANGES]) {
        if (each.args.includes('-n')) continue;
        const mine = await ours(device, each);
        expect({ each, ...mine }).toEqual({
          each,
          status: 1,
          stdout: '',
          stderr: `sfdisk: cannot open ${device}: Read-only file system\nsfdisk: it can only be read: "fdisk -l ${device}" shows its table\n`,
        });
      }
      for (const each of [...LOOKS, { args: ['-n'], script: `${DOS},2M\n` }]) {
        expect({ each, ...(await ours(device, each)) }).toEqual({ each, ...reference(device, each) });
      }
      expect(fs.readFileSync(image).equals(table)).toBe(true);
    });

    test.each(['-l', '-F', '-g', '-V', '-s', '-q -l', '-l -V'])('are listed by %s alone', async (options) => {
      const device = await attach();
      const args = options.split(' ');
      const result = await userloop(['sfdisk', ...args], {
        cwd: folder,
        env: { USERLOOP_RUNTIME_DIR: folder },
      });
      const expected = runTool('sfdisk', args);
      expect(masked(result.status, result.stdout, result.stderr)).toEqual(
        masked(expected.status, expected.stdout, expected.stderr),
      );
      if (options !== '-F') expect(expected.stdout).toContain(device);
    });

    test('whose image is named instead is refused, and can be looked at', async () => {
      const device = await attach();
      for (const each of [...SCRIPTS, ...CHANGES]) {
        expect({ each, ...(await ours(image, each)) }).toEqual({
          each,
          status: 1,
          stdout: '',
          stderr: `sfdisk: cannot open ${image}: Device or resource busy\nsfdisk: "${image}" is attached as ${device}: name that device instead, or detach it first\n`,
        });
      }
      for (const each of LOOKS) {
        expect({ each, ...(await ours(image, each)) }).toEqual({ each, ...reference(image, each) });
      }
      expect(fs.readFileSync(image).equals(table)).toBe(true);
    });
  },
);

/** DISK stands for the device, which comes last where the arguments do not name it. */
function named(device: string, args: readonly string[]): string[] {
  return args.includes('DISK') ? args.map((arg) => (arg === 'DISK' ? device : arg)) : [...args, device];
}

function fill(device: string, content: Uint8Array): void {
  const fd = fs.openSync(device, 'r+');
  fs.writeSync(fd, content, 0, content.length, 0);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

function contentOf(device: string): Buffer {
  return fs.readFileSync(device);
}
