import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { WriteBehindDevice } from '../../src/host/write-behind-device.ts';
import { copierOf, halfFullDevice, hasFullDevice } from '../support/second-thread.ts';
import { temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;
const SIZE = 40 * MIB;

/** xorshift32 with a fixed seed. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

describe('a write-behind device', () => {
  test('reads what was written, whatever the order of reads, writes and zeroing', () => {
    const file = path.join(temporaryFolder(), 'behind.img');
    const device = new WriteBehindDevice(FileDevice.create(file, SIZE));
    const model = new MemoryDevice(SIZE);
    const random = generator(0xb0a7);
    const source = new Uint8Array(3 * MIB).map((_, i) => (i * 7 + (i >> 8)) & 0xff);
    for (let step = 0; step < 600; step++) {
      const length = step % 3 === 0 ? random(3 * MIB) : random(5000);
      const offset = random(SIZE - length);
      const what = random(10);
      if (what < 6) {
        const part = source.subarray(step, step + Math.min(length, source.length - step));
        device.write(offset, part);
        model.write(offset, part);
      } else if (what < 7) {
        device.zero(offset, length);
        model.zero(offset, length);
      } else {
        const [found, expected] = [new Uint8Array(length), new Uint8Array(length)];
        device.read(offset, found);
        model.read(offset, expected);
        expect(Buffer.compare(found, expected), `step ${step}: ${length} bytes at ${offset}`).toBe(0);
      }
    }
    device.flush();
    device.close();
    expect(Buffer.compare(fs.readFileSync(file), model.toBytes())).toBe(0);
  });

  test('does not keep the bytes of the caller: they may change after the call', () => {
    const file = path.join(temporaryFolder(), 'behind.img');
    const device = new WriteBehindDevice(FileDevice.create(file, SIZE));
    const buffer = new Uint8Array(MIB);
    for (let i = 0; i < 40; i++) {
      buffer.fill(i + 1);
      device.write(i * MIB, buffer);
    }
    device.close();
    const content = fs.readFileSync(file);
    for (let i = 0; i < 40; i++) expect(content[i * MIB + 77]).toBe(i + 1);
  });

  test('many small writes, which share the memory between the threads, with long ones among them', () => {
    const file = path.join(temporaryFolder(), 'behind.img');
    const device = new WriteBehindDevice(FileDevice.create(file, SIZE));
    const model = new MemoryDevice(SIZE);
    const random = generator(0x51c5);
    const source = new Uint8Array(2 * MIB).map((_, i) => (i * 13 + (i >> 7)) & 0xff);
    device.write(0, source);
    model.write(0, source);
    copierOf(device);
    for (let step = 0; step < 40_000; step++) {
      const length = step % 1000 === 999 ? 1 + random(2 * MIB - 1) : 1 + random(4096);
      const start = random(source.length - length + 1);
      const offset = random(SIZE - length);
      const part = source.subarray(start, start + length);
      device.write(offset, part);
      model.write(offset, part);
      if (step % 5000 !== 4999) continue;
      const found = new Uint8Array(length);
      device.read(offset, found);
      expect(Buffer.compare(found, part), `step ${step}`).toBe(0);
    }
    device.close();
    expect(Buffer.compare(fs.readFileSync(file), model.toBytes())).toBe(0);
  });

  test.skipIf(!hasFullDevice)('tells the error of an earlier write, and writes nothing after it', () => {
    const file = path.join(temporaryFolder(), 'behind.img');
    const { device: failing, closeFull } = halfFullDevice(file, SIZE);
    const device = new WriteBehindDevice(failing);
    const buffer = new Uint8Array(MIB).fill(1);
    let thrown: unknown;
    try {
      // The thread takes a while to come up, and only its writes meet /dev/full.
      for (let i = 0; i < 20_000; i++) device.write((i % 40) * MIB, buffer);
      device.flush();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(FsError);
    expect((thrown as FsError).code).toBe('ENOSPC');
    expect(() => device.flush()).toThrow('ENOSPC');
    expect(() => device.close()).toThrow('ENOSPC');
    closeFull();
  });

  test('refuses what lies outside, and a device that is read-only', () => {
    const file = path.join(temporaryFolder(), 'behind.img');
    FileDevice.create(file, 4096).close();
    const device = new WriteBehindDevice(FileDevice.open(file));
    expect(() => device.write(4000, new Uint8Array(97))).toThrow('the device ends at byte 4096');
    device.close();
    const readOnly = new WriteBehindDevice(FileDevice.open(file, { readOnly: true }));
    expect(() => readOnly.write(0, new Uint8Array(1))).toThrow('EROFS');
    readOnly.close();
  });
});
