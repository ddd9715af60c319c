import { DosAttribute } from '../file-system.ts';
import type { CodePage } from './code-page.ts';
import { DELETED, LONG_NAME_ATTRIBUTES, LONG_NAME_MASK, SLOT_SIZE, ShortEntry } from './directory-entry.ts';
import type { DirectoryStorage } from './directory-storage.ts';
import { foldName } from './file-name.ts';
import { LongNameReader, encodeLongName, longSlotCount, shortNameChecksum } from './long-name.ts';
import type { FatNode, NodeTable } from './node.ts';
import {
  TailSearches,
  decodeShortName,
  encodeShortName,
  isDotEntry,
  isPlainShortName,
  makeAlias,
} from './short-name.ts';

/** Slots that a name needs. */
export function slotsFor(name: string): number {
  return isPlainShortName(name) ? 1 : longSlotCount(name) + 1;
}

/** The longest name needs 21 slots. */
const MAX_SLOTS_A_NAME = 21;

/**
 * The entries of one directory: where each lies, and an index of their names, long and short, folded, so that neither
 * a look-up nor a new name walks the directory.
 */
export class Directory {
  /** The node whose content this is. */
  readonly node: FatNode;
  readonly storage: DirectoryStorage;
  /** First slot that was never used: from there on all are free. */
  end = 0;
  childCount = 0;
  readonly #codePage: CodePage;
  readonly #bySlot: (FatNode | undefined)[] = [];
  #index = new Map<string, FatNode>();
  /** Two entries claim one name: an odd volume. The first one has it. */
  #hasDuplicates = false;
  #lastName = '';
  #lastFolded = '';
  readonly #tails = new TailSearches();
  /** By length: no free run of so many slots begins below this slot. */
  readonly #searchFrom = new Uint32Array(MAX_SLOTS_A_NAME + 1);

  constructor(node: FatNode, storage: DirectoryStorage, codePage: CodePage) {
    this.node = node;
    this.storage = storage;
    this.#codePage = codePage;
  }

  get view(): DataView {
    return this.storage.view;
  }

