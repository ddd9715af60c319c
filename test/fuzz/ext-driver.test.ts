import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { isOwnError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { Superblock } from '../../src/filesystem/ext/superblock.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { loadImage, makeByTool, makeExt2, steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { StrictDevice } from '../support/strict-device.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** USERLOOP_SEED makes other mutations, USERLOOP_ROUNDS so many times as many. */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 4711);
const FACTOR = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
/** Content of files: mutating it would prove nothing. */
const FILL = 0xee;
/** More nodes than any of the images could hold: a walk that sees so many goes round in circles. */
const NODE_LIMIT = 5000;

function populate(volume: FileSystem): void {
  const { root } = volume;
  const content = new Uint8Array(400_000).fill(FILL);
  const large = volume.create(root, 'large', { kind: 'file' });
  volume.write(large, 0, content);
  const sparse = volume.create(root, 'sparse', { kind: 'file' });
  volume.write(sparse, 70_000_000, content.subarray(0, 2000));
  const many = volume.create(root, 'many', { kind: 'directory' });
  for (let i = 0; i < 120; i++) volume.create(many, `a name that is long ${i}`, { kind: 'fifo' });
  let at = root;
  for (let i = 0; i < 5; i++) at = volume.create(at, `level${i}`, { kind: 'directory' });
  volume.write(volume.create(at, 'small', { kind: 'file' }), 0, content.subarray(0, 3000));
  volume.create(root, 'fast', { kind: 'symlink', target: 'large' });
  volume.create(root, 'slow', { kind: 'symlink', target: '/x'.repeat(100) });
  volume.create(root, 'device', { kind: 'block-device', device: { major: 8, minor: 1 } });
  const fragments = volume.create(root, 'fragments', { kind: 'file' });
  for (let i = 0; i < 400; i++) volume.write(fragments, ((i * 7) % 400) * 2048, content.subarray(0, 1024));
  const ahead = volume.create(root, 'ahead', { kind: 'file' });
  if (volume.features.includes('extent')) volume.preallocate?.(ahead, 0, 20_000);
  for (const name of ['tiny', 'tiny2']) {
    volume.write(volume.create(root, name, { kind: 'file' }), 0, content.subarray(0, 80));
  }
  const few = volume.create(root, 'few', { kind: 'directory' });
  for (const name of ['one', 'two', 'three']) volume.create(few, name, { kind: 'socket' });
  for (const node of [large, sparse, many]) {
    volume.setXattr(node, 'user.small', new Uint8Array(9).fill(FILL));
    volume.setXattr(node, 'user.large', new Uint8Array(200).fill(FILL));
  }
}

/** Looks at everything; what cannot be read ends in an error of ours, and the walk goes on elsewhere. */
function walk(volume: FileSystem): void {
  let nodes = 0;
  const buffer = new Uint8Array(20_000);
  function visit(node: NodeId): void {
    if (++nodes > NODE_LIMIT) throw new Error('The walk goes round in circles');
    const attributes = attempt(() => volume.attributes(node));
    attempt(() => {
      for (const name of volume.listXattrs(node)) volume.getXattr(node, name);
    });
    if (attributes?.kind === 'symlink') attempt(() => volume.readLink(node));
    if (attributes?.kind === 'file') {
      attempt(() => volume.read(node, 0, buffer));
      attempt(() => volume.read(node, Math.max(0, attributes.size - 10_000), buffer));
      attempt(() => bounded(volume.extents(node)));
      attempt(() => bounded(volume.placement(node)));
    }
    if (attributes?.kind !== 'directory') return;
    attempt(() => {
      for (const entry of volume.entries(node)) visit(entry.node);
    });
    attempt(() => volume.parent(node));
  }
  visit(volume.root);
  volume.usage();
  void volume.label;
  void volume.features;
}

function bounded(list: Iterable<unknown>): void {
  let count = 0;
  for (const _ of list) if (++count > 3000) return;
}

