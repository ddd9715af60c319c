import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { OutsideFile } from '../../src/device/content-copier.ts';
import { SliceDevice } from '../../src/device/slice-device.ts';
import { FsError } from '../../src/errors.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { WriteBehindDevice } from '../../src/host/write-behind-device.ts';
import { copierOf, halfFullDevice, hasFullDevice } from '../support/second-thread.ts';
import { temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;
const SIZE = 64 * MIB;

let folder: string;
let image: string;

beforeEach(() => {
  folder = temporaryFolder();
  image = path.join(folder, 'copied.img');
});

function makeFile(name: string, size: number, seed: number): OutsideFile {
  const file = path.join(folder, name);
  const content = new Uint8Array(size);
  for (let i = 0; i < size; i++) content[i] = (i * 31 + (i >> 9) * 7 + seed) & 0xff;
  fs.writeFileSync(file, content);
  return { path: file, size };
}

describe('files are copied to a device', () => {
  test('wholly, in pieces, with zeros behind them, among other writes', () => {
    const device = new WriteBehindDevice(FileDevice.create(image, SIZE));
    const copier = copierOf(device);
    const expected = new Uint8Array(SIZE);
    const rubbish = new Uint8Array(SIZE / 2).fill(0xee);
    for (let at = 0; at < SIZE; at += rubbish.length) device.write(at, rubbish);
    expected.fill(0xee);
    let at = 4096;
    const sizes = [1, 511, 4095, 4096, 4097, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 77, 12];
    for (let round = 0; round < 300; round++) {
      const size = round < 33 ? sizes[round % sizes.length]! : 1 + ((round * 977) % 9000);
      const file = makeFile(`file-${round % 40}-${size}`, size, round % 40);
      const content = fs.readFileSync(file.path);
      // Every third lies in two places, the second part first.
      const cut = round % 3 === 0 && size > 4096 ? 4096 : size;
      const end = at + Math.ceil(size / 4096) * 4096;
      const first = cut === size ? at : end - 4096;
      const rest = { fileOffset: cut, deviceOffset: at, length: size - cut, padding: 0 };
      const room = end - 4096 - at;
      copier.copy(file, [
        { fileOffset: 0, deviceOffset: first, length: cut, padding: cut === size ? end - at - size : 0 },
        ...(cut === size ? [] : [{ ...rest, padding: room - rest.length }]),
      ]);
      expected.fill(0, at, end);
      expected.set(content.subarray(0, cut), first);
      expected.set(content.subarray(cut), cut === size ? first + cut : at);
      if (round % 50 === 7) {
        const found = new Uint8Array(end - at);
        device.read(at, found);
        expect(Buffer.compare(found, expected.subarray(at, end)), `round ${round}`).toBe(0);
      }
      if (round % 20 === 3) {
        // Over what is still on its way.
        device.write(first + 1, new Uint8Array([1, 2, 3]));
        expected.set([1, 2, 3], first + 1);
      }
      at = end;
    }
    expect(copier.failed({ wait: true })).toEqual([]);
    device.close();
    expect(Buffer.compare(fs.readFileSync(image), expected)).toBe(0);
  });

  test('through a slice at their places in it, and never outside of it', () => {
    const device = new WriteBehindDevice(FileDevice.create(image, SIZE));
    const slice = new SliceDevice(device, 10 * MIB, MIB);
    const copier = copierOf(slice);
    const file = makeFile('file', 5000, 1);
    copier.copy(file, [{ fileOffset: 0, deviceOffset: 8192, length: 5000, padding: 3192 }]);
    const outside = { fileOffset: 0, deviceOffset: MIB - 5000, length: 5000, padding: 1 };
    expect(() => copier.copy(file, [outside])).toThrow('the device ends at byte 1048576');
    const whole = copierOf(device);
    expect(() => whole.copy(file, [{ ...outside, deviceOffset: SIZE }])).toThrow('the device ends at byte');
    device.close();
    const content = fs.readFileSync(image);
    expect(
      Buffer.compare(content.subarray(10 * MIB + 8192, 10 * MIB + 13_192), fs.readFileSync(file.path)),
    ).toBe(0);
    expect(content.subarray(0, 10 * MIB + 8192).every((byte) => byte === 0)).toBe(true);
  });

  test('and those that are not as they were said to be are told, once, with zeros in their places', () => {
    const device = new WriteBehindDevice(FileDevice.create(image, SIZE));
    const copier = copierOf(device);
    device.write(0, new Uint8Array(MIB).fill(0xee));
    const sound = makeFile('sound', 3000, 1);
    const shorter = { ...makeFile('shorter', 3000, 2), size: 3001 };
    const longer = { ...makeFile('longer', 3000, 3), size: 2999 };
    const absent = { path: path.join(folder, 'absent'), size: 10 };
    const directory = { path: folder, size: 10 };
    fs.symlinkSync(sound.path, path.join(folder, 'link'));
    const link = { path: path.join(folder, 'link'), size: 3000 };
    const files = [sound, shorter, longer, absent, directory, link];
    for (const [index, file] of files.entries()) {
      copier.copy(file, [
        { fileOffset: 0, deviceOffset: index * 4096, length: file.size, padding: 4096 - file.size },
      ]);
    }
    expect(new Set(copier.failed({ wait: true }))).toEqual(new Set(files.slice(1)));
    expect(copier.failed({ wait: true })).toEqual([]);
    device.close();
    const content = fs.readFileSync(image);
    expect(Buffer.compare(content.subarray(0, 3000), fs.readFileSync(sound.path))).toBe(0);
    expect(content.subarray(3000, 4096).every((byte) => byte === 0)).toBe(true);
    expect(content.subarray(4096 + 3000, 8192).every((byte) => byte === 0)).toBe(true);
    expect(content.subarray(3 * 4096, 6 * 4096).every((byte) => byte === 0)).toBe(true);
  });

  test('many more than the ring between the threads holds', () => {
    const device = new WriteBehindDevice(FileDevice.create(image, SIZE));
    const copier = copierOf(device);
    const files = Array.from({ length: 7 }, (_, i) => makeFile(`few-${i}`, 100 + i, i));
    for (let i = 0; i < 10_000; i++) {
      const file = files[i % 7]!;
      // One in a hundred is not there.
      const named = i % 100 === 99 ? { path: `${file.path}-absent`, size: file.size } : file;
      copier.copy(named, [{ fileOffset: 0, deviceOffset: i * 1024, length: file.size, padding: 0 }]);
    }
    expect(copier.failed({ wait: true })).toHaveLength(100);
    device.close();
    const content = fs.readFileSync(image);
    for (let i = 0; i < 10_000; i++) {
      const expected =
        i % 100 === 99 ? Buffer.alloc(100) : fs.readFileSync(files[i % 7]!.path).subarray(0, 100);
      expect(Buffer.compare(content.subarray(i * 1024, i * 1024 + 100), expected), `file ${i}`).toBe(0);
    }
  });

  test.skipIf(!hasFullDevice)('until a write fails, whose error comes with the next call', () => {
    const { device: failing, closeFull } = halfFullDevice(image, SIZE);
    const device = new WriteBehindDevice(failing);
    const copier = copierOf(device);
    const file = makeFile('file', 5000, 1);
    copier.copy(file, [{ fileOffset: 0, deviceOffset: 0, length: 5000, padding: 0 }]);
    expect(() => copier.failed({ wait: true })).toThrow(FsError);
    expect(() => copier.copy(file, [])).toThrow('ENOSPC');
    expect(() => device.flush()).toThrow('ENOSPC');
    expect(() => device.close()).toThrow('ENOSPC');
    closeFull();
  });
});
