import { FIRST_INODE } from './parameters.ts';
import type { ExtLayout } from './layout.ts';

/** What a new volume holds besides its tables, in memory: a few inodes and blocks, however large the volume is. */
export interface FirstContent {
  /** Inode number to its record. */
  readonly inodes: Map<number, Uint8Array>;
  /** Block number to its bytes. */
  readonly blocks: Map<number, Uint8Array>;
}

/** Inodes that are taken: the reserved ones and lost+found. */
export const USED_INODES = FIRST_INODE;

/** How many of the group's inodes are taken. */
export function usedInodes(layout: ExtLayout, group: number): number {
  return Math.min(Math.max(USED_INODES - group * layout.inodesPerGroup, 0), layout.inodesPerGroup);
}

/** How many of the group's inodes are directories: the root and lost+found. */
export function usedDirectories(layout: ExtLayout, group: number): number {
  const lostAndFound = Math.floor((FIRST_INODE - 1) / layout.inodesPerGroup);
  return (group === 0 ? 1 : 0) + (group === lostAndFound ? 1 : 0);
}