function change(volume: FileSystem): void {
  const { root } = volume;
  const bytes = new Uint8Array(30_000).fill(1);
  const at = (name: string): NodeId => volume.lookup(root, name) ?? root;
  attempt(() => volume.write(at('large'), 390_000, bytes));
  attempt(() => volume.write(at('sparse'), 300_000, bytes));
  attempt(() => {
    for (let i = 0; i < 60; i++) volume.create(at('many'), `another long name ${i}`, { kind: 'file' });
  });
  attempt(() => volume.write(volume.create(root, 'new', { kind: 'file' }), 0, bytes));
  attempt(() => volume.setXattr(at('many'), 'user.large', bytes.subarray(0, 300)));
  attempt(() => volume.removeXattr(at('large'), 'user.small'));
  attempt(() => volume.rename(root, 'level0', at('many'), 'moved'));
  attempt(() => volume.rename(root, 'fast', root, 'large'));
  attempt(() => volume.write(at('fragments'), 3000, bytes));
  for (let i = 0; i < 5; i++) attempt(() => volume.punch?.(at('fragments'), 20_000 + i * 30_000, 3000));
  attempt(() => volume.preallocate?.(at('fragments'), 100_000, 300_000));
  attempt(() => volume.write(at('ahead'), 9000, bytes.subarray(0, 5000)));
  attempt(() => volume.write(at('tiny'), 30, bytes.subarray(0, 40)));
  attempt(() => volume.write(at('tiny'), 90, bytes.subarray(0, 400)));
  attempt(() => volume.setAttributes(at('tiny2'), { size: 10 }));
  attempt(() => volume.setXattr(at('tiny2'), 'user.small', bytes.subarray(0, 50)));
  for (const name of ['a', 'a longer name than the others', 'c', 'd']) {
    attempt(() => volume.create(at('few'), name, { kind: 'directory' }));
  }
  attempt(() => volume.unlink(at('few'), 'one'));
  attempt(() => volume.setAttributes(at('fragments'), { size: 200_000 }));
  attempt(() => volume.unlink(root, 'ahead'));
  attempt(() => volume.setAttributes(at('sparse'), { size: 100 }));
  attempt(() => volume.unlink(root, 'sparse'));
  attempt(() => volume.unlink(root, 'slow'));
  attempt(() => volume.removeDirectory(root, 'lost+found'));
  attempt(() => volume.sync());
}

function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (isOwnError(error)) return undefined;
    throw error;
  }
}

/** Opens, walks and changes a damaged volume. */
function exercise(bytes: Uint8Array, what: string): 'refused' | 'opened' {
  const device = new StrictDevice(MemoryDevice.from(bytes), { mayWrite: true });
  let result: 'refused' | 'opened' = 'refused';
  try {
    extDriver.probe(device);
    const volume = attempt(() => extDriver.open(device, { clock: steppingClock() }));
    if (volume !== undefined) {
      result = 'opened';
      walk(volume);
      if (!volume.readOnly) {
        change(volume);
        walk(volume);
      }
      attempt(() => volume.close());
    }
  } catch (error) {
    throw new Error(`${what} was not handled`, { cause: error });
  }
  return result;
}

/** Bytes worth mutating: what is not zero and not content, and the neighbours of these. */
function targets(bytes: Uint8Array): number[] {
  const result: number[] = [];
  for (let at = 1024; at < bytes.length; at++) {
    if (bytes[at] !== 0 && bytes[at] !== FILL && bytes[at] !== 0xff) result.push(at);
  }
  return result;
}

function mutate(bytes: Uint8Array, at: number, random: Random): string {
  const view = new DataView(bytes.buffer);
  const word = Math.min(bytes.length - 4, at & ~3);
  switch (random.below(6)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8);
      return `bit flipped at ${at}`;
    case 1:
      bytes[at] = random.below(256);
      return `byte ${bytes[at]} at ${at}`;
    case 2:
      view.setUint32(word, random.pick([0, 1, 2, 11, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]), true);
      return `word ${view.getUint32(word, true)} at ${word}`;
    case 3:
      view.setUint32(word, random.below(bytes.length / 1024 + 10), true);
      return `word ${view.getUint32(word, true)} at ${word}`;
    case 4:
      view.setUint16(word, random.pick([0, 0xffff, 0x8000, 1]), true);
      return `half word ${view.getUint16(word, true)} at ${word}`;
    default:
      bytes.copyWithin(word, Math.max(0, word - 4 * random.below(64)), word);
      return `bytes repeated at ${word}`;
  }
}

function fuzz(image: Uint8Array, count: number, seed: number, choose: (random: Random) => number): void {
  let opened = 0;
  for (let i = 0; i < count; i++) {
    const random = new Random(seed + i);
    const bytes = image.slice();
    const what: string[] = [];
    for (let j = random.pick([1, 1, 1, 2, 5]); j > 0; j--) what.push(mutate(bytes, choose(random), random));
    if (exercise(bytes, `${what.join(', ')} (seed ${seed + i})`) === 'opened') opened++;
  }
  expect(opened).toBeGreaterThan(0);
}

