import { CorruptImageError, FsError } from '../../errors.ts';
import { clearBit, nextClear, setBit, testBit } from './bitmap.ts';
import type { Group } from './group-table.ts';
import type { Volume } from './volume.ts';

/** Takes inodes from the bitmaps and gives them back. */
export class InodeAllocator {
  readonly #volume: Volume;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  groupOf(inode: number): number {
    return Math.floor((inode - 1) / this.#volume.geometry.inodesPerGroup);
  }

  /** ENOSPC when no inode is free. */
  require(syscall: string): void {
    if (this.#volume.freeInodes > 0) return;
    throw new FsError('ENOSPC', { syscall, detail: 'no space left on device: every inode is in use' });
  }

  /** An inode in the parent's group, or the next group that has one; a directory prefers a group with room for content. */
  allocate(parent: number, directory: boolean): number {
    this.require('create');
    const { geometry, groups } = this.#volume;
    const home = this.groupOf(parent);
    const roomy = Math.floor(geometry.blocksPerGroup / 16);
    for (const least of directory ? [roomy, 0] : [0]) {
      for (let i = 0; i < geometry.groupCount; i++) {
        const group = groups.get((home + i) % geometry.groupCount);
        if (group.freeInodes === 0 || group.freeClusters * geometry.blocksPerCluster < least) continue;
        const inode = this.#take(group, directory);
        if (inode !== undefined) return inode;
      }
    }
    throw new FsError('ENOSPC', { syscall: 'create' });
  }

  isUsed(inode: number): boolean {
    const { geometry, groups } = this.#volume;
    const group = groups.get(this.groupOf(inode));
    const bit = (inode - 1) % geometry.inodesPerGroup;
    return testBit(groups.inodeBitmap(group).bytes, bit) && !this.#volume.heldInodes.has(inode);
  }

  /** CorruptImageError when the bitmap says that the inode is free. */
  requireUsed(inode: number): void {
    if (this.isUsed(inode)) return;
    throw new CorruptImageError({
      structure: `inode bitmap of group ${this.groupOf(inode)}`,
      field: `bit ${(inode - 1) % this.#volume.geometry.inodesPerGroup}`,
      found: '0 for an inode in use',
      expected: '1',
    });
  }

  free(inode: number, directory: boolean): void {
    this.requireUsed(inode);
    if (this.#volume.hasJournal) giveInodeBack(this.#volume, inode, directory);
    else this.#volume.heldInodes.hold(inode, directory);
  }

  #take(group: Group, directory: boolean): number | undefined {
    const { geometry, groups } = this.#volume;
    const bitmap = groups.inodeBitmap(group);
    // Reserved inodes are never given out, whatever the bitmap says.
    const first = group.index * geometry.inodesPerGroup + 1;
    const from = Math.max(group.inodeCursor, geometry.firstInode - first);
    const bit = nextClear(bitmap.bytes, Math.min(from, geometry.inodesPerGroup), geometry.inodesPerGroup);
    group.inodeCursor = bit;
    if (bit >= geometry.inodesPerGroup) return undefined;
    setBit(bitmap.bytes, bit);
    group.inodeCursor = bit + 1;
    group.freeInodes--;
    if (directory) group.usedDirectories++;
    groups.saveInodes(group, bitmap, bit);
    this.#volume.freeInodes = Math.max(0, this.#volume.freeInodes - 1);
    return first + bit;
  }
}

/** An inode in use is free from now on. */
export function giveInodeBack(volume: Volume, inode: number, directory: boolean): void {
  const { geometry, groups } = volume;
  const group = groups.get(Math.floor((inode - 1) / geometry.inodesPerGroup));
  const bit = (inode - 1) % geometry.inodesPerGroup;
  const bitmap = groups.inodeBitmap(group);
  clearBit(bitmap.bytes, bit);
  group.inodeCursor = Math.min(group.inodeCursor, bit);
  group.freeInodes++;
  if (directory) group.usedDirectories = Math.max(0, group.usedDirectories - 1);
  groups.saveInodes(group, bitmap, bit);
  volume.freeInodes++;
}
