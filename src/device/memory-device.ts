import { isZero } from '../bytes/is-zero.ts';
import { type BlockDevice, type Extent, checkRange, checkWritable } from './block-device.ts';

const CHUNK = 1 << 16;

export interface MemoryDeviceOptions {
  readonly sectorSize?: number;
  readonly readOnly?: boolean;
}

/**
 * A sparse device in memory: chunks of 64 KiB that come into being when something other than zeros is written, so a
 * device of many TiB costs only what it holds.
 */
export class MemoryDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(size: number, options: MemoryDeviceOptions = {}) {
    if (!Number.isSafeInteger(size) || size < 0)
      throw new RangeError(`${size} is not a device size in bytes`);
    this.size = size;
    this.sectorSize = options.sectorSize ?? 512;
    this.readOnly = options.readOnly ?? false;
  }

  /** A device that holds a copy of `content`. */
  static from(content: Uint8Array, options: MemoryDeviceOptions = {}): MemoryDevice {
    const device = new MemoryDevice(content.length, options);
    device.#store(0, content);
    return device;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    for (let done = 0; done < into.length;) {
      const within = (offset + done) % CHUNK;
      const length = Math.min(CHUNK - within, into.length - done);
      const chunk = this.#chunks.get(Math.floor((offset + done) / CHUNK));
      if (chunk === undefined) into.fill(0, done, done + length);
      else into.set(chunk.subarray(within, within + length), done);
      done += length;
    }
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    this.#store(offset, from);
  }

  zero(offset: number, length: number): void {
    checkWritable(this, 'zero');
    checkRange(this, 'zero', offset, length);
    const end = offset + length;
    // A huge range over few chunks: walk what exists, not what could.
    if (length / CHUNK > this.#chunks.size) {
      for (const [index, chunk] of this.#chunks) this.#zeroChunk(index, chunk, offset, end);
      return;
    }
    for (let index = Math.floor(offset / CHUNK); index * CHUNK < end; index++) {
      const chunk = this.#chunks.get(index);
      if (chunk !== undefined) this.#zeroChunk(index, chunk, offset, end);
    }
  }

  discard(offset: number, length: number): void {
    this.zero(offset, length);
  }

  *extents(offset: number, length: number): Iterable<Extent> {
    checkRange(this, 'extents', offset, length);
    const end = offset + length;
    let at = offset;
    const indexes = [...this.#chunks.keys()].sort((a, b) => a - b);
    let dataStart = -1;
    let dataEnd = -1;
    for (const index of indexes) {
      const start = Math.max(index * CHUNK, offset);
      const stop = Math.min((index + 1) * CHUNK, end);
      if (start >= stop) continue;
      if (start === dataEnd) {
        dataEnd = stop;
        continue;
      }
      if (dataStart >= 0) yield { offset: dataStart, length: dataEnd - dataStart, kind: 'data' };
      if (dataStart >= 0) at = dataEnd;
      if (start > at) yield { offset: at, length: start - at, kind: 'hole' };
      dataStart = start;
      dataEnd = stop;
    }
    if (dataStart >= 0) {
      yield { offset: dataStart, length: dataEnd - dataStart, kind: 'data' };
      at = dataEnd;
    }
    if (at < end) yield { offset: at, length: end - at, kind: 'hole' };
  }

  flush(): void {}

  close(): void {}

  /** Everything, as one array: for devices that fit in one. */
  toBytes(): Uint8Array {
    const result = new Uint8Array(this.size);
    this.read(0, result);
    return result;
  }

  #store(offset: number, from: Uint8Array): void {
    for (let done = 0; done < from.length;) {
      const index = Math.floor((offset + done) / CHUNK);
      const within = (offset + done) % CHUNK;
      const length = Math.min(CHUNK - within, from.length - done);
      const part = from.subarray(done, done + length);
      let chunk = this.#chunks.get(index);
      if (chunk === undefined && !isZero(part)) {
        chunk = new Uint8Array(CHUNK);
        this.#chunks.set(index, chunk);
      }
      chunk?.set(part, within);
      done += length;
    }
  }

  #zeroChunk(index: number, chunk: Uint8Array, offset: number, end: number): void {
    const start = Math.max(offset - index * CHUNK, 0);
    const stop = Math.min(end - index * CHUNK, CHUNK);
    if (start >= stop) return;
    if (start === 0 && stop === CHUNK) this.#chunks.delete(index);
    else chunk.fill(0, start, stop);
  }
}
