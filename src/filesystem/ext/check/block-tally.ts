/** What a walk over the blocks of an inode has found. */
export interface BlockTally {
  /** Blocks in use by it, those of the map with them. */
  blocks: number;
  /** Position of the last block; -1 without any. */
  last: number;
  /** Of the last block that is written. */
  lastWritten: number;
  illegal: number;
  isFragmented: boolean;
  /** Depth of the extent tree, or of the indirect blocks. */
  depth: number;
  /** The inode is to be cleared. */
  isHopeless: boolean;
}

export function emptyTally(): BlockTally {
  return {
    blocks: 0,
    last: -1,
    lastWritten: -1,
    illegal: 0,
    isFragmented: false,
    depth: 0,
    isHopeless: false,
  };
}
