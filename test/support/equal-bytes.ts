import { expect } from 'vitest';

/**
 * Has toEqual and its like compare arrays of bytes as such: byte by byte, as any other object, a mebibyte takes them seconds. Those that
 * differ are left to them, for what they print then.
 */
expect.addEqualityTesters([
  function haveEqualBytes(a: unknown, b: unknown): boolean | undefined {
    const comparable =
      a instanceof Uint8Array &&
      b instanceof Uint8Array &&
      Object.getPrototypeOf(a) === Object.getPrototypeOf(b);
    return comparable && Buffer.compare(a, b) === 0 ? true : undefined;
  },
]);
