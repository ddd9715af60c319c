import { encodeUtf8 } from '../../../bytes/utf8.ts';
import type { FatBits } from './layout.ts';

/**
 * What dosfstools puts where a boot loader would be: it prints a message, waits for a key and lets the BIOS try the
 * next disk. The BIOS loads the sector to 0x7c00.
 */
// prettier-ignore
const BOOT_CODE = Uint8Array.of(
  0x0e, //             push cs
  0x1f, //             pop ds
  0xbe, 0x00, 0x00, // mov si, message      the address is filled in below
  0xac, //             next: lodsb
  0x22, 0xc0, //       and al, al
  0x74, 0x0b, //       jz wait
  0x56, //             push si
  0xb4, 0x0e, //       mov ah, 0x0e         int 10h: teletype output
  0xbb, 0x07, 0x00, // mov bx, 7            page 0, light grey
  0xcd, 0x10, //       int 0x10
  0x5e, //             pop si
  0xeb, 0xf0, //       jmp next
  0x32, 0xe4, //       wait: xor ah, ah     int 16h: read a key
  0xcd, 0x16, //       int 0x16
  0xcd, 0x19, //       int 0x19             boot again
  0xeb, 0xfe, //       jmp $
);
const MESSAGE_ADDRESS_OFFSET = 3;
const LOAD_ADDRESS = 0x7c00;

/** Byte offset of the boot code in the boot sector. */
const CODE_OFFSET: Readonly<Record<FatBits, number>> = { 12: 0x3e, 16: 0x3e, 32: 0x5a };
/** The code ends before the 0xaa55, or before the disk signature of a partition table. */
const CODE_END = 0x1fe;
const CODE_END_WITH_MBR = 0x1b8;

const DEFAULT_MESSAGE = encodeUtf8(
  'This is not a bootable disk.  Please insert a bootable floppy and\r\npress any key to try again ... \r\n',
);

/** The longest message that fits without a partition table on FAT12 and FAT16. */
export const MAX_MESSAGE_LENGTH = 418;
const TAB_WIDTH = 8;

/**
 * A text for the screen: lines end in CR LF (blank lines, and a blank first line, in LF alone, as dosfstools has it),
 * tabs become spaces, NULs go. Cut at MAX_MESSAGE_LENGTH; `truncated` when that length was reached.
 */
export function prepareMessage(text: Uint8Array): { message: Uint8Array; truncated: boolean } {
  const result: number[] = [];
  let column = 0;
  for (const byte of text) {
    if (byte === 0x00 || byte === 0x0d) continue;
    if (byte === 0x0a) {
      if (result.length > 0 && result.at(-1) !== 0x0a) result.push(0x0d);
      result.push(0x0a);
      column = 0;
    } else if (byte === 0x09) {
      do {
        result.push(0x20);
        column++;
      } while (column % TAB_WIDTH !== 0);
    } else {
      result.push(byte);
      column++;
    }
    if (result.length >= MAX_MESSAGE_LENGTH) break;
  }
  return {
    message: Uint8Array.from(result.slice(0, MAX_MESSAGE_LENGTH)),
    truncated: result.length >= MAX_MESSAGE_LENGTH,
  };
}

/** How long a message, without its final NUL, may be there. */
export function messageCapacity(fatBits: FatBits, mbr: boolean): number {
  return (mbr ? CODE_END_WITH_MBR : CODE_END) - CODE_OFFSET[fatBits] - BOOT_CODE.length - 1;
}

/** How much of a message can be shown: FAT32 and the partition table each leave less room. */
export function fitMessage(message: Uint8Array, fatBits: FatBits, mbr: boolean): Uint8Array {
  return message.subarray(0, messageCapacity(fatBits, mbr));
}

/** Writes code and message into the boot sector. The message has to fit. */
export function writeBootCode(
  sector: Uint8Array,
  fatBits: FatBits,
  message: Uint8Array = DEFAULT_MESSAGE,
): void {
  const codeOffset = CODE_OFFSET[fatBits];
  const messageOffset = codeOffset + BOOT_CODE.length;
  sector.set(BOOT_CODE, codeOffset);
  const address = LOAD_ADDRESS + messageOffset;
  sector[codeOffset + MESSAGE_ADDRESS_OFFSET] = address & 0xff;
  sector[codeOffset + MESSAGE_ADDRESS_OFFSET + 1] = address >> 8;
  sector.set(message, messageOffset);
}