  /** All nodes whose entries are here. */
  *children(): Iterable<FatNode> {
    for (const node of this.#bySlot) if (node !== undefined) yield node;
  }

  /**
   * Parses every slot. Deleted entries, labels and pieces of long names that belong to nothing are passed over. `former`: nodes by name
   * that were here before; an entry that has one's name and kind becomes that node again, which then is no longer in `former`.
   */
  load(nodes: NodeTable, former?: Map<string, FatNode>): void {
    const { bytes, view, slotCount } = this.storage;
    const longName = new LongNameReader();
    let slot = 0;
    for (; slot < slotCount; slot++) {
      const base = slot * SLOT_SIZE;
      const first = bytes[base]!;
      if (first === 0) break;
      const attributes = ShortEntry.DIR_Attr.get(view, base);
      if (first === DELETED) longName.reset();
      else if ((attributes & LONG_NAME_MASK) === LONG_NAME_ATTRIBUTES) longName.add(view, base);
      else {
        if ((attributes & DosAttribute.volumeId) === 0) this.#adopt(nodes, slot, longName, former);
        longName.reset();
      }
    }
    this.end = slot;
  }

  #adopt(nodes: NodeTable, slot: number, longName: LongNameReader, former?: Map<string, FatNode>): void {
    const { view } = this.storage;
    const base = slot * SLOT_SIZE;
    const raw = ShortEntry.DIR_Name.get(view, base);
    if (isDotEntry(raw)) return;
    const shortName = decodeShortName(raw, this.#codePage);
    if (shortName === '') return;
    const long = longName.take(view, base);
    const name =
      long !== undefined && isUsable(long)
        ? long
        : decodeShortName(raw, this.#codePage, ShortEntry.DIR_NTRes.get(view, base));
    const isDirectory = (ShortEntry.DIR_Attr.get(view, base) & DosAttribute.directory) !== 0;
    const known = former?.get(name);
    const isSame = known !== undefined && known.isDirectory === isDirectory;
    const node = isSame ? known : nodes.add();
    if (isSame) former!.delete(name);
    node.longSlots = long === undefined ? 0 : longName.slotCount;
    node.shortName = shortName;
    node.name = name;
    this.#attach(node, slot);
  }

  lookup(name: string): FatNode | undefined {
    return this.#index.get(this.#fold(name));
  }

  /** The entry in the first occupied slot from `slot` on. */
  nextChild(slot: number): FatNode | undefined {
    for (let at = slot; at < this.end; at++) {
      const node = this.#bySlot[at];
      if (node !== undefined) return node;
    }
    return undefined;
  }

  /**
   * The first of `count` neighbouring free slots, or undefined when the directory has to grow. Slots of `leaving`
   * count as free.
   */
  findSlots(count: number, leaving: readonly FatNode[] = []): number | undefined {
    const { bytes, slotCount } = this.storage;
    let run = 0;
    for (let slot = leaving.length > 0 ? 0 : this.#searchFrom[count]!; slot < this.end; slot++) {
      run = bytes[slot * SLOT_SIZE] === DELETED || this.#isLeaving(slot, leaving) ? run + 1 : 0;
      if (run < count) continue;
      if (leaving.length === 0) this.#searchFrom[count] = slot - count + 1;
      return slot - count + 1;
    }
    const start = this.end - run;
    if (leaving.length === 0) this.#searchFrom[count] = start;
    return start + count <= slotCount ? start : undefined;
  }

  #isLeaving(slot: number, leaving: readonly FatNode[]): boolean {
    return leaving.some(
      (node) => node.parent === this && slot <= node.slot && slot >= node.slot - node.longSlots,
    );
  }

  /**
   * Puts a node under `name` into the free slots from `slot` on, as `findSlots` gave them; `entry` are the 32 bytes
   * of its entry, whose name is filled in here.
   */
  insert(node: FatNode, name: string, slot: number, entry: Uint8Array): void {
    const { storage } = this;
    const plain = isPlainShortName(name);
    const shortName = plain
      ? name
      : makeAlias(name, this.#codePage, (alias) => this.#index.has(alias), this.#tails);
    const count = slotsFor(name);
    const shortSlot = slot + count - 1;
    const base = shortSlot * SLOT_SIZE;
    storage.bytes.set(entry, base);
    encodeShortName(shortName, this.#codePage, storage.bytes, base);
    ShortEntry.DIR_NTRes.set(storage.view, base, 0);
    if (!plain) {
      encodeLongName(name, shortNameChecksum(storage.view, base), storage.view, slot * SLOT_SIZE);
    }
    storage.markDirty(slot, count);
    this.#moveEnd(slot + count);
    node.name = name;
    node.shortName = shortName;
    node.longSlots = count - 1;
    this.#attach(node, shortSlot);
  }

  /** The slot of the volume label, in the root. */
  findLabel(): number | undefined {
    const { bytes, view } = this.storage;
    for (let slot = 0; slot < this.end; slot++) {
      const base = slot * SLOT_SIZE;
      const attributes = ShortEntry.DIR_Attr.get(view, base);
      if (bytes[base] === DELETED || (attributes & LONG_NAME_MASK) === LONG_NAME_ATTRIBUTES) continue;
      if ((attributes & (DosAttribute.volumeId | DosAttribute.directory)) === DosAttribute.volumeId)
        return slot;
    }
    return undefined;
  }

  /** Puts an entry that is no node, the volume label, into a slot. */
  occupy(slot: number, entry: Uint8Array): void {
    this.storage.bytes.set(entry, slot * SLOT_SIZE);
    this.storage.markDirty(slot, 1);
    this.#moveEnd(slot + 1);
  }

  /** Marks slots deleted. */
  vacate(first: number, count: number): void {
    const { storage } = this;
    for (let slot = first; slot < first + count; slot++) storage.bytes[slot * SLOT_SIZE] = DELETED;
    storage.markDirty(first, count);
    for (let length = 1; length <= MAX_SLOTS_A_NAME; length++) {
      const from = Math.max(0, first - length + 1);
      if (from < this.#searchFrom[length]!) this.#searchFrom[length] = from;
    }
  }

  /** The end mark is the first byte of the slot after the last used one; what lies there may be anything. */
  #moveEnd(end: number): void {
    if (end <= this.end) return;
    this.end = end;
    if (end === this.storage.slotCount || this.storage.bytes[end * SLOT_SIZE] === 0) return;
    this.storage.bytes[end * SLOT_SIZE] = 0;
    this.storage.markDirty(end, 1);
  }

  /** Takes a node out and marks its slots deleted; the node keeps a copy of its entry. */
  remove(node: FatNode): void {
    const { storage } = this;
    const base = node.slot * SLOT_SIZE;
    const entry = storage.bytes.slice(base, base + SLOT_SIZE);
    const first = node.slot - node.longSlots;
    this.vacate(first, node.longSlots + 1);
    storage.depart(first);
    storage.depart(node.slot);
    this.#release(node);
    node.detach(entry);
  }

  /** `node` takes the place, the name and the alias of `target`, whose entry is copied out; `entry` are the 32 bytes of `node`. */
  replace(target: FatNode, node: FatNode, entry: Uint8Array, isFresh: boolean): void {
    const { storage } = this;
    const { slot, longSlots, name, shortName } = target;
    const base = slot * SLOT_SIZE;
    const former = storage.bytes.slice(base, base + SLOT_SIZE);
    this.#release(target);
    target.detach(former);
    // Until the old name of `node` is gone from the device, the device keeps the entry of `target`. That of a
    // directory which was never written must not get there at all: nobody will write what it names.
    // Where a rename has come before, the device keeps what it kept for that one.
    if (!storage.isArriving(slot - longSlots) && !storage.isArriving(slot)) {
      if (isFresh) storage.arrive(slot - longSlots, longSlots + 1);
      else storage.arrive(slot, 1, former.slice());
    }
    storage.bytes.set(entry, base);
    ShortEntry.DIR_Name.set(storage.view, base, former.subarray(0, 11));
    ShortEntry.DIR_NTRes.set(storage.view, base, ShortEntry.DIR_NTRes.get(target.entryView, 0));
    storage.markDirty(slot, 1);
    node.name = name;
    node.shortName = shortName;
    node.longSlots = longSlots;
    this.#attach(node, slot);
  }

  /** A name is looked up before it is made, so that the last one comes again. */
  #fold(name: string): string {
    if (name !== this.#lastName) {
      this.#lastFolded = foldName(name);
      this.#lastName = name;
    }
    return this.#lastFolded;
  }

  #attach(node: FatNode, slot: number): void {
    node.parent = this;
    node.slot = slot;
    while (this.#bySlot.length < slot) this.#bySlot.push(undefined);
    this.#bySlot[slot] = node;
    this.childCount++;
    this.#addToIndex(node);
  }

  #addToIndex(node: FatNode): void {
    const long = this.#fold(node.name);
    if (this.#index.has(long)) this.#hasDuplicates = true;
    else this.#index.set(long, node);
    if (node.shortName === node.name) return;
    const short = foldName(node.shortName);
    if (short === long) return;
    if (this.#index.has(short)) this.#hasDuplicates = true;
    else this.#index.set(short, node);
  }

  #release(node: FatNode): void {
    this.#bySlot[node.slot] = undefined;
    this.childCount--;
    this.#tails.release(node.shortName);
    if (this.#hasDuplicates) {
      this.#index = new Map();
      this.#hasDuplicates = false;
      for (const child of this.#bySlot) {
        if (child !== undefined) this.#addToIndex(child);
      }
      return;
    }
    this.#index.delete(foldName(node.name));
    this.#index.delete(foldName(node.shortName));
  }
}

/** A long name that a path can name; otherwise the short one is shown. */
function isUsable(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/');
}
