import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../../device/block-device.ts';
import { hasCode } from '../../../errors.ts';
import { backupGroupsOf, type ExtLayout, groupFirstBlock } from '../../../filesystem/ext/format/layout.ts';
import type { Io } from '../../io.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { errorText } from './target.ts';

/** Bytes read or written at a time. */
const CHUNK = 1 << 20;
const PATTERNS = [0xaa, 0x55, 0xff, 0x00];

/** The numbers in a file, one a line, less those outside the volume. */
export function readBadBlockList(io: Io, file: string, layout: ExtLayout): number[] {
  let text: string;
  try {
    text = fs.readFileSync(path.resolve(io.cwd, file), 'utf8');
  } catch (error) {
    throw new Failure(`read_bad_blocks_file: ${errorText(error)} while trying to open ${file}\n`);
  }
  const blocks: number[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*(\d+)/.exec(line);
    if (match === null) continue;
    const block = Number(match[1]);
    if (block < layout.firstDataBlock || block >= layout.blockCount)
      io.stderr.write(`Bad block ${block} out of range; ignored.\n`);
    else blocks.push(block);
  }
  return blocks;
}

/** Stops when a block is bad that the volume cannot do without; warns of bad backups. */
export function judgeBadBlocks(io: Io, badBlocks: readonly number[], layout: ExtLayout): void {
  if (badBlocks.length === 0) return;
  const first = layout.firstDataBlock;
  const lastNeeded = first + 1 + layout.descriptorBlocks;
  const fatal = badBlocks.filter((block) => block >= first && block <= lastNeeded).sort((a, b) => a - b)[0];
  if (fatal !== undefined) {
    throw new Failure(
      `Block ${fatal} in primary superblock/group descriptor area bad.\n` +
        `Blocks ${first} through ${lastNeeded} must be good in order to build a filesystem.\n` +
        'Aborting....\n',
    );
  }
  const bad = new Set(badBlocks);
  for (const group of backupGroupsOf(layout)) {
    const start = groupFirstBlock(layout, group);
    for (let block = start; block <= start + layout.descriptorBlocks; block++) {
      if (!bad.has(block)) continue;
      io.stderr.write(
        `Warning: the backup superblock/group descriptors at block ${start} contain\n\tbad blocks.\n\n`,
      );
      break;
    }
  }
}

export interface CheckOptions {
  /** Write patterns and read them back, instead of only reading. */
  readonly write: boolean;
  readonly quiet: boolean;
}

/** Reads every block of the volume, or writes and reads it; returns the numbers of those that fail. */
export function checkDevice(
  io: Io,
  device: BlockDevice,
  layout: ExtLayout,
  { write, quiet }: CheckOptions,
): number[] {
  const bad = new Set<number>();
  const size = layout.blockCount * layout.blockSize;
  const pass = (label: string, work: (offset: number, length: number) => void): void => {
    if (!quiet) io.stderr.write(passStart(label));
    for (let offset = 0; offset < size; offset += CHUNK) {
      const length = Math.min(CHUNK, size - offset);
      if (attempt(() => work(offset, length))) continue;
      // Which of the blocks in the chunk it is.
      for (let at = offset; at < offset + length; at += layout.blockSize) {
        if (!attempt(() => work(at, layout.blockSize))) bad.add(at / layout.blockSize);
      }
    }
    if (!quiet) io.stderr.write(PASS_END);
  };
  const buffer = Buffer.alloc(CHUNK);
  if (!write) {
    pass('Checking for bad blocks (read-only test): ', (offset, length) =>
      device.read(offset, buffer.subarray(0, length)),
    );
    return [...bad].sort((a, b) => a - b);
  }
  for (const pattern of PATTERNS) {
    const expected = Buffer.alloc(CHUNK, pattern);
    pass(`Testing with pattern 0x${pattern.toString(16).padStart(2, '0')}: `, (offset, length) =>
      device.write(offset, expected.subarray(0, length)),
    );
    device.flush();
    pass('Reading and comparing: ', (offset, length) => {
      device.read(offset, buffer.subarray(0, length));
      if (buffer.compare(expected, 0, length, 0, length) !== 0) throw new MismatchError();
    });
  }
  return [...bad].sort((a, b) => a - b);
}

class MismatchError extends Error {}

/** False when the device fails; errors of the program pass. */
function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof MismatchError || hasCode(error, 'EIO')) return false;
    throw error;
  }
}

const PASS_COUNTER = '  0.00% done, 0:00 elapsed. (0/0/0 errors)';
const PASS_END = `${'\b'.repeat(PASS_COUNTER.length)}done${' '.repeat(49)}\n`;

function passStart(label: string): string {
  return label + PASS_COUNTER;
}
