import { describe, expect, test } from 'vitest';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { isOwnError } from '../../src/errors.ts';
import { diskLayout } from '../../src/partition/disk-layout.ts';
import { freeRanges } from '../../src/partition/free-space.ts';
import { checkMbr } from '../../src/partition/mbr-check.ts';
import { MAX_PARTITIONS } from '../../src/partition/mbr-chain.ts';
import { MbrEditor } from '../../src/partition/mbr-editor.ts';
import { writeEntry, type Entry } from '../../src/partition/mbr-entry.ts';
import { partitionDevice, readMbr } from '../../src/partition/mbr.ts';
import { viewOf } from '../../src/bytes/struct.ts';

const SECTORS = 65536;
const EXTENDED_START = 4096;
const EBR_COUNT = 12;
const CASES = 800;

function entry(type: number, startSector: number, sectorCount: number): Entry {
  const chs = { cylinder: 0, head: 0, sector: 1 };
  return { bootIndicator: 0, type, firstChs: chs, lastChs: chs, startSector, sectorCount };
}

/** A good disk: two primaries, and a chain of logical partitions. Only its boot records, one after another. */
function goodTables(): { records: Uint8Array; sectors: number[] } {
  const sectors = [0, ...Array.from({ length: EBR_COUNT }, (_, i) => EXTENDED_START + i * 1024)];
  const records = new Uint8Array(sectors.length * 512);
  for (const [n, sector] of sectors.entries()) {
    const record = records.subarray(n * 512, n * 512 + 512);
    const i = n - 1;
    const entries =
      sector === 0
        ? [entry(0x83, 63, 1000), entry(0x0c, 2048, 2048), entry(0x05, EXTENDED_START, 60000)]
        : [entry(0x83, 63, 900), ...(i + 1 < EBR_COUNT ? [entry(0x05, (i + 1) * 1024, 1024)] : [])];
    for (const [k, one] of entries.entries()) writeEntry(viewOf(record), k, one);
    record[510] = 0x55;
    record[511] = 0xaa;
  }
  records.set([1, 2, 3, 4], 440);
  return { records, sectors };
}

/** Numerical Recipes' generator: the same seed damages the same bytes everywhere. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function damage(seed: number): MemoryDevice {
  const random = generator(seed);
  const { records: image, sectors } = goodTables();
  for (let count = 1 + random(6); count > 0; count--) {
    const base = random(sectors.length) * 512;
    const entryBase = base + 446 + 16 * random(4);
    const interesting = [
      0,
      1,
      63,
      EXTENDED_START,
      1024,
      0x7fff_ffff,
      0x8000_0000,
      0xffff_ffff,
      SECTORS,
      SECTORS - 1,
    ];
    const view = viewOf(image);
    switch (random(5)) {
      case 0:
        image[base + random(512)] = random(256);
        break;
      case 1:
        view.setUint32(entryBase + 8, interesting[random(interesting.length)]!, true);
        break;
      case 2:
        view.setUint32(entryBase + 12, interesting[random(interesting.length)]!, true);
        break;
      case 3:
        image[entryBase + 4] = [0x05, 0x0f, 0x85, 0xee, 0x00, 0x83][random(6)]!;
        break;
      default:
        // A link to some other boot record of the chain: loops of every length.
        view.setUint32(entryBase + 8, random(EBR_COUNT) * 1024, true);
        image[entryBase + 4] = 0x05;
    }
  }
  const device = new MemoryDevice(SECTORS * 512);
  for (const [n, sector] of sectors.entries()) {
    device.write(sector * 512, image.subarray(n * 512, n * 512 + 512));
  }
  return device;
}

describe('A damaged partition table', () => {
  test(`is read, refused or noted, ${CASES} times`, () => {
    let findings = 0;
    let refused = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const device = damage(seed);
      const table = readMbr(device);
      if (table === undefined) continue;
      findings += table.findings.length;
      expect(new Set(table.partitions.map(({ number }) => number)).size).toBe(table.partitions.length);
      for (const partition of table.partitions) {
        expect(partition.tableOffset + 512).toBeLessThanOrEqual(device.size);
        try {
          const slice = partitionDevice(device, partition);
          expect(slice.size).toBe(partition.sectorCount * 512);
        } catch (error) {
          if (!isOwnError(error)) throw error;
          refused++;
        }
      }
    }
    expect(findings).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(50);
  });

  test(`can be opened, checked, edited and written, and only its tables change, ${CASES} times`, () => {
    for (let seed = 1; seed <= CASES; seed++) {
      const written: number[] = [];
      const device = new FaultDevice(damage(seed), {
        onWrite: (offset, length) => {
          expect(length).toBe(512);
          written.push(offset / 512);
        },
      });
      const layout = diskLayout({
        size: device.size,
        sectorSize: 512,
        geometry: { cylinders: 65, heads: 16, sectorsPerTrack: 63 },
        dosCompatible: seed % 2 === 0,
      });
      const editor = MbrEditor.open(device, layout);
      if (editor === undefined) continue;
      expect(editor.slotCount).toBeLessThanOrEqual(MAX_PARTITIONS);
      checkMbr(editor);
      freeRanges(editor);
      const random = generator(seed);
      const used = editor.partitions.filter((partition) => partition.used);
      if (used.length > 0) editor.delete(used[random(used.length)]!.index);
      const tables = new Set(editor.partitions.map(({ index }) => editor.tableSector(index)));
      try {
        editor.write(device);
      } catch (error) {
        if (!isOwnError(error)) throw error;
      }
      for (const sector of written) expect(tables).toContain(sector);
    }
  });
});
