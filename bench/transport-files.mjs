// npm run bench -- files: the device file of an attached device against the kernel's loop device on the same file in memory, and against
// the other FUSE servers of a file. Each round runs one load on every server in turn; a ratio is ours over theirs in the same round, a
// cell the median of the rounds. FILES_ROUNDS and FILES_SECONDS set how many rounds, and how long a load runs.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './measure.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const rounds = Number(process.env.FILES_ROUNDS ?? 7);
const seconds = Number(process.env.FILES_SECONDS ?? 1);
const folder = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'userloop-bench-'));
const image = `${folder}/image`;
process.env.PATH += ':/usr/sbin:/sbin';

const LOADS = [
  ['direct, sequential read 1M', ['--rw=read', '--bs=1M', '--direct=1', '--ioengine=psync'], 0.9],
  ['direct, sequential write 1M', ['--rw=write', '--bs=1M', '--direct=1', '--ioengine=psync'], 0.7],
  [
    'direct, random read 4k, depth 16',
    ['--rw=randread', '--bs=4k', '--direct=1', '--ioengine=libaio', '--iodepth=16'],
    0.8,
  ],
  [
    'direct, random write 4k, depth 16',
    ['--rw=randwrite', '--bs=4k', '--direct=1', '--ioengine=libaio', '--iodepth=16'],
    0.8,
  ],
  ['page cache, sequential read 1M', ['--rw=read', '--bs=1M', '--ioengine=psync'], 2],
  ['page cache, sequential write 1M', ['--rw=write', '--bs=1M', '--ioengine=psync', '--end_fsync=1'], 2],
];
/** What the others must be beaten by. */
const GOALS = { nbdfuse: 3, 'qemu-storage-daemon': 2 };

function has(tool) {
  return spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
}

function must(command, args, env) {
  const result = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env } });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}

function wait(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function startServers() {
  const runtime = `${folder}/run`;
  mkdirSync(runtime, { mode: 0o700 });
  const env = { USERLOOP_RUNTIME_DIR: runtime, USERLOOP_BACKEND: 'user' };
  const userloop = path.join(here, '../bin/userloop');
  // QEMU and the rest open the file as well, which the lock would forbid; nobody but one writes at a time.
  const ours = must(process.execPath, [userloop, 'attach', image], env);
  servers.push({
    name: 'userloop',
    file: ours,
    stop: () => must(process.execPath, [userloop, 'detach', path.basename(ours)], env),
  });
  if (process.getuid() === 0 && existsSync('/dev/loop-control')) {
    const file = must('losetup', ['-f', '--show', image]);
    servers.push({ name: 'kernel loop', file, stop: () => must('losetup', ['-d', file]) });
  }
  if (has('nbdfuse') && has('nbdkit')) {
    const mount = `${folder}/nbdfuse`;
    mkdirSync(mount);
    const child = spawn('nbdfuse', [mount, '[', 'nbdkit', '--exit-with-parent', 'file', image, ']'], {
      stdio: 'ignore',
    });
    servers.push({
      name: 'nbdfuse',
      file: `${mount}/nbd`,
      stop: () => {
        spawnSync('fusermount3', ['-u', mount]);
        child.kill();
      },
    });
  }
  if (has('qemu-storage-daemon')) {
    const file = `${folder}/qsd`;
    writeFileSync(file, '');
    const child = spawn(
      'qemu-storage-daemon',
      [
        ['--blockdev', `driver=file,filename=${image},node-name=file,locking=off`],
        ['--blockdev', 'driver=raw,file=file,node-name=raw'],
        ['--export', `type=fuse,id=export,node-name=raw,mountpoint=${file},writable=on`],
      ].flat(),
      { stdio: 'ignore' },
    );
    servers.push({ name: 'qemu-storage-daemon', file, stop: () => child.kill() });
  }
  await wait(1500);
}

function measure(file, load) {
  const out = must('fio', [
    '--name=job',
    `--filename=${file}`,
    '--size=1G',
    ...load,
    '--time_based',
    `--runtime=${seconds}`,
    '--randrepeat=1',
    '--norandommap',
    '--output-format=json',
  ]);
  const job = JSON.parse(out.slice(out.indexOf('{'))).jobs[0];
  return load[0].includes('read') ? job.read : job.write;
}

must('sh', ['-c', `head -c 1G /dev/urandom > ${image}`]);
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));
/** Ours first. */
const servers = [];
process.on('exit', () => {
  for (const { stop } of servers) {
    try {
      stop();
    } catch (error) {
      console.error(String(error));
    }
  }
  rmSync(folder, { recursive: true, force: true });
});
await startServers();
let missed = 0;
for (const [name, load, goal] of LOADS) {
  const values = new Map(servers.map((server) => [server.name, []]));
  for (let round = 0; round < rounds; round++) {
    const turn = servers.map((_, index) => servers[(index + round) % servers.length]);
    for (const server of turn) {
      const side = measure(server.file, load);
      values.get(server.name).push(name.includes('4k') ? side.iops : side.bw_bytes / 1e6);
    }
  }
  const [ours, ...peers] = servers.map((server) => values.get(server.name));
  const cells = peers.map((theirs, index) => {
    const peer = servers[index + 1].name;
    const ratio = median(ours.map((value, round) => value / theirs[round]));
    const wanted = GOALS[peer] ?? goal;
    if (ratio < wanted) missed++;
    return `${ratio.toFixed(2)} of ${peer} (>= ${wanted})`;
  });
  const unit = name.includes('4k') ? '/s' : ' MB/s';
  console.log(`${name.padEnd(36)} ${`${median(ours).toFixed(0)}${unit}`.padStart(11)}  ${cells.join('  ')}`);
}
console.log(missed === 0 ? 'all ratios as wanted' : `${missed} ratios below what is wanted`);
