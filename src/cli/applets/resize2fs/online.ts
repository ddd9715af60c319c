import { isOwnError } from '../../../errors.ts';
import { growMountedVolume } from '../../../host/native-volume.ts';
import type { Io } from '../../io.ts';
import { print } from '../../verbs/print.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { errorText } from '../mke2fs/target.ts';
import { requireFitting, requireRoom, wantedBlocks } from './checks.ts';
import type { CommandLine } from './command-line.ts';
import { openForResize } from './open.ts';

/**
 * A mounted file system grows in use: its driver is asked to do it, the kernel's or ours. Failure with the words of the tool, and nothing is changed; a smaller
 * size there is none.
 */
export function growMounted(io: Io, command: CommandLine, directory: string): void {
  const { device: name } = command;
  if (command.undoFile !== undefined) {
    throw new Failure(`resize2fs: ${name} is mounted: what its driver overwrites cannot be kept (-z)\n`);
  }
  const { editor, device } = openForResize(io, name, true);
  let wanted: number;
  try {
    wanted = command.minimum ? 0 : wantedBlocks(command, editor, device);
    if (!command.minimum && !command.force) requireRoom(device, editor.geometry.blockSize, wanted);
    requireFitting(editor, wanted);
  } finally {
    device.close();
  }
  const { blockSize, blockCount, blocksPerGroup, descriptorsPerBlock, firstDataBlock } = editor.geometry;
  const unit = `(${blockSize / 1024}k) blocks`;
  if (wanted === blockCount) {
    io.stderr.write(`The filesystem is already ${blockCount} ${unit} long.  Nothing to do!\n\n`);
    return;
  }
  print(io, `Filesystem at ${name} is mounted on ${directory}; on-line resizing required\n`);
  if (wanted < blockCount) throw new Failure('resize2fs: On-line shrinking not supported\n');
  const descriptorBlocks = (blocks: number): number =>
    Math.ceil(Math.ceil((blocks - firstDataBlock) / blocksPerGroup) / descriptorsPerBlock);
  print(
    io,
    `old_desc_blocks = ${descriptorBlocks(blockCount)}, new_desc_blocks = ${descriptorBlocks(wanted)}\n`,
  );
  try {
    growMountedVolume(directory, wanted);
  } catch (error) {
    if (!isOwnError(error) && !(error instanceof Error && 'code' in error)) throw error;
    if ('code' in error && error.code === 'EPERM') {
      throw new Failure('resize2fs: Permission denied to resize filesystem\n');
    }
    throw new Failure(`resize2fs: ${errorText(error)} While checking for on-line resizing support\n`);
  }
  print(io, `The filesystem on ${name} is now ${sizeNow(io, name)} ${unit} long.\n\n`);
}

/** Blocks. Fewer than were asked for where the last group would not hold its own tables. */
function sizeNow(io: Io, name: string): number {
  const { editor, device } = openForResize(io, name, true);
  device.close();
  return editor.geometry.blockCount;
}
