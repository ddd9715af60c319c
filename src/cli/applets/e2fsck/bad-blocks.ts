import fs from 'node:fs';
import path from 'node:path';
import { findBadBlocks } from '../../../device/bad-blocks.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import type { BadBlocks } from '../../../filesystem/ext/check/check.ts';
import { clockFromEnvironment } from '../../../host/system.ts';
import type { Io } from '../../io.ts';
import { print } from '../../verbs/print.ts';
import type { CommandLine } from './command-line.ts';

const MAX_BLOCK = 0xffff_ffff;
const SECOND = 1000;
/** What the tool covers its progress with. */
const DONE = `done${' '.repeat(49)}\n`;

/** A list of bad blocks that cannot be: the tool says so in these words. */
export class BadListError extends Error {}

/** What the command line wants of the list of bad blocks; undefined: nothing. */
export function badBlocksFor(io: Io, command: CommandLine, device: BlockDevice): BadBlocks | undefined {
  const { badBlocks } = command;
  if (badBlocks === undefined) return undefined;
  const listed = badBlocks.file === undefined ? undefined : readList(io, badBlocks.file);
  return {
    find: ({ geometry: { blockSize, blockCount } }) =>
      listed ?? scan(io, command, device, blockSize, blockCount),
    replaces: badBlocks.replaces,
    now: clockFromEnvironment(io.env)().seconds,
    onUpdate(ignored) {
      for (const block of ignored) print(io, `Bad block ${block} out of range; ignored.\n`);
      print(io, `${command.target}: Updating bad block inode.\n`);
    },
  };
}

/** A number a line, as sscanf(3) reads it; lines that begin otherwise are passed over. */
function readList(io: Io, name: string): number[] {
  let text: string;
  try {
    text = fs.readFileSync(path.resolve(io.cwd, name), 'latin1');
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new BadListError(`read_bad_blocks_file: ${reason(error)} while trying to open ${name}`);
  }
  const blocks: number[] = [];
  for (const line of text.split('\n')) {
    const [, sign, digits] = /^\s*([-+]?)(\d+)/.exec(line) ?? [];
    if (digits === undefined) continue;
    const block = Number(digits);
    if (block > MAX_BLOCK || (sign === '-' && block > 0)) {
      throw new BadListError(
        'ext2fs_read_bb_FILE: Value too large for defined data type while reading in list of bad blocks from file',
      );
    }
    blocks.push(block);
  }
  return [...new Set(blocks)];
}

function reason(error: Error): string {
  const code = 'code' in error ? error.code : '';
  if (code === 'ENOENT') return 'No such file or directory';
  if (code === 'EACCES') return 'Permission denied';
  if (code === 'EISDIR') return 'Is a directory';
  return error.message;
}

/** Reads everything; says how far that is as badblocks(8) does. */
function scan(io: Io, command: CommandLine, device: BlockDevice, blockSize: number, count: number): number[] {
  const isTold = command.manner !== 'preen';
  const start = performance.now();
  let next = 0;
  const tell = (done: number, bad: number): void => {
    const elapsed = performance.now() - start;
    if (!isTold || elapsed < next) return;
    next = elapsed + SECOND;
    const seconds = Math.floor(elapsed / SECOND);
    const time = `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, '0')}`;
    const percent = ((100 * done) / count).toFixed(2).padStart(6);
    const line = `${percent}% done, ${time} elapsed. (${bad}/0/0 errors)`;
    io.stderr.write(line + '\b'.repeat(line.length));
  };
  if (isTold) io.stderr.write('Checking for bad blocks (read-only test): ');
  tell(0, 0);
  const bad = findBadBlocks(device, { offset: 0, blockSize, count }, tell);
  if (isTold) io.stderr.write(DONE);
  return bad;
}
