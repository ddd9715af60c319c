import { viewOf } from '../../../bytes/struct.ts';
import {
  childOf,
  EXTENT_MAGIC,
  ExtentHeader,
  isUnwritten,
  keyOf,
  lengthOf,
  MAX_EXTENT_DEPTH,
  startOf,
} from '../extent-node.ts';
import { Inode, InodeFlag } from '../inode.ts';
import type { ExtCheck } from './context.ts';

/** Of an inode: twelve pointers to data, then one for each level. */
const DIRECT = 12;
/** Blocks of a map that are read for one file: of files with a fixed job no map is larger. */
const MAX_NODES = 100_000;

/** Position in the file, block on the device, how many; those that are not written yet read as zeros. */
export type VisitRun = (position: number, start: number, length: number, isUnwritten: boolean) => void;

/**
 * Every run of data of an inode whose map may be anything, in the order of the file, and before what it leads to each block of the map itself. Returns false when
 * a part of the map cannot be.
 */
export function eachRun(
  check: ExtCheck,
  inode: DataView,
  visit: VisitRun,
  visitMap?: (block: number) => void,
): boolean {
  const walk = new RunWalk(check, visit, visitMap);
  const start = Inode.i_block.offset;
  if ((Inode.i_flags.get(inode, 0) & InodeFlag.extents) !== 0) walk.node(inode, start, 60, undefined);
  else {
    for (let slot = 0; slot < DIRECT + 3; slot++)
      walk.pointer(inode.getUint32(start + 4 * slot, true), Math.max(0, slot - DIRECT + 1));
  }
  return walk.isSound;
}

class RunWalk {
  isSound = true;
  readonly #check: ExtCheck;
  readonly #visit: VisitRun;
  readonly #visitMap: ((block: number) => void) | undefined;
  #position = 0;
  #nodes = 0;

  constructor(check: ExtCheck, visit: VisitRun, visitMap: ((block: number) => void) | undefined) {
    this.#check = check;
    this.#visit = visit;
    this.#visitMap = visitMap;
  }

  node(view: DataView, base: number, size: number, depth: number | undefined): void {
    const count = ExtentHeader.eh_entries.get(view, base);
    const level = ExtentHeader.eh_depth.get(view, base);
    if (
      ExtentHeader.eh_magic.get(view, base) !== EXTENT_MAGIC ||
      count > Math.floor(size / 12) - 1 ||
      level > MAX_EXTENT_DEPTH ||
      level !== (depth ?? level)
    ) {
      this.isSound = false;
      return;
    }
    for (let index = 0; index < count; index++) {
      const at = base + 12 * (index + 1);
      if (level > 0) {
        const below = this.#read(childOf(view, at));
        if (below !== undefined) this.node(below, 0, below.byteLength, level - 1);
        continue;
      }
      const start = startOf(view, at);
      const length = lengthOf(view, at);
      if (this.#check.isDataBlock(start) && this.#check.isDataBlock(start + length - 1))
        this.#visit(keyOf(view, base, index), start, length, isUnwritten(view, at));
      else this.isSound = false;
    }
  }

  /** Holes are passed over; `level` 0 is data. */
  pointer(block: number, level: number): void {
    const perBlock = this.#check.geometry.blockSize / 4;
    const span = perBlock ** level;
    if (block === 0) this.#position += span;
    else if (level === 0) {
      if (this.#check.isDataBlock(block)) this.#visit(this.#position, block, 1, false);
      else this.isSound = false;
      this.#position++;
    } else {
      const map = this.#read(block);
      if (map === undefined) this.#position += span;
      else for (let at = 0; at < map.byteLength; at += 4) this.pointer(map.getUint32(at, true), level - 1);
    }
  }

  #read(block: number): DataView | undefined {
    if (!this.#check.isDataBlock(block) || ++this.#nodes > MAX_NODES) {
      this.isSound = false;
      return undefined;
    }
    this.#visitMap?.(block);
    const bytes = new Uint8Array(this.#check.geometry.blockSize);
    this.#check.readBlock(block, bytes);
    return viewOf(bytes);
  }
}
