import { expect, test } from 'vitest';

// What test/support/equal-bytes.ts puts in place of vitest's own comparison.
test('bytes are equal when they are, wherever they stand, and else not', () => {
  const bytes = Uint8Array.of(1, 2, 3);
  expect(bytes).toEqual(Uint8Array.of(0, 1, 2, 3).subarray(1));
  expect({ name: 'a', bytes: [bytes] }).toEqual({ name: 'a', bytes: [bytes.slice()] });
  expect({ name: 'a', bytes: [bytes] }).not.toEqual({ name: 'a', bytes: [Uint8Array.of(1, 2, 4)] });
  for (const other of [Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3, 0), new Uint8Array(3)])
    expect(bytes).not.toEqual(other);
  expect(bytes).not.toStrictEqual(Buffer.from(bytes));
  expect(bytes).not.toEqual([1, 2, 3]);
});
