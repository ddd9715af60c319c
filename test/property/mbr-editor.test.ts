import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { type DiskLayout, alignInRange, diskLayout } from '../../src/partition/disk-layout.ts';
import { geometryOfEntries } from '../../src/partition/mbr-geometry.ts';
import { MbrEditor } from '../../src/partition/mbr-editor.ts';
import { readMbr } from '../../src/partition/mbr.ts';
import { userloop } from '../support/run.ts';
import { randomKeys } from '../support/fdisk-sessions.ts';
import { memoryFolder } from '../support/tools.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import fs from 'node:fs';
import path from 'node:path';

const SIZE = 64 << 20;

function layoutOf(heads: number, sectorsPerTrack: number, dosCompatible: boolean): DiskLayout {
  const cylinders = Math.floor(SIZE / 512 / (heads * sectorsPerTrack));
  return diskLayout({
    size: SIZE,
    sectorSize: 512,
    geometry: { cylinders, heads, sectorsPerTrack },
    dosCompatible,
  });
}

describe('The table under edit', () => {
  test('is what is read back after it was written', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        fc.boolean(),
        (sizes, deletions, dosCompatible) => {
          const device = new MemoryDevice(SIZE);
          const layout = layoutOf(16, 63, dosCompatible);
          const editor = MbrEditor.create(device, layout, { diskIdentifier: 0x1234 });
          editor.setPartition(0, 0x83, 2048, 4095);
          editor.setPartition(1, 0x05, 4096, layout.sectorCount - 1);
          const model: { type: number; start: number; count: number }[] = [];
          let next = 4096 + layout.firstSector;
          for (const [i, count] of sizes.entries()) {
            const index = editor.addSlot();
            editor.placeTable(index, index === 4 ? 4096 : next - layout.firstSector);
            editor.setPartition(index, 0x83 + (i % 2), next, next + count - 1);
            model.push({ type: 0x83 + (i % 2), start: next, count });
            next += count + layout.firstSector;
          }
          for (const deletion of deletions) {
            if (model.length === 0) break;
            const index = deletion % model.length;
            editor.delete(4 + index);
            model.splice(index, 1);
            editor.write(device);
          }
          editor.write(device);
          const table = readMbr(device)!;
          expect(table.findings).toEqual([]);
          expect(
            table.partitions
              .filter(({ kind }) => kind === 'logical')
              .map(({ type, startSector, sectorCount }) => ({
                type,
                start: startSector,
                count: sectorCount,
              })),
          ).toEqual(model);
          const reopened = MbrEditor.open(device, layout)!;
          expect(reopened.warnings).toEqual([]);
          expect(reopened.partitions.filter(({ used }) => used)).toEqual(
            editor.partitions.filter(({ used }) => used),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  test('tells its geometry from its entries', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 255 }),
        fc.integer({ min: 2, max: 63 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 60000 }),
        (heads, sectorsPerTrack, start, count) => {
          const device = new MemoryDevice(SIZE);
          const editor = MbrEditor.create(device, layoutOf(heads, sectorsPerTrack, true), {
            diskIdentifier: 1,
          });
          editor.setPartition(0, 0x83, start, start + count - 1);
          const { entry } = editor.partition(0);
          const found = geometryOfEntries([entry]);
          // Within one track or one cylinder the equations have no solution; where they have one, it is the right one.
          if (found !== undefined) expect(found).toEqual({ heads, sectorsPerTrack });
          const spans =
            entry.firstChs.cylinder * entry.lastChs.head !== entry.lastChs.cylinder * entry.firstChs.head;
          const clipped = entry.lastChs.cylinder >= 1023;
          if (spans && !clipped) expect(found).toBeDefined();
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('aligns to the grain within the range, wherever the range has room for that', () => {
    const layout = layoutOf(255, 63, false);
    fc.assert(
      fc.property(fc.nat(131071), fc.nat(131071), fc.nat(131071), (a, b, sector) => {
        const [low, high] = [Math.max(2048, Math.min(a, b)), Math.max(2048, a, b)];
        const aligned = alignInRange(layout, sector, low, high);
        if (high - low < 2 * layout.grain) return;
        expect(aligned % layout.grain).toBe(0);
        expect(aligned).toBeGreaterThanOrEqual(low);
        expect(aligned).toBeLessThanOrEqual(high);
      }),
    );
  });
});

test('Whatever is typed into fdisk, partitions stay on the disk and apart, and nothing but tables is written', async () => {
  const folder = memoryFolder();
  const image = path.join(folder, 'disk.img');
  const size = 32 << 20;
  for (let seed = 1; seed <= 150; seed++) {
    fs.writeFileSync(image, '');
    fs.truncateSync(image, size);
    // Something in every sector would be slow: a mark in each sector of the first MiB and at every MiB.
    const fill = FileDevice.open(image);
    fill.write(512, new Uint8Array((1 << 20) - 512).fill(0x5a));
    fill.close();
    await userloop(['fdisk', ...(seed % 3 === 0 ? ['-c=dos'] : []), 'disk.img'], {
      cwd: folder,
      stdin: randomKeys(seed, size / 512),
    });
    const device = FileDevice.open(image, { readOnly: true });
    const table = readMbr(device);
    expect(table?.findings ?? []).toEqual([]);
    const tables = new Set((table?.partitions ?? []).map(({ tableOffset }) => tableOffset));
    const extended = table?.partitions.find(({ kind }) => kind === 'extended');
    if (extended !== undefined) tables.add(extended.startSector * 512);
    const content = new Uint8Array(1 << 20);
    device.read(0, content);
    for (let at = 512; at < content.length; at += 512) {
      if (!tables.has(at) && content[at] !== 0x5a) throw new Error(`seed ${seed} wrote to byte ${at}`);
    }
    device.close();
  }
});
