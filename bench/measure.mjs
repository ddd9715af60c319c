// Times whole processes in turn, A B A B …, so that a drift of the machine's speed meets both alike.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';

const TIME = '/usr/bin/time';

/**
 * Runs `sh -c command` and returns its wall time in seconds and the peak memory of its largest process in MB
 * (undefined without GNU time).
 */
export function runOnce(command, scratch) {
  const report = `${scratch}/time.txt`;
  const timed = existsSync(TIME);
  const start = process.hrtime.bigint();
  const result = timed
    ? spawnSync(TIME, ['-o', report, '-f', '%e %M', 'sh', '-c', command], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
    : spawnSync('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe'] });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (result.status !== 0) throw new Error(`${command}: status ${result.status}\n${String(result.stderr)}`);
  let megabytes;
  if (timed) {
    megabytes = Number(readFileSync(report, 'utf8').trim().split('\n').at(-1).split(' ')[1]) / 1024;
    rmSync(report);
  }
  return { seconds, megabytes };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** `rounds` runs of each side in turn after one warm-up; `prepare` runs before each, untimed. */
export function compare({ ours, peer, prepare, rounds = 5, scratch }) {
  const sides = { ours: [], peer: [] };
  let memory = 0;
  for (let round = -1; round < rounds; round++) {
    for (const [side, command] of [
      ['ours', ours],
      ['peer', peer],
    ]) {
      if (command === undefined) continue;
      prepare?.(side);
      const run = runOnce(command, scratch);
      if (round < 0) continue;
      sides[side].push(run.seconds);
      if (side === 'ours') memory = Math.max(memory, run.megabytes ?? 0);
    }
  }
  const ratios = sides.ours.map((seconds, i) => sides.peer[i] / seconds);
  return {
    ours: median(sides.ours),
    peer: peer === undefined ? undefined : median(sides.peer),
    /** How many times as fast as the peer: median over the pairs. */
    ratio: peer === undefined ? undefined : median(ratios),
    memory,
  };
}
