import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readBytes } from '../../src/device/block-device.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { SliceDevice } from '../../src/device/slice-device.ts';
import { FsError } from '../../src/errors.ts';
import { GptHeader, HeaderSector } from '../../src/partition/gpt-header.ts';
import { type AddOptions, PartitionTable, type TableKind } from '../../src/partition/partition-table.ts';
import { checkTable } from '../../src/partition/table-check.ts';
import { readTable } from '../../src/partition/table.ts';

const RUNS = Number(process.env['USERLOOP_TABLE_RUNS'] ?? 150);

/** Numerical Recipes' generator: bytes that are the same everywhere. */
function bytesFrom(seed: number): (into: Uint8Array) => void {
  let state = seed >>> 0;
  return (into) => {
    for (let i = 0; i < into.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      into[i] = state >>> 24;
    }
  };
}

type Edit =
  | { readonly kind: 'add'; readonly options: AddOptions }
  | { readonly kind: 'remove' | 'resize' | 'change'; readonly which: number; readonly amount: number }
  | { readonly kind: 'write' }
  | { readonly kind: 'reopen' };

const amount = fc.integer({ min: 512, max: 12 << 20 });
const align = fc.constantFrom<AddOptions['align'][]>(undefined, '1MiB', 'cylinder', 4096, '64KiB', 4096 * 63);

function editOf(table: TableKind): fc.Arbitrary<Edit> {
  const kinds: AddOptions['kind'][] =
    table === 'mbr' ? ['primary', 'extended', 'logical', 'logical', 'logical'] : ['primary'];
  const add = fc.record(
    { kind: fc.constantFrom(...kinds), size: amount, align, active: fc.boolean() },
    { requiredKeys: ['kind'] },
  );
  return fc.oneof(
    {
      weight: 5,
      arbitrary: add.map((options) => ({ kind: 'add', options: options as AddOptions }) as const),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom<('remove' | 'resize' | 'change')[]>('remove', 'resize', 'change'),
        which: fc.nat(),
        amount,
      }),
    },
    { weight: 2, arbitrary: fc.constantFrom<Edit[]>({ kind: 'write' }, { kind: 'reopen' }) },
  );
}

/** Sectors of 4096 bytes make the disk larger, not emptier. */
function diskSize(sectorSize: number): number {
  return (64 << 20) * (sectorSize / 512);
}

interface Written {
  readonly offset: number;
  readonly length: number;
}

/** What was written lies in no partition, and for a GPT nowhere but at both ends. */
function expectOnlyTables(written: readonly Written[], table: PartitionTable, size: number): void {
  const data = table.partitions.filter(({ kind }) => kind !== 'extended');
  const extended = table.partitions.find(({ kind }) => kind === 'extended');
  const reserved = 34 * table.sectorSize;
  for (const { offset, length } of written) {
    for (const partition of data) {
      const apart = offset + length <= partition.offset || partition.offset + partition.size <= offset;
      if (!apart)
        throw new Error(`bytes ${offset} to ${offset + length} lie in partition ${partition.number}`);
    }
    const atEnds = offset + length <= reserved || offset >= size - reserved;
    const inChain =
      extended !== undefined &&
      offset >= extended.offset &&
      offset + length <= extended.offset + extended.size;
    if (table.kind === 'gpt') expect(atEnds).toBe(true);
    else expect(offset === 0 || inChain || offset === table.sectorSize || offset >= size - 4096).toBe(true);
  }
}

function expectBothHeadersAlike(device: MemoryDevice, sectorSize: number): void {
  const last = device.size / sectorSize - 1;
  const [primary, backup] = [1, last].map(
    (lba) => new HeaderSector(readBytes(device, lba * sectorSize, sectorSize)),
  );
  for (const header of [primary!, backup!]) {
    expect(header.computeCrc()).toBe(header.headerCrc);
    // What has to differ is made equal; then all else is.
    for (const field of ['HeaderCRC32', 'MyLBA', 'AlternateLBA', 'PartitionEntryLBA'] as const) {
      GptHeader[field].set(header.view, 0, 0);
    }
  }
  expect(Buffer.compare(primary!.bytes, backup!.bytes)).toBe(0);
}

