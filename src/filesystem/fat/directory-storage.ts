import { viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import type { ClusterChain } from './cluster-chain.ts';
import { DELETED, SLOT_SIZE } from './directory-entry.ts';
import { type FatGeometry, clusterOffset } from './geometry.ts';

/** Bytes that are written at least: no sector is smaller. */
const BLOCK_SIZE = 512;
const SLOTS_PER_BLOCK = BLOCK_SIZE / SLOT_SIZE;

/** Slots that a rename has filled, while the old name may still be on the device. */
interface Arrival {
  readonly slotCount: number;
  /** What the device shall hold until the old name is gone: the former entry, or undefined for "deleted". */
  readonly before: Uint8Array | undefined;
}

/**
 * The bytes of a directory, all of them in memory, and which of them differ from the device. A directory is a chain of
 * clusters, or on FAT12 and FAT16 the fixed root region.
 */
export class DirectoryStorage {
  bytes: Uint8Array;
  view: DataView;
  /** Undefined: the fixed root region. */
  readonly chain: ClusterChain | undefined;
  slotCount: number;
  readonly #device: BlockDevice;
  readonly #geometry: FatGeometry;
  /** One flag a block. */
  #dirty: Uint8Array;
  #firstDirty = Number.POSITIVE_INFINITY;
  #lastDirty = -1;
  readonly #arrivals = new Map<number, Arrival>();
  /** The 32 bytes of `..` as they were before the directory moved, until its old name is gone from the device. */
  #formerDotDot: Uint8Array | undefined;
  readonly #onDirty: () => void;

  /** Reads nothing yet: what is there is all zeros, or comes with `load`. `onDirty` hears of the first change after a write. */
  constructor(
    device: BlockDevice,
    geometry: FatGeometry,
    chain: ClusterChain | undefined,
    onDirty: () => void,
  ) {
    this.#device = device;
    this.#geometry = geometry;
    this.chain = chain;
    this.#onDirty = onDirty;
    const size = chain === undefined ? geometry.rootSize : chain.count * geometry.clusterSize;
    this.bytes = new Uint8Array(size);
    this.view = viewOf(this.bytes);
    this.slotCount = Math.floor(size / SLOT_SIZE);
    this.#dirty = new Uint8Array(Math.ceil(size / BLOCK_SIZE));
  }

  load(): void {
    const { chain } = this;
    if (chain === undefined) {
      this.#device.read(this.#geometry.rootOffset, this.bytes);
      return;
    }
    const { clusterSize } = this.#geometry;
    for (let run = 0; run < chain.runCount; run++) {
      const start = chain.runFirst(run) * clusterSize;
      const end = start + chain.runLength(run) * clusterSize;
      this.#device.read(clusterOffset(this.#geometry, chain.runStart(run)), this.bytes.subarray(start, end));
    }
  }

  /** The chain has grown by clusters that hold zeros. */
  grown(): void {
    const size = this.chain!.count * this.#geometry.clusterSize;
    const old = this.bytes;
    if (size > old.length) {
      this.bytes = new Uint8Array(Math.max(size, old.length * 2));
      this.bytes.set(old);
      this.view = viewOf(this.bytes);
      const flags = new Uint8Array(Math.ceil(this.bytes.length / BLOCK_SIZE));
      flags.set(this.#dirty);
      this.#dirty = flags;
    }
    this.slotCount = size / SLOT_SIZE;
  }

  markDirty(slot: number, slotCount: number): void {
    if (this.#lastDirty < 0) this.#onDirty();
    const first = Math.floor(slot / SLOTS_PER_BLOCK);
    const last = Math.floor((slot + slotCount - 1) / SLOTS_PER_BLOCK);
    for (let block = first; block <= last; block++) this.#dirty[block] = 1;
    if (first < this.#firstDirty) this.#firstDirty = first;
    if (last > this.#lastDirty) this.#lastDirty = last;
  }

  get hasArrivals(): boolean {
    return this.#arrivals.size > 0;
  }

  /** `..` on the device is still the former one. */
  get hasMoved(): boolean {
    return this.#formerDotDot !== undefined;
  }

  isArriving(slot: number): boolean {
    return this.#arrivals.has(slot);
  }

  /** A rename has filled these slots; `before` are the 32 bytes that a replaced entry had there. */
  arrive(slot: number, slotCount: number, before?: Uint8Array): void {
    if (!this.#arrivals.has(slot)) this.#arrivals.set(slot, { slotCount, before });
  }

  /** The slots were emptied again. */
  depart(slot: number): void {
    this.#arrivals.delete(slot);
  }

  /** `..` is about to change because the directory moves. */
  keepDotDot(): void {
    this.#formerDotDot ??= this.bytes.slice(SLOT_SIZE, 2 * SLOT_SIZE);
  }

  /** Nothing on the device names the directory any more, or yet: `..` may change there. */
  writeDotDot(): void {
    if (this.#formerDotDot === undefined) return;
    this.#formerDotDot = undefined;
    this.writeWithoutArrivals();
  }

  /** Writes what has changed; slots that a rename has filled still show what they held before. */
  writeWithoutArrivals(): void {
    if (this.#arrivals.size === 0 && this.#formerDotDot === undefined) {
      this.#write();
      return;
    }
    const current: [number, Uint8Array][] = [];
    for (const [slot, { slotCount, before }] of this.#arrivals) {
      const range = this.bytes.subarray(slot * SLOT_SIZE, (slot + slotCount) * SLOT_SIZE);
      current.push([slot * SLOT_SIZE, range.slice()]);
      if (before !== undefined) range.set(before);
      else for (let i = 0; i < slotCount; i++) range[i * SLOT_SIZE] = DELETED;
    }
    const former = this.#formerDotDot;
    if (former !== undefined) {
      current.push([SLOT_SIZE, this.bytes.slice(SLOT_SIZE, 2 * SLOT_SIZE)]);
      this.bytes.set(former, SLOT_SIZE);
    }
    try {
      this.#write();
    } finally {
      for (const [offset, content] of current) this.bytes.set(content, offset);
      for (const [slot, { slotCount }] of this.#arrivals) this.markDirty(slot, slotCount);
      if (former !== undefined) this.markDirty(1, 1);
    }
  }

  /** Writes what renames have brought. */
  writeArrivals(): void {
    this.#write();
    this.#arrivals.clear();
  }

  #write(): void {
    for (let block = this.#firstDirty; block <= this.#lastDirty;) {
      if (this.#dirty[block] === 0) {
        block++;
        continue;
      }
      let end = block + 1;
      while (end <= this.#lastDirty && this.#dirty[end] === 1) end++;
      this.#writeRange(block * BLOCK_SIZE, Math.min(end * BLOCK_SIZE, this.slotCount * SLOT_SIZE));
      block = end;
    }
    if (this.#lastDirty >= 0) this.#dirty.fill(0, this.#firstDirty, this.#lastDirty + 1);
    this.#firstDirty = Number.POSITIVE_INFINITY;
    this.#lastDirty = -1;
  }

  #writeRange(start: number, end: number): void {
    const { chain } = this;
    if (chain === undefined) {
      this.#device.write(this.#geometry.rootOffset + start, this.bytes.subarray(start, end));
      return;
    }
    const { clusterSize } = this.#geometry;
    while (start < end) {
      const run = chain.runAt(Math.floor(start / clusterSize));
      const runStart = chain.runFirst(run) * clusterSize;
      const stop = Math.min(end, runStart + chain.runLength(run) * clusterSize);
      const offset = clusterOffset(this.#geometry, chain.runStart(run)) + (start - runStart);
      this.#device.write(offset, this.bytes.subarray(start, stop));
      start = stop;
    }
  }
}
