import { CorruptImageError, FsError } from '../../../errors.ts';
import { makeOrphanFile } from '../format/orphan-file.ts';
import { CompatibleFeature, ReadOnlyCompatibleFeature, Superblock } from '../superblock.ts';
import type { VolumeEdit } from './volume-edit.ts';

/** Makes a file of orphans of so many blocks, or as many as suit the volume. ENOSPC. */
export function addOrphanFile(edit: VolumeEdit, superblock: DataView, blocks?: number): void {
  Superblock.s_orphan_file_inum.set(superblock, 0, makeOrphanFile(edit, blocks));
  const compatible = Superblock.s_feature_compat.get(superblock, 0);
  Superblock.s_feature_compat.set(superblock, 0, compatible | CompatibleFeature.orphan_file);
}

/** Gives up the file of orphans. EBUSY when it holds some. */
export function removeOrphanFile(edit: VolumeEdit, superblock: DataView): void {
  const readOnly = Superblock.s_feature_ro_compat.get(superblock, 0);
  if ((readOnly & ReadOnlyCompatibleFeature.orphan_present) !== 0) {
    throw new FsError('EBUSY', { detail: 'the file of orphans is not empty; run e2fsck first' });
  }
  const { core } = edit;
  const number = Superblock.s_orphan_file_inum.get(superblock, 0);
  const { firstInode, inodeCount } = core.volume.geometry;
  if (number < firstInode || number > inodeCount) {
    throw new CorruptImageError({
      structure: Superblock.$name,
      field: 's_orphan_file_inum',
      found: `${number}`,
      expected: `${firstInode} to ${inodeCount}`,
    });
  }
  const runs = core.fileMap.requireFreeable(core.inodes.load(number), 0);
  edit.giveUp(runs, number, (_, base, bytes) => bytes.fill(0, base, base + 128));
  edit.freeInode(number);
  Superblock.s_orphan_file_inum.set(superblock, 0, 0);
  const compatible = Superblock.s_feature_compat.get(superblock, 0);
  Superblock.s_feature_compat.set(superblock, 0, compatible & ~CompatibleFeature.orphan_file);
}