describe.each(['mbr', 'gpt'] as const)('Random edits of an %s', (kind) => {
  test.each([512, 4096])('keep every invariant, with sectors of %i bytes', (sectorSize) => {
    const size = diskSize(sectorSize);
    let done = 0;
    fc.assert(
      fc.property(fc.array(editOf(kind), { minLength: 1, maxLength: 40 }), fc.nat(), (edits, seed) => {
        const random = bytesFrom(seed);
        const disk = new MemoryDevice(size, { sectorSize });
        const written: Written[] = [];
        const device = new FaultDevice(disk, {
          onWrite: (offset, length) => written.push({ offset, length }),
        });
        let table = PartitionTable.create(device, kind, { random, heads: 16, sectorsPerTrack: 63 });
        const write = (): void => {
          written.length = 0;
          table.write();
          expectOnlyTables(written, table, size);
          expect(checkTable(disk)).toEqual([]);
          const read = readTable(disk)!;
          expect(
            read.partitions.map(({ number, startSector, sectorCount, type }) => [
              number,
              startSector,
              sectorCount,
              type,
            ]),
          ).toEqual(
            table.partitions.map(({ number, startSector, sectorCount, type }) => [
              number,
              startSector,
              sectorCount,
              type,
            ]),
          );
          if (kind === 'gpt') expectBothHeadersAlike(disk, sectorSize);
        };
        for (const edit of edits) {
          const numbers = table.partitions.map(({ number }) => number);
          const before = JSON.stringify(table.partitions);
          try {
            if (edit.kind === 'add') {
              const asked = edit.options.size;
              const entry = table.add(edit.options);
              if (asked !== undefined) expect(entry.size).toBeGreaterThanOrEqual(Number(asked));
              if (edit.options.align === undefined) expect(entry.offset % (1 << 20)).toBe(0);
              expect(entry.device().size).toBe(entry.size);
              done++;
            } else if (edit.kind === 'write') write();
            else if (edit.kind === 'reopen') {
              write();
              table = PartitionTable.open(device, { random }) ?? table;
              expect(table.findings).toEqual([]);
            } else if (numbers.length > 0) {
              const number = numbers[edit.which % numbers.length]!;
              if (edit.kind === 'remove') table.remove(number);
              else if (edit.kind === 'resize')
                table.resize(number, edit.which % 3 === 0 ? {} : { size: edit.amount });
              else table.change(number, { active: table.partitions.every(({ active }) => !active) });
              done++;
            }
          } catch (error) {
            if (!(error instanceof FsError)) throw error;
            // What is refused changes nothing.
            expect(['ENOSPC', 'EINVAL']).toContain(error.code);
            expect(JSON.stringify(table.partitions)).toBe(before);
          }
          // Boot code takes one active partition only; the table would be right to complain.
          const active = table.partitions.filter((each) => each.active);
          for (const { number } of active.slice(1)) table.change(number, { active: false });
        }
        write();
      }),
      { numRuns: RUNS, seed: 4 },
    );
    expect(done).toBeGreaterThan(RUNS);
  });
});

test('The table of a slice is the slice of the table', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<TableKind[]>('mbr', 'gpt'),
      fc.array(fc.integer({ min: 1, max: 1 << 20 }), { minLength: 1, maxLength: 9 }),
      fc.integer({ min: 0, max: 5000 }),
      fc.nat(),
      (kind, sizes, before, seed) => {
        const disk = new MemoryDevice(24 << 20);
        const table = PartitionTable.create(disk, kind, { random: bytesFrom(seed) });
        const kinds: AddOptions['kind'][] =
          kind === 'gpt'
            ? []
            : ['primary', 'primary', 'extended', ...sizes.slice(3).map(() => 'logical' as const)];
        for (const [index, size] of sizes.entries()) {
          table.add({
            size: kinds[index] === 'extended' ? 15 << 20 : size,
            ...(kinds[index] === undefined ? {} : { kind: kinds[index] }),
          });
        }
        table.write();
        // The same disk within a larger one, wherever it lies.
        const large = new MemoryDevice(disk.size + before * 512 + 777 * 512);
        large.write(before * 512, readBytes(disk, 0, disk.size));
        const slice = new SliceDevice(large, before * 512, disk.size);
        expect(readTable(slice)).toEqual(readTable(disk));
        const inSlice = PartitionTable.open(slice)!.partitions;
        expect(JSON.parse(JSON.stringify(inSlice))).toEqual(JSON.parse(JSON.stringify(table.partitions)));
        for (const entry of inSlice) {
          const mark = Uint8Array.of(seed & 0xff, entry.number, 0x5a);
          entry.device().write(entry.size - mark.length, mark);
          expect([...readBytes(large, before * 512 + entry.offset + entry.size - mark.length, 3)]).toEqual([
            ...mark,
          ]);
        }
        // One partition over all that a table leaves is that, and its table is none of the disk's.
        const inner = PartitionTable.create(inSlice[0]!.device(), 'mbr', { diskIdentifier: 7 });
        const alone = new MemoryDevice(inSlice[0]!.size);
        const model = PartitionTable.create(alone, 'mbr', { diskIdentifier: 7 });
        for (const each of [inner, model]) {
          try {
            each.add({});
          } catch (error) {
            if (!(error instanceof FsError)) throw error;
          }
          each.write();
        }
        expect(readTable(inSlice[0]!.device())).toEqual(readTable(alone));
        expect(readTable(slice)!.partitions).toEqual(readTable(disk)!.partitions);
      },
    ),
    { numRuns: Math.ceil(RUNS / 2), seed: 5 },
  );
});

