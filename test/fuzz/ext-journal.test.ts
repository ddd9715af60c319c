import fs from 'node:fs';
import { expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { isOwnError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { makeDebugfsJournal } from '../support/dirty-journals.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, runTool } from '../support/tools.ts';

/** USERLOOP_ROUNDS: mutated images of each kind. */
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 25);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 8_100);

const KINDS = [
  { type: 'ext3', blockSize: 1024, features: 'has_journal', open: '' },
  { type: 'ext4', blockSize: 1024, features: '64bit', open: '-c -v 2' },
  { type: 'ext4', blockSize: 4096, features: '64bit', open: '-c -v 3' },
] as const;

describeWithTools(['mke2fs', 'debugfs'], 'A damaged journal', () => {
  for (const kind of KINDS) {
    test(`ends in an open volume or one of our errors, and when the volume is read-only in an image that is as it was: ${kind.type} ${kind.open}`, () => {
      const file = makeDebugfsJournal({ ...kind, seed: 3 });
      const good = new Uint8Array(fs.readFileSync(file));
      const journal = firstJournalBlock(file) * kind.blockSize;
      const random = new Random(SEED);
      let refused = 0;
      let replayed = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const bytes = good.slice();
        for (let change = 0; change < 1 + random.below(8); change++) {
          // Mostly in the superblock of the journal, and in what begins its blocks.
          const block = random.below(3) === 0 ? 0 : random.below(200);
          const within = random.below(random.below(2) === 0 ? 64 : kind.blockSize);
          bytes[journal + block * kind.blockSize + within] = random.pick([0, 0xff, random.below(256)]);
        }
        const device = MemoryDevice.from(bytes);
        let volume: FileSystem;
        try {
          volume = extDriver.open(device, { clock: steppingClock() });
          for (const entry of volume.entries(volume.root)) volume.attributes(entry.node);
          volume.close();
        } catch (error) {
          expect(isOwnError(error), String(error)).toBe(true);
          continue;
        }
        if (volume.readOnlyReason === undefined) replayed++;
        else {
          refused++;
          expect(Buffer.compare(device.toBytes(), bytes), `round ${round}`).toBe(0);
        }
      }
      expect(replayed).toBeGreaterThan(0);
      expect(refused).toBeGreaterThan(0);
    });
  }
});

function firstJournalBlock(image: string): number {
  const { stdout } = runTool('debugfs', ['-R', 'blocks <8>', image]);
  return Number(stdout.trim().split(/\s+/)[0]);
}
