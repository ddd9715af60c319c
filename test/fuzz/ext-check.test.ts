import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { checkVolume } from '../../src/disk/check-volume.ts';
import { isOwnError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { formatExt } from '../../src/filesystem/ext/format/format.ts';
import type { FormatExtOptions } from '../../src/filesystem/ext/format/parameters.ts';
import { damageExt, EXT_DAMAGES, type Random } from '../support/ext-damage.ts';
import { damageStructure, STRUCTURE_DAMAGES } from '../support/ext-structure-damage.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { damageSome, StrictDevice } from '../support/strict-device.ts';

/** `CHECK_FUZZ=2500` for a long run, from the seed `CHECK_FUZZ_FIRST` on. */
const CASES = Number(process.env['CHECK_FUZZ'] ?? 150);
const FIRST = Number(process.env['CHECK_FUZZ_FIRST'] ?? 1);
/** Milliseconds: no damage may make a check of a small image take long. */
const LIMIT = 5000;

/** As simple as can be, and with every structure that is checked. */
const VOLUMES: readonly { readonly size: number; readonly options: Partial<FormatExtOptions> }[] = [
  { size: 2 << 20, options: {} },
  {
    size: 6 << 20,
    options: {
      type: 'ext4',
      blockSize: 1024,
      inodeSize: 256,
      features: 'inline_data,ea_inode,orphan_file,resize_inode',
      journal: { size: 1 },
    },
  },
  {
    size: 8 << 20,
    options: {
      type: 'ext4',
      blockSize: 1024,
      clusterSize: 8192,
      inodeSize: 256,
      features: 'bigalloc,ea_inode,^has_journal',
    },
  },
];

function goodVolume({ size, options }: (typeof VOLUMES)[number]): Uint8Array {
  const device = new MemoryDevice(size);
  formatExt(device, {
    ...options,
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
      if (options.type === 'ext4') volume.setXattr(file, 'user.large', new Uint8Array(3000).fill(i));
    }
    folder = volume.create(folder, `directory ${depth}`, { kind: 'directory' });
  }
  // Enough names for an index.
  for (let i = 0; i < 60; i++) volume.create(folder, `${i} of many names of some length`, { kind: 'file' });
  volume.close();
  return device.toBytes();
}

/** Damage to the journal, the file of orphans and the resize inode, where that can still be found. */
function damageMore(image: Uint8Array, random: Random): Uint8Array {
  const kinds = Object.entries(STRUCTURE_DAMAGES).filter(([, { volumes }]) =>
    volumes.some((kind) => kind === 'journal' || kind === 'orphan file' || kind === 'resize'),
  );
  try {
    return damageStructure(image, kinds[random(kinds.length)]![0], random);
  } catch (error) {
    if (error instanceof RangeError || (error as Error).message.startsWith('No ')) return image;
    throw error;
  }
}

describe('The check of a damaged ext volume', () => {
  const kinds = Object.keys(EXT_DAMAGES);
  it(`ends, stays inside, and does not write (${CASES} seeds)`, () => {
    const volumes = VOLUMES.map(goodVolume);
    for (const good of volumes) {
      expect(checkVolume(new StrictDevice(MemoryDevice.from(good)), { type: 'ext' }).counts).toEqual({
        note: 0,
        warning: 0,
        damage: 0,
        fatal: 0,
      });
    }
    for (let seed = FIRST; seed < FIRST + CASES; seed++) {
      const random = seededRandom(seed);
      const good = volumes[seed % volumes.length]!;
      let image = damageSome(good, kinds, random, damageExt);
      if (good !== volumes[0] && random(2) === 0) image = damageMore(image, random);
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
