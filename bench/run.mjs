// npm run bench: ours against the peers, as whole processes in the same run. Ratios are peer time / our time: more is better.
// Arguments choose rows by a part of their name: npm run bench -- populate
// The NBD server has a table of its own (transport-nbd.mjs): npm run bench -- nbd
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCorpus } from './corpus.mjs';
import { makeDirtyJournal } from './dirty-journal.mjs';
import { compare } from './measure.mjs';
import { benchNbd } from './transport-nbd.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const userloop = `node ${path.join(here, '../bin/userloop')}`;
const scratch = mkdtempSync(path.join(tmpdir(), 'userloop-bench-'));
/** Where trees are read to: in memory if possible, since making 16,000 files on a disk takes longer than reading them. */
const memory = existsSync('/dev/shm') ? mkdtempSync('/dev/shm/userloop-bench-') : scratch;
process.on('exit', () => {
  for (const folder of [scratch, memory]) rmSync(folder, { recursive: true, force: true });
});
const out = `${memory}/out`;
process.env['PATH'] += ':/usr/sbin:/sbin';
process.env['MTOOLS_SKIP_CHECK'] = '1';

const filters = process.argv.slice(2);
if (filters[0] === 'nbd') {
  await benchNbd(filters.slice(1));
  process.exit();
}
// What measures transports is a program of its own: npm run bench -- mount
const transport = `${here}transport-${filters[0]}.mjs`;
if (filters.length === 1 && existsSync(transport)) {
  await import(transport);
  process.exit();
}
const tree = path.join(tmpdir(), 'userloop-bench-corpus');
const img = (name) => `${scratch}/${name}`;

