import type { Timestamp } from '../../../bytes/time.ts';
import { hasCode, UnsupportedError } from '../../../errors.ts';
import { nextClear, nextSet } from '../bitmap.ts';
import type { Volume } from '../volume.ts';
import { GroupLayout } from './group-layout.ts';
import { usableBlockCount } from './new-size.ts';
import { planChain } from './chain.ts';
import { type Pass, refuseFeatures } from './resize.ts';

/** Sizes that are tried beyond what adding up gives, until one is known to work out. */
const MAX_TRIALS = 24;

/**
 * The passes of which the last leaves the fewest blocks; undefined when none makes the volume smaller. Adding up gives a lower bound; what moves needs some blocks
 * more for trees that are built anew, so it is tried, without writing anything.
 */
export function planSmallestPass(volume: Volume, clock: () => Timestamp): readonly Pass[] | undefined {
  refuseFeatures(volume, true);
  const old = new GroupLayout(volume.superblock, volume.geometry);
  let enough: readonly Pass[] | undefined;
  const fits = (blockCount: number): boolean => {
    try {
      enough = planChain(volume, { blockCount, clock });
      return true;
    } catch (error) {
      // What cannot be moved has to stay: then it is no smaller.
      if (hasCode(error, 'ENOSPC') || error instanceof UnsupportedError) return false;
      throw error;
    }
  };
  const bound = lowerBound(volume, old);
  let tooFew = bound - 1;
  let most = old.geometry.blockCount;
  let step = 0;
  for (let trial = 0; trial < MAX_TRIALS && tooFew + 1 < most; trial++) {
    const next = normalized(old, step === 0 ? bound : tooFew + step);
    if (next >= most) break;
    if (fits(next)) {
      most = next;
      break;
    }
    tooFew = Math.max(tooFew, next);
    step = step === 0 ? 4 : step * 4;
  }
  // Then by halves; a size that lies between two that the format can have counts as the smaller.
  for (let trial = 0; trial < MAX_TRIALS && tooFew + 1 < most; trial++) {
    const middle = Math.floor((tooFew + most) / 2);
    const count = normalized(old, middle);
    if (count <= tooFew || !fits(count)) tooFew = middle;
    else most = count;
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

/** The smallest size in which inodes and content find room in one pass, whatever that takes for new trees. */
function lowerBound(volume: Volume, old: GroupLayout): number {
  const { geometry } = old;
  const sums = new UseSums(volume, old);
  let low = geometry.firstDataBlock;
  let high = geometry.blockCount;
  while (low + 1 < high) {
    const middle = Math.floor((low + high) / 2);
    if (sums.hasRoom(normalized(old, middle))) high = middle;
    else low = middle;
  }
  return high;
}

/** How much is in use on either side of a block. */
class UseSums {
  readonly #volume: Volume;
  readonly #old: GroupLayout;
  /** Free blocks of all groups before each. */
  readonly #freeBefore: Float64Array;
  #usedInodes = 0;

  constructor(volume: Volume, old: GroupLayout) {
    const { groupCount, inodesPerGroup } = old.geometry;
    this.#volume = volume;
    this.#old = old;
    this.#freeBefore = new Float64Array(groupCount + 1);
    for (let group = 0; group < groupCount; group++) {
      const { freeClusters, freeInodes } = volume.groups.get(group);
      this.#freeBefore[group + 1] = this.#freeBefore[group]! + freeClusters;
      this.#usedInodes += inodesPerGroup - freeInodes;
    }
  }

  /** Is there room below `count` blocks for what lies above? What is given up below is no room before the end of the pass. */
  hasRoom(count: number): boolean {
    if (count === 0) return false;
    const old = this.#old;
    const { geometry } = old;
    const groupCount = Math.ceil((count - geometry.firstDataBlock) / geometry.blocksPerGroup);
    if (groupCount * geometry.inodesPerGroup < this.#usedInodes) return false;
    const free = this.#freeBelow(count);
    const total = this.#freeBefore[geometry.groupCount]!;
    const used = geometry.blockCount - count - (total - free);
    return free >= used - this.#goneAbove(count, groupCount);
  }

  #freeBelow(count: number): number {
    const group = this.#old.groupOf(count);
    if (group >= this.#old.geometry.groupCount) return this.#freeBefore.at(-1)!;
    const { groups } = this.#volume;
    const end = count - this.#old.firstBlock(group);
    return (
      this.#freeBefore[group]! +
      (end === 0 ? 0 : countClear(groups.blockBitmap(groups.get(group)).bytes, end))
    );
  }

  /** Blocks from `count` on that need no new place: the format's own of groups that go. */
  #goneAbove(count: number, groupCount: number): number {
    const { geometry } = this.#old;
    const above = (start: number, length: number): number =>
      Math.max(0, Math.min(length, start + length - count));
    let gone = 0;
    for (let group = groupCount; group < geometry.groupCount; group++) {
      const { blockBitmap, inodeBitmap, inodeTable } = this.#volume.groups.get(group);
      gone += above(this.#old.firstBlock(group), this.#old.frontBlocks(group));
      gone += above(blockBitmap, 1) + above(inodeBitmap, 1);
      gone += above(inodeTable, geometry.inodeTableBlocks);
    }
    return gone;
  }
}

function countClear(bits: Uint8Array, end: number): number {
  let count = 0;
  for (let at = nextClear(bits, 0, end); at < end;) {
    const stop = nextSet(bits, at, end);
    count += stop - at;
    at = nextClear(bits, stop, end);
  }
  return count;
}
