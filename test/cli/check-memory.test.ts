import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { formatExt } from '../../src/filesystem/ext/format/format.ts';
import { Volume } from '../../src/filesystem/ext/volume.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { spawnSync } from '../support/programs.ts';
import { temporaryFolder } from '../support/tools.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../bin/userloop');
/** MiB that V8 may take for objects: what the check of an empty volume takes, and some. */
const HEAP = 48;
const INODE_SIZE = 256;
/** Blocks that the longest extent holds, and how many of these an inode can have. */
const LONGEST = 0x8000;
const EXTENTS = 4;

/** A file whose inode says that it has these blocks. */
function inodeOf(starts: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(INODE_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(0x00, 0o100644, true);
  view.setUint32(0x04, 4096, true);
  view.setUint16(0x1a, 1, true);
  view.setUint32(0x20, 0x80000, true);
  view.setUint16(0x28, 0xf30a, true);
  view.setUint16(0x2a, starts.length, true);
  view.setUint16(0x2c, 4, true);
  for (const [index, start] of starts.entries()) {
    view.setUint32(0x34 + 12 * index, index * LONGEST, true);
    view.setUint16(0x38 + 12 * index, LONGEST, true);
    view.setUint32(0x3c + 12 * index, start, true);
  }
  view.setUint16(0x80, 32, true);
  return bytes;
}

it('takes no memory for each block of hundreds of files that say the same GiB to be theirs', () => {
  const image = path.join(temporaryFolder(), 'shared.img');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 16 * 2 ** 30);
  const device = FileDevice.open(image);
  formatExt(device, {
    type: 'ext4',
    features: '^has_journal,^metadata_csum,^64bit,^uninit_bg',
    inodeSize: INODE_SIZE,
    now: { seconds: 1_700_000_000, nanoseconds: 0 },
    uuid: new Uint8Array(16).fill(7),
    hashSeed: new Uint8Array(16).fill(9),
  });
  const volume = Volume.open(device, steppingClock());
  const { blockSize, blockCount } = volume.geometry;
  const table = volume.groups.get(0).inodeTable * blockSize;
  const starts = Array.from({ length: EXTENTS }, (_, index) => blockCount / 2 + 5000 + index * LONGEST);
  for (let number = 12; number < 400; number++)
    device.write(table + (number - 1) * INODE_SIZE, inodeOf(starts));
  device.flush();
  device.close();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [`--max-old-space-size=${HEAP}`, PROGRAM, 'check', '-n', image],
    { encoding: 'utf8' },
  );
  expect(stderr.slice(0, 500)).toBe('');
  expect(status).toBe(4);
  // The first keeps them: of each of the others it is told that they are not its own.
  expect(stdout).toContain(
    'Inode 13 shares 131072 blocks with inode 12: at least one of them has lost content',
  );
  expect(stdout).toContain('Inode 399 shares 131072 blocks with inode 12');
});