function sh(command) {
  const { status, stderr } = spawnSync('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`${command}: status ${status}\n${String(stderr)}`);
}

function has(tool) {
  return spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
}

const SIZES = { '1.44 MB': '1440K', '1 GiB': '1G', '1 TiB': '1T' };

const rows = [
  {
    name: 'start-up: userloop --version / node -e 0',
    goal: '>= 0.67',
    ours: `${userloop} --version`,
    peer: 'node -e 0',
    rounds: 15,
  },
  ...Object.entries(SIZES).map(([label, size]) => ({
    name: `mkfs.fat ${label}`,
    goal: size === '1T' ? '>= 1' : '',
    needs: 'mkfs.fat',
    prepare: () => sh(`rm -f ${img('f.img')} && truncate -s ${size} ${img('f.img')}`),
    ours: `${userloop} mkfs.fat ${size === '1440K' ? '' : '-F32'} ${img('f.img')}`,
    peer: `mkfs.fat ${size === '1440K' ? '' : '-F32'} ${img('f.img')}`,
  })),
  ...Object.entries(SIZES).map(([label, size]) => ({
    name: `mke2fs ${label}`,
    goal: size === '1T' ? '>= 1' : '',
    needs: 'mke2fs',
    prepare: () => sh(`rm -f ${img('e.img')} && truncate -s ${size} ${img('e.img')}`),
    ours: `${userloop} mke2fs -q -F ${img('e.img')}`,
    peer: `mke2fs -q -F ${img('e.img')}`,
  })),
  {
    name: 'populate ext2: cp -r / mke2fs -d',
    goal: '>= 1.5',
    needs: 'mke2fs',
    corpus: true,
    prepare: (side) =>
      sh(
        `rm -f ${img('e.img')} && truncate -s 1G ${img('e.img')}` +
          (side === 'ours' ? ` && mke2fs -q -F ${img('e.img')}` : ''),
      ),
    ours: `${userloop} cp -r ${tree} ${img('e.img')}:/tree`,
    peer: `mke2fs -q -F -d ${tree} ${img('e.img')}`,
  },
  {
    name: 'make and populate ext4: mke2fs -t ext4 -d, ours / theirs',
    goal: '>= 2',
    needs: 'mke2fs',
    corpus: true,
    prepare: () => sh(`rm -f ${img('e.img')} && truncate -s 1G ${img('e.img')}`),
    ours: `${userloop} mke2fs -q -F -t ext4 -d ${tree} ${img('e.img')}`,
    peer: `mke2fs -q -F -t ext4 -d ${tree} ${img('e.img')}`,
  },
  {
    name: 'read all of ext2: cp -r / debugfs rdump',
    needs: 'debugfs',
    corpus: true,
    once: () => sh(`truncate -s 1G ${img('r.img')} && mke2fs -q -F -d ${tree} ${img('r.img')}`),
    prepare: () => sh(`rm -rf ${out} && mkdir ${out}`),
    ours: `${userloop} cp -r ${img('r.img')}:/ ${out}/tree`,
    peer: `debugfs -R "rdump / ${out}" ${img('r.img')}`,
  },
  ...['in memory', 'cold'].map((cache) => ({
    // Of 16,000 files with 338 MB. Cold: the kernel is told to drop its pages of this file, not those of the machine.
    name: `check of ext4, ${cache}: check / e2fsck -fn`,
    goal: '>= 1',
    needs: 'e2fsck',
    corpus: true,
    once: () =>
      sh(
        `rm -f ${img('c.img')} && mke2fs -q -t ext4 -O ^has_journal -d ${tree} ${img('c.img')} 400M && sync ${img('c.img')}`,
      ),
    prepare: () =>
      cache === 'cold' &&
      sh(`dd of=${img('c.img')} oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null`),
    ours: `${userloop} check ${img('c.img')}`,
    peer: `e2fsck -fn ${img('c.img')}`,
  })),
  {
    // Both end with an fsync of the image. Each round has a fresh copy of the same image.
    name: 'replay of a journal of 64 MiB: e2fsck -p, ours / theirs',
    goal: '>= 0.5',
    needs: 'debugfs',
    once: () => makeDirtyJournal(img('j.img')),
    prepare: () => sh(`cp --sparse=always ${img('j.img')} ${img('replay.img')} && sync ${img('replay.img')}`),
    ours: `${userloop} e2fsck -p ${img('replay.img')}`,
    peer: `e2fsck -p ${img('replay.img')}`,
  },
  {
    // cp ends with an fsync of the image, as mke2fs does; mcopy does not, so its image is synced for it.
    name: 'populate FAT32: cp -r / mcopy -s and sync',
    goal: '>= 1.5',
    needs: 'mcopy',
    corpus: true,
    prepare: () =>
      sh(`rm -f ${img('f.img')} && truncate -s 1G ${img('f.img')} && mkfs.fat -F32 ${img('f.img')}`),
    ours: `${userloop} cp -r ${tree} ${img('f.img')}:/tree`,
    peer: `mcopy -s -i ${img('f.img')} ${tree} ::/tree && sync ${img('f.img')}`,
    rounds: 3,
  },
  {
    name: 'read all of FAT32: cp -r / mcopy -s',
    needs: 'mcopy',
    corpus: true,
    once: () =>
      sh(
        `truncate -s 1G ${img('g.img')} && mkfs.fat -F32 ${img('g.img')} && mcopy -s -i ${img('g.img')} ${tree} ::/tree`,
      ),
    prepare: () => sh(`rm -rf ${out} && mkdir ${out}`),
    ours: `${userloop} cp -r ${img('g.img')}:/tree ${out}/`,
    peer: `mcopy -s -i ${img('g.img')} ::/tree ${out}/`,
    rounds: 3,
  },
  {
    name: 'library: ext2, 1,000 files of 4 KiB written and read / npm ext2fs',
    goal: '>= 10',
    needs: 'mke2fs',
    npm: true,
    prepare: () =>
      sh(`rm -f ${img('l.img')} && truncate -s 64M ${img('l.img')} && mke2fs -q -F ${img('l.img')}`),
    ours: `node ${here}peers/ours.mjs ${img('l.img')} 1000 4096`,
    peer: `node ${here}peers/ext2fs.mjs ${img('l.img')} 1000 4096`,
    rounds: 3,
  },
  {
    name: 'library: FAT16, 200 files of 128 KiB written and read / npm fatfs',
    goal: '>= 10',
    needs: 'mkfs.fat',
    npm: true,
    prepare: () =>
      sh(`rm -f ${img('l.img')} && truncate -s 64M ${img('l.img')} && mkfs.fat -F16 ${img('l.img')}`),
    ours: `node ${here}peers/ours.mjs ${img('l.img')} 200 131072`,
    peer: `node ${here}peers/fatfs.mjs ${img('l.img')} 200 131072`,
    rounds: 3,
  },
];

mkdirSync(scratch, { recursive: true });
const chosen = rows.filter((row) => filters.length === 0 || filters.some((part) => row.name.includes(part)));
if (chosen.some((row) => row.npm) && !existsSync(`${here}peers/node_modules`)) {
  sh(`cd ${here}peers && npm ci --ignore-scripts --no-audit --no-fund`);
}
if (chosen.some((row) => row.corpus)) makeCorpus(tree);

const format = (seconds) => (seconds < 1 ? `${(seconds * 1000).toFixed(0)} ms` : `${seconds.toFixed(2)} s`);
console.log(`| what | ours | peer | times as fast | goal | peak memory |\n|---|---|---|---|---|---|`);
for (const row of chosen) {
  if (row.needs !== undefined && !has(row.needs)) {
    console.log(`| ${row.name} | skipped: no ${row.needs} here | | | | |`);
    continue;
  }
  row.once?.();
  const { ours, peer, ratio, memory } = compare({ ...row, scratch });
  console.log(
    `| ${row.name} | ${format(ours)} | ${format(peer)} | ${ratio.toFixed(2)} | ${row.goal ?? ''} | ${memory.toFixed(0)} MB |`,
  );
}
