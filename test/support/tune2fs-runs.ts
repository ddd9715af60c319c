import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { isSuperblockSealed } from '../../src/filesystem/ext/checksum.ts';
import { hasSuperblockCopy } from '../../src/filesystem/ext/geometry.ts';
import { Superblock } from '../../src/filesystem/ext/superblock.ts';
import { userloop } from './run.ts';
import { memoryFolder, runTool } from './tools.ts';

export const TUNE_CLOCK = { E2FSPROGS_FAKE_TIME: '1600000000', SOURCE_DATE_EPOCH: '1600000000' };
export const TUNE_NAME = 'volume.img';

const FIXED = ['-q', '-F', '-U', '11111111-2222-3333-4444-555555555555'];
const SEED = ['-E', 'hash_seed=66666666-7777-8888-9999-aaaaaaaaaaaa'];

/** A tree with files of up to 400 KB, for `-d`. */
export function makeTree(folder: string): string {
  const tree = path.join(folder, 'tree');
  for (const directory of ['a', 'b', 'c']) {
    fs.mkdirSync(path.join(tree, directory, 'below'), { recursive: true });
    for (let file = 1; file <= 8; file++) {
      const content = Buffer.alloc(50_000 * file, `${directory}${file} `);
      fs.writeFileSync(path.join(tree, directory, `file${file}`), content);
      fs.writeFileSync(path.join(tree, directory, 'below', `small${file}`), `${file}`);
    }
    fs.symlinkSync('x'.repeat(100), path.join(tree, directory, 'slow'));
  }
  return tree;
}

/** A volume with that tree, of whose files every second was removed again, unless `whole`: free space lies in pieces. */
export function makeTunable(tree: string, image: string, options: string, size: string, whole = false): void {
  fs.rmSync(image, { force: true });
  const made = runTool('mke2fs', [...FIXED, ...SEED, '-d', tree, ...options.split(' '), image, size], {
    env: TUNE_CLOCK,
  });
  if (made.status !== 0) throw new Error(made.stderr);
  if (whole) return;
  const commands = ['a', 'b', 'c'].flatMap((directory) =>
    [1, 3, 5, 7].map((file) => `rm /${directory}/file${file}`),
  );
  runTool('debugfs', ['-w', '-f', '-', image], { env: TUNE_CLOCK, input: `${commands.join('\n')}\n` });
}

/** Node, device and time of the block of multiple-mount protection, and its checksum, differ between the tools. */
const PROTECTION_FIELDS = [
  [0x08, 0x70],
  [0x3fc, 0x400],
] as const;

/** Both tools on copies of an image: what they say and write has to be the same, and e2fsck content with it. */
export class TuneRuns {
  readonly #folders = ['theirs', 'ours'].map((name) => {
    const folder = path.join(memoryFolder(), name);
    fs.mkdirSync(folder);
    return folder;
  });

  get ours(): string {
    return path.join(this.#folders[1]!, TUNE_NAME);
  }

  /** `clean: false`: the tool itself leaves what e2fsck has to mend. */
  async compare(image: string, args: readonly string[], options: { clean?: boolean } = {}): Promise<void> {
    const [theirs, ours] = this.#folders as [string, string];
    for (const folder of this.#folders) fs.copyFileSync(image, path.join(folder, TUNE_NAME));
    const theirResult = runTool('tune2fs', [...args, TUNE_NAME], { cwd: theirs, env: TUNE_CLOCK });
    const ourResult = await userloop(['tune2fs', ...args, TUNE_NAME], { cwd: ours, env: TUNE_CLOCK });
    expect(ourResult.stderr).toBe(theirResult.stderr.replaceAll(/\/\S*\/tune2fs/g, 'tune2fs'));
    expect(ourResult.stdout).toBe(theirResult.stdout);
    expect(ourResult.status).toBe(theirResult.status);
    const [theirBytes, ourBytes] = this.#folders.map((folder) => comparable(path.join(folder, TUNE_NAME)));
    expect(differingBlocks(ourBytes!, theirBytes!)).toEqual([]);
    if (options.clean === false) return;
    const checked = runTool('e2fsck', ['-fn', this.ours]);
    expect(checked.status, checked.stdout).toBe(0);
  }
}

/** Without what tells how much the reference's cache has written, and the checksums over that, which have to be right. */
function comparable(file: string): Buffer {
  const bytes = fs.readFileSync(file);
  const main = viewOf(bytes.subarray(1024, 2048));
  const blockSize = 1024 << Superblock.s_log_block_size.get(main, 0);
  const first = Superblock.s_first_data_block.get(main, 0);
  const perGroup = Superblock.s_blocks_per_group.get(main, 0);
  const places: number[] = [];
  for (let group = 0; (first + group * perGroup) * blockSize + 1024 <= bytes.length; group++) {
    if (hasSuperblockCopy(main, group))
      places.push(group === 0 ? 1024 : (first + group * perGroup) * blockSize);
  }
  const protection = Number(Superblock.s_mmp_block.get(main, 0)) * blockSize;
  if (protection > 0) {
    for (const [from, to] of PROTECTION_FIELDS) bytes.fill(0, protection + from, protection + to);
  }
  for (const at of places) {
    const view = viewOf(bytes.subarray(at, at + 1024));
    expect(isSuperblockSealed(view), `superblock at ${at}`).toBe(true);
    Superblock.s_kbytes_written.set(view, 0, 0n);
    Superblock.s_checksum.set(view, 0, 0);
  }
  return bytes;
}

/** First differences, each in a KiB of its own. */
function differingBlocks(ours: Buffer, theirs: Buffer): string[] {
  if (ours.length !== theirs.length) return [`${ours.length} bytes, not ${theirs.length}`];
  const found: string[] = [];
  for (let at = 0; at < ours.length && found.length < 20; at += 1024) {
    if (ours.subarray(at, at + 1024).equals(theirs.subarray(at, at + 1024))) continue;
    let byte = at;
    while (ours[byte] === theirs[byte]) byte++;
    found.push(`KiB ${at / 1024}, byte ${byte - at}: ${ours[byte]}, not ${theirs[byte]}`);
  }
  return found;
}
