import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../../device/block-device.ts';
import { StagingDevice, type StagedRange } from '../../../device/staging-device.ts';
import { SUPERBLOCK_OFFSET } from '../../../filesystem/ext/superblock.ts';
import { writeUndo } from '../../../filesystem/undo-file.ts';
import type { Io } from '../../io.ts';
import { print } from '../../verbs/print.ts';
import type { CommandLine } from './command-line.ts';

/** Keeps what the ranges hold in the undo file, durably, when one was asked for. `superblock` is what the work will leave. */
export function keepUndo(
  io: Io,
  { device: name, undoFile }: CommandLine,
  device: BlockDevice,
  ranges: readonly StagedRange[],
  superblock: Uint8Array,
): void {
  if (undoFile === undefined) return;
  print(
    io,
    `Overwriting existing filesystem; this can be undone using the command:\n    e2undo ${undoFile} ${name}\n\n`,
  );
  const after = new StagingDevice(device);
  after.write(SUPERBLOCK_OFFSET, superblock);
  const fd = fs.openSync(path.resolve(io.cwd, undoFile), 'wx', 0o600);
  try {
    const sorted = [...ranges].sort((a, b) => a.offset - b.offset);
    writeUndo(device, after, sorted, (content) => {
      for (let done = 0; done < content.length;) done += fs.writeSync(fd, content, done);
    });
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
