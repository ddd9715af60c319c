import { encodeUtf8 } from '../../../bytes/utf8.ts';
import type { FatBits } from './layout.ts';

/**
 * What newfs_msdos puts where a boot loader would be: says so, waits for a key and boots again. It finds its own
 * message, so that it can lie anywhere in the sector.
 */
// prettier-ignore
const BOOT_CODE = Uint8Array.of(
  0xfa, //             cli
  0x31, 0xc0, //       xor ax, ax
  0x8e, 0xd0, //       mov ss, ax
  0xbc, 0x00, 0x7c, // mov sp, 0x7c00
  0xfb, //             sti
  0x8e, 0xd8, //       mov ds, ax
  0xe8, 0x00, 0x00, // call $ + 3
  0x5e, //             pop si
  0x83, 0xc6, 0x19, // add si, 25           from here to the message
  0xbb, 0x07, 0x00, // mov bx, 7            page 0, light grey
  0xfc, //             cld
  0xac, //             next: lodsb
  0x84, 0xc0, //       test al, al
  0x74, 0x06, //       jz wait
  0xb4, 0x0e, //       mov ah, 0x0e         int 10h: teletype output
  0xcd, 0x10, //       int 0x10
  0xeb, 0xf5, //       jmp next
  0x30, 0xe4, //       wait: xor ah, ah     int 16h: read a key
  0xcd, 0x16, //       int 0x16
  0xcd, 0x19, //       int 0x19             boot again
);
const MESSAGE = encodeUtf8('\r\nNon-system disk\r\nPress any key to reboot\r\n');
const CODE_OFFSET: Readonly<Record<FatBits, number>> = { 12: 0x3e, 16: 0x3e, 32: 0x5a };

export function writeBsdBootCode(sector: Uint8Array, fatBits: FatBits): void {
  sector.set(BOOT_CODE, CODE_OFFSET[fatBits]);
  sector.set(MESSAGE, CODE_OFFSET[fatBits] + BOOT_CODE.length);
}

/** A boot program of the user's with this file system's parameter block; its jump and, by default, its OEM name stay. */
export function mergeBootProgram(
  program: Uint8Array,
  bootSector: Uint8Array,
  fatBits: FatBits,
  keepOemName: boolean,
): Uint8Array {
  const result = program.slice();
  const start = keepOemName ? 0x0b : 0x03;
  result.set(bootSector.subarray(start, CODE_OFFSET[fatBits]), start);
  result.set([0x55, 0xaa], 0x1fe);
  return result;
}
