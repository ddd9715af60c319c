// A volume whose journal has 64 MiB of committed blocks that are not in their places yet, the same on every run.
import { spawnSync } from 'node:child_process';
import { rmSync, truncateSync, writeFileSync } from 'node:fs';

const TRANSACTIONS = 16;
const BLOCKS_EACH = 1024;
const BLOCK = 4096;
/** Behind the journal and what else mke2fs takes. */
const FIRST_BLOCK = 70_000;
/** As metadata lies: scattered. */
const STEP = 3;

function run(tool, ...argv) {
  const { status, stderr, error } = spawnSync(tool, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`${tool}: ${error?.message ?? String(stderr)}`);
}

/** Makes `image`: debugfs writes the log as the kernel does. */
export function makeDirtyJournal(image) {
  writeFileSync(image, '');
  truncateSync(image, 512 << 20);
  run('mke2fs', '-q', '-F', '-t', 'ext3', '-b', `${BLOCK}`, '-J', 'size=80', image);
  const content = Buffer.alloc(BLOCKS_EACH * BLOCK);
  for (let at = 0; at < content.length; at += 4)
    content.writeUInt32LE(Math.imul(at + 1, 2_654_435_761) >>> 0, at);
  writeFileSync(`${image}.content`, content);
  const lines = [];
  for (let transaction = 0; transaction < TRANSACTIONS; transaction++) {
    const blocks = Array.from(
      { length: BLOCKS_EACH },
      (_, i) => FIRST_BLOCK + STEP * (transaction * BLOCKS_EACH + i),
    );
    lines.push('jo', `jw -b ${blocks.join(',')} ${image}.content`, 'jc');
  }
  writeFileSync(`${image}.commands`, `${lines.join('\n')}\n`);
  run('debugfs', '-w', '-f', `${image}.commands`, image);
  for (const suffix of ['content', 'commands']) rmSync(`${image}.${suffix}`);
}
