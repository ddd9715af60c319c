import { GrubError } from './grub-error.ts';

/**
 * GRUB's names of drives and partitions: `(fd0)`, `(hd0)`, `(hd0,0)`, `(hd0,0,a)`, `(hd0,a)`. Partitions count from
 * 0, logical ones from 4.
 */
export interface GrubDevice {
  /** BIOS drive: floppies from 0x00, hard disks from 0x80. */
  readonly drive: number;
  /** As GRUB keeps it on disk: PC partition << 16 | BSD partition << 8 | 0xff, each 0xff for none. */
  readonly partition: number;
}

/** No partition: the whole drive. */
export const WHOLE_DRIVE = 0xffffff;

const MAX_DRIVES = 8;
/** The letters of BSD partitions: `a` to `h`. */
const BSD_LETTERS = 'abcdefgh';

export function isHardDisk(drive: number): boolean {
  return (drive & 0x80) !== 0;
}

/** Index of the partition in the PC partition table, 0xff for none. */
export function pcPartition(partition: number): number {
  return (partition >>> 16) & 0xff;
}

/** Index of the BSD partition, 0xff for none. */
export function bsdPartition(partition: number): number {
  return (partition >>> 8) & 0xff;
}

export interface ParsedDevice {
  readonly device: GrubDevice;
  /** What follows the closing parenthesis. */
  readonly rest: string;
}

/** Reads the device at the start of `text`; Errors 11, 12 and 23 as GRUB gives them. */
export function parseDevice(text: string): ParsedDevice {
  const match = /^\(([a-z])d/.exec(text);
  if (match === null) throw new GrubError(11);
  const hard = match[1] === 'h';
  if (!hard && match[1] !== 'f') {
    // (cd) and (nd) exist where GRUB runs on the bare machine; its shell then looks for a drive number.
    throw new GrubError(match[1] === 'c' || match[1] === 'n' ? 23 : 11);
  }
  const number = parseNumber(text.slice(3));
  let rest = number.rest;
  if (number.value >= MAX_DRIVES) throw new GrubError(12);
  const drive = number.value + (hard ? 0x80 : 0);
  let partition = WHOLE_DRIVE;
  if (rest.startsWith(',') && hard) {
    ({ partition, rest } = parsePartition(rest));
  }
  if (!rest.startsWith(')')) throw new GrubError(11);
  return { device: { drive, partition }, rest: rest.slice(1) };
}

/** `,0`, `,0,a` or `,a`. */
function parsePartition(text: string): { partition: number; rest: string } {
  let rest = text.slice(1);
  let pc = 0xff;
  let bsd = 0xff;
  if (/^[0-9]/.test(rest)) {
    const number = parseNumber(rest);
    pc = number.value & 0xff;
    rest = number.rest;
    if (rest.startsWith(',')) rest = rest.slice(1);
    else return { partition: (pc << 16) | 0xffff, rest };
  }
  if (rest !== '' && BSD_LETTERS.includes(rest[0]!)) {
    bsd = BSD_LETTERS.indexOf(rest[0]!);
    rest = rest.slice(1);
  }
  return { partition: (pc << 16) | (bsd << 8) | 0xff, rest };
}

export interface ParsedNumber {
  readonly value: number;
  readonly rest: string;
}

/** Decimal, or hexadecimal after `0x`; Error 23 when there is no digit. */
export function parseNumber(text: string): ParsedNumber {
  const match = /^(0x([0-9a-f]+)|[0-9]+)/i.exec(text);
  if (match === null) throw new GrubError(23);
  const value = match[2] === undefined ? Number(match[1]) : Number.parseInt(match[2], 16);
  if (value > 0xffffffff) throw new GrubError(23);
  return { value, rest: text.slice(match[0].length) };
}

/** `(hd0,0)`. Floppies show no partition. */
export function formatDevice({ drive, partition }: GrubDevice): string {
  const name = `${isHardDisk(drive) ? 'hd' : 'fd'}${drive & 0x7f}`;
  if (!isHardDisk(drive) || partition === WHOLE_DRIVE) return `(${name})`;
  const pc = pcPartition(partition);
  const bsd = bsdPartition(partition);
  const parts = [name];
  if (pc !== 0xff) parts.push(String(pc));
  if (bsd !== 0xff) parts.push(String.fromCharCode(0x61 + bsd));
  return `(${parts.join(',')})`;
}
