import fs from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readBytes } from '../../src/device/block-device.ts';
import { DescriptorDevice } from '../../src/host/descriptor-device.ts';
import { OverlayDevice, type OverlayShare } from '../../src/host/overlay-device.ts';
import { type OverlayBase, createMemoryOverlay, openOverlayFile } from '../../src/host/overlay-file.ts';
import { builtProgram } from '../support/built-program.ts';
import { temporaryFolder } from '../support/tools.ts';

const SIZE = 5 * 4096 + 512;

function content(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >>> 8) * 7 + seed) & 0xff);
}

function makeBase(size: number): OverlayBase & { path: string } {
  const file = path.join(temporaryFolder(), 'base.img');
  fs.writeFileSync(file, content(size, 3));
  return { fd: fs.openSync(file, 'r'), path: file, offset: 0, size };
}

function over(base: OverlayBase, share: OverlayShare): OverlayDevice {
  const { offset, size, path: name, fd } = base;
  const below = new DescriptorDevice(fd, {
    path: name,
    offset,
    sectorSize: 512,
    readOnly: true,
    size: () => size,
  });
  return new OverlayDevice(below, share, () => size);
}

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom('write', 'zero', 'discard', 'read', 'extents'),
      at: fc.nat(SIZE),
      length: fc.nat(9000),
      seed: fc.nat(255),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('flush', 'reopen'),
      at: fc.constant(0),
      length: fc.constant(0),
      seed: fc.constant(0),
    }),
  },
);

describe('an overlay', () => {
  it('is the device of a model after any writes, and after it was closed and opened again; the base stays', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const base = makeBase(SIZE);
        const file = `${base.path}.overlay`;
        let share = openOverlayFile(file, base);
        let device = over(base, share);
        const model = content(SIZE, 3);
        for (const { kind, at, length: wanted, seed } of steps) {
          const length = Math.min(wanted, SIZE - at);
          if (kind === 'write') {
            const data = content(length, seed);
            device.write(at, data);
            model.set(data, at);
          } else if (kind === 'zero' || kind === 'discard') {
            device[kind](at, length);
            model.fill(0, at, at + length);
          } else if (kind === 'read') {
            expect(readBytes(device, at, length)).toEqual(model.slice(at, at + length));
          } else if (kind === 'extents') {
            let next = at;
            for (const extent of device.extents(at, length)) {
              expect(extent.offset).toBe(next);
              next += extent.length;
              const part = model.subarray(extent.offset, next);
              if (extent.kind !== 'data') expect(part.every((byte) => byte === 0)).toBe(true);
            }
            expect(next).toBe(at + length);
          } else {
            device.flush();
            if (kind === 'flush') continue;
            fs.closeSync(share.fd);
            share = openOverlayFile(file, base);
            device = over(base, share);
          }
        }
        expect(readBytes(device, 0, SIZE)).toEqual(model);
        expect(new Uint8Array(fs.readFileSync(base.path))).toEqual(content(SIZE, 3));
        fs.closeSync(share.fd);
        fs.closeSync(base.fd);
        fs.rmSync(path.dirname(base.path), { recursive: true });
      }),
      { numRuns: 25 },
    );
  });

  it('keeps every byte that threads write to the same blocks at the same moment', async () => {
    const size = 64 * 4096;
    const base = makeBase(size);
    const scratch = fs.openSync(`${base.path}.memory`, 'wx+');
    const share = createMemoryOverlay(scratch, base);
    const program = builtProgram('overlay-writer');
    const threads = 3;
    const barrier = new Int32Array(new SharedArrayBuffer(4));
    // Each writes every third run of 100 bytes, so that each block is written by all of them.
    await Promise.all(
      Array.from({ length: threads }, (_, thread) => {
        const worker = new Worker(program, {
          workerData: { fd: base.fd, path: base.path, share, thread, threads, size, barrier },
        });
        return new Promise<void>((resolve, reject) => {
          worker.on('error', reject);
          worker.on('exit', () => resolve());
        });
      }),
    );
    const found = readBytes(over(base, share), 0, size);
    const expected = content(size, 3);
    for (let at = 0, run = 0; at < size; at += 100, run++) expected.fill(1 + (run % threads), at, at + 100);
    expect(Buffer.compare(found, expected)).toBe(0);
    fs.closeSync(scratch);
  });

  it('is refused on another state of its image, and where it is something else', () => {
    const base = makeBase(SIZE);
    const file = `${base.path}.overlay`;
    fs.closeSync(openOverlayFile(file, base).fd);
    expect(() => openOverlayFile(file, { ...base, offset: 512, size: SIZE - 512 })).toThrow(
      /offset was 0, is 512/,
    );
    const before = fs.readFileSync(file);
    for (const [at, error] of [
      [before.length - 4096, /magic/],
      [before.length - 4096 + 0x14, /checksum/],
      [before.length - 4096 + 0xfff, /checksum/],
    ] as const) {
      const damaged = Uint8Array.from(before);
      damaged[at]! ^= 0x55;
      fs.writeFileSync(file, damaged);
      expect(() => openOverlayFile(file, base)).toThrow(error);
      expect(new Uint8Array(fs.readFileSync(file))).toEqual(damaged);
    }
    fs.writeFileSync(file, before);
    fs.utimesSync(base.path, 1, 2);
    expect(() => openOverlayFile(file, base)).toThrow(
      /time of its last change was .*, is 1970-01-01T00:00:02.000000000Z/,
    );
    expect(() => openOverlayFile(base.path, base)).toThrow(/the image itself/);
    fs.closeSync(base.fd);
  });
});