describe('A partition table', () => {
  const random = bytesFrom(1);

  test('is made, filled, changed and read back', () => {
    const disk = new MemoryDevice(64 << 20);
    const table = PartitionTable.create(disk, 'gpt', { random });
    const esp = table.add({ type: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', size: '8MiB', name: 'ESP' });
    table.add({ start: '20MiB', size: 10 << 20, name: 'root', active: true });
    table.add({});
    expect(esp).toMatchObject({
      number: 1,
      offset: 1 << 20,
      size: 8 << 20,
      typeName: 'EFI System',
      name: 'ESP',
    });
    table.change(1, { name: 'boot' });
    table.resize(1, { size: '9MiB' });
    table.write();
    const read = PartitionTable.open(disk)!;
    expect(read.kind).toBe('gpt');
    expect(read.partitions).toMatchObject([
      { number: 1, name: 'boot', size: 9 << 20, active: false },
      { number: 2, name: 'root', offset: 20 << 20, active: true },
      { number: 3, offset: 30 << 20, typeName: 'Linux filesystem' },
    ]);
    expect(read.partitions.map(({ uuid }) => uuid)).toEqual(table.partitions.map(({ uuid }) => uuid));
  });

  test('by cylinders begins on the second track and ends on cylinders', () => {
    const disk = new MemoryDevice(64 << 20);
    const table = PartitionTable.create(disk, 'mbr', { random, heads: 16, sectorsPerTrack: 63 });
    const cylinder = 16 * 63;
    const first = table.add({ size: '5MiB', align: 'cylinder' });
    expect(first.startSector).toBe(63);
    expect((first.startSector + first.sectorCount) % cylinder).toBe(0);
    const extended = table.add({ kind: 'extended', align: 'cylinder' });
    expect(extended.startSector).toBe(first.startSector + first.sectorCount);
    const logical = [1, 2].map(() => table.add({ kind: 'logical', size: '3MiB', align: 'cylinder' }));
    for (const { startSector, sectorCount } of logical) {
      expect(startSector % cylinder).toBe(63);
      expect((startSector + sectorCount) % cylinder).toBe(0);
    }
    table.write();
    expect(checkTable(disk)).toEqual([]);
  });

  test('refuses with numbers what does not fit, and changes nothing then', () => {
    const disk = new MemoryDevice(16 << 20);
    const table = PartitionTable.create(disk, 'mbr', { random });
    table.add({ size: '4MiB' });
    table.add({ size: '4MiB' });
    const before = JSON.stringify(table.partitions);
    expect(() => table.add({ size: '8MiB' })).toThrow('the largest free piece has 7340032 bytes');
    expect(() => table.add({ start: '2MiB', size: '1MiB' })).toThrow('ENOSPC');
    expect(() => table.resize(1, { size: '5MiB' })).toThrow('partition 1 can have 512 to 4194304 bytes');
    expect(() => table.add({ kind: 'logical' })).toThrow('no extended partition');
    expect(() => table.add({ name: 'x' })).toThrow('neither names nor GUIDs');
    expect(() => table.add({ type: 'linux' })).toThrow('no type of an MBR');
    expect(() => table.add({ size: '-1' })).toThrow('no number of bytes');
    expect(() => table.add({ start: 1000 })).toThrow('not a multiple of 512');
    expect(() => table.add({ align: 'track' })).toThrow(RangeError);
    expect(() => table.remove(3)).toThrow('ENXIO');
    expect(() => PartitionTable.create(disk, 'gpt')).toThrow(TypeError);
    expect(JSON.stringify(table.partitions)).toBe(before);
    expect(readTable(disk)).toBeUndefined();
  });

  test('is undefined where there is none', () => {
    expect(PartitionTable.open(new MemoryDevice(1 << 20))).toBeUndefined();
    expect(PartitionTable.open(new MemoryDevice(0))).toBeUndefined();
  });

  test('of another kind leaves nothing of a GPT', () => {
    const disk = new MemoryDevice(16 << 20);
    PartitionTable.create(disk, 'gpt', { random }).write();
    expect(readTable(disk)?.kind).toBe('gpt');
    const mbr = PartitionTable.create(disk, 'mbr', { random });
    mbr.add({});
    mbr.write();
    expect(readTable(disk)?.kind).toBe('mbr');
    expect(checkTable(disk)).toEqual([]);
  });

  test('is what fdisk lays out, where nothing else is asked for', () => {
    const disk = new MemoryDevice(64 << 20);
    const table = PartitionTable.create(disk, 'mbr', { diskIdentifier: 1 });
    table.add({ size: '10MiB' });
    table.add({ kind: 'extended' });
    table.add({ kind: 'logical', size: '5MiB' });
    table.add({ kind: 'logical', size: '5MiB' });
    table.write();
    expect(table.partitions.map(({ number, startSector }) => [number, startSector])).toEqual([
      [1, 2048],
      [2, 22528],
      [5, 24576],
      [6, 36864],
    ]);
  });
});
