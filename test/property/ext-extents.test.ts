import path from 'node:path';
import { expect, test } from 'vitest';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { makeByTool, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** USERLOOP_SEED runs other operations, USERLOOP_ROUNDS more of them. */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 77_001);
const FACTOR = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const BLOCK = 1024;

/** One file by blocks: what each should hold; 0 reads as zeros. */
class BlockModel {
  readonly stamps: Uint32Array;
  size = 0;
  #next = 1;

  constructor(blocks: number) {
    this.stamps = new Uint32Array(blocks);
  }

  stamp(from: number, count: number): Uint8Array {
    const bytes = new Uint8Array(count * BLOCK);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < count; i++) {
      const value = this.#next++;
      this.stamps[from + i] = value;
      view.setUint32(i * BLOCK, value, true);
      view.setUint32(i * BLOCK + BLOCK - 4, value, true);
    }
    this.size = Math.max(this.size, from + count);
    return bytes;
  }

  verify(volume: FileSystem, node: NodeId): void {
    expect(volume.attributes(node).size).toBe(this.size * BLOCK);
    const bytes = new Uint8Array(this.size * BLOCK);
    volume.read(node, 0, bytes);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < this.size; i++) {
      const found = [view.getUint32(i * BLOCK, true), view.getUint32(i * BLOCK + BLOCK - 4, true)];
      // Behind the last one space may be taken ahead.
      const expected = this.stamps[i] ?? 0;
      if (found[0] === expected && found[1] === expected) continue;
      expect(found, `block ${i}`).toEqual([expected, expected]);
    }
  }
}

