import type { BlockDevice } from '../../src/device/block-device.ts';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import type { Random } from './ext-damage.ts';

/** Refuses what lies outside, and every write. */
export class StrictDevice implements BlockDevice {
  readonly sectorSize = 512;
  readonly readOnly = false;
  readonly size: number;
  readonly #base: MemoryDevice;

  constructor(base: MemoryDevice) {
    this.#base = base;
    this.size = base.size;
  }

  read(offset: number, into: Uint8Array): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + into.length > this.size)
      throw new TypeError(`read of ${into.length} bytes at ${offset} on a device of ${this.size}`);
    this.#base.read(offset, into);
  }

  write(offset: number): void {
    throw new TypeError(`write at ${offset} during a check`);
  }

  flush(): void {}

  close(): void {}
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
