import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { checkVolume } from '../../src/disk/check-volume.ts';
import { DAMAGES, damage, GOOD_VOLUMES, goodVolume } from '../support/fat-damage.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { damageSome, StrictDevice } from '../support/strict-device.ts';

/** Seeds a volume; `CHECK_FUZZ=4000` for a long run, from the seed `CHECK_FUZZ_FIRST` on. */
const CASES = Number(process.env['CHECK_FUZZ'] ?? 150);
const FIRST = Number(process.env['CHECK_FUZZ_FIRST'] ?? 1);
/** Milliseconds: no damage may make a check of a small image take long. */
const LIMIT = 5000;

describe('The check of a damaged FAT volume', () => {
  const kinds = Object.keys(DAMAGES);
  for (const [name, size, options] of GOOD_VOLUMES) {
    it(`of ${name} ends, stays inside, and what it has mended is clean (${CASES} seeds)`, () => {
      const good = goodVolume(size, options);
      for (let seed = FIRST; seed < FIRST + CASES; seed++) {
        const random = seededRandom(seed);
        let image = damageSome(good, kinds, random, damage);
        if (random(8) === 0) {
          const start = random(image.length);
          image = image.slice().fill(random(256), start, start + random(3000));
        }
        if (random(20) === 0) image = image.slice(0, random(image.length));
        const started = performance.now();
        try {
          const report = checkVolume(new StrictDevice(MemoryDevice.from(image)), { type: 'fat' });
          if (report.counts.fatal === 0) {
            const again = checkVolume(report.staged, { type: 'fat' });
            expect(again.mendCount).toBe(0);
          }
        } catch (error) {
          throw new Error(`Seed ${seed}`, { cause: error });
        }
        expect(performance.now() - started, `seed ${seed}`).toBeLessThan(LIMIT);
      }
    });
  }
});
