import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { adoptIdentifiers, masked } from '../support/fdisk-sessions.ts';
import { SfdiskPairs } from '../support/sfdisk-runs.ts';
import { firstSparseDifference } from '../support/sparse-files.ts';
import { runAtTerminal } from '../support/terminal.ts';
import { describeWithTools, findTool, runTool, temporaryFolder } from '../support/tools.ts';

const MIB = 2 ** 20;
const PROGRAM = path.resolve(import.meta.dirname, '../../bin/userloop');
const PROMPT = String.raw`(>>> |img\d+: |\[N\]o: )$`;

interface Session {
  readonly keys: string;
  readonly args?: readonly string[];
  readonly prepare?: (image: string) => void;
}

const DOS = 'label-id: 0x12345678\n';
const GPT = 'label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n';
const PART = (digit: number): string => `uuid=${`${digit}`.repeat(8)}-2222-3333-4444-555555555555`;

function withTable(image: string): void {
  runTool('sfdisk', ['-q', image], { input: `${DOS},5M\n,5M,E\n` });
}

function withFileSystem(image: string): void {
  runTool('mke2fs', ['-q', '-F', '-t', 'ext2', '-E', 'offset=1048576', image, '4M']);
}

function withSuperfloppy(image: string): void {
  runTool('mke2fs', ['-q', '-F', '-t', 'ext2', image]);
}

const SESSIONS: Readonly<Record<string, Session>> = {
  'every command': { keys: `help\n${DOS},5M\nprint\n,4M,S\nquit\ny\n` },
  'the end of the input': { keys: `${DOS},5M\n` },
  nothing: { keys: '' },
  'empty lines and comments': { keys: `${DOS}\n\n# nothing\n,1M\n\n,2M\nquit\ny\n` },
  'writing at once': { keys: `${DOS},5M\nwrite\n` },
  'writing nothing': { keys: 'write\n' },
  'an empty table': { keys: `${GPT}write\n` },
  'giving up': { keys: `${DOS},5M\nabort\n` },
  'giving up at once': { keys: 'abort\n' },
  'thinking again': { keys: `${DOS},5M\nquit\nn\n` },
  'quitting at once': { keys: 'quit\n' },
  'mistakes, and going on': { keys: `foo: 5\nfoo\n${DOS}print\n3,z\n,1M,E\n,2M\n,100\nwrite\n` },
  'a label that is none': { keys: `label: zz\n${DOS},1M\nwrite\n` },
  'a size that is too large': { keys: `${GPT}size=50M,${PART(1)}\nsize=5M,${PART(2)}\nquit\ny\n` },
  'a GPT': { keys: `${GPT}size=5M,${PART(1)}\nprint\nsize=+,type=S,name=two,${PART(2)}\nquit\ny\n` },
  'all four': { keys: `${DOS},1M\n,1M\n,1M\n,1M\nmaybe\ny\n` },
  'all four quietly': { args: ['-q'], keys: `${DOS},1M\n,1M\n,1M\n,1M\ny\n` },
  'logical partitions': { keys: `${DOS},5M,E\n,1M\n,1M\n,1M\nprint\nquit\ny\n` },
  quietly: { args: ['-q'], keys: `${DOS},1M\nprint\nquit\ny\n` },
  'without writing': { args: ['-n'], keys: `${DOS},1M\nquit\ny\n` },
  'a table that is there': { keys: `${DOS},6M\nprint\nwrite\n`, prepare: withTable },
  'one more partition': { args: ['-a'], keys: ',1M\nquit\ny\n', prepare: withTable },
  'one partition': { args: ['-N', '2'], keys: 'foo\n\n,1M\ny\n', prepare: withTable },
  'one partition, given up': { args: ['-N', '2'], keys: 'quit\n', prepare: withTable },
  'a label from the command line': { args: ['-X', 'gpt'], keys: `size=1M,${PART(1)}\nabort\n` },
  'a file system where the partition comes, wiped': {
    keys: `${DOS},5M\ny\nprint\nquit\ny\n`,
    prepare: withFileSystem,
  },
  'a file system where the partition comes, left': {
    keys: `${DOS},5M\nwhat\nn\nprint\nquit\ny\n`,
    prepare: withFileSystem,
  },
  'a file system where the partition comes, wiped unasked': {
    args: ['-W', 'always'],
    keys: `${DOS},5M\nquit\ny\n`,
    prepare: withFileSystem,
  },
  'a file system where the partition comes, never wiped': {
    args: ['-W', 'never'],
    keys: `${DOS},5M\nquit\ny\n`,
    prepare: withFileSystem,
  },
  'a file system on the disk': { keys: `${DOS},5M\nwrite\n`, prepare: withSuperfloppy },
  'a file system on the disk, never wiped': {
    args: ['-w', 'never'],
    keys: `${DOS},5M\nwrite\n`,
    prepare: withSuperfloppy,
  },
  'a file system on the disk, quietly': {
    args: ['-q'],
    keys: `${DOS},5M\nwrite\n`,
    prepare: withSuperfloppy,
  },
};

describeWithTools(['sfdisk', 'python3', 'mke2fs'], 'sfdisk at a terminal', () => {
  describe.concurrent('asks and says what util-linux does', () => {
    test.each(Object.entries(SESSIONS))('for %s', async (_, { keys, args = [], prepare }) => {
      const pairs = new SfdiskPairs(temporaryFolder());
      pairs.reset(20 * MIB);
      const [image] = pairs.images;
      prepare?.(image);
      runTool('cp', [...pairs.images]);
      const run = { prompt: PROMPT, keys };
      const rest = ['--color=never', ...args, 'disk.img'];
      const ours = await runAtTerminal([process.execPath, PROGRAM, 'sfdisk', ...rest], {
        ...run,
        cwd: pairs.ours,
      });
      const reference = await runAtTerminal([findTool('sfdisk')!, ...rest], { ...run, cwd: pairs.reference });
      adoptIdentifiers(...pairs.images);
      expect(masked(ours.status, ours.output, '')).toEqual(masked(reference.status, reference.output, ''));
      expect(firstSparseDifference(...pairs.images)).toBeUndefined();
    });
  });
});
