import { describe, expect, it } from 'vitest';
import { recognizeBootCode } from '../../src/disk/boot-code.ts';

function sector(pieces: Readonly<Record<number, string | readonly number[]>>): Uint8Array {
  const bytes = new Uint8Array(512);
  for (const [offset, piece] of Object.entries(pieces)) {
    bytes.set(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece, Number(offset));
  }
  bytes.set([0x55, 0xaa], 510);
  return bytes;
}

describe('boot code', () => {
  it.each([
    ['none', {}],
    ['none', { 0x1be: [0x80, 1, 1, 0, 0x83], 0x1b8: [1, 2, 3, 4] }],
    // A FAT volume that nobody made bootable: a jump, and the parameter block behind it.
    ['none', { 0: [0xeb, 0x3c, 0x90], 3: 'mkfs.fat', 11: [0, 2, 1, 1, 0, 2] }],
    ['not-bootable', { 0: [0xeb, 0x3c, 0x90], 0x5b: 'This is not a bootable disk.  Please insert' }],
    ['grub-legacy', { 0: [0xeb, 0x48, 0x90], 0x3e: [3, 2], 0x17f: 'GRUB \0Geom\0Hard Disk\0Read\0 Error\0' }],
    [
      'grub2',
      { 0: [0xeb, 0x63, 0x90], 0x5a: [0, 0x80], 0x180: 'GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n\0' },
    ],
    ['syslinux', { 0: [0xeb, 0x58, 0x90], 3: 'SYSLINUX', 0x180: 'Boot error\r\n' }],
    ['extlinux', { 0: [0xeb, 0x58, 0x90], 3: 'EXTLINUX' }],
    [
      'dos-mbr',
      {
        0: [0x33, 0xc0],
        0x80: 'Invalid partition table\0Error loading operating system\0Missing operating system',
      },
    ],
    ['freebsd-boot0', { 0: [0xfc, 0x31, 0xc0], 0x1a0: 'Default: ', 0x180: 'Linu\xf8FreeBS\xc4' }],
    ['unknown', { 0: [0xfa, 0xf4, 0xeb, 0xfc] }],
  ] as const)('%s is recognized', (id, pieces) => {
    expect(recognizeBootCode(sector(pieces)).id).toBe(id);
  });
});
