import type { BlockRun } from './block-allocator.ts';

/** The clusters that these runs of blocks touch, each once and in the order of the device; again in blocks. */
export function clustersOf(runs: readonly BlockRun[], blocksPerCluster: number): BlockRun[] {
  const result: { start: number; length: number }[] = [];
  for (const run of [...runs].sort((a, b) => a.start - b.start)) {
    const start = roundDown(run.start, blocksPerCluster);
    const end = roundUp(run.start + run.length, blocksPerCluster);
    const last = result.at(-1);
    if (last !== undefined && start <= last.start + last.length)
      last.length = Math.max(last.length, end - last.start);
    else result.push({ start, length: end - start });
  }
  return result;
}

export function roundDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
