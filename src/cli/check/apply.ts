import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../device/block-device.ts';
import type { StagedRange, StagingDevice } from '../../device/staging-device.ts';
import { applyCheck } from '../../disk/apply-check.ts';
import { FsError, hasCode } from '../../errors.ts';
import { applyUndo, writeUndo } from '../../filesystem/undo-file.ts';
import { FileDevice } from '../../host/file-device.ts';
import type { Io } from '../io.ts';

/**
 * Writes what is staged to the device. With `undoFile`, what was there is in that file, durably, before the first write; a file that is
 * already there is not overwritten.
 */
export function applyStaged(
  io: Io,
  device: BlockDevice,
  staged: StagingDevice,
  undoFile: string | undefined,
): void {
  if (undoFile !== undefined) {
    const ranges = staged.changes();
    if (ranges.length === 0) return;
    keepUndo(io, undoFile, device, staged, ranges);
  }
  applyCheck(device, staged);
}

/** Has the new file `undoFile` keep, durably, what the ranges of `device` hold; `after` is the device as it will be. Ranges: bytes, ascending. */
export function keepUndo(
  io: Io,
  undoFile: string,
  device: BlockDevice,
  after: BlockDevice,
  ranges: readonly StagedRange[],
): void {
  const fd = fs.openSync(path.resolve(io.cwd, undoFile), 'wx', 0o600);
  try {
    writeUndo(device, after, ranges, (content) => {
      for (let done = 0; done < content.length;) done += fs.writeSync(fd, content, done);
    });
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Says before anything is checked that the undo file could not be made. */
export function checkUndoFile(io: Io, undoFile: string | undefined): void {
  if (undoFile === undefined) return;
  if (fs.existsSync(path.resolve(io.cwd, undoFile))) {
    throw new FsError('EEXIST', {
      syscall: 'open',
      path: undoFile,
      detail: `"${undoFile}" is there already`,
    });
  }
}

/** Puts back what an undo file keeps; returns how many bytes. */
export function restore(io: Io, undoFile: string, device: BlockDevice): number {
  const source = openUndoFile(io, undoFile);
  try {
    return applyUndo(source, device);
  } finally {
    source.close();
  }
}

/** An error names this file: the one that is being checked is there. */
function openUndoFile(io: Io, undoFile: string): FileDevice {
  try {
    return FileDevice.open(path.resolve(io.cwd, undoFile), { readOnly: true });
  } catch (error) {
    const code = (['ENOENT', 'EACCES'] as const).find((each) => hasCode(error, each));
    if (code === undefined) throw error;
    const reason = code === 'ENOENT' ? 'is not there' : 'may not be read';
    throw new FsError(code, {
      syscall: 'open',
      path: undoFile,
      detail: `the undo file "${undoFile}" ${reason}`,
      cause: error,
    });
  }
}
