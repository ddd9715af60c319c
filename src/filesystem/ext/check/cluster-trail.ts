/** Clusters that a run of a file claims beyond those of the runs before it: the first bit, and how many. */
export interface ClaimedClusters {
  readonly first: number;
  readonly count: number;
  /** A logical cluster of a file lies in one cluster of the device, each block at its place in it: here it does not. */
  readonly isMisaligned: boolean;
}

/**
 * Follows the runs of one file in their order. Runs beside each other may lie in the same cluster: then it is one, and counted once. Clusters are counted
 * from block 0, as `bigalloc` has it.
 */
export class ClusterTrail {
  readonly #ratio: number;
  /** The block of the file and of the device with which the last run ended; -1 before the first. */
  #lastPosition = -1;
  #lastBlock = -1;

  constructor(blocksPerCluster: number) {
    this.#ratio = blocksPerCluster;
  }

  next(position: number, block: number, length: number): ClaimedClusters {
    const ratio = this.#ratio;
    const isFirst = this.#lastBlock < 0;
    const cluster = Math.floor(block / ratio);
    const isSamePlace = !isFirst && cluster === Math.floor(this.#lastBlock / ratio);
    const isSamePosition =
      !isFirst && Math.floor(position / ratio) === Math.floor(this.#lastPosition / ratio);
    const isMisaligned = position % ratio !== block % ratio || (isSamePosition && !isSamePlace);
    const first = isSamePlace && isSamePosition ? cluster + 1 : cluster;
    const count = Math.max(0, Math.floor((block + length - 1) / ratio) + 1 - first);
    this.#lastPosition = position + length - 1;
    this.#lastBlock = block + length - 1;
    return { first, count, isMisaligned };
  }
}
