import { FsError } from '../errors.ts';
import { type BlockDevice, type Extent, discardRange, extentsOf, zeroRange } from './block-device.ts';

export interface FaultOptions {
  /** Every write (also zero and discard) from this one on fails with EIO; the first has number 0. */
  readonly failWritesFrom?: number;
  /** The failing write leaves this many of its first bytes on the device: a torn sector. */
  readonly tornBytes?: number;
  /** Reads that touch these ranges fail with EIO: bad sectors. */
  readonly badRanges?: readonly { readonly offset: number; readonly length: number }[];
  /** Called before every write that goes through. */
  readonly onWrite?: (offset: number, length: number) => void;
}

/** Fails on purpose, for tests: power cuts at a given write, bad sectors, a log of what was written. */
export class FaultDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  /** Writes seen so far, the failed ones too. */
  writeCount = 0;
  /** Flushes seen so far. */
  flushCount = 0;
  readonly #base: BlockDevice;
  readonly #options: FaultOptions;

  constructor(base: BlockDevice, options: FaultOptions = {}) {
    this.#base = base;
    this.#options = options;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
    this.readOnly = base.readOnly;
  }

  read(offset: number, into: Uint8Array): void {
    for (const bad of this.#options.badRanges ?? []) {
      if (offset < bad.offset + bad.length && bad.offset < offset + into.length) {
        throw new FsError('EIO', { syscall: 'read', detail: `injected fault at byte ${bad.offset}` });
      }
    }
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    if (this.#fails()) {
      const torn = Math.min(this.#options.tornBytes ?? 0, from.length);
      if (torn > 0 && this.writeCount - 1 === this.#options.failWritesFrom) {
        this.#base.write(offset, from.subarray(0, torn));
      }
      throw new FsError('EIO', {
        syscall: 'write',
        detail: `injected fault at write ${this.writeCount - 1}`,
      });
    }
    this.#options.onWrite?.(offset, from.length);
    this.#base.write(offset, from);
  }

  zero(offset: number, length: number): void {
    if (this.#fails()) {
      throw new FsError('EIO', { syscall: 'zero', detail: `injected fault at write ${this.writeCount - 1}` });
    }
    this.#options.onWrite?.(offset, length);
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
    if (this.#fails()) {
      throw new FsError('EIO', {
        syscall: 'discard',
        detail: `injected fault at write ${this.writeCount - 1}`,
      });
    }
    this.#options.onWrite?.(offset, length);
    discardRange(this.#base, offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    return extentsOf(this.#base, offset, length);
  }

  flush(): void {
    this.flushCount++;
    this.#base.flush();
  }

  close(): void {
    this.#base.close();
  }

  #fails(): boolean {
    const { failWritesFrom } = this.#options;
    return this.writeCount++ >= (failWritesFrom ?? Number.POSITIVE_INFINITY);
  }
}
