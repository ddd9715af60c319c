import fs from 'node:fs';
import path from 'node:path';
import { SUPERBLOCK_MAGIC, Superblock } from '../../src/filesystem/ext/superblock.ts';
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
  const a = fs.openSync(ours, 'r');
  const b = fs.openSync(theirs, 'r');
  try {
    const size = fs.fstatSync(a).size;
    if (fs.fstatSync(b).size !== size) return `${size} bytes, theirs has ${fs.fstatSync(b).size}`;
    const mine = Buffer.alloc(1 << 20);
    const other = Buffer.alloc(1 << 20);
    for (let at = 0; at < size; at += mine.length) {
      const length = fs.readSync(a, mine, 0, mine.length, at);
      fs.readSync(b, other, 0, other.length, at);
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
    fs.closeSync(a);
    fs.closeSync(b);
  }
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
