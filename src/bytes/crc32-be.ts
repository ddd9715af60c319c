/** CRC-32 most significant bit first (bzip2, POSIX cksum, jbd2's oldest checksum): polynomial 0x04c11db7, not reflected, without inversion. */

const TABLE = new Int32Array(256);
for (let index = 0; index < 256; index++) {
  let value = index << 24;
  for (let bit = 0; bit < 8; bit++) value = value < 0 ? (value << 1) ^ 0x04c1_1db7 : value << 1;
  TABLE[index] = value;
}

/** The register after `data`; `value` is the register before. For the text 123456789 after 0xffffffff it is 0x0376e6e7. */
export function crc32Be(value: number, data: Uint8Array): number {
  let register = value | 0;
  for (const byte of data) register = (register << 8) ^ TABLE[(register >>> 24) ^ byte]!;
  return register >>> 0;
}
