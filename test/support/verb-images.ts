import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { userloop } from './run.ts';
import { temporaryFolder } from './tools.ts';

/** Images for tests of the verbs, made by our own formatters, so that they need no other tool. */

export type ImageKind = 'ext2' | 'fat12' | 'fat16' | 'fat32';

export const IMAGE_KINDS: readonly ImageKind[] = ['ext2', 'fat12', 'fat16', 'fat32'];

const DEFAULT_SIZES: Readonly<Record<ImageKind, string>> = {
  ext2: '16M',
  fat12: '2880K',
  fat16: '16M',
  fat32: '64M',
};

/** A fresh image in a fresh folder; returns its path. */
export async function makeImage(
  kind: ImageKind,
  size: string = DEFAULT_SIZES[kind],
  options: readonly string[] = [],
): Promise<string> {
  const image = path.join(temporaryFolder(), 'disk.img');
  await must(['create', image, size]);
  if (kind === 'ext2') await must(['mke2fs', '-q', '-F', '-t', 'ext2', ...options, image]);
  else await must(['mkfs.fat', '-F', kind.slice(3), ...options, image]);
  return image;
}

/** Runs a command that has to succeed; returns what it printed. */
export async function must(
  argv: readonly string[],
  options: Parameters<typeof userloop>[1] = {},
): Promise<string> {
  const result = await userloop(argv, options);
  if (result.status !== 0)
    throw new Error(`userloop ${argv.join(' ')} ended with ${result.status}: ${result.stderr}`);
  return result.stdout;
}

export function checksum(file: string): string {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
}

/** What is below a folder of the host, one line a file with all that matters of it: for whole-tree comparisons. */
export function describeFolder(folder: string, options: { readonly withoutOwners?: boolean } = {}): string[] {
  const lines: string[] = [];
  const firstNames = new Map<string, string>();
  walk('');
  return lines;

  function walk(relative: string): void {
    const directory = Buffer.from(path.join(folder, relative), 'latin1');
    const names = fs.readdirSync(directory, { encoding: 'buffer' }).map((name) => name.toString('latin1'));
    for (const name of names.sort()) describe(relative === '' ? name : `${relative}/${name}`);
  }

  function describe(relative: string): void {
    // Names are bytes: Latin-1 keeps each of them.
    const full = Buffer.from(`${folder}/${relative}`, 'latin1');
    const stats = fs.lstatSync(full, { bigint: true });
    const parts = [relative, Number(stats.mode).toString(8), `${stats.mtimeNs}`];
    if (options.withoutOwners !== true) parts.push(`${stats.uid}:${stats.gid}`);
    if (stats.isSymbolicLink())
      parts.push(`-> ${fs.readlinkSync(full, { encoding: 'buffer' }).toString('latin1')}`);
    else if (stats.isFile()) parts.push(`${stats.size}`, contentOf(full, Number(stats.size), stats));
    else if (stats.isCharacterDevice() || stats.isBlockDevice()) parts.push(`${stats.rdev}`);
    if (stats.nlink > 1n && !stats.isDirectory()) {
      const identity = `${stats.dev}:${stats.ino}`;
      const first = firstNames.get(identity) ?? relative;
      firstNames.set(identity, first);
      parts.push(`= ${first}`);
    }
    lines.push(parts.join(' '));
    if (stats.isDirectory()) walk(relative);
  }
}

/** A hash of the content; of a large sparse file only of its size and its first and last MiB. */
function contentOf(file: Buffer, size: number, stats: fs.BigIntStats): string {
  const hash = createHash('sha256');
  if (size < 64 << 20 || stats.blocks * 512n >= stats.size)
    return hash.update(fs.readFileSync(file)).digest('hex').slice(0, 16);
  const fd = fs.openSync(file, 'r');
  const part = new Uint8Array(1 << 20);
  for (const offset of [0, size - part.length])
    hash.update(part.subarray(0, fs.readSync(fd, part, 0, part.length, offset)));
  fs.closeSync(fd);
  return `sparse ${hash.digest('hex').slice(0, 16)}`;
}
