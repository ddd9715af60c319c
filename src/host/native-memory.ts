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

/** `length` bytes of `memory` from its first aligned byte on. */
function alignedIn(memory: ArrayBufferLike, length: number, align: number): Uint8Array {
  const start = Number(addressOf(new Uint8Array(memory)) % BigInt(align));
  return new Uint8Array(memory, start === 0 ? 0 : align - start, length);
}

/** Zeroed memory of a fixed place: a small typed array may be moved by the collector until it has a buffer of its own. `align`: a power of two. */
export function fixedMemory(length: number, align = 8): Uint8Array {
  return alignedIn(new ArrayBuffer(length + align), length, align);
}

/** Likewise; other threads can be given it. */
export function sharedMemory(length: number, align = 8): Uint8Array {
  return alignedIn(new SharedArrayBuffer(length + align), length, align);
}
