import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { userloop } from './run.ts';
import { firstSparseDifference } from './sparse-files.ts';
import { runTool, temporaryFolder } from './tools.ts';

/** Cases that mke2fs and ours are given side by side, and what is asked of them. */

const UUID = '11111111-2222-3333-4444-555555555555';
export const ENV = { E2FSPROGS_FAKE_TIME: '1600000000' };
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

/** One command line and the image that it is for. */
export interface Case {
  readonly name: string;
  /** Bytes of the image before; undefined: there is none. */
  readonly size: number | undefined;
  readonly args: readonly string[];
  readonly operands: readonly string[];
  /** Old content instead of a hole. */
  readonly dirty: boolean;
  readonly badBlocks?: readonly number[];
}

/** `args` in one string; after `--` the operands that follow the image's name. */
export function format(size: number | undefined, line = '', more: Partial<Case> = {}): Case {
  const [options, operands = ''] = line.split(/(?:^| )-- /);
  const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');
  return {
    name: `${size ?? 'absent'} ${line}${more.dirty === true ? ' over old content' : ''}${
      more.badBlocks === undefined ? '' : ` with bad blocks ${more.badBlocks.join(' ')}`
    }`,
    size,
    args: words(options!),
    operands: words(operands),
    dirty: false,
    ...more,
  };
}

const folder = temporaryFolder();

/** The image as it is before. */
export function prepare(side: string, { size, dirty, badBlocks }: Case): string {
  const file = path.join(folder, side, 'image');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.rmSync(file, { force: true });
  if (badBlocks !== undefined) fs.writeFileSync(path.join(folder, side, 'bad'), badBlocks.join('\n'));
  if (size === undefined) return file;
  if (dirty) fs.writeFileSync(file, Buffer.alloc(size, 'something that was here before '));
  else {
    fs.writeFileSync(file, '');
    fs.truncateSync(file, size);
  }
  return file;
}

/** With a hash seed and a UUID, so that both make the same. */
export function argumentsOf({ args, operands, badBlocks }: Case): string[] {
  const seeded = args.includes('-E')
    ? args.map((word, i) =>
        args[i - 1] === '-E' && !word.includes('hash_seed') ? `${word},hash_seed=${UUID}` : word,
      )
    : ['-E', `hash_seed=${UUID}`, ...args];
  const uuid = args.includes('-U') ? [] : ['-U', UUID];
  return [...uuid, ...(badBlocks === undefined ? [] : ['-l', 'bad']), ...seeded, 'image', ...operands];
}

/**
 * mke2fs shows how far it has come once a second: a second that ends while it works puts one more count into its text. What is left is what it
 * prints when none does.
 */
function withoutCounts(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x08+ *\d+\/\d+(?=\x08)/g, '');
}

/** Both on an image of their own. */
export async function runBoth(one: Case): Promise<{
  theirs: ReturnType<typeof runTool>;
  ours: Awaited<ReturnType<typeof userloop>>;
  files: [string, string];
}> {
  const files: [string, string] = [prepare('theirs', one), prepare('ours', one)];
  const argv = argumentsOf(one);
  const run = runTool('mke2fs', argv, { cwd: path.dirname(files[0]), env: { ...process.env, ...ENV } });
  const theirs = { ...run, stdout: withoutCounts(run.stdout) };
  const ours = await userloop(['mke2fs', ...argv], { cwd: path.dirname(files[1]), env: ENV });
  return { theirs, ours, files };
}

/** The same words, the same status 0, the same bytes; the path of our image. */
export async function expectSame(one: Case): Promise<string> {
  const { theirs, ours, files } = await runBoth(one);
  expect({ status: ours.status, stdout: ours.stdout, stderr: ours.stderr }).toEqual({
    status: theirs.status,
    stdout: theirs.stdout,
    stderr: theirs.stderr,
  });
  expect(theirs.status).toBe(0);
  if (fs.existsSync(files[0])) expect(firstSparseDifference(files[1], files[0])).toBeUndefined();
  return files[1];
}
