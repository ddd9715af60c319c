import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../../device/block-device.ts';
import { SliceDevice } from '../../../device/slice-device.ts';
import { BAD_BLOCK_SIZE, blockPlace, searchBadBlocks } from '../../../filesystem/fat/format/bad-blocks.ts';
import { dataStartSector, type FatLayout } from '../../../filesystem/fat/format/layout.ts';
import type { Io } from '../../io.ts';
import type { CommandLine } from './command-line.ts';
import { Failure, isSystemError, systemErrorText } from './failure.ts';

/** The bad blocks, from the list of `-l` or by reading everything for `-c`. */
export function findBadBlocks(
  io: Io,
  command: CommandLine,
  layout: FatLayout,
  device: BlockDevice,
  offset: number,
): number[] {
  let blocks: number[] = [];
  if (command.badBlocksFile !== undefined) {
    blocks = readBadBlocks(io, command.badBlocksFile, layout);
  } else if (command.check) {
    if (command.verbosity >= 1) io.stdout.write('Searching for bad blocks ');
    const size = Math.min(layout.totalSectors * layout.sectorSize, device.size - offset);
    blocks = [...searchBadBlocks(new SliceDevice(device, offset), size)];
    if (command.verbosity >= 1) io.stdout.write('\n');
    const firstData = blocks.find(
      (block) => block * BAD_BLOCK_SIZE < dataStartSector(layout) * layout.sectorSize,
    );
    if (firstData !== undefined) throw new Failure('bad blocks before data-area: cannot make fs');
  }
  if (blocks.length > 0) {
    io.stdout.write(`${blocks.length} bad block${blocks.length === 1 ? '' : 's'}\n`);
  }
  return blocks;
}

/** One decimal number a line; blank lines are skipped, blanks around a number and what stands behind them are not read. */
function parseBadBlockList(text: string, layout: FatLayout): number[] {
  const blocks: number[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*$/.test(line)) continue;
    const match = /^\s*([+-]?\d+)\s*$/.exec(line);
    if (match === null)
      throw new BadBlockListError(`Badly formed number in bad blocks file line ${index + 1}`);
    const block = Number(match[1]);
    if (Math.abs(block) >= 2 ** 63) {
      throw new BadBlockListError(
        `While converting bad block number in line ${index + 1}: Numerical result out of range`,
      );
    }
    const place = blockPlace(layout, block);
    if (place === 'before data') throw new BadBlockListError(`Block number ${block} is before data area`);
    if (place === 'behind the end') {
      throw new BadBlockListError(`Block number ${block} is behind end of filesystem`);
    }
    blocks.push(block);
  }
  return blocks;
}

class BadBlockListError extends Error {}

function readBadBlocks(io: Io, name: string, layout: FatLayout): number[] {
  let text: string;
  try {
    text = fs.readFileSync(path.resolve(io.cwd, name), 'latin1');
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code !== 'EISDIR') throw new Failure("Can't open file of bad blocks");
    io.stderr.write(`getline: ${systemErrorText(error)}\n`);
    throw new Failure('Error while reading bad blocks file');
  }
  try {
    return parseBadBlockList(text, layout);
  } catch (error) {
    if (!(error instanceof BadBlockListError)) throw error;
    io.stderr.write(`${error.message}\n`);
    throw new Failure('Error in bad blocks file');
  }
}
