import type { LabelEncoding } from '../../../filesystem/fat/format/label.ts';

/** DOS and Windows code pages whose lower half is ASCII, and of which nothing more is known here. */
const ASCII_COMPATIBLE = new Set([
  737, 775, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 866, 869, 874, 932, 936, 949, 950, 1250, 1251,
  1252, 1253, 1254, 1255, 1256, 1257, 1258,
]);

/** Such a code page, with ASCII alone in it; undefined for any other number. */
export function asciiCodePage(number: number): LabelEncoding | undefined {
  if (!ASCII_COMPATIBLE.has(number)) return undefined;
  return {
    number,
    encode: (character) => (character <= '\x7f' ? character.charCodeAt(0) : undefined),
  };
}
