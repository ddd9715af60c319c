// npm run bench -- nbd [ROUNDS] [servers=NAME,...] [LOAD...]: our NBD server against nbdkit's file plugin and qemu-nbd (threads, io_uring), all on one
// file in memory, over unix sockets. Each round runs every load on every server, in an order that turns; a ratio is ours over the best of
// the references in the same round, a cell the median of the rounds. CPU: user and system time of the server for the same work,
// over the cheapest reference. `nbdkit -t1` and ours without foreign calls are shown, too.
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './measure.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const CLOCK_TICKS = 100;
const GIB = 2 ** 30;

function fio(rw, bs, depth) {
  return {
    tool: 'fio',
    run(uri, seconds) {
      const out = run('fio', [
        '--name=n',
        '--ioengine=nbd',
        `--uri=${uri}`,
        `--rw=${rw}`,
        `--bs=${bs}`,
        `--iodepth=${depth}`,
        `--size=${GIB}`,
        '--time_based',
        `--runtime=${seconds}`,
        '--randrepeat=1',
        '--norandommap',
        '--output-format=json',
      ]);
      const job = JSON.parse(out.slice(out.indexOf('{'))).jobs[0];
      const side = rw.includes('read') ? job.read : job.write;
      return { value: side.iops, work: side.total_ios };
    },
  };
}

function copy(direction, connections, requests) {
  return {
    tool: 'nbdcopy',
    run(uri, _seconds, files) {
      const options = [`--connections=${connections}`, `--requests=${requests}`];
      const start = performance.now();
      run('nbdcopy', direction === 'read' ? [...options, uri, 'null:'] : [...options, files.source, uri]);
      return { value: GIB / ((performance.now() - start) / 1000), work: GIB };
    },
  };
}

function raw(kind, length, depth) {
  return {
    run(uri, seconds) {
      const socket = uri.split('socket=')[1];
      const out = run(
        process.execPath,
        [`${here}nbd-load.mjs`, socket, kind, length, depth, seconds].map(String),
      );
      return { value: Number(out), work: Number(out) * seconds };
    },
  };
}

function qemuBench(kind, bs, depth, count) {
  return {
    tool: 'qemu-img',
    run(uri) {
      const out = run(
        'qemu-img',
        [
          'bench',
          '-f',
          'raw',
          ...(kind === 'write' ? ['-w'] : []),
          '-s',
          bs,
          '-d',
          depth,
          '-c',
          count,
          uri,
        ].map(String),
      );
      return { value: count / Number(/([\d.]+) seconds/.exec(out)[1]), work: count };
    },
  };
}

const LOADS = {
  'copyR-c1q1': copy('read', 1, 1),
  'copyR-c1q64': copy('read', 1, 64),
  'copyR-c4q1': copy('read', 4, 1),
  'copyR-c4q64': copy('read', 4, 64),
  'copyW-c1q64': copy('write', 1, 64),
  'copyW-c4q64': copy('write', 4, 64),
  'fio-rr4k-q1': fio('randread', '4k', 1),
  'fio-rr4k-q16': fio('randread', '4k', 16),
  'fio-rr4k-q64': fio('randread', '4k', 64),
  'fio-rw4k-q1': fio('randwrite', '4k', 1),
  'fio-rw4k-q16': fio('randwrite', '4k', 16),
  'fio-rw4k-q64': fio('randwrite', '4k', 64),
  'fio-r1M-q1': fio('read', '1M', 1),
  'fio-r1M-q4': fio('read', '1M', 4),
  'fio-w1M-q1': fio('write', '1M', 1),
  'fio-w1M-q4': fio('write', '1M', 4),
  'raw-rr4k-q16': raw('read', 4096, 16),
  'raw-rr4k-q64': raw('read', 4096, 64),
  'raw-rw4k-q16': raw('write', 4096, 16),
  'raw-r256k-q4': raw('read', 256 << 10, 4),
  'raw-w256k-q4': raw('write', 256 << 10, 4),
  'qb-r4k-q16': qemuBench('read', 4096, 16, 75_000),
  'qb-w4k-q16': qemuBench('write', 4096, 16, 75_000),
  'qb-r1M-q4': qemuBench('read', 1 << 20, 4, 3_000),
  'fio-sr4k-q16': fio('read', '4k', 16),
  'raw-rr4k-q1': raw('read', 4096, 1),
};

const REFERENCES = ['nbdkit', 'qemu-threads', 'qemu-uring'];

