import { describe, expect, it } from 'vitest';
import type { BlockDevice } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { isOwnError } from '../../src/errors.ts';
import { fatDriver } from '../../src/filesystem/fat/driver.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { type FatFormatOptions, formatFat } from '../../src/filesystem/fat/format.ts';
import { geometryOf } from '../../src/filesystem/fat/geometry.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { StrictDevice } from '../support/strict-device.ts';

/** USERLOOP_SEED: the first seed; USERLOOP_ROUNDS: so many times as many mutations. */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 1);
const CASES_A_VOLUME = 280 * Number(process.env['USERLOOP_ROUNDS'] ?? 1);

const VOLUMES: readonly [name: string, size: number, options: Omit<FatFormatOptions, 'volumeId'>][] = [
  ['FAT12', 160 * 1024, {}],
  ['FAT16', 2200 * 1024, { fatBits: 16, sectorsPerCluster: 1 }],
  ['FAT32', 600 * 1024, { fatBits: 32, sectorsPerCluster: 1 }],
];

/** A good volume with nested directories, long names, fragmented files and deleted entries. */
function goodImage(size: number, options: Omit<FatFormatOptions, 'volumeId'>): Uint8Array {
  const device = new MemoryDevice(size);
  formatFat(device, { ...options, volumeId: 0xcafe });
  const volume = FatFileSystem.open(device);
  let folder = volume.root;
  for (let depth = 0; depth < 4; depth++) {
    for (let i = 0; i < 9; i++) {
      const file = volume.create(folder, `a long name for file ${i} at depth ${depth}`, { kind: 'file' });
      volume.write(file, 0, new Uint8Array(i * 300 + depth).fill(i));
    }
    folder = volume.create(folder, depth % 2 === 0 ? 'SHORT' : 'a longer directory name', {
      kind: 'directory',
    });
  }
  volume.unlink(volume.root, 'a long name for file 3 at depth 0');
  volume.write(volume.lookup(volume.root, 'a long name for file 2 at depth 0')!, 0, new Uint8Array(9000));
  volume.label = 'FUZZ';
  volume.close();
  return device.toBytes();
}

function mutate(good: Uint8Array, random: (below: number) => number): Uint8Array {
  const image = good.slice();
  const { fatOffset, fatSize, rootOffset, rootSize, dataOffset } = geometryOf(image);
  const dataEnd = Math.min(image.length, dataOffset + 60_000);
  const count = 1 + random(4);
  for (let i = 0; i < count; i++) {
    switch (random(8)) {
      case 0:
        image[random(96)] = random(256);
        break;
      case 1:
        image[0x0b + random(0x40)]! ^= 1 << random(8);
        break;
      case 2: {
        // FSInfo and whatever else is reserved.
        image[random(fatOffset)] = random(256);
        break;
      }
      case 3:
      case 4:
        // Near the start of the table, where the clusters in use are: links, loops, out of range.
        image[fatOffset + random(Math.min(fatSize, 700))] = random(3) === 0 ? random(256) : random(64);
        break;
      case 5:
        image[rootOffset + random(rootSize > 0 ? rootSize : 2048)] = random(256);
        break;
      case 6: {
        // A slot of something that looks like a directory.
        const slot = dataOffset + random(Math.floor((dataEnd - dataOffset) / 32)) * 32;
        image[slot + random(32)] = random(256);
        break;
      }
      default: {
        const at = random(image.length);
        return i === 0 && random(2) === 0
          ? image.slice(0, at)
          : image.fill(random(256), at, at + random(2000));
      }
    }
  }
  return image;
}

/** Does what `change` does; errors of the four families are an answer. */
function attempt(change: () => void): void {
  try {
    change();
  } catch (error) {
    if (!isOwnError(error)) throw error;
  }
}

/** True when the volume could be opened at all. */
function exercise(device: BlockDevice): boolean {
  fatDriver.probe(device);
  let volume: FileSystem | undefined;
  attempt(() => {
    volume = fatDriver.open(device);
  });
  if (volume === undefined) return false;
  const fs = volume;
  attempt(() => void fs.label);
  attempt(() => void fs.usage());
  const found: { directory: NodeId; name: string; node: NodeId; isDirectory: boolean }[] = [];
  const pending: NodeId[] = [fs.root];
  const into = new Uint8Array(40_000);
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    attempt(() => {
      for (const { name, node, kind } of fs.entries(directory!)) {
        found.push({ directory: directory!, name, node, isDirectory: kind === 'directory' });
        // Every entry takes 32 bytes that no other directory shares.
        if (found.length > device.size / 32) throw new TypeError('The walk does not end');
        if (kind === 'directory') pending.push(node);
        attempt(() => void fs.attributes(node));
        attempt(() => void fs.read(node, 0, into));
        attempt(() => expect([...fs.placement(node)].length).toBeLessThan(device.size / 512));
      }
    });
  }
  attempt(() => {
    const made = fs.create(fs.root, 'a new directory', { kind: 'directory' });
    fs.write(fs.create(made, 'a new file', { kind: 'file' }), 0, into);
  });
  for (const [index, { directory, name, node, isDirectory }] of found.entries()) {
    switch (index % 4) {
      case 0:
        attempt(() => (isDirectory ? fs.removeDirectory(directory, name) : fs.unlink(directory, name)));
        break;
      case 1:
        attempt(() => fs.rename(directory, name, fs.root, `renamed ${index}`));
        break;
      case 2:
        attempt(() => fs.write(node, 3000, into.subarray(0, 5000)));
        break;
      default:
        attempt(() => fs.setAttributes(node, { size: 700 }));
    }
  }
  attempt(() => {
    fs.label = 'OTHER';
  });
  attempt(() => fs.close());
  return true;
}

describe('A damaged FAT volume', () => {
  for (const [name, size, options] of VOLUMES) {
    it(`of ${name} never leads outside the device or to a foreign error (${CASES_A_VOLUME} seeds)`, () => {
      const good = goodImage(size, options);
      expect(exercise(new StrictDevice(MemoryDevice.from(good), { mayWrite: true }))).toBe(true);
      let opened = 0;
      for (let seed = SEED; seed < SEED + CASES_A_VOLUME; seed++) {
        const image = mutate(good, seededRandom(seed));
        try {
          if (exercise(new StrictDevice(MemoryDevice.from(image), { mayWrite: true }))) opened++;
        } catch (error) {
          throw new Error(`Seed ${seed}`, { cause: error });
        }
      }
      // Most of the damage lies deeper than the boot sector.
      expect(opened).toBeGreaterThan(CASES_A_VOLUME / 3);
    });
  }
});
