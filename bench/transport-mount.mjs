// npm run bench -- mount: our mounts of ext2 and ext4 against fuse2fs and against the kernel's on a loop device, in turn, images in memory.
// fuse2fs 1.47.0 writes ext4 without its journal, in place; ours and the kernel's commit. BENCH_TYPES=ext4, BENCH_ROUNDS=5.
// Needs root: caches are dropped before what is read cold. Ratios are peer time / our time: more is better.
// Two more sides are a server in C that keeps names and does nothing else (peers/names-only.c), once kept on one processor with its caller, once
// where the kernel puts it: what a request costs on this machine whatever the server does.
// BENCH_USER=NAME has a plain user mount and work, who can read this folder; root's mounts are for everybody, for which the kernel asks for permissions more often.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './measure.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const userloop = path.join(here, '../bin/userloop');
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7);
const TYPES = (process.env.BENCH_TYPES ?? 'ext2,ext4').split(',');
const LOADS = ['create', 'stat', 'list', 'unlink', 'write', 'read'];
/** What is looked up or read cold. */
const COLD = new Set(['stat', 'list', 'read']);
const GOALS = {
  ext2: {
    fuse2fs: { create: 5, stat: 6, list: 10, unlink: 2, write: 2, read: 2 },
    kernel: { create: 0.5 },
  },
  ext4: { fuse2fs: { create: 5, stat: 5, list: 5, unlink: 5, write: 2, read: 2 } },
};

if (process.getuid() !== 0) {
  console.error('bench: the mount rows need root, to drop caches and for the kernel to mount');
  process.exit(1);
}
const memory = mkdtempSync(`${existsSync('/dev/shm') ? '/dev/shm' : tmpdir()}/userloop-bench-`);
process.env.PATH += ':/usr/sbin:/sbin';
process.env.USERLOOP_RUNTIME_DIR = `${memory}/run`;
process.env.USERLOOP_BACKEND = 'user';
mkdirSync(process.env.USERLOOP_RUNTIME_DIR, { mode: 0o700 });
const user = process.env.BENCH_USER;
const idOf = (option) => Number(execFileSync('id', [option, user], { encoding: 'utf8' }));
const owner = user === undefined ? {} : { uid: idOf('-u'), gid: idOf('-g') };

function run(command, ...args) {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

/** By the user. */
function runAs(command, ...args) {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...owner });
}

function give(...files) {
  if (user !== undefined) for (const file of files) chownSync(file, owner.uid, owner.gid);
}

give(memory, process.env.USERLOOP_RUNTIME_DIR);

const ON_ONE = ['taskset', '-c', '0'];
const NAMES_ONLY = new Set(['create', 'stat', 'unlink']);

/** `before`: a command that runs it. */
function startNamesOnly(at, before = []) {
  const program = `${memory}/names-only`;
  if (!existsSync(program)) run('cc', '-O2', '-o', program, path.join(here, 'peers/names-only.c'));
  const [command, ...args] = [...before, program, at];
  spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  while (!readFileSync('/proc/mounts', 'utf8').includes(` ${at} `)) spawnSync('sleep', ['0.01']);
}

const sides = {
  ours: { mount: (image, at) => runAs('node', userloop, 'mount', '-o', 'loop', image, at) },
  fuse2fs: { needs: 'fuse2fs', mount: (image, at) => runAs('fuse2fs', image, at) },
  ...(user === undefined && {
    kernel: { mount: (image, at, type) => run('mount', '-t', type, '-o', 'loop', image, at) },
    'names only, one processor': {
      needs: 'cc',
      mount: (_, at) => startNamesOnly(at, ON_ONE),
      loads: NAMES_ONLY,
      before: ON_ONE,
    },
    'names only': { needs: 'cc', mount: (_, at) => startNamesOnly(at), loads: NAMES_ONLY },
  }),
};
let mounted = [];
function unmount() {
  for (const { name, at, image } of mounted) {
    if (name === 'ours') spawnSync('node', [userloop, 'umount', at], owner);
    else spawnSync('umount', [at]);
    rmSync(image, { force: true });
  }
  mounted = [];
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
process.on('exit', () => {
  unmount();
  rmSync(memory, { recursive: true, force: true });
});

function mountAll(type) {
  for (const [name, { mount, needs }] of Object.entries(sides)) {
    if (needs !== undefined && spawnSync('sh', ['-c', `command -v ${needs}`]).status !== 0) continue;
    const at = `${memory}/${name.replace(/\W+/g, '-')}-${type}`;
    const image = `${at}.img`;
    mkdirSync(at);
    writeFileSync(image, '');
    truncateSync(image, 1 << 30);
    // The kernel would fill the rest of the tables in the background, during what is measured.
    const extended = `lazy_itable_init=0,lazy_journal_init=0,root_owner=${owner.uid ?? 0}:${owner.gid ?? 0}`;
    run('mke2fs', '-q', '-F', '-t', type, '-E', extended, image);
    give(image, at);
    try {
      mount(image, at, type);
      mounted.push({ name, at, image });
    } catch (error) {
      console.log(`${name}: cannot be mounted here: ${error.message.split('\n')[0]}`);
    }
  }
}

function measure() {
  const times = {};
  for (let round = -1; round < ROUNDS; round++) {
    for (const load of LOADS) {
      for (const { name, at } of mounted) {
        if (sides[name].loads?.has(load) === false) continue;
        if (COLD.has(load)) {
          run('sync');
          writeFileSync('/proc/sys/vm/drop_caches', '3');
        }
        const before = sides[name].before ?? [];
        const time = Number(runAs(...before, 'node', path.join(here, 'mount-load.mjs'), at, load));
        if (round >= 0) ((times[load] ??= {})[name] ??= []).push(time);
      }
    }
  }
  return times;
}

const format = (load, value) =>
  load === 'write' || load === 'read' ? `${Math.round(268.4 / value)} MB/s` : `${value.toFixed(1)} us`;

function report(type, times) {
  console.log(type);
  for (const load of LOADS) {
    const { ours, ...peers } = times[load];
    console.log(`${load}: ours ${format(load, median(ours))}`);
    for (const [name, values] of Object.entries(peers)) {
      const ratio = median(values.map((value, i) => value / ours[i]));
      const goal = GOALS[type]?.[name]?.[load];
      const verdict = goal === undefined ? '' : `  goal ${goal}: ${ratio >= goal ? 'ok' : 'MISSED'}`;
      console.log(`  ${name} ${format(load, median(values))}  ${ratio.toFixed(2)}x${verdict}`);
    }
  }
}

for (const type of TYPES) {
  mountAll(type);
  const times = measure();
  unmount();
  report(type, times);
}