describe('A damaged ext2 volume', () => {
  const device = makeExt2(2 << 20, { blockSize: 1024, inodeSize: 256, inodeCount: 256 });
  const volume = extDriver.open(device, { clock: steppingClock() });
  populate(volume);
  volume.close();
  const image = device.toBytes();
  const interesting = targets(image);

  test('opens and can be changed when nothing is damaged', () => {
    expect(exercise(image.slice(), 'no damage')).toBe('opened');
  });

  test(`ends in our own errors wherever it is damaged (seed ${SEED})`, () => {
    fuzz(image, 500 * FACTOR, SEED, (random) => random.pick(interesting));
  });

  test(`ends in our own errors when its superblock or descriptors are damaged (seed ${SEED})`, () => {
    fuzz(image, 200 * FACTOR, SEED + 10_000, (random) => 1024 + random.below(1100));
  });

  test(`ends in our own errors when its inodes are damaged (seed ${SEED})`, () => {
    const table = new DataView(image.buffer).getUint32(2048 + 8, true) * 1024;
    fuzz(image, 300 * FACTOR, SEED + 20_000, (random) => table + random.below(180 * 256));
  });

  test('ends in our own errors with every field of the superblock at its limits', () => {
    for (const [name, field] of Object.entries(Superblock.$fields)) {
      for (const fill of [0x00, 0x01, 0x80, 0xff]) {
        const bytes = image.slice();
        bytes.fill(fill, 1024 + field.offset, 1024 + field.offset + field.length);
        exercise(bytes, `${name} filled with ${fill}`);
      }
    }
  });

  test('ends in our own errors wherever it is cut off', () => {
    for (const size of [0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 50_000, 300_000, image.length - 1]) {
      expect(exercise(image.slice(0, size), `cut at ${size}`)).toBe('refused');
    }
  });
});

describeWithTools(['mke2fs'], 'A damaged ext4 volume that is written to', () => {
  for (const features of [
    '^metadata_csum,^64bit,inline_data',
    '^metadata_csum,uninit_bg',
    'metadata_csum,^64bit,inline_data',
  ]) {
    const folder = memoryFolder();
    const args = ['-t', 'ext4', '-b', '1024', '-I', '256', '-N', '256', '-O', `^has_journal,${features}`];

    test(`ends in our own errors (${features}, seed ${SEED})`, () => {
      const device = makeByTool(folder, 2 << 20, args);
      const volume = extDriver.open(device, { clock: steppingClock() });
      expect(volume.readOnlyReason).toBe(undefined);
      populate(volume);
      volume.close();
      const image = device.toBytes();
      expect(exercise(image.slice(), 'no damage')).toBe('opened');
      const interesting = targets(image);
      fuzz(image, 100 * FACTOR, SEED + 40_000, (random) => random.pick(interesting));
      const table = new DataView(image.buffer).getUint32(2048 + 8, true) * 1024;
      fuzz(image, 100 * FACTOR, SEED + 50_000, (random) => table + random.below(180 * 256));
      // Nodes of extent trees: blocks that begin with their magic.
      const nodes: number[] = [];
      for (let at = 0; at < image.length; at += 1024) {
        if (image[at] === 0x0a && image[at + 1] === 0xf3) nodes.push(at);
      }
      expect(nodes.length).toBeGreaterThan(3);
      fuzz(image, 100 * FACTOR, SEED + 60_000, (random) => random.pick(nodes) + random.below(200));
    });
  }
});

describeWithTools(['mke2fs'], 'A damaged ext4 volume', () => {
  test(`ends in our own errors wherever it is damaged (seed ${SEED})`, () => {
    const folder = memoryFolder();
    const source = path.join(folder, 'source');
    fs.mkdirSync(path.join(source, 'd'), { recursive: true });
    fs.writeFileSync(path.join(source, 'large'), Buffer.alloc(200_000, FILL));
    for (let i = 0; i < 40; i++)
      fs.writeFileSync(path.join(source, `d/file ${i}`), Buffer.alloc(i * 5, FILL));
    fs.symlinkSync('x/'.repeat(60), path.join(source, 'link'));
    const file = path.join(folder, 'ext4.img');
    for (const features of ['inline_data', '^64bit,ea_inode,^has_journal']) {
      const args = [
        '-q',
        '-F',
        '-t',
        'ext4',
        '-I',
        '256',
        '-N',
        '128',
        '-O',
        features,
        '-d',
        source,
        file,
        '2M',
      ];
      const made = runTool('mke2fs', args);
      expect(made.status, made.stderr).toBe(0);
      const image = loadImage(file).toBytes();
      const interesting = targets(image);
      fuzz(image, 100 * FACTOR, SEED + 30_000, (random) => random.pick(interesting));
    }
  });
});
