import type { BlockDevice, Extent } from '../device/block-device.ts';
import { discardRange, extentsOf, zeroRange } from '../device/block-device.ts';

/** What was to be read, and where to. */
export interface PutOffRead {
  /** Bytes into the device. */
  readonly offset: number;
  readonly into: Uint8Array;
}

/** Notices whether anything was written, and can put off reading content that its asker only hands on. */
export class WatchedDevice implements BlockDevice {
  readonly #base: BlockDevice;
  #written = false;
  /** Reads into this memory are put off. */
  #memory: ArrayBufferLike | undefined;
  #putOff: PutOffRead[] = [];
  readonly #withoutBarriers: boolean;

  /** `withoutBarriers`: `flush` does nothing. */
  constructor(base: BlockDevice, options: { readonly withoutBarriers?: boolean } = {}) {
    this.#base = base;
    this.#withoutBarriers = options.withoutBarriers === true;
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

  /** Since the last call. */
  takeWritten(): boolean {
    const written = this.#written;
    this.#written = false;
    return written;
  }

  /** From now on reads straight into the memory of `target` are only noted, until `takeReads`. */
  putOffReads(target: Uint8Array): void {
    this.#memory = target.buffer;
  }

  /** What was noted: the caller reads it, or knows that nobody wants it. */
  takeReads(): readonly PutOffRead[] {
    this.#memory = undefined;
    const noted = this.#putOff;
    if (noted.length > 0) this.#putOff = [];
    return noted;
  }

  read(offset: number, into: Uint8Array): void {
    if (this.#memory !== undefined && into.buffer === this.#memory) this.#putOff.push({ offset, into });
    else this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#written = true;
    this.#base.write(offset, from);
  }

  zero(offset: number, length: number): void {
    this.#written = true;
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
    this.#written = true;
    discardRange(this.#base, offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    return extentsOf(this.#base, offset, length);
  }

  flush(): void {
    if (!this.#withoutBarriers) this.#base.flush();
  }

  /** What `flush` has left out. */
  flushAtLast(): void {
    if (this.#withoutBarriers) this.#base.flush();
  }

  close(): void {
    this.#base.close();
  }
}
