import { isZero } from '../bytes/is-zero.ts';

/** What the code in a boot sector is. */
export interface BootCode {
  readonly id:
    | 'none'
    | 'not-bootable'
    | 'grub-legacy'
    | 'grub2'
    | 'syslinux'
    | 'extlinux'
    | 'syslinux-mbr'
    | 'freebsd-boot0'
    | 'dos-mbr'
    | 'dos'
    | 'windows-nt'
    | 'windows'
    | 'unknown';
  /** For people. */
  readonly name: string;
}

interface Signature extends BootCode {
  /** All of these texts are in the sector. */
  readonly texts: readonly string[];
  /** These bytes are at this offset. */
  readonly at?: readonly [offset: number, ...bytes: number[]];
}

/**
 * In the order in which they are tried. The texts are those that each loader prints; the offsets are documented by the
 * loaders as part of their interface with their installers.
 */
const SIGNATURES: readonly Signature[] = [
  // GRUB legacy's stage1 tells its interface version, 3.2, at byte 0x3e; GRUB 2's boot.img has code there.
  { id: 'grub-legacy', name: 'GRUB legacy stage1', texts: ['GRUB ', 'Geom', 'Hard Disk'], at: [0x3e, 3, 2] },
  { id: 'grub2', name: 'GRUB 2 boot.img', texts: ['GRUB ', 'Geom', 'Hard Disk'] },
  {
    id: 'not-bootable',
    name: 'a message that the disk is not bootable',
    texts: ['This is not a bootable disk'],
  },
  // "EXTLINUX" or "SYSLINUX" is the OEM name at byte 3.
  { id: 'extlinux', name: 'EXTLINUX', texts: [], at: [3, 0x45, 0x58, 0x54, 0x4c, 0x49, 0x4e, 0x55, 0x58] },
  { id: 'syslinux', name: 'SYSLINUX', texts: [], at: [3, 0x53, 0x59, 0x53, 0x4c, 0x49, 0x4e, 0x55, 0x58] },
  {
    id: 'syslinux-mbr',
    name: 'SYSLINUX master boot record',
    texts: ['Missing operating system', 'Operating system load error'],
  },
  // The names end in a character with its high bit set, so that "FreeBSD" is cut short here.
  { id: 'freebsd-boot0', name: 'FreeBSD boot0', texts: ['Default: ', 'FreeBS'] },
  { id: 'windows', name: 'Windows boot sector (BOOTMGR)', texts: ['BOOTMGR'] },
  { id: 'windows-nt', name: 'Windows NT boot sector (NTLDR)', texts: ['NTLDR'] },
  {
    id: 'dos-mbr',
    name: 'MS-DOS or Windows master boot record',
    texts: ['Invalid partition table', 'Missing operating system'],
  },
  { id: 'dos', name: 'MS-DOS boot sector', texts: ['Non-System disk'] },
];

/** The partition table and the signature are no code. */
const CODE_SIZE = 0x1b8;

/** `sector`: 512 bytes. */
export function recognizeBootCode(sector: Uint8Array): BootCode {
  let text = '';
  for (const byte of sector) text += String.fromCharCode(byte);
  for (const { id, name, texts, at } of SIGNATURES) {
    if (at !== undefined && !hasBytes(sector, at)) continue;
    if (texts.every((each) => text.includes(each))) return { id, name };
  }
  if (isZero(sector.subarray(codeStart(sector), CODE_SIZE))) return { id: 'none', name: 'none' };
  return { id: 'unknown', name: 'unknown code' };
}

function hasBytes(sector: Uint8Array, [offset, ...bytes]: readonly [number, ...number[]]): boolean {
  return bytes.every((byte, index) => sector[offset + index] === byte);
}

/** A FAT boot sector begins with a jump over its parameter block, which is no code, either. */
function codeStart(sector: Uint8Array): number {
  if (sector[0] === 0xeb && sector[2] === 0x90) return 2 + sector[1]!;
  return 0;
}
