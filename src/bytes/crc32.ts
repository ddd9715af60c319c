/** CRC-32 as in ISO 3309 (zip, Ethernet, GPT): polynomial 0x04c11db7, bits reflected, ones in and ones out. */

const TABLE = new Uint32Array(256);
for (let index = 0; index < 256; index++) {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1;
  TABLE[index] = value;
}

/** `crc32(new TextEncoder().encode('123456789'))` is 0xcbf43926. */
export function crc32(data: Uint8Array): number {
  let value = 0xffff_ffff;
  for (const byte of data) value = TABLE[(value ^ byte) & 0xff]! ^ (value >>> 8);
  return (value ^ 0xffff_ffff) >>> 0;
}
