import { describe, expect, test } from 'vitest';
import { crc32 } from '../../src/bytes/crc32.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../src/device/block-device.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { ShadowDevice } from '../../src/device/shadow-device.ts';
import { FsError } from '../../src/errors.ts';
import { diskLayout } from '../../src/partition/disk-layout.ts';
import { GptEditor } from '../../src/partition/gpt-editor.ts';
import { GptHeader, HeaderSector, isFault, readHeader } from '../../src/partition/gpt-header.ts';
import { gptDisk } from '../support/damaged-tables.ts';

/** Disks whose two headers are whole and say different things. */
const CASES = Number(process.env['USERLOOP_TABLE_CASES'] ?? 150);

const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';

/** Numerical Recipes' generator. */
function generator(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function layoutOf(device: BlockDevice, sectorSize: number): Parameters<typeof GptEditor.open>[1] {
  const geometry = { cylinders: 0, heads: 255, sectorsPerTrack: 63 };
  return diskLayout({ size: device.size, sectorSize, geometry, dosCompatible: false });
}

/** Other numbers in the header of this sector, with a table where it says that one is, and with CRCs that are right. */
function change(
  device: BlockDevice,
  lba: number,
  sectorSize: number,
  fields: Partial<Record<'count' | 'size' | 'table' | 'alternate' | 'first' | 'last', number>>,
): void {
  const header = new HeaderSector(readBytes(device, lba * sectorSize, sectorSize));
  const { view } = header;
  if (fields.count !== undefined) GptHeader.NumberOfPartitionEntries.set(view, 0, fields.count);
  if (fields.size !== undefined) GptHeader.SizeOfPartitionEntry.set(view, 0, fields.size);
  if (fields.table !== undefined) GptHeader.PartitionEntryLBA.set(view, 0, fields.table);
  if (fields.alternate !== undefined) GptHeader.AlternateLBA.set(view, 0, fields.alternate);
  if (fields.first !== undefined) GptHeader.FirstUsableLBA.set(view, 0, fields.first);
  if (fields.last !== undefined) GptHeader.LastUsableLBA.set(view, 0, fields.last);
  const { tableLba, tableSize } = header;
  if (tableLba * sectorSize + tableSize > device.size) return;
  viewOf(header.bytes).setUint32(0x58, crc32(readBytes(device, tableLba * sectorSize, tableSize)), true);
  viewOf(header.bytes).setUint32(0x10, header.computeCrc()!, true);
  device.write(lba * sectorSize, header.bytes);
}

/** Edits and writes; returns the byte ranges that were written, undefined where it was refused. */
function editAndWrite(
  device: BlockDevice,
  sectorSize: number,
  random: (below: number) => number,
): { readonly written: readonly (readonly [number, number])[]; readonly editor: GptEditor } | undefined {
  const written: [number, number][] = [];
  const watched = new FaultDevice(device, {
    onWrite: (offset, length) => written.push([offset, offset + length]),
  });
  const editor = GptEditor.open(watched, layoutOf(device, sectorSize));
  if (editor === undefined) return undefined;
  switch (random(6)) {
    case 0: {
      const free = [...Array(editor.entryCount).keys()].find((index) => !editor.partition(index).used);
      const startSector = editor.firstUsable + random(Math.max(1, editor.lastUsable - editor.firstUsable));
      if (free !== undefined) editor.setPartition(free, { type: LINUX, startSector, endSector: startSector });
      break;
    }
    case 1:
      if (editor.partitions.length > 0) editor.delete(editor.partitions[0]!.index);
      break;
    case 2:
      editor.resizeTable([1, 4, 64, 128, 256, 1024, 4096][random(7)]!);
      break;
    case 3:
      editor.placeBackup(random(2) === 0 ? 'end' : 'behind partitions');
      break;
    default:
      editor.sort();
  }
  try {
    editor.write(watched);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    expect(error.code).toBe('EINVAL');
    expect(error.detail).toMatch(/ would (?:lie in|leave partitions) sectors? \d+/);
    // Refused before anything is written.
    expect(written).toEqual([]);
    return undefined;
  }
  return { written, editor };
}

describe.each([512, 4096])('Two whole headers that differ, in sectors of %i bytes', (sectorSize) => {
  const size = (6 << 20) * (sectorSize / 512);
  const lastSector = size / sectorSize - 1;

  test.each([
    ['fewer entries in the backup', { count: 4 }, {}],
    ['more entries in the backup', { count: 256 }, {}],
    ['larger entries in the backup', { size: 256 }, {}],
    ['more entries in the first', {}, { count: 256 }],
    ['fewer entries in the first', {}, { count: 64 }],
    ['larger entries in the first', {}, { size: 256 }],
  ] as const)('%s: the backup is written anew and alike', (_, backup, primary) => {
    const device = gptDisk(size, sectorSize);
    // What the larger table takes from partitions is theirs no more.
    const room = { first: 2048, last: lastSector - 600 };
    change(device, 1, sectorSize, { ...room, ...primary });
    change(device, lastSector, sectorSize, { ...room, ...backup, table: lastSector - 600 });
    const editor = GptEditor.open(device, layoutOf(device, sectorSize))!;
    expect(editor.changed).toBe(true);
    expect(editor.warnings).toContain(
      'The backup GPT table has another number or size of entries than the primary one. It will be written anew.',
    );
    editor.write(device);
    const first = readHeader(device, 1, sectorSize);
    const second = readHeader(device, lastSector, sectorSize);
    if (isFault(first) || isFault(second)) throw new Error('a header is not whole');
    expect(second.header.entryCount).toBe(first.header.entryCount);
    expect(second.header.entrySize).toBe(first.header.entrySize);
    expect(Buffer.compare(second.entries, first.entries)).toBe(0);
    expect(second.header.tableLba * sectorSize + second.entries.length).toBeLessThanOrEqual(
      lastSector * sectorSize,
    );
  });

  test(`nothing but the table's own sectors is written, ${CASES} times`, () => {
    const whole = gptDisk(size, sectorSize);
    let wrote = 0;
    let refused = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const random = generator(seed);
      const pick = (choices: readonly number[]): number => choices[random(choices.length)]!;
      const disk = new ShadowDevice(whole);
      for (let count = 1 + random(3); count > 0; count--) {
        const lba = pick([1, lastSector]);
        const place = (): number =>
          pick([0, 1, 2, 3, 34, 2048, 5000, lastSector - 40, lastSector - 1, random(lastSector)]);
        change(disk, lba, sectorSize, {
          ...(random(3) === 0 && { count: pick([1, 4, 64, 127, 129, 256, 1024, 8192]) }),
          ...(random(4) === 0 && { size: pick([128, 256, 512, 4096]) }),
          ...(random(4) === 0 && { table: place() }),
          ...(random(5) === 0 && { alternate: place() }),
          ...(random(5) === 0 && { first: place() }),
          ...(random(5) === 0 && { last: place() }),
        });
      }
      const device = new ShadowDevice(disk);
      const done = editAndWrite(device, sectorSize, random);
      if (done === undefined) {
        refused++;
        continue;
      }
      wrote++;
      const { editor, written } = done;
      const headers = [1, editor.alternateLba].map((lba) => readHeader(device, lba, sectorSize));
      const own: [number, number][] = [[0, sectorSize]];
      for (const each of headers) {
        if (isFault(each)) throw new Error(`seed ${seed}: ${each.field} is ${each.found}`);
        const { lba, tableLba, tableSize } = each.header;
        own.push([lba * sectorSize, (lba + 1) * sectorSize]);
        own.push([tableLba * sectorSize, tableLba * sectorSize + tableSize]);
      }
      for (const [start, end] of written) {
        const isOwn = own.some(([from, to]) => from <= start && end <= to);
        expect(isOwn, `seed ${seed} writes ${start} to ${end}`).toBe(true);
        expect(start >= 0 && end <= size).toBe(true);
        for (const { startSector, endSector } of editor.partitions) {
          const apart = end <= startSector * sectorSize || (endSector + 1) * sectorSize <= start;
          expect(apart, `seed ${seed} writes ${start} to ${end}, over a partition`).toBe(true);
        }
      }
    }
    expect(wrote).toBeGreaterThan(CASES / 10);
    expect(refused).toBeGreaterThan(CASES / 20);
  });
});
