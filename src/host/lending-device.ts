import {
  type BlockDevice,
  type Extent,
  checkRange,
  checkWritable,
  discardRange,
  extentsOf,
  zeroRange,
} from '../device/block-device.ts';
import { type FilePlace, LentWrites } from './lent-writes.ts';

/** Below this many bytes written, a thread costs more than it brings. */
const BYTES_THRESHOLD = 4 << 20;
/** So long a write must be for handing it over to take less than doing it, bytes. */
const SHORTEST_LENT = 1 << 16;

/**
 * Long writes from certain memory are left to a second thread, without a copy: who has asked for them is answered meanwhile. There are several such
 * memories, used in turn: one is filled while others are still being written. All other writes wait until these are done, so that everything
 * reaches the file in the order in which it was given; reads wait for what they overlap.
 * An error comes with a later call, `flush` at last, and nothing is lost by it: see `LentWrites`.
 *
 * The thread is started with the 4th MiB of such writes; until it runs every write is made at once.
 */
export class LendingDevice implements BlockDevice {
  readonly #base: BlockDevice;
  readonly #place: FilePlace;
  readonly #memories: readonly SharedArrayBuffer[];
  /** The index of the memory that is in use now, and the only one that is lent from. */
  #current = 0;
  #direct = 0;
  #writes: LentWrites | undefined;
  #hasLent = false;

  constructor(base: BlockDevice, place: FilePlace, memories: readonly SharedArrayBuffer[]) {
    this.#base = base;
    this.#place = place;
    this.#memories = memories;
  }

  get size(): number {
    return this.#base.size;
  }

  get sectorSize(): number {
    return this.#base.sectorSize;
  }

  get readOnly(): boolean {
    return this.#base.readOnly;
  }

  /** When the memory in use was lent since the last call: the index of the one to be used from now on, which is free. */
  takeLent(): number | undefined {
    if (!this.#hasLent) return undefined;
    this.#hasLent = false;
    this.#current = this.#next;
    return this.#current;
  }

  /** Returns when the file has everything of that range. */
  waitForRange(offset: number, length: number): void {
    this.#writes?.waitForRange(offset, length);
  }

  /** Returns when the file has everything. */
  drain(): void {
    this.#writes?.drain();
  }

  read(offset: number, into: Uint8Array): void {
    this.#writes?.waitForRange(offset, into.length);
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    if (from.length < SHORTEST_LENT || from.buffer !== this.#memories[this.#current]) {
      this.#writes?.drain();
      this.#base.write(offset, from);
      return;
    }
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    if (this.#writes?.isRunning !== true) {
      this.#base.write(offset, from);
      this.#direct += from.length;
      if (this.#direct >= BYTES_THRESHOLD) {
        this.#writes ??= new LentWrites(this.#base, this.#place, this.#memories);
      }
      return;
    }
    // Waited for before anything is lent: an error of earlier writes is this one's answer, and this one is not done.
    if (!this.#hasLent) this.#writes.waitForMemory(this.#next);
    this.#writes.lend(this.#current, offset, from);
    this.#hasLent = true;
  }

  zero(offset: number, length: number): void {
    this.#writes?.drain();
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
    this.#writes?.drain();
    discardRange(this.#base, offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    this.#writes?.drain();
    return extentsOf(this.#base, offset, length);
  }

  flush(): void {
    this.#writes?.drain();
    this.#base.flush();
  }

  close(): void {
    try {
      this.#writes?.end();
    } finally {
      this.#base.close();
    }
  }

  get #next(): number {
    return (this.#current + 1) % this.#memories.length;
  }
}
