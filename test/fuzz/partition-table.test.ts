import { describe, expect, test } from 'vitest';
import { crc32 } from '../../src/bytes/crc32.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { readBytes } from '../../src/device/block-device.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import { ShadowDevice } from '../../src/device/shadow-device.ts';
import { deviceViews, tableBlocks } from '../../src/disk/device-views.ts';
import { DiskImage } from '../../src/disk/disk-image.ts';
import { inspectImage } from '../../src/disk/inspect.ts';
import { renderImageReport } from '../../src/disk/inspect-text.ts';
import { renderMend } from '../../src/disk/mend-text.ts';
import { isOwnError } from '../../src/errors.ts';
import { HeaderSector } from '../../src/partition/gpt-header.ts';
import { PartitionTable } from '../../src/partition/partition-table.ts';
import { checkTable } from '../../src/partition/table-check.ts';
import { applyMends, planMends } from '../../src/partition/table-mend.ts';
import { readTable } from '../../src/partition/table.ts';
import { CountingDevice } from '../support/counting-device.ts';
import {
  DISK_SIZE,
  ENTRY,
  FIRST_EBR,
  SECOND_EBR,
  bsdDisk,
  fatBootSector,
  gptDisk,
  mbrDisk,
} from '../support/damaged-tables.ts';

/** Per kind of table. */
const CASES = Number(process.env['USERLOOP_TABLE_CASES'] ?? 250);

/** Numerical Recipes' generator: the same seed damages the same bytes everywhere. */
function generator(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Numbers at which arithmetic breaks. */
const EDGES = [
  0, 1, 2, 33, 34, 63, 2047, 2048, 4096, 8192, 32767, 32768, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
];

interface Kind {
  readonly name: string;
  readonly make: () => MemoryDevice;
  /** Byte ranges with the table's structures. */
  readonly places: readonly (readonly [offset: number, length: number])[];
  readonly isGpt: boolean;
}

function withVolume(device: MemoryDevice): MemoryDevice {
  device.write(4096 * 512, fatBootSector(63));
  return device;
}

const LAST = DISK_SIZE - 512;

const KINDS: readonly Kind[] = [
  {
    name: 'MBR with logical partitions',
    make: () => withVolume(mbrDisk()),
    places: [
      [440, 72],
      [FIRST_EBR + ENTRY, 66],
      [SECOND_EBR + ENTRY, 66],
      [4096 * 512, 64],
    ],
    isGpt: false,
  },
  {
    name: 'MBR for sectors of 4096 bytes',
    make: () => mbrDisk(4096),
    places: [
      [440, 72],
      [8 * FIRST_EBR + ENTRY, 66],
      [8 * SECOND_EBR + ENTRY, 66],
    ],
    isGpt: false,
  },
  {
    name: 'BSD disklabel',
    make: () => bsdDisk(),
    places: [
      [446, 66],
      [4096 * 512 + 512, 404],
      [4096 * 512 + 512 + 0x84, 72],
    ],
    isGpt: false,
  },
  {
    name: 'GPT',
    make: () => gptDisk(),
    places: [
      [ENTRY, 66],
      [512, 92],
      [1024, 384],
      [LAST, 92],
      [LAST - 32 * 512, 384],
    ],
    isGpt: true,
  },
  {
    name: 'GPT for sectors of 4096 bytes',
    make: () => gptDisk(64 << 20, 4096),
    places: [
      [ENTRY, 66],
      [4096, 92],
      [8192, 384],
      [(64 << 20) - 4096, 92],
    ],
    isGpt: true,
  },
];

/** Flips bits, puts edges into fields, copies structures over one another; half of the GPTs get their CRCs right again. */
function damage(kind: Kind, seed: number): MemoryDevice {
  const random = generator(seed);
  const device = kind.make();
  const base = kind.name.includes('4096') ? 4096 : 512;
  const reseals = kind.isGpt && random(2) === 0;
  for (let count = 1 + random(5); count > 0; count--) {
    const [offset, length] = kind.places[random(kind.places.length)]!;
    const field = new Uint8Array(4);
    switch (random(5)) {
      case 0:
        device.write(offset + random(length), Uint8Array.of(random(256)));
        break;
      case 1:
        viewOf(field).setUint32(0, EDGES[random(EDGES.length)]!, true);
        device.write(offset + 4 * random(length >> 2), field);
        break;
      case 2:
        // The fields of an entry: its type, its start, its length.
        viewOf(field).setUint32(0, EDGES[random(EDGES.length)]!, true);
        if (!kind.isGpt) device.write(offset + 16 * random(4) + 8 + 4 * random(2), field);
        else device.write(2 * base + 128 * random(3) + 0x20 + 4 * random(4), field);
        break;
      case 3: {
        const [from] = kind.places[random(kind.places.length)]!;
        device.write(offset, readBytes(device, from, Math.min(length, 64)));
        break;
      }
      default:
        if (kind.isGpt) device.write(offset, new Uint8Array(Math.min(length, 1 << random(8))));
        else
          device.write(offset + 16 * random(4) + 4, Uint8Array.of([0, 5, 0xf, 0x85, 0xee, 0x83][random(6)]!));
    }
  }
  if (reseals) reseal(device, base);
  return device;
}

/** Damage that CRCs cannot find. */
function reseal(device: MemoryDevice, sectorSize: number): void {
  const header = new HeaderSector(readBytes(device, sectorSize, sectorSize));
  const { tableLba, tableSize } = header;
  const end = tableLba * sectorSize + tableSize;
  if (tableSize === 0 || tableSize > 1 << 20 || end > device.size) return;
  const entries = readBytes(device, tableLba * sectorSize, tableSize);
  viewOf(header.bytes).setUint32(0x58, crc32(entries), true);
  const crc = header.computeCrc();
  if (crc === undefined) return;
  viewOf(header.bytes).setUint32(0x10, crc, true);
  device.write(sectorSize, header.bytes);
}

/** A refusal of ours is as good as a result; what is not ours is thrown on. */
function attempt<Result>(body: () => Result): Result | undefined {
  try {
    return body();
  } catch (error) {
    if (!isOwnError(error)) throw error;
    expect(error.message.length).toBeGreaterThan(10);
    return undefined;
  }
}

describe.each(KINDS)('A damaged $name', (kind) => {
  test(`is read, explained, mended and edited in bounded work, ${CASES} times`, () => {
    let found = 0;
    let refused = 0;
    let mended = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const device = damage(kind, seed);
      const before = readBytes(device, 0, 1 << 16);
      const counting = new CountingDevice(device);
      const disk = attempt(() => DiskImage.open(counting, { readOnly: true }));
      const findings = checkTable(counting);
      if (findings.length > 0) found++;
      for (const finding of findings) {
        expect(
          finding.structure.length * finding.field.length * finding.found.length * finding.expected.length,
        ).toBeGreaterThan(0);
        if (finding.offset !== undefined) expect(Number.isSafeInteger(finding.offset)).toBe(true);
      }
      if (disk !== undefined) {
        const report = attempt(() => inspectImage(disk));
        if (report !== undefined) renderImageReport(report, 'disk.img');
        for (const { number } of disk.partitions)
          if (attempt(() => disk.volume(number)) === undefined) refused++;
      }
      const views = deviceViews(counting, 'loop', 0);
      for (const { offset, size } of views) {
        expect(offset >= 0 && size > 0 && offset + size <= device.size).toBe(true);
      }
      for (const offset of tableBlocks(counting))
        expect(Number.isSafeInteger(offset) && offset >= 0).toBe(true);

      const plan = planMends(counting, { random: (into) => void into.fill(seed) });
      for (const [index, mend] of plan.mends.entries()) renderMend(mend, index + 1);
      // Nothing so far has written, and none of it has read more than tables of that size can hold.
      expect(Buffer.compare(readBytes(device, 0, 1 << 16), before)).toBe(0);
      expect(counting.reads).toBeLessThan(40_000);
      expect(counting.readBytes).toBeLessThan(1 << 29);

      if (plan.mends.length > 0) {
        const shadow = new ShadowDevice(device);
        applyMends(shadow, plan.mends);
        // What was promised is so, partitions that were there are there, and mending again finds nothing to do.
        expect(checkTable(shadow)).toEqual(plan.left);
        expect(planMends(shadow, { random: (into) => void into.fill(seed) }).mends).toEqual([]);
        mended++;
        const [was, is] = [readTable(device), readTable(shadow)];
        if (was !== undefined && is !== undefined && was.kind === is.kind) {
          const starts = new Set(was.partitions.map(({ startSector }) => startSector));
          const isNew = ({ startSector }: { startSector: number }): boolean => !starts.has(startSector);
          // Only a chain that was cut off by a damaged signature, or entries of a damaged copy, come back.
          const back = is.partitions.filter(isNew);
          const mayReturn = findings.some(({ fault }) =>
            ['chain-signature', 'header', 'chain-link'].includes(fault),
          );
          if (back.length > 0) expect(mayReturn).toBe(true);
        }
      }
      edit(device, seed);
    }
    expect(found).toBeGreaterThan(CASES / 3);
    if (kind.name.startsWith('BSD')) return;
    expect(mended).toBeGreaterThan(CASES / 10);
    expect(refused).toBeGreaterThan(0);
  });
});