function servers(folder, image) {
  const socket = (name) => path.join(folder, name);
  const qemu = (name, aio) => ({
    command: 'qemu-nbd',
    args: [
      '-t',
      '-e',
      '16',
      '-k',
      socket(name),
      '--image-opts',
      `driver=raw,file.driver=file,file.filename=${image},file.locking=off,file.aio=${aio}`,
    ],
  });
  const own = { command: process.execPath, args: [`${here}nbd-serve.mjs`, image] };
  return {
    nbdkit: { command: 'nbdkit', args: ['-f', '-U', socket('nbdkit'), 'file', image] },
    'nbdkit-t1': { command: 'nbdkit', args: ['-f', '-t1', '-U', socket('nbdkit-t1'), 'file', image] },
    'qemu-threads': qemu('qemu-threads', 'threads'),
    'qemu-uring': qemu('qemu-uring', 'io_uring'),
    ours: { ...own, args: [...own.args, socket('ours')] },
    'ours-noffi': { ...own, args: [...own.args, socket('ours-noffi')], env: { USERLOOP_NO_FFI: '1' } },
  };
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS;
}

async function start({ command, args, env }, socket) {
  const child = spawn(command, args, {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: { ...process.env, ...env },
  });
  for (let tries = 0; !existsSync(socket); tries++) {
    if (tries > 200 || child.exitCode !== null) throw new Error(`${command} does not start`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return child;
}

export async function benchNbd(argv) {
  const rounds = Number(argv.find((text) => /^\d+$/.test(text)) ?? 3);
  const chosen = argv
    .find((text) => text.startsWith('servers='))
    ?.slice(8)
    .split(',');
  const wanted = argv.filter((text) => !/^\d+$|^servers=/.test(text));
  const loads = Object.entries(LOADS).filter(
    ([name]) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
  );
  const folder = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ul-nbd-'));
  const children = [];
  try {
    const image = path.join(folder, 'image');
    const files = { source: path.join(folder, 'source') };
    run('sh', ['-c', `head -c ${GIB} /dev/urandom > ${image}`]);
    copyFileSync(image, files.source);
    const all = Object.entries(servers(folder, image)).filter(([name]) => chosen?.includes(name) ?? true);
    const pids = {};
    for (const [name, server] of all) {
      const child = await start(server, path.join(folder, name));
      children.push(child);
      pids[name] = child.pid;
    }
    const names = all.map(([name]) => name);
    const table = new Table(names);
    for (const [index, [load, client]] of loads.entries()) {
      const cellsOfRounds = [];
      for (let round = 0; round < rounds; round++) {
        const cells = {};
        for (let turn = 0; turn < names.length; turn++) {
          const name = names[(turn + round + index) % names.length];
          const before = cpuSeconds(pids[name]);
          const { value, work } = client.run(`nbd+unix:///?socket=${path.join(folder, name)}`, 1, files);
          cells[name] = { value, cpu: (cpuSeconds(pids[name]) - before) / work };
        }
        cellsOfRounds.push(cells);
      }
      table.add(load, cellsOfRounds);
    }
    table.end();
  } finally {
    for (const child of children) child.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Prints a row for each load as it comes, and the geometric means. */
class Table {
  #names;
  #logs;
  #count = 0;

  constructor(names) {
    this.#names = names;
    this.#logs = Array.from({ length: names.length + 2 }, () => 0);
    console.log(`| load | best reference | ${names.join(' | ')} | cpu ours | cpu noffi |`);
    console.log(`|${' --- |'.repeat(names.length + 4)}`);
  }

  add(load, rounds) {
    const references = REFERENCES.filter((name) => this.#names.includes(name));
    const best = rounds.map((cells) => Math.max(...references.map((name) => cells[name].value)));
    const cheapest = rounds.map((cells) => Math.min(...references.map((name) => cells[name].cpu)));
    const figures = this.#names.map((name) => median(rounds.map((cells, i) => cells[name].value / best[i])));
    for (const name of ['ours', 'ours-noffi'])
      figures.push(median(rounds.map((cells, i) => (cells[name]?.cpu ?? NaN) / cheapest[i])));
    for (const [index, figure] of figures.entries()) this.#logs[index] += Math.log(figure);
    this.#count++;
    const texts = figures.map((figure) => figure.toFixed(2));
    console.log(`| ${load} | ${Math.round(median(best))} | ${texts.join(' | ')} |`);
  }

  end() {
    const means = this.#logs.map((sum) => Math.exp(sum / this.#count).toFixed(2));
    console.log(`| geometric mean | | ${means.join(' | ')} |`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await benchNbd(process.argv.slice(2));
