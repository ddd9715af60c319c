import type { BlockDevice } from '../../../device/block-device.ts';
import type { SuperblockEditor } from '../../../filesystem/ext/superblock-editor.ts';
import { IncompatibleFeature, Superblock } from '../../../filesystem/ext/superblock.ts';
import { readWide } from '../../../filesystem/ext/resize/new-size.ts';
import { volumeUse } from '../../idle-volume.ts';
import type { Io } from '../../io.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { parseCount } from '../e2fsprogs/numbers.ts';
import type { CommandLine } from './command-line.ts';

/** `s_state`. */
const VALID = 1;
const WITH_ERRORS = 2;
/** Without a size, blocks smaller than a page fill whole pages. */
const PAGE = 4096;
const MAX_32_BITS = 0xffff_ffff;

/** Failure unless the file system was closed cleanly and checked since it was last mounted. */
export function requireChecked({ view, geometry }: SuperblockEditor, name: string): void {
  const state = Superblock.s_state.get(view, 0);
  const isSound =
    (state & (VALID | WITH_ERRORS)) === VALID &&
    Superblock.s_lastcheck.get(view, 0) >= Superblock.s_mtime.get(view, 0) &&
    readWide(view, geometry, 's_free_blocks_count') <= geometry.blockCount &&
    Superblock.s_last_orphan.get(view, 0) === 0;
  if (!isSound) throw new Failure(`Please run 'e2fsck -f ${name}' first.\n\n`);
}

/** Failure when the journal holds what is not yet in its place, with -f too: it would be replayed over the new file system. */
export function requireReplayed(io: Io, editor: SuperblockEditor, name: string): void {
  if ((editor.features.incompatible & IncompatibleFeature.needs_recovery) !== 0) {
    throw new Failure(`Please run 'e2fsck -f ${name}' first.\n\n`);
  }
  const holder = editor.multipleMount?.holder(volumeUse(io, 'resize2fs', name));
  if (holder !== undefined) throw new Failure(`resize2fs: ${name}: ${holder}\n`);
}

/** The size that is asked for without -M, in blocks: that of the device without one. */
export function wantedBlocks(
  { size }: CommandLine,
  { geometry }: SuperblockEditor,
  device: BlockDevice,
): number {
  const { blockSize } = geometry;
  if (size !== undefined) {
    const blocks = parseCount(size, blockSize);
    if (blocks === 0) throw new Failure(`resize2fs: Invalid new size: ${size}\n\n`);
    return blocks;
  }
  const there = Math.floor(device.size / blockSize);
  return blockSize < PAGE ? there - (there % (PAGE / blockSize)) : there;
}

/** Failure when the device ends before so many blocks do. */
export function requireRoom(device: BlockDevice, blockSize: number, wanted: number): void {
  const there = Math.floor(device.size / blockSize);
  if (there >= wanted) return;
  throw new Failure(
    `The containing partition (or device) is only ${there} (${blockSize / 1024}k) blocks.\nYou requested a new size of ${wanted} blocks.\n\n`,
  );
}

/** Failure when the format has no place for so many blocks. */
export function requireFitting({ geometry }: SuperblockEditor, blockCount: number): void {
  const { blocksPerGroup, descriptorsPerBlock, firstDataBlock, has64bit } = geometry;
  if (blockCount > MAX_32_BITS && !has64bit) {
    throw new Failure('resize2fs: New size too large to be expressed in 32 bits\n\n');
  }
  const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
  if (Math.ceil(groupCount / descriptorsPerBlock) + firstDataBlock > blocksPerGroup) {
    throw new Failure('resize2fs: New size results in too many block group descriptors.\n\n');
  }
}
