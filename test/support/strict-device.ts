import type { BlockDevice } from '../../src/device/block-device.ts';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import type { Random } from './ext-damage.ts';

/** Takes it for an error in the caller when it is asked for what lies outside, or written to without `mayWrite`. */
export class StrictDevice implements BlockDevice {
  readonly sectorSize = 512;
  readonly readOnly = false;
  readonly size: number;
  readonly #base: MemoryDevice;
  readonly #mayWrite: boolean;

  constructor(base: MemoryDevice, { mayWrite = false }: { readonly mayWrite?: boolean } = {}) {
    this.#base = base;
    this.#mayWrite = mayWrite;
    this.size = base.size;
  }

  read(offset: number, into: Uint8Array): void {
    this.#check('read', offset, into.length);
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#checkWrite('write', offset, from.length);
    this.#base.write(offset, from);
  }

  zero(offset: number, length: number): void {
    this.#checkWrite('zero', offset, length);
    this.#base.zero(offset, length);
  }

  flush(): void {}

  close(): void {}

  #checkWrite(what: string, offset: number, length: number): void {
    if (!this.#mayWrite) throw new TypeError(`${what} of ${length} bytes at ${offset} of what is only read`);
    this.#check(what, offset, length);
  }

  #check(what: string, offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset + length <= this.size) return;
    throw new TypeError(`${what} of ${length} bytes at ${offset} on a device of ${this.size}`);
  }
}

/** One to four kinds of damage, one after the other. */
export function damageSome(
  good: Uint8Array,
  kinds: readonly string[],
  random: Random,
  damage: (image: Uint8Array, kind: string, random: Random) => Uint8Array,
): Uint8Array {
  let image = good;
  for (let count = 1 + random(4); count > 0; count--) {
    try {
      image = damage(image, kinds[random(kinds.length)]!, random);
    } catch (error) {
      // The damage before has taken away what this one would damage.
      if (!(error instanceof RangeError) && !(error instanceof TypeError)) throw error;
    }
  }
  return image;
}
