/** CRC-16 (IBM, ARC): polynomial 0x8005, bits reflected, no inversion at the end. */

const TABLE = new Uint16Array(256);
for (let index = 0; index < 256; index++) {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ 0xa001 : value >>> 1;
  TABLE[index] = value;
}

/**
 * The register after the bytes of `[start, end)`; `value` is the register before: 0 at first for the text
 * 123456789 to give 0xbb3d, 0xffff at first in ext4's group descriptors.
 */
export function crc16(value: number, data: Uint8Array, start = 0, end: number = data.length): number {
  let register = value;
  for (let at = start; at < end; at++) register = TABLE[(register ^ data[at]!) & 0xff]! ^ (register >>> 8);
  return register;
}
