import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

let addressOfBuffer: ((bytes: Uint8Array) => bigint) | undefined;

/** Where the bytes lie in memory, for structures that point to each other. They must be kept reachable as long as it is used. */
export function addressOf(bytes: Uint8Array): bigint {
  addressOfBuffer ??= (createRequire(import.meta.url)('koffi') as typeof Koffi).address as (
    bytes: Uint8Array,
  ) => bigint;
  return addressOfBuffer(bytes);
}

/** Zeroed memory of a fixed place: a small typed array may be moved by the collector until it has a buffer of its own. `align`: a power of two. */
export function fixedMemory(length: number, align = 8): Uint8Array {
  const buffer = new ArrayBuffer(length + align);
  const start = Number(addressOf(new Uint8Array(buffer)) % BigInt(align));
  return new Uint8Array(buffer, start === 0 ? 0 : align - start, length);
}
