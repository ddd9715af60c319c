import { viewOf } from '../../../bytes/struct.ts';
import { DIRECTORY_TAIL, INDEX_TAIL } from '../checksum.ts';
import { setLengthAt } from './directory-blocks.ts';

/** Part of a leaf of an index that is left for names to come, as e2fsck leaves it. */
const SLACK = 0.2;
const MIN_SLACK = 12;
const ROOT_ENTRIES = 0x20;
const NODE_ENTRIES = 0x08;
const ENTRY = 8;
/** A lowest bit of 1 says that names with this very hash are also in the leaf before. */
const CONTINUED = 1;
const NAME_LENGTH = 6;
const NAME = 8;

export interface Name {
  /** The entry, as long as it has to be. */
  readonly bytes: Uint8Array;
  readonly hash: number;
}

export interface Leaf {
  /** A block, but for the checksum in its tail. */
  readonly bytes: Uint8Array;
  /** Of its first name, as a node over it has it. */
  readonly hash: number;
}

/** By hash; of the same, by the bytes of the name. */
export function compareNames(a: Name, b: Name): number {
  if (a.hash !== b.hash) return a.hash - b.hash;
  const aLength = a.bytes[NAME_LENGTH]!;
  const bLength = b.bytes[NAME_LENGTH]!;
  for (let at = NAME; at < NAME + Math.min(aLength, bLength); at++)
    if (a.bytes[at] !== b.bytes[at]) return a.bytes[at]! - b.bytes[at]!;
  return aLength - bLength;
}

/** How much there is in the blocks of a directory. */
export class DirectoryLayout {
  /** How many entries a root and a node have room for. */
  readonly rootLimit: number;
  readonly nodeLimit: number;
  readonly #blockSize: number;
  readonly #room: number;

  constructor(blockSize: number, hasChecksums: boolean) {
    this.#blockSize = blockSize;
    this.#room = blockSize - (hasChecksums ? DIRECTORY_TAIL : 0);
    const tail = hasChecksums ? INDEX_TAIL : 0;
    this.rootLimit = Math.floor((blockSize - ROOT_ENTRIES - tail) / ENTRY);
    this.nodeLimit = Math.floor((blockSize - NODE_ENTRIES - tail) / ENTRY);
  }

  /** Nodes between the root and so many leaves; undefined when one level of them is not enough. */
  nodesFor(leafCount: number): number | undefined {
    if (leafCount <= this.rootLimit) return 0;
    const nodes = Math.ceil(leafCount / this.nodeLimit);
    return nodes <= this.rootLimit ? nodes : undefined;
  }

  /** Names in their order; below an index, some room is left in each leaf. */
  fill(names: readonly Name[], isIndexed: boolean): Leaf[] {
    const slack = isIndexed ? Math.max(MIN_SLACK, Math.floor(this.#room * SLACK)) : MIN_SLACK;
    const leaves: Leaf[] = [];
    let view: DataView | undefined;
    let last = 0;
    let at = this.#room;
    let previous = -1;
    for (const { bytes, hash } of names) {
      if (view === undefined || at + bytes.length > this.#room) {
        if (view !== undefined) setLengthAt(view, last, this.#room - last);
        const leaf = new Uint8Array(this.#blockSize);
        leaves.push({ bytes: leaf, hash: hash === previous ? hash + CONTINUED : hash });
        view = viewOf(leaf);
        at = 0;
      }
      new Uint8Array(view.buffer).set(bytes, at);
      setLengthAt(view, at, bytes.length);
      last = at;
      at += bytes.length;
      if (this.#room - at < slack) at = this.#room;
      previous = hash;
    }
    if (view !== undefined) setLengthAt(view, last, this.#room - last);
    return leaves;
  }
}
