// A tree like a small root file system: 16,000 files, 340 MB, the same on every run.
import { mkdirSync, writeFileSync, existsSync, rmSync } from 'node:fs';

const FILES = 16_000;
const BYTES = 340_000_000;
const FILES_PER_DIRECTORY = 40;

/** A small generator with a fixed seed (xorshift32), so that sizes and bytes are the same everywhere. */
function generator(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}

/** Writes the tree below `folder` unless it is there, and returns its counts. */
export function makeCorpus(folder) {
  const done = `${folder}.done`;
  if (!existsSync(done)) {
    rmSync(folder, { recursive: true, force: true });
    const random = generator(0x5eed);
    // Sizes of real trees are about log-normal: many small files, few large ones.
    const weights = Array.from({ length: FILES }, () =>
      Math.exp(1.7 * Math.sqrt(-2 * Math.log(random() || 0.5)) * Math.cos(2 * Math.PI * random())),
    );
    const scale = BYTES / weights.reduce((sum, weight) => sum + weight, 0);
    const content = Buffer.alloc(64 << 20);
    for (let i = 0; i < content.length; i += 4) content.writeUInt32LE((random() * 0x1_0000_0000) >>> 0, i);
    for (const [index, weight] of weights.entries()) {
      const directory = Math.floor(index / FILES_PER_DIRECTORY);
      const path = `${folder}/part-${Math.floor(directory / 20)}/directory-${directory}`;
      if (index % FILES_PER_DIRECTORY === 0) mkdirSync(path, { recursive: true });
      const size = Math.min(Math.floor(weight * scale), content.length / 2);
      const start = Math.floor(random() * (content.length - size));
      writeFileSync(`${path}/file-${index}.dat`, content.subarray(start, start + size));
    }
    writeFileSync(done, '');
  }
  return { files: FILES, bytes: BYTES };
}
