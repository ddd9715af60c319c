import { DEFAULT_MMP_INTERVAL, mountProtectionBlock } from '../format/multiple-mount-protection.ts';
import { IncompatibleFeature, Superblock } from '../superblock.ts';
import type { VolumeEdit } from './volume-edit.ts';

/** Gives the volume a block for multiple-mount protection. Returns its interval, seconds. ENOSPC. */
export function addMultipleMountBlock(edit: VolumeEdit, superblock: DataView): number {
  const interval = Superblock.s_mmp_interval.get(superblock, 0) || DEFAULT_MMP_INTERVAL;
  const block = edit.allocate(0);
  const { seconds } = edit.layout.parameters.options.now;
  const seed = edit.checksumSeed;
  edit.putBlock(block, mountProtectionBlock(edit.layout.blockSize, { seconds, interval, seed }));
  Superblock.s_mmp_block.set(superblock, 0, BigInt(block));
  Superblock.s_mmp_interval.set(superblock, 0, interval);
  const incompatible = Superblock.s_feature_incompat.get(superblock, 0);
  Superblock.s_feature_incompat.set(superblock, 0, (incompatible | IncompatibleFeature.mmp) >>> 0);
  return interval;
}

export function removeMultipleMountBlock(edit: VolumeEdit, superblock: DataView): void {
  const block = Number(Superblock.s_mmp_block.get(superblock, 0));
  edit.core.volume.checkPointer(block, 0, 's_mmp_block');
  edit.giveUp([{ start: block, length: 1 }]);
  Superblock.s_mmp_block.set(superblock, 0, 0n);
  Superblock.s_mmp_interval.set(superblock, 0, 0);
  const incompatible = Superblock.s_feature_incompat.get(superblock, 0);
  Superblock.s_feature_incompat.set(superblock, 0, (incompatible & ~IncompatibleFeature.mmp) >>> 0);
}
