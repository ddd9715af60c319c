/**
 * The hashes that order a directory's index (Linux Documentation/filesystems/ext4/directory.rst, "Hash Tree
 * Directories"). The unsigned variants take a name's bytes as unsigned numbers; the signed ones as `char` was on x86.
 */
export const HashVersion = {
  legacy: 0,
  halfMd4: 1,
  tea: 2,
  legacyUnsigned: 3,
  halfMd4Unsigned: 4,
  teaUnsigned: 5,
} as const;

/** Four words; a seed of zeros stands for the ones that MD4 begins with. */
const DEFAULT_SEED = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476] as const;
/** The largest value is taken by the end of the directory. */
const END_OF_DIRECTORY = 0xffff_fffe;

const state = new Int32Array(4);
const words = new Int32Array(8);

/** The hash of a name, its lowest bit clear; undefined for a version that is not known. */
export function directoryHash(name: Uint8Array, version: number, seed: Uint8Array): number | undefined {
  const signed = version <= HashVersion.tea;
  let hash: number;
  switch (version) {
    case HashVersion.legacy:
    case HashVersion.legacyUnsigned:
      hash = legacyHash(name, signed);
      break;
    case HashVersion.halfMd4:
    case HashVersion.halfMd4Unsigned:
      startState(seed);
      for (let at = 0; at === 0 || at < name.length; at += 32) {
        if (name.length === 0) break;
        packName(name, at, 8, signed);
        halfMd4();
      }
      hash = state[1]!;
      break;
    case HashVersion.tea:
    case HashVersion.teaUnsigned:
      startState(seed);
      for (let at = 0; at < name.length; at += 16) {
        packName(name, at, 4, signed);
        tea();
      }
      hash = state[0]!;
      break;
    default:
      return undefined;
  }
  const even = (hash & ~1) >>> 0;
  return even === END_OF_DIRECTORY ? END_OF_DIRECTORY - 2 : even;
}

function startState(seed: Uint8Array): void {
  let given = 0;
  for (let i = 0; i < 4; i++) {
    const at = 4 * i;
    const word = seed[at]! | (seed[at + 1]! << 8) | (seed[at + 2]! << 16) | (seed[at + 3]! << 24);
    state[i] = word;
    given |= word;
  }
  if (given === 0) for (let i = 0; i < 4; i++) state[i] = DEFAULT_SEED[i]!;
}

/** Fills `count` words with the name from `at` on, first byte highest; the rest is the remaining length in every byte. */
function packName(name: Uint8Array, at: number, count: number, signed: boolean): void {
  const rest = name.length - at;
  const pad = Math.imul(rest & 0xff, 0x0101_0101) | 0;
  const length = Math.min(rest, count * 4);
  // The pad holds the length's low byte in all four places; lengths stay below 256.
  let value = pad;
  let index = 0;
  for (let i = 0; i < length; i++) {
    const byte = name[at + i]!;
    const char = signed ? (byte << 24) >> 24 : byte;
    value = (char + (value << 8)) | 0;
    if (i % 4 === 3) {
      words[index++] = value;
      value = pad;
    }
  }
  if (index < count) words[index++] = value;
  while (index < count) words[index++] = pad;
}

function legacyHash(name: Uint8Array, signed: boolean): number {
  let hash0 = 0x12a3_fe2d;
  let hash1 = 0x37ab_e8f9;
  for (const byte of name) {
    const char = signed ? (byte << 24) >> 24 : byte;
    let hash = (hash1 + (hash0 ^ Math.imul(char, 7152373))) | 0;
    if (hash < 0) hash = (hash - 0x7fff_ffff) | 0;
    hash1 = hash0;
    hash0 = hash;
  }
  return hash0 << 1;
}

/** The block cipher TEA as a compression function, 16 rounds. */
function tea(): void {
  let b0 = state[0]!;
  let b1 = state[1]!;
  let sum = 0;
  for (let round = 0; round < 16; round++) {
    sum = (sum + 0x9e37_79b9) | 0;
    b0 = (b0 + (((b1 << 4) + words[0]!) ^ (b1 + sum) ^ ((b1 >>> 5) + words[1]!))) | 0;
    b1 = (b1 + (((b0 << 4) + words[2]!) ^ (b0 + sum) ^ ((b0 >>> 5) + words[3]!))) | 0;
  }
  state[0] = (state[0]! + b0) | 0;
  state[1] = (state[1]! + b1) | 0;
}

const ROUND_ORDERS: readonly (readonly number[])[] = [
  [0, 1, 2, 3, 4, 5, 6, 7],
  [1, 3, 5, 7, 0, 2, 4, 6],
  [3, 7, 2, 6, 1, 5, 0, 4],
];
const ROUND_CONSTANTS = [0, 0x5a82_7999, 0x6ed9_eba1] as const;
const ROUND_SHIFTS: readonly (readonly number[])[] = [
  [3, 7, 11, 19],
  [3, 5, 9, 13],
  [3, 9, 11, 15],
];

/** MD4's three rounds over 8 words instead of 16. */
function halfMd4(): void {
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  for (let round = 0; round < 3; round++) {
    const order = ROUND_ORDERS[round]!;
    const shifts = ROUND_SHIFTS[round]!;
    for (let step = 0; step < 8; step++) {
      let mixed: number;
      if (round === 0) mixed = d ^ (b & (c ^ d));
      else if (round === 1) mixed = ((b & c) + ((b ^ c) & d)) | 0;
      else mixed = b ^ c ^ d;
      const sum = (a + mixed + words[order[step]!]! + ROUND_CONSTANTS[round]!) | 0;
      const shift = shifts[step & 3]!;
      a = d;
      d = c;
      c = b;
      b = (sum << shift) | (sum >>> (32 - shift));
    }
  }
  state[0] = (state[0]! + a) | 0;
  state[1] = (state[1]! + b) | 0;
  state[2] = (state[2]! + c) | 0;
  state[3] = (state[3]! + d) | 0;
}
