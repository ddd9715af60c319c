import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { checkVolume } from '../../src/disk/check-volume.ts';
import { isOwnError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { formatExt } from '../../src/filesystem/ext/format/format.ts';
import { damageExt, EXT_DAMAGES } from '../support/ext-damage.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { damageSome, StrictDevice } from '../support/strict-device.ts';

/** `CHECK_FUZZ=4000` for a long run. */
const CASES = Number(process.env['CHECK_FUZZ'] ?? 150);
/** Milliseconds: no damage may make a check of a small image take long. */
const LIMIT = 5000;

function goodVolume(): Uint8Array {
  const device = new MemoryDevice(2 << 20);
  formatExt(device, {
    now: { seconds: 1_700_000_000, nanoseconds: 0 },
    uuid: new Uint8Array(16).fill(7),
    hashSeed: new Uint8Array(16).fill(9),
  });
  const volume = extDriver.open(device);
  let folder = volume.root;
  for (let depth = 0; depth < 4; depth++) {
    for (let i = 0; i < 6; i++) {
      const file = volume.create(folder, `file ${i} at depth ${depth}`, { kind: 'file' });
      volume.write(file, 0, new Uint8Array(i * 6000 + depth).fill(i + 1));
    }
    folder = volume.create(folder, `directory ${depth}`, { kind: 'directory' });
  }
  volume.close();
  return device.toBytes();
}

describe('The check of a damaged ext volume', () => {
  const kinds = Object.keys(EXT_DAMAGES);
  it(`ends, stays inside, and does not write (${CASES} seeds)`, () => {
    const good = goodVolume();
    expect(checkVolume(new StrictDevice(MemoryDevice.from(good)), { type: 'ext' }).counts).toEqual({
      note: 0,
      warning: 0,
      damage: 0,
      fatal: 0,
    });
    for (let seed = 1; seed <= CASES; seed++) {
      const random = seededRandom(seed);
      let image = damageSome(good, kinds, random, damageExt);
      if (random(4) === 0) {
        const start = random(3) === 0 ? 1024 + random(4096) : random(image.length);
        image = image.slice().fill(random(256), start, start + random(3000));
      }
      if (random(6) === 0) {
        image = image.slice();
        image[1024 + random(264)] = random(256);
      }
      if (random(20) === 0) image = image.slice(0, random(image.length));
      const started = performance.now();
      try {
        checkVolume(new StrictDevice(MemoryDevice.from(image)), { type: 'ext' });
      } catch (error) {
        // What it does not know, or a descriptor that leads outside: named, and over.
        if (!isOwnError(error)) throw new Error(`Seed ${seed}`, { cause: error });
      }
      expect(performance.now() - started, `seed ${seed}`).toBeLessThan(LIMIT);
    }
  });
});
