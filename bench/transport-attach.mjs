// npm run bench -- attach: what it costs to attach an image, to list what is attached, and to leave a device idle. Every time is
// that of a whole process, next to a bare `node -e 0` in the same round; a cell is the median over the rounds.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './measure.mjs';

const CLOCK_TICKS = 100;
/** How long an idle device is watched, seconds. */
const IDLE_TIME = 10;
/** The engine tidies up once, some seconds after it was busy; seconds. */
const SETTLE_TIME = 10;
const LISTED = 20;
const ROUNDS = 15;

const here = fileURLToPath(new URL('.', import.meta.url));
const program = path.join(here, '../bin/userloop');
// Short: the path of a socket has room for 107 bytes.
const scratch = mkdtempSync('/tmp/userloop-ab-');
const env = { ...process.env, USERLOOP_RUNTIME_DIR: `${scratch}/r`, USERLOOP_BACKEND: 'user' };
let images = 0;

function run(args, more = {}) {
  const start = process.hrtime.bigint();
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    env: { ...env, ...more },
    encoding: 'utf8',
  });
  const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
  if (status !== 0) throw new Error(`${args.join(' ')}: status ${status}\n${stderr}`);
  return { milliseconds, stdout: stdout.trim() };
}

const bare = () => run(['-e', '0']).milliseconds;

function losetup(...args) {
  return run([program, 'losetup', ...args]);
}

/** An image of its own, as two writers are refused; opens the device and reads the first bytes, so that it counts as usable. */
function attach() {
  const image = `${scratch}/${images++}.img`;
  writeFileSync(image, '');
  truncateSync(image, 64 << 20);
  const start = process.hrtime.bigint();
  const device = losetup('--show', '-f', image).stdout;
  const fd = openSync(device, 'r+');
  readSync(fd, new Uint8Array(4096), 0, 4096, 0);
  closeSync(fd);
  return { device, milliseconds: Number(process.hrtime.bigint() - start) / 1e6 };
}

function compareWith(rounds, measure) {
  const ours = [];
  const ratios = [];
  const base = [];
  for (let round = -1; round < rounds; round++) {
    const [a, b] = round % 2 === 0 ? [measure(), bare()] : swap(bare(), measure());
    if (round < 0) continue;
    ours.push(a);
    base.push(b);
    ratios.push(a / b);
  }
  return { ours: median(ours), base: median(base), ratio: median(ratios) };
}

function swap(a, b) {
  return [b, a];
}

function row(name, { ours, base, ratio }, goal) {
  const limit = goal === undefined ? '' : `at most ${goal}`;
  console.log(`| ${name} | ${ours.toFixed(0)} ms | ${base.toFixed(0)} ms | ${ratio.toFixed(2)} | ${limit} |`);
}

/** Of the processes behind the devices: what is theirs alone and their share of the rest, MB; processor time since the start, s. */
function usageOf(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)[1]) / 1024;
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    resident: field('Rss'),
    proportional: field('Pss'),
    seconds: (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS,
  };
}

function stateOf(name) {
  return JSON.parse(readFileSync(`${env.USERLOOP_RUNTIME_DIR}/${name}/state.json`, 'utf8'));
}

function benchAttach() {
  try {
    measureAll(ROUNDS);
  } finally {
    losetup('-D');
    rmSync(scratch, { recursive: true, force: true });
  }
}

function measureAll(rounds) {
  console.log('| what | ours | node -e 0 | ratio | goal |\n|---|---|---|---|---|');
  row(
    'userloop --version',
    compareWith(rounds, () => run([program, '--version']).milliseconds),
    1.5,
  );
  let device;
  const attached = compareWith(rounds, () => {
    if (device !== undefined) losetup('-d', device);
    const result = attach();
    device = result.device;
    return result.milliseconds;
  });
  row('attach to a usable device', attached, 3);
  row(
    'detach',
    compareWith(rounds, () => {
      device ??= attach().device;
      const { milliseconds } = losetup('-d', device);
      device = undefined;
      return milliseconds;
    }),
  );
  measureIdle(path.basename(attach().device));
  for (let count = readdirSync(`${env.USERLOOP_RUNTIME_DIR}/dev`).length; count < LISTED; count++) attach();
  row(
    `losetup -l, ${LISTED} devices`,
    compareWith(rounds, () => losetup('-l').milliseconds),
    1.5,
  );
}

function sleep(seconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

function measureIdle(name) {
  const { pid } = stateOf(name);
  sleep(SETTLE_TIME);
  const before = usageOf(pid);
  sleep(IDLE_TIME);
  const after = usageOf(pid);
  const used = ((after.seconds - before.seconds) * 1000).toFixed(0);
  console.log(
    `| one idle device | ${after.resident.toFixed(0)} MB resident, ${after.proportional.toFixed(0)} MB its share | | | at most 70 MB |`,
  );
  console.log(`| processor time of it in ${IDLE_TIME} s | ${used} ms | | | 0 |`);
}

benchAttach();
