import { describe, expect, test } from 'vitest';
import { formatDevice, parseDevice } from '../../src/boot/grub-legacy/device-name.ts';
import { GrubError } from '../../src/boot/grub-legacy/grub-error.ts';
import { checkStage1, composeStage1 } from '../../src/boot/grub-legacy/stage1.ts';
import {
  checkStage2,
  setBlockList,
  setConfigFile,
  setInstallPartition,
  setStage2File,
} from '../../src/boot/grub-legacy/stage2.ts';
import { fakeStage1, fakeStage2 } from '../support/boot-stages.ts';

function errorNumber(action: () => unknown): number | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof GrubError) return error.number;
    throw error;
  }
  return undefined;
}

describe('device names', () => {
  test.each([
    ['(fd0)', 0x00, 0xffffff],
    ['(fd1)', 0x01, 0xffffff],
    ['(hd0)', 0x80, 0xffffff],
    ['(hd2,5)', 0x82, 0x05ffff],
    ['(hd0,1,c)', 0x80, 0x0102ff],
    ['(hd1,h)', 0x81, 0xff07ff],
  ])('%s is drive %i, partition %i, and back', (name, drive, partition) => {
    expect(parseDevice(`${name}/rest of the line`)).toEqual({
      device: { drive, partition },
      rest: '/rest of the line',
    });
    expect(formatDevice({ drive, partition })).toBe(name);
  });

  test.each([
    ['hd0', 11],
    ['(hd0', 11],
    ['(hd0,', 11],
    ['(fd0,0)', 11],
    ['(xd0)', 11],
    ['(hd8)', 12],
    ['(hd)', 23],
    ['(hdx)', 23],
  ])('%s is Error %i', (name, number) => {
    expect(errorNumber(() => parseDevice(name))).toBe(number);
  });
});

describe('stage1', () => {
  const previous = Uint8Array.from({ length: 512 }, (_, i) => 0x80 | (i & 0x7f));
  const settings = { bootDrive: 0x81, forceLba: true, address: 0x2000, sector: 0x01020304 };

  test('on a hard disk keeps the BPB and the partition table, and sets the place of stage 2', () => {
    const stage1 = fakeStage1();
    const sector = composeStage1(stage1, previous, { ...settings, destinationDrive: 0x80 });
    const expected = stage1.slice();
    expected.set(previous.subarray(0x03, 0x3e), 0x03);
    expected.set(previous.subarray(0x1b8, 0x1fe), 0x1b8);
    expected.set([0x81, 1, 0x00, 0x20, 0x04, 0x03, 0x02, 0x01, 0x00, 0x02], 0x40);
    expected.set([0x90, 0x90], 0x4b);
    expect(sector).toEqual(expected);
  });

  test('on a floppy keeps the BPB only: the code for floppies lies where a disk has its table', () => {
    const stage1 = fakeStage1();
    const sector = composeStage1(stage1, previous, {
      ...settings,
      forceLba: false,
      destinationDrive: 0,
      address: 0x8000,
    });
    const expected = stage1.slice();
    expected.set(previous.subarray(0x03, 0x3e), 0x03);
    expected.set([0x81, 0, 0x00, 0x80, 0x04, 0x03, 0x02, 0x01, 0x00, 0x08], 0x40);
    expect(sector).toEqual(expected);
  });

  test('of another version, or cut short, is Error 6', () => {
    expect(errorNumber(() => checkStage1(fakeStage1()))).toBeUndefined();
    const other = fakeStage1();
    other[0x3e] = 4;
    expect(errorNumber(() => checkStage1(other))).toBe(6);
    expect(errorNumber(() => checkStage1(fakeStage1().subarray(0, 511)))).toBe(6);
    expect(errorNumber(() => checkStage1(new Uint8Array(512)))).toBe(6);
  });
});

describe('stage 2', () => {
  test('has a block list that grows down from the end of its first sector, in place of the old one', () => {
    const first = fakeStage2(9).subarray(0, 512);
    const code = first.slice(0, 0x170);
    setBlockList(
      first,
      [
        { startSector: 0x01020304, sectorCount: 0x0203 },
        { startSector: 0x0a0b0c0d, sectorCount: 1 },
      ],
      0x8000,
    );
    const expected = new Uint8Array(512);
    expected.set(code);
    // 0x0820 is the segment behind the first sector; 0x203 sectors further it is 0x0820 + 0x203 * 0x20.
    expected.set([0x04, 0x03, 0x02, 0x01, 0x03, 0x02, 0x20, 0x08], 0x1f8);
    expected.set([0x0d, 0x0c, 0x0b, 0x0a, 0x01, 0x00, 0x80, 0x48], 0x1f0);
    expect(first).toEqual(expected);

    setBlockList(first, [{ startSector: 7, sectorCount: 8 }], 0x8000);
    expected.fill(0, 0x1f0);
    expected.set([7, 0, 0, 0, 8, 0, 0x20, 0x08], 0x1f8);
    expect(first).toEqual(expected);
  });

  test('takes as many runs as leave an empty entry before the code', () => {
    const runs = (count: number): { startSector: number; sectorCount: number }[] =>
      Array.from({ length: count }, (_, i) => ({ startSector: 100 + 2 * i, sectorCount: 1 }));
    const room = (0x200 - 0x170) / 8;
    expect(
      errorNumber(() => setBlockList(fakeStage2(30).subarray(0, 512), runs(room - 1), 0x8000)),
    ).toBeUndefined();
    expect(errorNumber(() => setBlockList(fakeStage2(30).subarray(0, 512), runs(room), 0x8000))).toBe(28);
    expect(errorNumber(() => setBlockList(new Uint8Array(512), runs(70), 0x8000))).toBe(28);
    const long = [{ startSector: 1, sectorCount: 0x10000 }];
    expect(errorNumber(() => setBlockList(new Uint8Array(512), long, 0x8000))).toBe(28);
  });

  test('keeps partition and names where GRUB looks for them', () => {
    const second = fakeStage2(2).subarray(512);
    setInstallPartition(second, 0x05ffff);
    setConfigFile(second, '/menu');
    expect([...second.subarray(0x08, 0x0c)]).toEqual([0xff, 0xff, 0x05, 0x00]);
    expect(Buffer.from(second.subarray(0x12, 0x1d)).toString('latin1')).toBe('0.97\0/menu\0');

    const stage15 = fakeStage2(2, 2).subarray(512);
    setStage2File(stage15, 0x8103ffff, '/s2 /menu');
    expect([...stage15.subarray(0x17, 0x1b)]).toEqual([0xff, 0xff, 0x03, 0x81]);
    expect(Buffer.from(stage15.subarray(0x1b, 0x25)).toString('latin1')).toBe('/s2 /menu\0');
  });

  test('that is none, or has no room for a name, is an error', () => {
    expect(errorNumber(() => checkStage2(new Uint8Array(512)))).toBe(6);
    expect(errorNumber(() => setConfigFile(new Uint8Array(512).fill(1), '/menu'))).toBe(6);
    const second = fakeStage2(2).subarray(512);
    expect(errorNumber(() => setConfigFile(second, `/${'x'.repeat(488)}`))).toBe(28);
    expect(errorNumber(() => setStage2File(fakeStage2(2, 2).subarray(512), 0, 'x'.repeat(500)))).toBe(28);
  });
});
