import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { type FatFormatOptions, formatFat } from '../../src/filesystem/fat/format.ts';
import { FatModelRun } from '../support/fat-driver-model.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

const MIB = 1 << 20;

interface Volume {
  readonly name: string;
  readonly size: number;
  readonly format: Omit<FatFormatOptions, 'volumeId'>;
  readonly maxFileSize: number;
}

const VOLUMES: readonly Volume[] = [
  { name: 'a FAT12 floppy', size: 1440 * 1024, format: {}, maxFileSize: 20_000 },
  { name: 'a nearly full FAT12 volume', size: 300 * 1024, format: { fatBits: 12 }, maxFileSize: 30_000 },
  {
    name: 'a FAT16 volume with one FAT',
    size: 16 * MIB,
    format: { fatBits: 16, fatCount: 1 },
    maxFileSize: 60_000,
  },
  {
    name: 'a nearly full FAT16 volume with a small root',
    size: 5 * MIB,
    format: { fatBits: 16, sectorsPerCluster: 2, rootEntryCount: 64 },
    maxFileSize: 400_000,
  },
  { name: 'a FAT32 volume', size: 36 * MIB, format: { fatBits: 32 }, maxFileSize: 50_000 },
  {
    name: 'a nearly full FAT32 volume with sectors of 4096 bytes',
    size: 6 * MIB,
    format: { fatBits: 32, sectorSize: 4096 },
    maxFileSize: 600_000,
  },
];

const SEEDS = [1, 2, 3];

function run(volume: Volume, seed: number, steps: number, after: (run: FatModelRun) => void): FatModelRun {
  const device = new MemoryDevice(volume.size);
  formatFat(device, { ...volume.format, volumeId: 0x1234_5678 });
  const model = new FatModelRun(device, seed, volume.maxFileSize);
  let last = 'open';
  for (let step = 0; step < steps; step++) {
    try {
      last = model.step();
    } catch (error) {
      throw new Error(`Seed ${seed}, step ${step}, after "${last}"`, { cause: error });
    }
  }
  model.compare();
  model.reopen();
  model.fs.close();
  after(model);
  return model;
}

describe('Random operations on FAT', () => {
  for (const volume of VOLUMES) {
    it(`leave ${volume.name} as a model in memory says`, () => {
      const model = run(volume, 77, 400, () => {});
      expect(model.outOfSpace).toBeGreaterThanOrEqual(0);
    });
  }
});

describeWithTools(['fsck.fat'], 'Random operations on FAT', () => {
  const folder = memoryFolder();
  for (const volume of VOLUMES) {
    for (const seed of SEEDS) {
      it(`leave ${volume.name} clean and as the model says (seed ${seed})`, () => {
        const image = path.join(folder, `${volume.name}-${seed}.img`);
        const device = new MemoryDevice(volume.size);
        formatFat(device, { ...volume.format, volumeId: 0x1234_5678 });
        const model = new FatModelRun(device, seed, volume.maxFileSize);
        let last = 'open';
        for (let round = 0; round < 3; round++) {
          for (let step = 0; step < 300; step++) {
            try {
              last = model.step();
            } catch (error) {
              throw new Error(`Seed ${seed}, round ${round}, step ${step}, after "${last}"`, {
                cause: error,
              });
            }
          }
          model.compare();
          model.reopen();
          model.fs.close();
          fs.writeFileSync(image, device.toBytes());
          const judged = runTool('fsck.fat', ['-n', image]);
          expect(judged.stdout).toMatch(/files, \d+\/\d+ clusters\s*$/);
          expect(judged.status).toBe(0);
          model.reopen();
        }
        model.fs.close();
        fs.rmSync(image);
        if (volume.name.includes('nearly full')) expect(model.outOfSpace).toBeGreaterThan(0);
      });
    }
  }
});