/** Opens the table, makes and removes partitions, writes: no partition that was there before and stays may be written into. */
function edit(device: MemoryDevice, seed: number): void {
  const written: [number, number][] = [];
  const shadow = new FaultDevice(new ShadowDevice(device), {
    onWrite: (offset, length) => written.push([offset, offset + length]),
  });
  const random = generator(seed + 77);
  const table = attempt(() => PartitionTable.open(shadow, { random: (into) => void into.fill(random(256)) }));
  if (table === undefined) return;
  attempt(() => table.add({ size: 1 + random(1 << 20) }));
  if (table.kind === 'mbr') attempt(() => table.add({ kind: 'logical', size: 1 + random(1 << 20) }));
  const { partitions } = table;
  if (partitions.length > 0) {
    const { number } = partitions[random(partitions.length)]!;
    attempt(() =>
      random(2) === 0 ? table.remove(number) : table.resize(number, { size: 1 + random(1 << 22) }),
    );
  }
  attempt(() => table.write());
  for (const [start, end] of written) {
    expect(start >= 0 && end <= device.size, `seed ${seed} writes ${start} to ${end}`).toBe(true);
  }
  if (table.findings.length > 0) return;
  for (const { kind, offset, size } of table.partitions) {
    if (kind === 'extended') continue;
    for (const [start, end] of written) {
      const apart = end <= offset || offset + size <= start;
      expect(apart, `seed ${seed} writes ${start} to ${end}, over ${offset} and ${size} more`).toBe(true);
    }
  }
}
