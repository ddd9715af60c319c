import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../../device/block-device.ts';
import { FsError, hasCode } from '../../../errors.ts';
import type { Disk } from '../fdisk/disk.ts';
import { partitionName } from '../fdisk/listing.ts';
import { filePrefix } from './backup.ts';
import { type Context, Failure } from './context.ts';

/** Bytes that are moved at once. */
const STEP_SIZE = 1 << 20;

/** Where the data of a partition lies. Sectors. */
export interface DataRange {
  readonly startSector: number;
  readonly sectorCount: number;
}

/** A move that can be made: checked, and its log open. */
export interface DataMove {
  /** Copies step by step. Each is on the disk, and then in the log, before the next begins. */
  run(device: BlockDevice): void;
  close(): void;
}

/**
 * Prepares to move the data of a partition from where it began to where it begins now; what becomes of the rest of a larger partition is not its
 * matter. A step never writes over what it reads, so that whatever a crash interrupts can be made again from its source: steps are at most as
 * long as the move is far. The log names the steps that are done; a crash loses nothing, whoever knows the log goes on behind its last line.
 */
export function prepareDataMove(context: Context, disk: Disk, index: number, before: DataRange): DataMove {
  const { talk, options } = context;
  const after = disk.label!.editor.partition(index);
  const { sectorSize } = disk.layout;
  const distance = Math.abs(after.startSector - before.startSector) * sectorSize;
  if (distance === 0) throw new Failure('start of the partition has not been moved; ignoring --move-data');
  if (after.sectorCount < before.sectorCount) {
    throw new Failure('new partition is smaller than original; ignoring --move-data');
  }
  const [from, to] = [before.startSector * sectorSize, after.startSector * sectorSize];
  const size = before.sectorCount * sectorSize;
  const node = partitionName(disk.name, index + 1);
  const logged = options.moveData !== undefined && options.moveData !== '';
  const step = logged ? Math.min(STEP_SIZE, distance) : STEP_SIZE;
  const file = logged ? logName(context, disk, index) : undefined;
  const log = file === undefined || options.noAct ? undefined : openLog(context, file, node);
  talk.info('');
  talk.info('Data move:');
  if (file !== undefined) talk.info(` typescript file: ${file}`);
  talk.info(`  start sector: (from/to) ${before.startSector} / ${after.startSector}`);
  talk.info(`  sectors: ${before.sectorCount}`);
  talk.info(`  step size: ${step} bytes`);
  talk.info('');
  if (log !== undefined) {
    const both = (bytes: number): string => `${bytes / sectorSize}/${bytes}`;
    fs.writeSync(
      log,
      '# sfdisk: util-linux 2.38.1\n' +
        `# Disk: ${node}\n` +
        `# Partition: ${index + 1}\n` +
        '# Operation: move data\n' +
        `# Sector size: ${sectorSize}\n` +
        `# Original start offset (sectors/bytes): ${both(from)}\n` +
        `# New start offset (sectors/bytes): ${both(to)}\n` +
        `# Area size (sectors/bytes): ${both(size)}\n` +
        `# Step size (sectors/bytes): ${both(step)}\n` +
        `# Steps: ${Math.floor(size / step) + 1}\n` +
        '#\n' +
        '# <step>: <from> <to> (step offsets in bytes)\n',
    );
    fs.fsyncSync(log);
  }
  return {
    run(device) {
      const buffer = new Uint8Array(Math.min(step, size, distance));
      for (const { number, offset, length } of steps(size, step, to > from)) {
        move(device, from + offset, to + offset, length, buffer);
        if (log === undefined) {
          if (options.moveWithFlush) device.flush();
          continue;
        }
        device.flush();
        const place = `${String(number).padStart(5, '0')}: ${String(from + offset).padStart(12)} ${String(to + offset).padStart(12)}\n`;
        fs.writeSync(log, place);
        fs.fsyncSync(log);
      }
      device.flush();
      talk.info('');
    },
    close() {
      if (log !== undefined) fs.closeSync(log);
    },
  };
}

function openLog(context: Context, file: string, node: string): number {
  try {
    return fs.openSync(path.resolve(context.io.cwd, file), 'w');
  } catch (error) {
    const code = (['EACCES', 'ENOENT', 'ENOTDIR', 'EISDIR', 'EROFS'] as const).find((each) =>
      hasCode(error, each),
    );
    if (code === undefined) throw error;
    const { text } = new FsError(code);
    context.talk.warn(`cannot open ${file}: ${text}`);
    throw new Failure(`${node}: failed to move data: ${text}`);
  }
}

function logName(context: Context, disk: Disk, index: number): string {
  const given = context.options.moveData;
  const name = path.basename(disk.name);
  const prefix = filePrefix(context, disk, given === '@default' ? undefined : given);
  return `${prefix.slice(0, prefix.length - name.length)}${partitionName(name, index + 1)}.move`;
}

/** The steps in the order in which none writes over what a later one reads: from the end where data moves up. Bytes. */
function* steps(
  size: number,
  step: number,
  up: boolean,
): Generator<{ readonly number: number; readonly offset: number; readonly length: number }> {
  const count = Math.ceil(size / step);
  for (let i = 0; i < count; i++) {
    const length = Math.min(step, size - i * step);
    yield { number: i + 1, offset: up ? size - i * step - length : i * step, length };
  }
}

/** Copies a range in parts that do not overlap where they go, in the order that keeps all of it. */
function move(device: BlockDevice, from: number, to: number, length: number, buffer: Uint8Array): void {
  const count = Math.ceil(length / buffer.length);
  for (let i = 0; i < count; i++) {
    const done = i * buffer.length;
    const part = buffer.subarray(0, Math.min(buffer.length, length - done));
    const offset = to > from ? length - done - part.length : done;
    device.read(from + offset, part);
    device.write(to + offset, part);
  }
}
