import type { DeviceNumber } from '../file-system.ts';

/**
 * Device numbers in `i_block`: one word of 8-bit major and minor where that is enough, else a zero and a word in
 * Linux' newer encoding (20-bit minor, 12-bit major).
 */
export function decodeDevice(short: number, long: number): DeviceNumber {
  if (short !== 0) return { major: (short >>> 8) & 0xff, minor: short & 0xff };
  return { major: (long >>> 8) & 0xfff, minor: (long & 0xff) | ((long >>> 12) & 0xfff00) };
}

/** The first two words of `i_block`, or undefined when the number has too many bits. */
export function encodeDevice(device: DeviceNumber): readonly [short: number, long: number] | undefined {
  const { major, minor } = device;
  if (!(major >= 0 && major <= 0xfff && minor >= 0 && minor <= 0xfffff)) return undefined;
  if (major < 256 && minor < 256) return [(major << 8) | minor, 0];
  return [0, ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0];
}
