import fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseMountTable, readMountTable } from '../../src/host/mount-table.ts';

describe('the mount table', () => {
  it('is read with any number of optional fields and with escaped blanks', () => {
    const text =
      '36 35 98:0 /mnt1 /mnt/a\\040b\\134c rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n' +
      '37 35 7:3 / /mnt/plain ro - ext2 /dev/loop3 ro\n';
    expect(parseMountTable(text)).toEqual([
      {
        id: 36,
        parent: 35,
        device: '98:0',
        root: '/mnt1',
        directory: '/mnt/a b\\c',
        options: 'rw,noatime',
        type: 'ext3',
        source: '/dev/root',
        superOptions: 'rw,errors=continue',
      },
      {
        id: 37,
        parent: 35,
        device: '7:3',
        root: '/',
        directory: '/mnt/plain',
        options: 'ro',
        type: 'ext2',
        source: '/dev/loop3',
        superOptions: 'ro',
      },
    ]);
  });

  it('passes over what is cut off', () => {
    expect(parseMountTable('36 35 98:0 /\n\n36 35 98:0 / /x rw\n')).toEqual([]);
  });

  it.skipIf(!fs.existsSync('/proc/self/mountinfo'))('holds the root of this machine', () => {
    expect(readMountTable().map(({ directory }) => directory)).toContain('/');
  });
});
