import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BlockDevice } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { LendingDevice } from '../../src/host/lending-device.ts';
import { randomNumbers } from '../support/file-exerciser.ts';
import { temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;
const SIZE = 40 * MIB;
/** Before the device, in the file. */
const LEAD = 4096;

/** Fills the memory in use and writes it, as the server of a mount does with the requests that it reads. */
class Lender {
  readonly device: LendingDevice;
  readonly #memories = Array.from({ length: 3 }, () => new SharedArrayBuffer(64 + 2 * MIB));
  #current = 0;

  constructor(base: BlockDevice, fd: number) {
    this.device = new LendingDevice(base, { fd, position: LEAD }, this.#memories);
  }

  /** A new place to be written from: what was lent before keeps its own. */
  memory(length: number): Uint8Array {
    return new Uint8Array(this.#memories[this.#current]!, 64, length);
  }

  write(offset: number, from: Uint8Array): void {
    this.device.write(offset, from);
    const next = this.device.takeLent();
    if (next !== undefined) this.#current = next;
  }

  /** Until the thread runs. */
  async start(): Promise<void> {
    const end = Date.now() + 120_000;
    const before = this.#current;
    while (before === this.#current) {
      if (Date.now() > end) throw new Error('the second thread does not start');
      this.write(SIZE - MIB, this.memory(MIB).fill(0));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

describe('a lending device', () => {
  let file: string;
  let fd: number;
  let base: BlockDevice;

  beforeEach(() => {
    file = path.join(temporaryFolder(), 'lending.img');
    FileDevice.create(file, LEAD + SIZE).close();
    fd = fs.openSync(file, 'r+');
    base = deviceOf(fd);
  });
  afterEach(() => fs.closeSync(fd));

  test('reads what was written, whatever the order of writes that are lent and others', async () => {
    const lender = new Lender(base, fd);
    const model = new MemoryDevice(SIZE);
    const random = randomNumbers(0x1e4d);
    await lender.start();
    let lent = 0;
    for (let step = 0; step < 800; step++) {
      const length = 1 + (random(3) === 0 ? random(5000) : random(2 * MIB));
      const offset = random(SIZE - length);
      const what = random(10);
      if (what < 5) {
        const from = lender.memory(length).fill(1 + random(255));
        from[0] = random(256);
        lender.write(offset, from);
        model.write(offset, from);
        lent++;
      } else if (what < 7) {
        const from = new Uint8Array(length).fill(random(256));
        lender.write(offset, from);
        model.write(offset, from);
      } else if (what < 8) {
        lender.device.zero(offset, length);
        model.zero(offset, length);
      } else {
        const [found, expected] = [new Uint8Array(length), new Uint8Array(length)];
        lender.device.read(offset, found);
        model.read(offset, expected);
        expect(Buffer.compare(found, expected), `step ${step}: ${length} bytes at ${offset}`).toBe(0);
      }
    }
    expect(lent).toBeGreaterThan(300);
    lender.device.flush();
    expect(Buffer.compare(fs.readFileSync(file).subarray(LEAD), model.toBytes())).toBe(0);
    lender.device.close();
  });

  test('does by itself what the second thread cannot, and loses nothing', async () => {
    const readOnly = fs.openSync(file, 'r');
    const lender = new Lender(base, readOnly);
    await lender.start();
    for (let index = 0; index < 30; index++) lender.write(index * MIB, lender.memory(MIB).fill(index + 1));
    lender.device.close();
    fs.closeSync(readOnly);
    const content = fs.readFileSync(file);
    for (let index = 0; index < 30; index++) expect(content[LEAD + index * MIB + 77]).toBe(index + 1);
  });

  test('keeps what cannot be written, says so at each flush, and writes it when that is possible again', async () => {
    const readOnly = fs.openSync(file, 'r');
    let isFull = false;
    const failing = deviceOf(fd, () => {
      if (isFull) throw new FsError('ENOSPC', { syscall: 'write' });
    });
    const lender = new Lender(failing, readOnly);
    await lender.start();
    lender.device.flush();
    isFull = true;
    const full = expect.objectContaining({ code: 'ENOSPC' });
    let taken = 0;
    // One after the other is taken until there is no memory left; none after that.
    expect(() => {
      for (; taken < 30; taken++) lender.write(taken * MIB, lender.memory(MIB).fill(taken + 1));
    }).toThrow(full);
    expect(taken).toBeLessThan(3);
    expect(() => lender.device.flush()).toThrow(full);
    expect(() => lender.device.flush()).toThrow(full);
    expect(() => lender.write(20 * MIB, new Uint8Array(512))).toThrow(full);
    isFull = false;
    lender.write(5 * MIB, lender.memory(MIB).fill(99));
    lender.device.flush();
    const content = fs.readFileSync(file);
    for (let index = 0; index < taken; index++) expect(content[LEAD + index * MIB + 77]).toBe(index + 1);
    expect(content[LEAD + 5 * MIB + 77]).toBe(99);
    expect(content[LEAD + 20 * MIB]).toBe(0);
    lender.device.close();
    fs.closeSync(readOnly);
  });
});

function deviceOf(fd: number, beforeWrite: () => void = () => {}): BlockDevice {
  return {
    size: SIZE,
    sectorSize: 512,
    readOnly: false,
    read: (offset, into) => void fs.readSync(fd, into, 0, into.length, LEAD + offset),
    write: (offset, from) => {
      beforeWrite();
      fs.writeSync(fd, from, 0, from.length, LEAD + offset);
    },
    flush: () => fs.fsyncSync(fd),
    close: () => {},
  };
}
