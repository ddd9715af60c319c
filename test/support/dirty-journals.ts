import fs from 'node:fs';
import path from 'node:path';
import { newFolder } from './new-folder.ts';
import { runTool, memoryFolder } from './tools.ts';

/** Numbers that look random and are the same every time: a linear congruence. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}

const MAGIC = [0xc0, 0x3b, 0x39, 0x98];

export interface DebugfsJournal {
  readonly type: string;
  readonly blockSize: number;
  /** Of `mke2fs -O`. */
  readonly features: string;
  /** Of debugfs' `jo`: `-c`, `-v 2`, `-v 3`. */
  readonly open: string;
  readonly seed: number;
}

/**
 * A volume whose journal was written by debugfs: some transactions that write blocks (some of them begin with the journal's magic) and
 * revoke blocks, the last of them perhaps without its commit block. Returns the file.
 */
export function makeDebugfsJournal(options: DebugfsJournal): string {
  const folder = memoryFolder();
  const image = path.join(folder, 'dirty.img');
  const random = randomNumbers(options.seed);
  fs.closeSync(fs.openSync(image, 'w'));
  fs.truncateSync(image, 24 << 20);
  const made = runTool('mke2fs', [
    '-q',
    '-F',
    '-t',
    options.type,
    '-b',
    `${options.blockSize}`,
    '-O',
    options.features,
    image,
  ]);
  if (made.status !== 0) throw new Error(made.stderr);
  const lines: string[] = [];
  // Free blocks behind the middle.
  const first = (14 << 20) / options.blockSize;
  const transactions = 2 + random(12);
  for (let transaction = 0; transaction < transactions; transaction++) {
    lines.push(`jo ${options.open}`);
    for (let piece = 0; piece < 1 + random(3); piece++) {
      if (random(4) === 0) {
        lines.push(`jw -r ${blockList(random, first, 1 + random(30))}`);
        continue;
      }
      const count = 1 + random(60);
      const content = Buffer.alloc(count * options.blockSize);
      for (let block = 0; block < count; block++) {
        content.fill(1 + random(255), block * options.blockSize, (block + 1) * options.blockSize);
        if (random(3) === 0) content.set(MAGIC, block * options.blockSize);
      }
      const file = path.join(folder, `content${transaction}-${piece}`);
      fs.writeFileSync(file, content);
      const open = transaction === transactions - 1 && random(3) === 0 ? '-c ' : '';
      lines.push(`jw ${open}-b ${blockList(random, first, count)} ${file}`);
    }
    lines.push('jc');
  }
  const script = path.join(folder, 'script');
  fs.writeFileSync(script, `${lines.join('\n')}\n`);
  runTool('debugfs', ['-w', '-f', script, image]);
  return image;
}

function blockList(random: (below: number) => number, first: number, count: number): string {
  const blocks = new Set<number>();
  while (blocks.size < count) blocks.add(first + random(300));
  return [...blocks].join(',');
}

/**
 * Runs a shell script as root in a mount namespace of its own with the image mounted at `$M`; `$IMAGE` and `$FOLDER` are its file and folder. What it
 * copies from `$IMAGE` while it is mounted is what a crash would leave. Whatever is mounted ends with the namespace.
 */
export function runOnKernelMount(image: string, mountOptions: string, script: string): void {
  const folder = path.dirname(image);
  const mountPoint = newFolder(path.join(folder, 'mount-'));
  const result = runTool(
    'unshare',
    [
      '-m',
      'sh',
      '-ec',
      `mount --make-rprivate /; mount -o loop${mountOptions === '' ? '' : `,${mountOptions}`} "$IMAGE" "$M"; trap 'umount "$M"' EXIT; ${script}`,
    ],
    { env: { IMAGE: image, M: mountPoint, FOLDER: folder } },
  );
  if (result.status !== 0) throw new Error(`${result.stdout}${result.stderr}`);
}
