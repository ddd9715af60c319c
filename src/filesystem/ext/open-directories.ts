import type { BlockSeal } from './block-cache.ts';
import { MAX_NAME, entrySize } from './directory-block.ts';
import type { IndexedDirectory } from './htree.ts';

/** A directory in memory: where every name lies, so that neither lookup nor insertion scans. */
export interface Directory extends IndexedDirectory {
  readonly inode: number;
  /** The entries lie in the inode: `blocks` is empty, and positions of entries count from the start of the content. */
  isInline: boolean;
  /** Byte of each block before which no entry leaves room for another. */
  readonly gapStarts: number[];
  /** Name to the byte position of its entry in the directory. */
  readonly names: Map<string, number>;
  /** By size of an entry in words: no block before this one has a gap of that size. */
  readonly firstFits: Int32Array;
  /** When it went to the younger end of the directories in memory; counted in uses. */
  movedAt: number;
}

/** Names in memory over all directories; directories beyond it are forgotten, the least recently used first. */
const NAME_LIMIT = 200_000;
/** A directory takes about as much memory as this many names, besides its own. */
const DIRECTORY_WEIGHT = 10;
/** Entries take 12 to 264 bytes, in steps of 4. */
const SIZE_CLASSES = entrySize(MAX_NAME) / 4 + 1;

export function newDirectory(inode: number, blocks: number[], seal: BlockSeal | undefined): Directory {
  return {
    inode,
    isInline: false,
    blocks,
    seal,
    gaps: [],
    gapStarts: [],
    names: new Map(),
    firstFits: new Int32Array(SIZE_CLASSES),
    movedAt: 0,
  };
}

/** The first block with a gap of `size` bytes, or -1. */
export function firstFit(directory: Directory, size: number): number {
  const { gaps, firstFits } = directory;
  let position = firstFits[size >>> 2]!;
  while (position < gaps.length && gaps[position]! < size) position++;
  firstFits[size >>> 2] = position;
  return position < gaps.length ? position : -1;
}

/** The largest gap of a block has grown. */
export function noteGap(directory: Directory, position: number): void {
  const { gaps, firstFits } = directory;
  const last = Math.min(firstFits.length - 1, gaps[position]! >>> 2);
  for (let i = 0; i <= last; i++) if (firstFits[i]! > position) firstFits[i] = position;
}

/** The directories that are in memory, within bounds. */
export class OpenDirectories {
  /** A Map keeps the order of insertion, so the first key is one that was not used for long. */
  readonly #open = new Map<number, Directory>();
  #nameCount = 0;
  /** The one used last. */
  #latest: Directory | undefined;
  /** How often another directory was used than the time before. */
  #uses = 0;

  get(inode: number): Directory | undefined {
    if (this.#latest?.inode === inode) return this.#latest;
    const known = this.#open.get(inode);
    if (known === undefined) return undefined;
    this.#latest = known;
    this.#uses++;
    // What was moved to the end not long ago is in the younger half anyway, and moving costs much in a large map.
    if (this.#uses - known.movedAt > this.#open.size / 2) {
      this.#open.delete(inode);
      this.#open.set(inode, known);
      known.movedAt = this.#uses;
    }
    return known;
  }

  remember(directory: Directory): void {
    this.#latest = directory;
    directory.movedAt = ++this.#uses;
    this.#open.set(directory.inode, directory);
    this.#nameCount += directory.names.size + DIRECTORY_WEIGHT;
    for (const number of this.#open.keys()) {
      if (this.#nameCount <= NAME_LIMIT || number === directory.inode) break;
      this.forget(number);
    }
  }

  forget(inode: number): void {
    const directory = this.#open.get(inode);
    if (directory === undefined) return;
    this.#nameCount -= directory.names.size + DIRECTORY_WEIGHT;
    this.#open.delete(inode);
    if (this.#latest === directory) this.#latest = undefined;
  }

  clear(): void {
    this.#open.clear();
    this.#nameCount = 0;
    this.#latest = undefined;
  }

  /** A name was added to a directory that may be in memory, or taken away. */
  countName(directory: Directory, difference: 1 | -1): void {
    if (this.#latest === directory || this.#open.get(directory.inode) === directory)
      this.#nameCount += difference;
  }
}
