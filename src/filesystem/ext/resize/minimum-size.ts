import type { Timestamp } from '../../../bytes/time.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { hasCode, UnsupportedError } from '../../../errors.ts';
import { Volume } from '../volume.ts';
import { GroupLayout } from './group-layout.ts';
import { resizedLayout, usableBlockCount } from './new-size.ts';
import { planResize } from './resize.ts';

/** Sizes that are tried beyond what adding up gives, until one is known to work out. */
const MAX_TRIALS = 24;

/**
 * The fewest blocks that the ext volume on `device` can have with its content. Adding up gives a lower bound; what moves needs some blocks more for
 * trees that are built anew, so it is tried, without writing anything.
 */
export function minimumBlockCount(device: BlockDevice, clock: () => Timestamp): number {
  const volume = Volume.open(device, clock);
  const old = new GroupLayout(volume.superblock, volume.geometry);
  const { blockCount } = old.geometry;
  const bound = lowerBound(volume, old);
  const fits = (count: number): boolean => {
    try {
      planResize(device, { blockCount: count, clock });
      return true;
    } catch (error) {
      // What cannot be moved has to stay: then it is no smaller.
      if (hasCode(error, 'ENOSPC') || error instanceof UnsupportedError) return false;
      throw error;
    }
  };
  let tooFew = bound - 1;
  let enough = blockCount;
  let step = 0;
  for (let trial = 0; trial < MAX_TRIALS && tooFew + 1 < enough; trial++) {
    const next = normalized(old, step === 0 ? bound : tooFew + step);
    if (next >= enough) break;
    if (fits(next)) {
      enough = next;
      break;
    }
    tooFew = next;
    step = step === 0 ? 4 : step * 4;
  }
  // Then by halves; a size that lies between two that the format can have counts as the smaller.
  for (let trial = 0; trial < MAX_TRIALS && tooFew + 1 < enough; trial++) {
    const middle = Math.floor((tooFew + enough) / 2);
    const count = normalized(old, middle);
    if (count <= tooFew || !fits(count)) tooFew = middle;
    else enough = count;
  }
  return enough;
}

/** The size that a volume has which is asked to have `count` blocks; 0 when there is none. */
function normalized(layout: GroupLayout, count: number): number {
  try {
    return usableBlockCount(layout, count);
  } catch (error) {
    if (hasCode(error, 'ENOSPC')) return 0;
    throw error;
  }
}

/** The smallest size in which content, inodes and what the format takes for itself find room. */
function lowerBound(volume: Volume, old: GroupLayout): number {
  const { geometry } = old;
  let used = 0;
  let usedInodes = 0;
  for (let group = 0; group < geometry.groupCount; group++) {
    const { freeBlocks, freeInodes } = volume.groups.get(group);
    used += old.blockCount(group) - freeBlocks;
    usedInodes += geometry.inodesPerGroup - freeInodes;
  }
  const content = used - ownBlocks(old);
  const fits = (count: number): boolean => {
    const usable = normalized(old, count);
    if (usable === 0) return false;
    const layout = resizedLayout(old, usable);
    const room = usable - geometry.firstDataBlock - ownBlocks(layout);
    return room >= content && layout.geometry.inodeCount >= usedInodes;
  };
  let low = geometry.firstDataBlock;
  let high = geometry.blockCount;
  while (low + 1 < high) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** Blocks of superblocks, descriptors, bitmaps and inode tables. */
function ownBlocks(layout: GroupLayout): number {
  const { groupCount, inodeTableBlocks } = layout.geometry;
  let count = groupCount * (2 + inodeTableBlocks);
  for (let group = 0; group < groupCount; group++) count += layout.frontBlocks(group);
  return count;
}
