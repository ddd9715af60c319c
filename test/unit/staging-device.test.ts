import { describe, expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { StagingDevice } from '../../src/device/staging-device.ts';
import { randomNumbers } from '../support/dirty-journals.ts';

/** Not whole pages, and more than is merged into one read. */
const SIZE = (2 << 20) + 1536;

function patterned(size: number): MemoryDevice {
  const device = new MemoryDevice(size);
  device.write(
    0,
    new Uint8Array(size).map((_, at) => (at * 7 + (at >> 9)) & 0xff),
  );
  return device;
}

describe('a staging device', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'shows what is written and keeps it from the device below, seed %i',
    (seed) => {
      const random = randomNumbers(seed);
      const base = patterned(SIZE);
      const before = base.toBytes().slice();
      const model = before.slice();
      const staging = new StagingDevice(base);
      for (let step = 0; step < 200; step++) {
        const isLong = random(20) === 0;
        const length = random(8) === 0 ? 4096 : 1 + random(isLong ? 300_000 : 6000);
        const offset =
          random(2) === 0 ? random(Math.floor((SIZE - length) / 4096)) * 4096 : random(SIZE - length);
        // Some of it is what is there already.
        const isSame = random(4) === 0;
        const bytes = isSame ? before.slice(offset, offset + length) : new Uint8Array(length).fill(step);
        staging.write(offset, bytes);
        model.set(bytes, offset);
        const [at, count] = [random(SIZE - 9000), 1 + random(9000)];
        const found = new Uint8Array(count);
        staging.read(at, found);
        expect(Buffer.compare(found, model.subarray(at, at + count)), `step ${step}`).toBe(0);
      }
      expect(Buffer.compare(base.toBytes(), before)).toBe(0);

      let end = -1;
      const changed = before.slice();
      for (const { offset, length } of staging.changes()) {
        // In order, in sectors, not touching one another.
        expect(offset > end && offset % 512 === 0 && length % 512 === 0).toBe(true);
        end = offset + length;
        changed.set(model.subarray(offset, end), offset);
        for (let at = offset; at < end; at += 512) {
          expect(Buffer.compare(model.subarray(at, at + 512), before.subarray(at, at + 512))).not.toBe(0);
        }
      }
      expect(Buffer.compare(changed, model)).toBe(0);

      staging.apply(base);
      expect(Buffer.compare(base.toBytes(), model)).toBe(0);
      expect(staging.stagedSize).toBe(0);
      expect(staging.changes()).toEqual([]);
    },
  );

  test('refuses to keep more than its limit, and keeps what it has', () => {
    const base = patterned(SIZE);
    const staging = new StagingDevice(base, { limit: 8192 });
    staging.write(0, new Uint8Array(8192).fill(1));
    const write = (): void => staging.write(20_000, new Uint8Array(1));
    expect(write).toThrow(
      'ENOMEM: more than 0.0078125 MiB would have to change, and changes are kept in memory until all of them are known',
    );
    expect(staging.stagedSize).toBe(8192);
    // What is there already can change.
    staging.write(4000, new Uint8Array(200).fill(2));
    expect(staging.changes()).toEqual([{ offset: 0, length: 8192 }]);
    staging.apply(base);
    write();
    expect(staging.stagedSize).toBe(4096);
  });
});
