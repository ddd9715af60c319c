import type { ExtCore } from './ext-core.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { truncateStepwise } from './stepwise-truncation.ts';

/** One name less: the node goes with its last name, unless somebody retains it. */
export function dropLink(core: ExtCore, ref: InodeRef, links: number): void {
  Inode.i_links_count.set(ref.view, ref.base, links);
  core.inodes.markDirty(ref);
  const isRetained = core.retained.has(ref.number);
  if (links > 0 || isRetained) core.volume.leaving.lower(ref);
  if (links > 0) return;
  if (isRetained) core.orphans.add(ref);
  else removeNode(core, ref);
}

/** CorruptImageError when the node could not be removed wholly: to be asked before its name goes. */
export function requireRemovable(core: ExtCore, ref: InodeRef): void {
  if (core.hasBlocks(ref)) core.fileMap.requireFreeable(ref, 0);
  core.xattrs.requireSound(ref);
  core.inodeAllocator.requireUsed(ref.number);
}

/** Frees content, attributes and the inode itself, which keeps its mode and says when it was deleted. */
export function removeNode(core: ExtCore, ref: InodeRef): void {
  const { inodes, volume } = core;
  const kind = inodes.kind(ref);
  const directory = kind === 'directory';
  truncateStepwise(core, ref, 0);
  const values = volume.quotas === undefined ? 0 : core.xattrs.valueCount(ref);
  core.xattrs.removeAll(ref);
  if (core.hasBlocks(ref)) core.fileMap.truncate(ref, 0);
  volume.quotas?.remove(ref, values);
  core.inodeAllocator.free(ref.number, directory);
  volume.leaving.free(ref);
  if (directory) core.directories.forget(ref.number);
  core.parents.delete(ref.number);
  core.orphans.delete(ref);
  core.expectedSizes.delete(ref.number);
  inodes.setSize(ref, 0);
  const { seconds } = core.now();
  if (seconds > volume.geometry.inodeCount && seconds <= 0xffff_ffff) {
    Inode.i_dtime.set(ref.view, ref.base, seconds);
  } else {
    // e2fsck takes a small i_dtime for a link in the list of orphans, and misses it in an inode that has a mode.
    inodes.wipe(ref);
  }
}
