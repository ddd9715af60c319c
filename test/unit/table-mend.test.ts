import { describe, expect, test } from 'vitest';
import { readBytes } from '../../src/device/block-device.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { ShadowDevice } from '../../src/device/shadow-device.ts';
import { checkTable } from '../../src/partition/table-check.ts';
import { applyMends, planMends } from '../../src/partition/table-mend.ts';
import { readTable } from '../../src/partition/table.ts';
import {
  DISK_SIZE,
  ENTRY,
  MENDABLE,
  SECOND_EBR,
  UNDECIDABLE,
  gptDisk,
  mbrDisk,
  patch,
} from '../support/damaged-tables.ts';

const random = (into: Uint8Array): void => void into.fill(0x5a);

/** A structure of the table that may be written: sector 0, both ends of a GPT disk, boot records, boot sectors. */
const TABLES = new Set([
  ...Array.from({ length: 34 }, (_, sector) => sector),
  8192,
  12288,
  4096,
  ...[DISK_SIZE / 2, DISK_SIZE, 2 * DISK_SIZE].flatMap((size) =>
    Array.from({ length: 33 }, (_, i) => size / 512 - 33 + i),
  ),
]);

describe('Mending', () => {
  test.each(Object.keys(MENDABLE))('%s leaves nothing to find, and keeps the partitions', (name) => {
    const device = MENDABLE[name]!();
    const found = checkTable(device);
    expect(found).not.toEqual([]);
    const plan = planMends(device, { random });
    expect(plan.left).toEqual([]);
    // Planning writes nothing.
    expect(checkTable(device)).toEqual(found);
    const written: number[] = [];
    const recorded = new FaultDevice(device, {
      onWrite: (offset, length) => {
        for (let at = offset; at < offset + length; at += 512) written.push(at / 512);
      },
    });
    applyMends(recorded, plan.mends);
    expect(checkTable(device)).toEqual([]);
    for (const sector of written) expect(TABLES).toContain(sector);
    for (const { writes, findings } of plan.mends) {
      expect(findings.length).toBeGreaterThan(0);
      for (const { changes } of writes) expect(changes.length).toBeGreaterThan(0);
    }
    const kept = readTable(device)!.partitions.map(({ startSector }) => startSector);
    const isGpt = readTable(device)!.kind === 'gpt';
    for (const start of kept)
      expect(isGpt ? [2048, 4096] : [2048, 4096, 8192, 10240, 14336]).toContain(start);
    expect(kept.length).toBeGreaterThanOrEqual(isGpt ? 1 : 3);
  });

  test.each(Object.keys(UNDECIDABLE))('%s is left to a person', (name) => {
    const device = UNDECIDABLE[name]!();
    const plan = planMends(device, { random });
    expect(plan.mends).toEqual([]);
    expect(plan.left).toEqual(checkTable(device));
    expect(plan.left.length).toBeGreaterThan(0);
  });

  test('tells each field before and after', () => {
    const { mends } = planMends(MENDABLE['an image that grew']!(), { random });
    expect(mends.map(({ title, findings }) => [title, findings.map(({ fault }) => fault)])).toEqual([
      ['put the backup of the table at the end of the device, sector 65535', ['backup-place']],
      ['let the protective entry cover the disk, 65535 sectors', ['protective-size']],
    ]);
    const writes = mends.flatMap((mend) => mend.writes);
    expect(writes.map(({ structure, offset }) => [structure, offset / 512])).toEqual([
      ['backup GPT entries', 65535 - 32],
      ['backup GPT header', 65535],
      ['primary GPT header', 1],
      ['protective master boot record', 0],
    ]);
    expect(writes[0]!.changes[0]).toEqual({
      field: 'entry 1',
      offset: (65535 - 32) * 512,
      before: 'unused',
      after: 'Linux filesystem, sectors 2048 to 2147, F7113A05-2C06-004D-B88E-458F6EE9B46F',
    });
    expect(writes[2]!.changes).toMatchObject([
      { field: 'HeaderCRC32', offset: 512 + 0x10 },
      { field: 'AlternateLBA', offset: 512 + 0x20, before: '32767', after: '65535' },
      { field: 'LastUsableLBA', offset: 512 + 0x30, before: '32734', after: '65502' },
    ]);
    expect(writes[3]!.changes).toEqual([
      { field: 'entry 1 numberOfSectors', offset: ENTRY + 12, before: '32767', after: '65535' },
    ]);
  });

  test('goes on without a mend that is declined', () => {
    const device = patch(patch(mbrDisk(), ENTRY + 1, 7), SECOND_EBR + 510, 0, 0);
    const all = planMends(device, { random });
    expect(all.mends.map(({ findings }) => findings[0]!.fault)).toEqual(['chain-signature', 'chs']);
    const rest = planMends(device, { random, without: new Set([all.mends[0]!.key]) });
    expect(rest.mends.map(({ findings }) => findings[0]!.fault)).toEqual(['chs']);
    expect(rest.left.map(({ fault }) => fault)).toEqual(['chain-signature']);
  });

  test('writes nothing over what has changed since it was planned', () => {
    const device = MENDABLE['primary table']!();
    const { mends } = planMends(device, { random });
    patch(device, 1024 + 301, 0xee);
    const before = readBytes(device, 0, DISK_SIZE);
    expect(() => applyMends(device, mends)).toThrow('changed since it was looked at');
    expect(Buffer.compare(readBytes(device, 0, DISK_SIZE), before)).toBe(0);
  });

  test('leaves one header whole at every moment of a power cut', () => {
    for (const name of ['an image that grew', 'a GUID twice', 'primary table', 'no backup at all']) {
      const { mends } = planMends(MENDABLE[name]!(), { random });
      const count = mends.flatMap(({ writes }) => writes).length;
      for (let cut = 0; cut < count; cut++) {
        const device = MENDABLE[name]!();
        const shadow = new ShadowDevice(device);
        const failing = new FaultDevice(shadow, { failWritesFrom: cut, tornBytes: 100 });
        expect(() => applyMends(failing, mends)).toThrow('EIO');
        expect(readTable(shadow)?.kind).toBe('gpt');
        expect(readTable(shadow)?.partitions.map(({ startSector }) => startSector)).toEqual([2048, 4096]);
        // What was begun can be finished.
        const again = planMends(shadow, { random });
        expect(again.left).toEqual([]);
      }
    }
  });
});

test('A shadow keeps what is written and leaves the device as it is', () => {
  const device = gptDisk();
  const before = readBytes(device, 0, DISK_SIZE);
  const shadow = new ShadowDevice(device);
  shadow.write(1000, new Uint8Array(1500).fill(7));
  const expected = before.slice();
  expected.fill(7, 1000, 2500);
  expect(Buffer.compare(readBytes(shadow, 0, DISK_SIZE), expected)).toBe(0);
  expect(Buffer.compare(readBytes(shadow, 1001, 1), Uint8Array.of(7))).toBe(0);
  expect(Buffer.compare(readBytes(device, 0, DISK_SIZE), before)).toBe(0);
  expect(() => shadow.write(DISK_SIZE - 1, new Uint8Array(2))).toThrow('EIO');
});
