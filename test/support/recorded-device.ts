import type { BlockDevice } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import type { Random } from './random.ts';

const SECTOR = 512;
/** The superblock of ext is not torn: its checksum is in another sector than what it says, so nobody could help that. */
const SUPERBLOCK_START = 1024;
const SUPERBLOCK_END = 2048;

interface RecordedWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Bytes as they are, without a copy: `MemoryDevice` would take one for each of very many states. */
export class BytesDevice implements BlockDevice {
  readonly sectorSize = SECTOR;
  readonly readOnly: boolean;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, options: { readonly readOnly?: boolean } = {}) {
    this.#bytes = bytes;
    this.readOnly = options.readOnly === true;
  }

  get size(): number {
    return this.#bytes.length;
  }

  read(offset: number, into: Uint8Array): void {
    into.set(this.#bytes.subarray(offset, offset + into.length));
  }

  write(offset: number, from: Uint8Array): void {
    if (this.readOnly) throw new Error(`A write at byte ${offset} of a device that is only to be read`);
    this.#bytes.set(from, offset);
  }

  flush(): void {}

  close(): void {}
}

/** What of the writes since the last flush is on the medium when the power fails. */
export type CutKind = 'none' | 'first' | 'some' | 'torn';

const CUTS_BETWEEN: readonly CutKind[] = ['first', 'some', 'torn'];

/** A cut right at a flush, and so many between it and the next. */
export function cutKinds(random: Random, between: number): CutKind[] {
  return ['none', ...Array.from({ length: between }, () => random.pick(CUTS_BETWEEN))];
}

/** Remembers every write, and between which flushes it came: what a power cut can leave is made from that. */
export class RecordedDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize = SECTOR;
  readonly readOnly = false;
  readonly #base: Uint8Array;
  readonly #current: MemoryDevice;
  /** A list for each time between two flushes. */
  readonly #epochs: RecordedWrite[][] = [[]];

  readonly #tearSize: number;

  /** Writes are torn between pieces of `tearSize` bytes. */
  constructor(base: Uint8Array, tearSize = SECTOR) {
    this.#tearSize = tearSize;
    this.#base = base;
    this.#current = MemoryDevice.from(base);
    this.size = base.length;
  }

  /** Flushes so far. */
  get flushes(): number {
    return this.#epochs.length - 1;
  }

  read(offset: number, into: Uint8Array): void {
    this.#current.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#epochs.at(-1)!.push({ offset, bytes: from.slice() });
    this.#current.write(offset, from);
  }

  /** What it reads as afterwards is not defined: something that nobody wrote. */
  discard(offset: number, length: number): void {
    this.write(offset, new Uint8Array(length).fill(0xd1));
  }

  flush(): void {
    this.#epochs.push([]);
  }

  close(): void {}

  /** Visits `cutsBetween` states after each flush, one right at the flush among them. The state is good during the visit only. */
  forEachCut(
    random: Random,
    cutsBetween: (epoch: number) => readonly CutKind[],
    visit: (state: Uint8Array, epoch: number, kind: CutKind) => void,
  ): void {
    const durable = this.#base.slice();
    for (const [epoch, writes] of this.#epochs.entries()) {
      for (const kind of cutsBetween(epoch)) {
        if (kind !== 'none' && writes.length === 0) continue;
        const state = durable.slice();
        applyCut(state, writes, kind, random, this.#tearSize);
        visit(state, epoch, kind);
      }
      for (const { offset, bytes } of writes) durable.set(bytes, offset);
    }
  }
}

function applyCut(
  state: Uint8Array,
  writes: readonly RecordedWrite[],
  kind: CutKind,
  random: Random,
  tearSize: number,
): void {
  if (kind === 'none') return;
  const end = kind === 'first' ? 1 + random.below(writes.length) : writes.length;
  for (const { offset, bytes } of writes.slice(0, end)) {
    // Later writes may be there without earlier ones.
    if (kind !== 'first' && random.below(2) === 0) continue;
    if (kind !== 'torn' || bytes.length <= tearSize || random.below(2) === 0) {
      state.set(bytes, offset);
      continue;
    }
    for (let at = 0; at < bytes.length;) {
      const isSuperblock = offset + at === SUPERBLOCK_START;
      const length = Math.max(tearSize, isSuperblock ? SUPERBLOCK_END - SUPERBLOCK_START : 0);
      if (random.below(2) === 0) state.set(bytes.subarray(at, at + length), offset + at);
      at += length;
    }
  }
}
