import { viewOf } from '../../../bytes/struct.ts';
import { decodeUtf8 } from '../../../bytes/utf8.ts';
import { crc32c } from '../../../bytes/crc32c.ts';
import { DIRECTORY_TAIL, inodeSeed } from '../checksum.ts';
import { DirectoryEntryHeader } from '../directory-block.ts';
import { Inode } from '../inode.ts';
import type { ExtCheck } from './context.ts';

/** Of the entry that holds a leaf's checksum: inode 0, length 12, no name, and this for a type. */
const TAIL_TYPE = 0xde;
/** Paths are told of so many findings; then only numbers of inodes are. */
const MAX_PATHS = 200;
const MAX_DEPTH = 32;
/** Searches through all directories for the name of a file. */
const MAX_SEARCHES = 20;

/** One block of entries under check; of a directory that lies in its inode, an area of that. */
export interface EntryArea {
  readonly directory: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the entries end: before the tail. */
  readonly end: number;
  /** The position in the directory. */
  readonly position: number;
  /** Byte offset on the device. */
  readonly offset: number;
  isChanged: boolean;
}

export function lengthAt(view: DataView, at: number, size: number): number {
  const length = DirectoryEntryHeader.rec_len.get(view, at);
  return size === 0x1_0000 && (length === 0xffff || length === 0) ? size : length;
}

export function setLengthAt(view: DataView, at: number, length: number): void {
  DirectoryEntryHeader.rec_len.set(view, at, Math.min(length, 0xffff));
}

/** Does a leaf end with the entry for its checksum? */
export function hasTail(view: DataView): boolean {
  const at = view.byteLength - DIRECTORY_TAIL;
  return (
    view.getUint32(at, true) === 0 &&
    view.getUint16(at + 4, true) === DIRECTORY_TAIL &&
    view.getUint8(at + 6) === 0 &&
    view.getUint8(at + 7) === TAIL_TYPE
  );
}

export function directorySeed(check: ExtCheck, directory: number): number {
  const inode = check.readInode(directory);
  return inodeSeed(check.seed!, directory, Inode.i_generation.get(inode, 0));
}

export function leafChecksum(seed: number, bytes: Uint8Array): number {
  return crc32c(seed, bytes, 0, bytes.length - DIRECTORY_TAIL);
}

/** Makes a tail with the checksum; the entries have to end before it. */
export function writeTail(seed: number, bytes: Uint8Array): void {
  const view = viewOf(bytes);
  const at = bytes.length - DIRECTORY_TAIL;
  view.setUint32(at, 0, true);
  view.setUint16(at + 4, DIRECTORY_TAIL, true);
  view.setUint8(at + 6, 0);
  view.setUint8(at + 7, TAIL_TYPE);
  view.setUint32(at + 8, leafChecksum(seed, bytes), true);
}

/** Finds paths of directories by their `..`, as long as that does not take too much. */
export class PathFinder {
  readonly #check: ExtCheck;
  #asked = 0;
  #searches = 0;
  /** Of each directory, which runs of the list of directory blocks are its. */
  #runs: Map<number, number[]> | undefined;

  constructor(check: ExtCheck) {
    this.#check = check;
  }

  pathOf(directory: number): string {
    if (directory === 2) return '/';
    if (this.#asked++ >= MAX_PATHS) return '???';
    const names: string[] = [];
    let at = directory;
    for (let depth = 0; at !== 2 && depth < MAX_DEPTH; depth++) {
      const parent = this.#parentOf(at);
      if (parent === 0) return `???/${names.reverse().join('/')}`;
      names.push(this.#nameIn(parent, at) ?? '???');
      at = parent;
    }
    return `/${names.reverse().join('/')}`;
  }

  /** Of anything with a name, which is looked for in all directories: for the first few that are asked for. */
  pathOfFile(inode: number): string {
    if (this.#check.directories.get(inode)) return this.pathOf(inode);
    if (this.#searches++ >= MAX_SEARCHES) return '???';
    const { directoryList } = this.#check;
    for (let index = 0; index < directoryList.length; index++) {
      const directory = directoryList.get(index);
      const name = this.#nameIn(directory, inode);
      if (name !== undefined) return directory === 2 ? `/${name}` : `${this.pathOf(directory)}/${name}`;
    }
    return '???';
  }

  #parentOf(directory: number): number {
    const known = this.#check.parents.get(directory) || this.#check.dotdots.get(directory);
    if (known !== 0) return known;
    const [first] = this.#runsOf(directory);
    const block = first === undefined ? 0 : this.#check.directoryBlocks.blockOf(first);
    if (block === 0) return 0;
    const bytes = new Uint8Array(this.#check.geometry.blockSize);
    this.#check.readBlock(block, bytes);
    const parent = viewOf(bytes).getUint32(12, true);
    return this.#check.directories.get(parent) ? parent : 0;
  }

  #nameIn(directory: number, inode: number): string | undefined {
    const bytes = new Uint8Array(this.#check.geometry.blockSize);
    const view = viewOf(bytes);
    for (const block of this.#blocksOf(directory)) {
      this.#check.readBlock(block, bytes);
      for (let at = 0; at + 8 <= bytes.length;) {
        const length = lengthAt(view, at, bytes.length);
        if (length < 8 || at + length > bytes.length) break;
        if (view.getUint32(at, true) === inode) {
          const name = decodeUtf8(bytes, at + 8, Math.min(at + 8 + view.getUint8(at + 6), bytes.length));
          if (name !== '.' && name !== '..') return name;
        }
        at += length;
      }
    }
    return undefined;
  }

  /** Without what lies in its inode. */
  *#blocksOf(directory: number): Iterable<number> {
    for (const run of this.#runsOf(directory)) yield* this.#check.directoryBlocks.blocksIn(run);
  }

  #runsOf(directory: number): readonly number[] {
    if (this.#runs === undefined) {
      this.#runs = new Map();
      const list = this.#check.directoryBlocks;
      for (let index = 0; index < list.runCount; index++) {
        const runs = this.#runs.get(list.directoryOf(index));
        if (runs === undefined) this.#runs.set(list.directoryOf(index), [index]);
        else runs.push(index);
      }
    }
    return this.#runs.get(directory) ?? [];
  }
}