describeWithTools(['mke2fs', 'e2fsck', 'debugfs'], 'Extent trees', () => {
  const folder = memoryFolder();

  function expectClean(device: MemoryDevice, what: string): string {
    const file = path.join(folder, 'extents.img');
    saveImage(device, file);
    const result = runTool('e2fsck', ['-fn', file]);
    const told = (result.stdout + result.stderr).replaceAll(/^.* could be narrower\..*$/gm, '');
    expect(told, what).not.toMatch(/\? no\n|WARNING/);
    expect(result.status, `${what}: ${result.stdout}`).toBe(0);
    return file;
  }

  function depthOf(file: string): number {
    const { stdout } = runTool('debugfs', ['-R', 'dump_extents -n /f', file]);
    return Math.max(0, ...[...stdout.matchAll(/^ *\d+\/ *(\d+) /gm)].map((match) => Number(match[1])));
  }

  for (const [features, order] of [
    ['^has_journal,^metadata_csum,^64bit', 'forwards'],
    ['^has_journal', 'backwards'],
    ['^has_journal,^64bit', 'at random'],
  ] as const) {
    test(`hold a file of 5,000 fragments, written ${order} (${features}, seed ${SEED})`, () => {
      const args = ['-t', 'ext4', '-b', '1024', '-O', features, '-N', '64', '-m', '0'];
      const device = makeByTool(folder, 24 << 20, args);
      const random = new Random(SEED);
      let volume = extDriver.open(device, { clock: steppingClock() });
      const node = volume.create(volume.root, 'f', { kind: 'file' });
      const count = 5000;
      const model = new BlockModel(3 * count);
      const places = Array.from({ length: count }, (_, i) => 2 * i);
      if (order === 'backwards') places.reverse();
      if (order === 'at random') {
        for (let i = count - 1; i > 0; i--) {
          const j = random.below(i + 1);
          [places[i], places[j]] = [places[j]!, places[i]!];
        }
      }
      for (const place of places) volume.write(node, place * BLOCK, model.stamp(place, 1));
      model.verify(volume, node);
      volume.close();
      expect(depthOf(expectClean(device, 'after writing'))).toBeGreaterThanOrEqual(2);
      volume = extDriver.open(device, { clock: steppingClock() });

      // The holes fill up, and the extents with them.
      for (let i = 0; i < 2500; i++) {
        const place = 2 * random.below(count) + 1;
        volume.write(node, place * BLOCK, model.stamp(place, 1));
      }
      model.verify(volume, node);
      // Holes of all lengths; then the end goes, step by step.
      for (let i = 0; i < 1200; i++) {
        const from = random.below(model.size);
        const length = Math.min(model.size - from, 1 + random.below(random.pick([2, 5, 50])));
        volume.punch!(node, from * BLOCK, length * BLOCK);
        model.stamps.fill(0, from, from + length);
      }
      model.verify(volume, node);
      volume.sync();
      expectClean(device, 'after punching');
      while (model.size > 0) {
        model.size = Math.max(0, model.size - 1 - random.below(2500));
        volume.setAttributes(node, { size: model.size * BLOCK });
        model.stamps.fill(0, model.size);
        model.verify(volume, node);
      }
      volume.close();
      expectClean(device, 'after truncating');
      expect(extDriver.open(device, { readOnly: true }).attributes(node).allocated).toBe(0);
    });
  }

  test(`keep every block where random operations left it (seed ${SEED})`, () => {
    let full = 0;
    for (let round = 0; round < 4 * FACTOR; round++) {
      const random = new Random(SEED + 1 + round);
      const size = round % 2 === 0 ? 3 << 20 : 12 << 20;
      const args = ['-t', 'ext4', '-b', '1024', '-O', '^has_journal,^resize_inode', '-N', '64', '-m', '0'];
      const device = makeByTool(folder, size, args);
      let volume = extDriver.open(device, { clock: steppingClock() });
      const node = volume.create(volume.root, 'f', { kind: 'file' });
      const blocks = 4000;
      const model = new BlockModel(blocks);
      for (let i = 0; i < 2500; i++) {
        const from = random.below(blocks - 60);
        const length = 1 + random.below(random.pick([1, 1, 4, 50]));
        const roll = random.below(20);
        const before = model.stamps.slice(from, from + length);
        const sizeBefore = model.size;
        try {
          if (roll < 11) volume.write(node, from * BLOCK, model.stamp(from, length));
          else if (roll < 14) {
            volume.punch!(node, from * BLOCK, length * BLOCK);
            model.stamps.fill(0, from, from + length);
          } else if (roll < 19) {
            const keepSize = random.below(2) === 0;
            volume.preallocate!(node, from * BLOCK, length * BLOCK * random.pick([1, 3]), { keepSize });
            model.size = Math.max(model.size, Math.ceil(volume.attributes(node).size / BLOCK));
            if (keepSize) expect(model.size).toBe(sizeBefore);
          } else if (random.below(10) === 0) {
            const end = random.below(model.size + 1);
            volume.setAttributes(node, { size: end * BLOCK });
            model.size = end;
            model.stamps.fill(0, end);
          }
        } catch (error) {
          if (!(error instanceof FsError) || error.code !== 'ENOSPC') {
            throw new Error(`Operation ${i} of seed ${SEED + 1 + round}`, { cause: error });
          }
          full++;
          model.stamps.set(before, from);
          model.size = sizeBefore;
        }
        if (i % 500 === 499) {
          model.verify(volume, node);
          volume.close();
          expectClean(device, `operation ${i} of seed ${SEED + 1 + round}`);
          volume = extDriver.open(device, { clock: steppingClock() });
        }
      }
      volume.unlink(volume.root, 'f');
      volume.close();
      expectClean(device, `the end of seed ${SEED + 1 + round}`);
    }
    expect(full).toBeGreaterThan(0);
  });

  test('get shorter again when the extents that made them grow are joined', () => {
    const device = makeByTool(folder, 4 << 20, ['-t', 'ext4', '-b', '1024', '-O', '^has_journal']);
    let volume = extDriver.open(device, { clock: steppingClock() });
    const node = volume.create(volume.root, 'f', { kind: 'file' });
    const model = new BlockModel(40);
    volume.preallocate!(node, 0, 40 * BLOCK);
    for (let i = 0; i < 40; i += 2) volume.write(node, i * BLOCK, model.stamp(i, 1));
    volume.sync();
    expect(depthOf(expectClean(device, 'in pieces'))).toBe(1);
    const { allocated } = volume.attributes(node);
    for (let i = 1; i < 40; i += 2) volume.write(node, i * BLOCK, model.stamp(i, 1));
    model.verify(volume, node);
    expect(allocated - volume.attributes(node).allocated).toBe(BLOCK);
    volume.close();
    expect(depthOf(expectClean(device, 'in one piece'))).toBe(0);
    volume = extDriver.open(device, { readOnly: true });
    model.verify(volume, volume.lookup(volume.root, 'f')!);
  });

  test('let what was taken ahead be written to on a full volume', () => {
    const args = ['-t', 'ext4', '-b', '1024', '-O', '^has_journal,^resize_inode', '-N', '16', '-m', '0'];
    const device = makeByTool(folder, 1 << 20, args);
    const volume = extDriver.open(device, { clock: steppingClock() });
    const node = volume.create(volume.root, 'f', { kind: 'file' });
    const model = new BlockModel(700);
    volume.preallocate!(node, 0, 600 * BLOCK);
    model.size = 600;
    const filler = volume.create(volume.root, 'filler', { kind: 'file' });
    volume.write(filler, 0, new Uint8Array(volume.usage().freeBlocks * BLOCK));
    expect(volume.usage().freeBlocks).toBe(0);
    // More pieces than the inode holds, and no block for a node.
    for (let i = 0; i < 600; i += 3) volume.write(node, i * BLOCK, model.stamp(i, 1));
    model.verify(volume, node);
    for (let i = 1; i < 600; i += 9) {
      volume.punch!(node, i * BLOCK, BLOCK);
      model.stamps[i] = 0;
    }
    for (let i = 0; i < 600; i += 12) {
      volume.punch!(node, i * BLOCK, BLOCK);
      model.stamps[i] = 0;
    }
    model.verify(volume, node);
    volume.close();
    expectClean(device, 'a full volume');
  });

  // The inode has room for four extents. In the one that was taken ahead, a written one in the middle makes three of it.
  test.each([
    { others: [0, 10], free: 0, what: 'kept where there is room for an extent more' },
    { others: [0, 5, 10], free: 2, what: 'given back where there is none' },
  ])('space behind the end of a file on a full volume is $what', ({ others, free }) => {
    const features = '^has_journal,^metadata_csum,^64bit,^resize_inode';
    const args = ['-t', 'ext4', '-b', `${BLOCK}`, '-m', '0', '-O', features];
    const device = makeByTool(folder, 2 << 20, args);
    const volume = extDriver.open(device, { clock: steppingClock() });
    const file = volume.create(volume.root, 'f', { kind: 'file' });
    for (const block of others) volume.write(file, block * BLOCK, new Uint8Array(BLOCK).fill(7));
    volume.preallocate!(file, 20 * BLOCK, 5 * BLOCK, { keepSize: true });
    const filler = volume.create(volume.root, 'filler', { kind: 'file' });
    for (let block = 0; volume.usage().freeBlocks > 0; block++)
      volume.write(filler, block * BLOCK, new Uint8Array(BLOCK).fill(8));
    volume.write(file, 22 * BLOCK, new Uint8Array(100).fill(9));
    expect(volume.attributes(file).size).toBe(22 * BLOCK + 100);
    expect(volume.usage().freeBlocks).toBe(free);
    const bytes = new Uint8Array(3 * BLOCK);
    volume.read(file, 20 * BLOCK, bytes);
    expect(bytes.subarray(0, 2 * BLOCK).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(2 * BLOCK, 2 * BLOCK + 100).every((byte) => byte === 9)).toBe(true);
    volume.close();
    expectClean(device, `beside ${others.length} extents`);
  });
});
