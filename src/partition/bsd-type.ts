/** Types of partitions in a BSD disklabel, by the number, in the order and the words of util-linux 2.38's `fdisk`. */
export const BSD_TYPES: ReadonlyMap<number, string> = new Map([
  [0, 'unused'],
  [1, 'swap'],
  [2, 'Version 6'],
  [3, 'Version 7'],
  [4, 'System V'],
  [5, '4.1BSD'],
  [6, 'Eighth Edition'],
  [7, '4.2BSD'],
  [8, 'MS-DOS'],
  [9, '4.4LFS'],
  [10, 'unknown'],
  [11, 'HPFS'],
  [12, 'ISO-9660'],
  [13, 'boot'],
  [14, 'ADOS'],
  [15, 'HFS'],
  [16, 'AdvFS'],
]);

export const BSD_UNUSED = 0;
export const BSD_FFS = 7;
const BSD_MSDOS = 8;
const BSD_OTHER = 10;
const BSD_HPFS = 11;

export function bsdTypeName(type: number): string {
  return BSD_TYPES.get(type) ?? 'unknown';
}

/** The type that stands for what an entry of an MBR says. */
export function bsdTypeOfMbr(type: number): number {
  if ([0x01, 0x04, 0x06, 0xe1, 0xe3, 0xf2].includes(type)) return BSD_MSDOS;
  return type === 0x07 ? BSD_HPFS : BSD_OTHER;
}

/** Is this the type, in an MBR, of a partition that holds a disklabel of FreeBSD, OpenBSD or NetBSD? Hidden ones count, too. */
export function isBsdContainer(type: number): boolean {
  return [0xa5, 0xa6, 0xa9].includes(type & ~0x10);
}
