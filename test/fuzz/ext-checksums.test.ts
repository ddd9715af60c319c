import path from 'node:path';
import { expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import type { BlockDevice } from '../../src/device/block-device.ts';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import { CorruptImageError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { ExtCore } from '../../src/filesystem/ext/ext-core.ts';
import { Inode } from '../../src/filesystem/ext/inode.ts';
import type { InodeRef } from '../../src/filesystem/ext/inode-table.ts';
import { ReadOnlyCompatibleFeature, Superblock } from '../../src/filesystem/ext/superblock.ts';
import { Volume } from '../../src/filesystem/ext/volume.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { loadImage, steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** USERLOOP_SEED flips other bits, USERLOOP_ROUNDS flips more of each byte. */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 815);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);

const BLOCK = 1024;
const folder = memoryFolder();

interface Region {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  /** Cannot be done without what lies in the region. */
  readonly use: (volume: FileSystem) => unknown;
}

function makeImage(features: string): MemoryDevice {
  const file = path.join(folder, 'checksums.img');
  const options = ['-q', '-F', '-t', 'ext4', '-b', `${BLOCK}`, '-O', features, '-I', '256', '-N', '256'];
  const made = runTool('mke2fs', [...options, file, '2M']);
  expect(made.status, made.stderr).toBe(0);
  const device = loadImage(file);
  const volume = extDriver.open(device, { clock: steppingClock() });
  expect(volume.readOnlyReason).toBeUndefined();
  const { root } = volume;
  const many = volume.create(root, 'many', { kind: 'directory' });
  for (let i = 0; i < 100; i++) volume.create(many, `a name of some length ${i}`, { kind: 'fifo' });
  const few = volume.create(root, 'few', { kind: 'directory' });
  volume.setXattr(few, 'user.large', new Uint8Array(300).fill(7));
  volume.create(few, 'one', { kind: 'file' });
  const holes = volume.create(root, 'holes', { kind: 'file' });
  for (let i = 0; i < 12; i++) volume.write(holes, i * 5 * BLOCK, new Uint8Array(BLOCK).fill(9));
  volume.close();
  return device;
}

/** Every structure with a checksum, and what reads it. */
function regionsOf(device: MemoryDevice): Region[] {
  const volume = Volume.open(device, steppingClock());
  const core = new ExtCore(volume);
  const lookup = (parent: number, name: string): InodeRef =>
    core.inodes.load(core.directories.lookup(core.inodes.load(parent), name)!);
  const few = lookup(2, 'few');
  const many = lookup(2, 'many');
  const group = volume.groups.get(0);
  const { inodesPerGroup, blocksPerGroup } = volume.geometry;
  const manyBlocks = core.directories.open(many).blocks;
  const fewBlocks = core.directories.open(few).blocks;
  const inodeAt = (ref: InodeRef): number => ref.block.index * BLOCK + ref.base;
  const list = (node: number) => (fs: FileSystem) => [...fs.entries(node as NodeId)];
  const create = (fs: FileSystem): unknown => fs.create(fs.root, 'new', { kind: 'file' });
  const holes = lookup(2, 'holes');
  const root = holes.base + Inode.i_block.offset;
  const extentBlocks =
    holes.view.getUint16(root + 6, true) === 0
      ? []
      : [{ name: 'extent block', offset: holes.view.getUint32(root + 16, true) * BLOCK, length: BLOCK }];
  return [
    ...extentBlocks.map((region) => ({
      ...region,
      use: (fs: FileSystem) => fs.read(holes.number as NodeId, 0, new Uint8Array(1)),
    })),
    { name: 'superblock', offset: 1024, length: 1024, use: (fs) => fs },
    { name: 'group descriptor', offset: 2048, length: volume.geometry.descriptorSize, use: (fs) => fs },
    { name: 'inode bitmap', offset: group.inodeBitmap * BLOCK, length: inodesPerGroup / 8, use: create },
    {
      name: 'block bitmap',
      offset: group.blockBitmap * BLOCK,
      length: blocksPerGroup / 8,
      use: (fs) => fs.create(fs.root, 'new', { kind: 'directory' }),
    },
    { name: 'inode', offset: inodeAt(few), length: 256, use: (fs) => fs.attributes(few.number as NodeId) },
    { name: 'directory leaf', offset: fewBlocks[0]! * BLOCK, length: BLOCK, use: list(few.number) },
    { name: 'index root', offset: manyBlocks[0]! * BLOCK, length: BLOCK, use: list(many.number) },
    { name: 'leaf under an index', offset: manyBlocks[1]! * BLOCK, length: BLOCK, use: list(many.number) },
    {
      name: 'attribute block',
      offset: core.inodes.attributeBlock(few) * BLOCK,
      length: BLOCK,
      use: (fs) => fs.listXattrs(few.number as NodeId),
    },
  ];
}

/** Bits without which the volume does not claim to have checksums, and bytes that no checksum covers. */
function isBeyondChecksums(device: MemoryDevice, region: Region, at: number, bit: number): boolean {
  if (region.name === 'superblock') {
    const features = Superblock.s_feature_ro_compat.offset;
    const mask = 1 << (8 * (at - features) + bit);
    if (at >= features && at < features + 4 && mask === ReadOnlyCompatibleFeature.metadata_csum) return true;
    return at === Superblock.s_rev_level.offset && bit === 0;
  }
  if (region.name !== 'index root') return false;
  // Behind the last entry in use of the index, as far as the tail.
  const bytes = new Uint8Array(BLOCK);
  device.read(region.offset, bytes);
  const limit = viewOf(bytes).getUint16(32, true);
  const count = viewOf(bytes).getUint16(34, true);
  return at >= 32 + 8 * count && at < 32 + 8 * limit;
}

describeWithTools(['mke2fs'], 'A flipped bit in checksummed metadata', () => {
  for (const [features, kinds] of [
    ['^has_journal', 10],
    ['^has_journal,metadata_csum_seed', 10],
    ['^has_journal,^extent,^64bit', 9],
  ] as const) {
    test(`is an error that names the structure: ${features} (seed ${SEED})`, () => {
      const device = makeImage(features);
      const random = new Random(SEED);
      const outcomes = new Map<string, number>();
      for (const region of regionsOf(device)) {
        for (let round = 0; round < ROUNDS; round++) {
          for (let at = 0; at < region.length; at++) {
            const bit = random.below(8);
            if (isBeyondChecksums(device, region, at, bit)) continue;
            const byte = new Uint8Array(1);
            device.read(region.offset + at, byte);
            const kept = byte[0]!;
            byte[0] = kept ^ (1 << bit);
            device.write(region.offset + at, byte);
            let changed = false;
            const guard: BlockDevice = {
              size: device.size,
              sectorSize: device.sectorSize,
              readOnly: false,
              read: (offset, into) => device.read(offset, into),
              // The first change of a volume says in the superblock that it is in use.
              write: (offset) => (changed ||= offset !== 1024),
              flush: () => undefined,
              close: () => undefined,
            };
            let outcome: unknown;
            try {
              outcome = region.use(extDriver.open(guard, { clock: steppingClock() }));
            } catch (error) {
              outcome = error;
            }
            const place = `bit ${bit} of byte ${at} of the ${region.name}`;
            expect(outcome, place).toBeInstanceOf(CorruptImageError);
            expect(changed, place).toBe(false);
            outcomes.set(region.name, (outcomes.get(region.name) ?? 0) + 1);
            byte[0] = kept;
            device.write(region.offset + at, byte);
          }
        }
      }
      expect(outcomes.size).toBe(kinds);
    });
  }
});
