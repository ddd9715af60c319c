import { decodeUtf8 } from '../../bytes/utf8.ts';
import { FsError } from '../../errors.ts';
import { WriteRank } from './block-cache.ts';
import type { ExtCore } from './ext-core.ts';
import type { MappedRun } from './file-map.ts';
import { Inode, InodeFlag } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { IncompatibleFeature } from './superblock.ts';
import type { Volume } from './volume.ts';

/** Targets shorter than `i_block` lie in it; the rest in a block, with a NUL behind. */
const FAST_LIMIT = Inode.i_block.length;

/** Blocks that a target takes; ENOENT for an empty one, ENAMETOOLONG for one that fits nowhere. */
export function targetBlocks(volume: Volume, target: Uint8Array): number {
  if (target.length === 0)
    throw new FsError('ENOENT', { syscall: 'symlink', detail: 'a symlink needs a target' });
  if (target.includes(0)) throw new FsError('EINVAL', { syscall: 'symlink' });
  if (target.length < FAST_LIMIT) return 0;
  if (target.length < volume.geometry.blockSize) return 1;
  throw new FsError('ENAMETOOLONG', { syscall: 'symlink' });
}

export function writeTarget(core: ExtCore, ref: InodeRef, target: Uint8Array): void {
  if (target.length < FAST_LIMIT) Inode.i_block.set(ref.view, ref.base, target);
  else {
    const group = core.inodeAllocator.groupOf(ref.number);
    const run: MappedRun = { start: 0, length: 0 };
    core.fileMap.plant(ref);
    core.fileMap.provide(ref, 0, 1, core.blocks.goalInGroup(group), 1);
    core.fileMap.map(ref, 0, 1, run);
    core.volume.cache.create(run.start, WriteRank.newMapping).bytes.set(target);
  }
  core.inodes.setSize(ref, target.length);
}

/** Does the target lie in `i_block`? As the kernel sees it: when no block is counted but the one of attributes. */
export function isFastSymlink(core: ExtCore, ref: InodeRef): boolean {
  if (core.inodes.hasFlag(ref, InodeFlag.extents) || core.inodes.hasFlag(ref, InodeFlag.inlineData))
    return false;
  const { features, geometry } = core.volume;
  // There i_blocks counts values elsewhere, too.
  if ((features.incompatible & IncompatibleFeature.ea_inode) !== 0) return core.inodes.size(ref) < FAST_LIMIT;
  const { blockSize, blocksPerCluster } = geometry;
  const attributes = core.inodes.attributeBlock(ref) === 0 ? 0 : blockSize * blocksPerCluster;
  return core.inodes.allocated(ref) - attributes <= 0;
}

/** EINVAL for what is no symlink. */
export function readTarget(core: ExtCore, ref: InodeRef): string {
  if (core.inodes.kind(ref) !== 'symlink') throw new FsError('EINVAL', { syscall: 'readlink' });
  core.fileMap.requireReadable(ref);
  const size = core.inodes.size(ref);
  const fast = isFastSymlink(core, ref);
  const most = fast ? FAST_LIMIT - 1 : core.volume.geometry.blockSize;
  if (size > most) throw core.inodes.corrupt(ref, 'i_size_lo', `${size}`, `at most ${most} for a symlink`);
  if (fast) return decodeUtf8(Inode.i_block.get(ref.view, ref.base), 0, size);
  if (core.isInline(ref)) {
    const bytes = new Uint8Array(size);
    core.read(ref, 0, bytes);
    return decodeUtf8(bytes);
  }
  // Through the cache of metadata, where a new target waits for its way out.
  const run: MappedRun = { start: 0, length: 0 };
  core.fileMap.map(ref, 0, 1, run);
  if (run.start === 0) throw core.inodes.corrupt(ref, 'i_block', 'a hole', 'the block of the target');
  return decodeUtf8(core.volume.cache.get(run.start, WriteRank.mapping).bytes, 0, size);
}
