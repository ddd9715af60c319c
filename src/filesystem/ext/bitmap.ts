/** Bitmaps as ext keeps them: bit n is bit n % 8 of byte n / 8, 1 means in use. Searches take 32 bits a step. */

export function testBit(bitmap: Uint8Array, bit: number): boolean {
  return (bitmap[bit >>> 3]! & (1 << (bit & 7))) !== 0;
}

export function setBit(bitmap: Uint8Array, bit: number): void {
  bitmap[bit >>> 3]! |= 1 << (bit & 7);
}

export function clearBit(bitmap: Uint8Array, bit: number): void {
  bitmap[bit >>> 3]! &= ~(1 << (bit & 7));
}

/** The first clear bit of `[from, end)`, or `end`. */
export function nextClear(bitmap: Uint8Array, from: number, end: number): number {
  return nextWith(bitmap, from, end, 0xff);
}

/** The first set bit of `[from, end)`, or `end`. */
export function nextSet(bitmap: Uint8Array, from: number, end: number): number {
  return nextWith(bitmap, from, end, 0);
}

/** The first bit whose byte, taken exclusive-or with `flip`, has it set. */
function nextWith(bitmap: Uint8Array, from: number, end: number, flip: number): number {
  let bit = from;
  while (bit < end) {
    if ((bit & 31) === 0 && bit + 32 <= end) {
      const at = bit >>> 3;
      const word =
        (bitmap[at]! | (bitmap[at + 1]! << 8) | (bitmap[at + 2]! << 16) | (bitmap[at + 3]! << 24)) ^
        (flip === 0 ? 0 : -1);
      if (word === 0) {
        bit += 32;
        continue;
      }
      return bit + 31 - Math.clz32(word & -word);
    }
    if (((bitmap[bit >>> 3]! ^ flip) & (1 << (bit & 7))) !== 0) return bit;
    bit++;
  }
  return end;
}

/** Sets `[from, from + count)`. */
export function setRange(bitmap: Uint8Array, from: number, count: number): void {
  fillRange(bitmap, from, count, true);
}

/** Clears `[from, from + count)`. */
export function clearRange(bitmap: Uint8Array, from: number, count: number): void {
  fillRange(bitmap, from, count, false);
}

function fillRange(bitmap: Uint8Array, from: number, count: number, value: boolean): void {
  const end = from + count;
  let bit = from;
  for (; bit < end && (bit & 7) !== 0; bit++) {
    if (value) setBit(bitmap, bit);
    else clearBit(bitmap, bit);
  }
  const whole = (end - bit) >>> 3;
  if (whole > 0) {
    bitmap.fill(value ? 0xff : 0, bit >>> 3, (bit >>> 3) + whole);
    bit += whole * 8;
  }
  for (; bit < end; bit++) {
    if (value) setBit(bitmap, bit);
    else clearBit(bitmap, bit);
  }
}
