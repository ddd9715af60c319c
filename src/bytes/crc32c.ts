/**
 * CRC-32C (Castagnoli; iSCSI, SCTP, ext4, jbd2): polynomial 0x1edc6f41, bits reflected. What goes in and comes out is the register as it
 * is, without inversion: ext4 stores it so, and goes on from it with the next piece. The usual checksum of a whole
 * is `~crc32c(0xffff_ffff, bytes) >>> 0`; for the text 123456789 that is 0xe3069283.
 */

/** Eight tables of 256, one for each byte of the eight that a step takes. */
const TABLE = new Int32Array(8 * 256);
for (let index = 0; index < 256; index++) {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  TABLE[index] = value;
}
for (let index = 256; index < TABLE.length; index++) {
  const previous = TABLE[index - 256]!;
  TABLE[index] = (previous >>> 8) ^ TABLE[previous & 0xff]!;
}

/** The register after the bytes of `[start, end)`; `value` is the register before, 0xffffffff at first. */
export function crc32c(value: number, data: Uint8Array, start = 0, end: number = data.length): number {
  let register = value | 0;
  let at = start;
  for (const last = end - 8; at <= last; at += 8) {
    const low = register ^ (data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24));
    register =
      TABLE[0x700 | (low & 0xff)]! ^
      TABLE[0x600 | ((low >>> 8) & 0xff)]! ^
      TABLE[0x500 | ((low >>> 16) & 0xff)]! ^
      TABLE[0x400 | (low >>> 24)]! ^
      TABLE[0x300 | data[at + 4]!]! ^
      TABLE[0x200 | data[at + 5]!]! ^
      TABLE[0x100 | data[at + 6]!]! ^
      TABLE[data[at + 7]!]!;
  }
  for (; at < end; at++) register = TABLE[(register ^ data[at]!) & 0xff]! ^ (register >>> 8);
  return register >>> 0;
}

/** The register after the words of `[start, end)`, each lowest byte first: with fewer loads than the bytes take. */
export function crc32cWords(value: number, words: Uint32Array, start: number, end: number): number {
  let register = value | 0;
  let at = start;
  for (const last = end - 2; at <= last; at += 2) {
    const low = register ^ words[at]!;
    const high = words[at + 1]!;
    register =
      TABLE[0x700 | (low & 0xff)]! ^
      TABLE[0x600 | ((low >>> 8) & 0xff)]! ^
      TABLE[0x500 | ((low >>> 16) & 0xff)]! ^
      TABLE[0x400 | (low >>> 24)]! ^
      TABLE[0x300 | (high & 0xff)]! ^
      TABLE[0x200 | ((high >>> 8) & 0xff)]! ^
      TABLE[0x100 | ((high >>> 16) & 0xff)]! ^
      TABLE[high >>> 24]!;
  }
  return at < end ? crc32cWord(register, words[at]!) : register >>> 0;
}

/** The register after the four bytes of `word`, lowest first. */
export function crc32cWord(value: number, word: number): number {
  const low = value ^ word;
  return (
    (TABLE[0x300 | (low & 0xff)]! ^
      TABLE[0x200 | ((low >>> 8) & 0xff)]! ^
      TABLE[0x100 | ((low >>> 16) & 0xff)]! ^
      TABLE[low >>> 24]!) >>>
    0
  );
}
