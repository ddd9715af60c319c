import fs from 'node:fs';
import path from 'node:path';
import { type BlockDevice, extentsOf } from '../../src/device/block-device.ts';
import { SUPERBLOCK_MAGIC, Superblock } from '../../src/filesystem/ext/superblock.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { userloop } from './run.ts';
import { runTool } from './tools.ts';

export const RESIZE_CLOCK = { E2FSPROGS_FAKE_TIME: '1600000000' };

/** Arguments of mke2fs under which it makes the same image every time. */
export const FIXED_IDENTITY = [
  '-U',
  '11111111-2222-3333-4444-555555555555',
  '-E',
  'hash_seed=66666666-7777-8888-9999-aaaaaaaaaaaa',
];

export interface ResizeOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ours, in the folder of the image, with the fixed clock. */
export async function resizeOurs(folder: string, args: readonly string[]): Promise<ResizeOutcome> {
  const { status, stdout, stderr } = await userloop(['resize2fs', ...args], {
    cwd: folder,
    env: { SOURCE_DATE_EPOCH: RESIZE_CLOCK.E2FSPROGS_FAKE_TIME },
  });
  return { status, stdout, stderr };
}

/** The real tool, likewise. */
export function resizeTheirs(folder: string, args: readonly string[]): ResizeOutcome {
  const { status, stdout, stderr } = runTool('resize2fs', args, { cwd: folder, env: RESIZE_CLOCK });
  return { status, stdout, stderr };
}

/**
 * Byte offset and bytes of the first difference that the tools should not have. Left out: s_kbytes_written, which counts what the tool's own cache has
 * written, with the checksum over it, in every superblock; and the last byte of the file, where the tool leaves a "0" when it makes the file longer.
 */
export function firstUnexpectedDifference(ours: string, theirs: string): string | undefined {
  const a = FileDevice.open(ours, { readOnly: true });
  const b = FileDevice.open(theirs, { readOnly: true });
  try {
    const { size } = a;
    if (b.size !== size) return `${size} bytes, theirs has ${b.size}`;
    const mine = Buffer.alloc(PIECE);
    const other = Buffer.alloc(PIECE);
    // Where both have a hole there is nothing to compare.
    for (const at of piecesWithData(a, b)) {
      const length = Math.min(PIECE, size - at);
      a.read(at, mine.subarray(0, length));
      b.read(at, other.subarray(0, length));
      if (at + length === size) other[length - 1] = mine[length - 1]!;
      if (mine.compare(other, 0, length, 0, length) === 0) continue;
      for (let within = 0; within < length; within += 1024) {
        const p = mine.subarray(within, Math.min(length, within + 1024));
        const q = other.subarray(within, Math.min(length, within + 1024));
        maskSuperblock(p);
        maskSuperblock(q);
        const first = p.findIndex((byte, index) => byte !== q[index]);
        if (first >= 0) return `byte ${at + within + first}: ${p[first]}, theirs has ${q[first]}`;
      }
    }
    return undefined;
  } finally {
    a.close();
    b.close();
  }
}

const PIECE = 1 << 20;

/** Offsets of the pieces of which one of the devices has data, ascending. */
function piecesWithData(...devices: readonly BlockDevice[]): number[] {
  const pieces = new Set<number>();
  for (const device of devices) {
    for (const { offset, length, kind } of extentsOf(device, 0, device.size)) {
      if (kind !== 'data') continue;
      const first = Math.floor(offset / PIECE);
      for (let piece = first; piece * PIECE < offset + length; piece++) pieces.add(piece * PIECE);
    }
  }
  return [...pieces].sort((x, y) => x - y);
}

function maskSuperblock(sector: Buffer): void {
  if (sector.length < 1024 || sector.readUInt16LE(Superblock.s_magic.offset) !== SUPERBLOCK_MAGIC) return;
  const { offset } = Superblock.s_kbytes_written;
  sector.fill(0, offset, offset + 8);
  sector.fill(0, Superblock.s_checksum.offset);
}

/** Makes an image of so many blocks with mke2fs; the same one in every folder. */
export function makeImages(
  folders: readonly string[],
  name: string,
  blockSize: number,
  blocks: number,
  options: readonly string[],
): void {
  const [first, ...others] = folders;
  const file = path.join(first!, name);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, blocks * blockSize);
  const made = runTool('mke2fs', ['-q', '-F', '-b', `${blockSize}`, ...FIXED_IDENTITY, ...options, file], {
    env: RESIZE_CLOCK,
  });
  if (made.status !== 0) throw new Error(made.stderr);
  for (const folder of others) {
    // Sparse, unlike fs.copyFileSync.
    runTool('cp', ['--sparse=always', file, path.join(folder, name)]);
  }
}
