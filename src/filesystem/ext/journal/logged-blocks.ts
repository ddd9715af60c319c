import { type BlockDevice, checkRange } from '../../../device/block-device.ts';
import { FsError } from '../../../errors.ts';
import { JOURNAL_MAGIC } from './journal-superblock.ts';

/** Longest single read or write of merged neighbours, bytes. */
const MERGE = 1 << 20;

/**
 * The blocks whose newest committed content lies in the log and not yet in its place: after a crash, and between a commit
 * and the checkpoint that follows it. Nothing of it is held in memory but where it is.
 */
export class LoggedBlocks {
  readonly #device: BlockDevice;
  /** Where the log is: the same, but for a journal on a device of its own. */
  readonly #log: BlockDevice;
  readonly #blockSize: number;
  /** From a block to that of its copy in the log; negative when the copy is escaped. */
  readonly #copies = new Map<number, number>();
  #merge: Uint8Array | undefined;

  constructor(device: BlockDevice, blockSize: number, log: BlockDevice = device) {
    this.#device = device;
    this.#log = log;
    this.#blockSize = blockSize;
  }

  get size(): number {
    return this.#copies.size;
  }

  blocks(): Iterable<number> {
    return this.#copies.keys();
  }

  has(block: number): boolean {
    return this.#copies.has(block);
  }

  /** `copy`: the block, where the log is, that holds it. */
  set(block: number, copy: number, isEscaped: boolean): void {
    this.#copies.set(block, isEscaped ? -copy : copy);
  }

  delete(block: number): void {
    this.#copies.delete(block);
  }

  clear(): void {
    this.#copies.clear();
  }

  /** Reads bytes that lie within one block, from its copy if it has one. */
  readWithin(block: number, within: number, into: Uint8Array): void {
    const copy = this.#copies.get(block);
    if (copy === undefined) this.#device.read(block * this.#blockSize + within, into);
    else if (copy > 0) this.#log.read(copy * this.#blockSize + within, into);
    else {
      // Not straight into the caller's memory: who watches the device may put such reads off.
      const whole = new Uint8Array(this.#blockSize);
      this.#log.read(-copy * this.#blockSize, whole);
      unescape(whole, 0);
      into.set(whole.subarray(within, within + into.length));
    }
  }

  /** Copies every block to its place, in the order of the device, neighbours in one write. */
  writeHome(): void {
    if (this.#copies.size === 0) return;
    const blocks = Float64Array.from(this.#copies.keys()).sort();
    const merge = (this.#merge ??= new Uint8Array(Math.max(MERGE, this.#blockSize)));
    const most = Math.floor(merge.length / this.#blockSize);
    for (let from = 0; from < blocks.length; from += most) {
      const count = Math.min(most, blocks.length - from);
      this.#gather(blocks, from, count, merge);
      for (let i = 0; i < count;) {
        const home = blocks[from + i]!;
        let length = 1;
        while (i + length < count && blocks[from + i + length] === home + length) length++;
        const bytes = merge.subarray(i * this.#blockSize, (i + length) * this.#blockSize);
        this.#device.write(home * this.#blockSize, bytes);
        i += length;
      }
    }
  }

  /** Reads the copies of some blocks; those that are neighbours in the log, too, at once. */
  #gather(blocks: Float64Array, from: number, count: number, into: Uint8Array): void {
    const size = this.#blockSize;
    for (let i = 0; i < count;) {
      const copy = this.#copies.get(blocks[from + i]!)!;
      const first = Math.abs(copy);
      let length = 1;
      while (i + length < count && Math.abs(this.#copies.get(blocks[from + i + length]!)!) === first + length)
        length++;
      this.#log.read(first * size, into.subarray(i * size, (i + length) * size));
      for (let k = 0; k < length; k++) {
        if (this.#copies.get(blocks[from + i + k]!)! < 0) unescape(into, (i + k) * size);
      }
      i += length;
    }
  }
}

function unescape(bytes: Uint8Array, at: number): void {
  new DataView(bytes.buffer, bytes.byteOffset + at).setUint32(0, JOURNAL_MAGIC);
}

/** A device as it is once the log is replayed, for reading: nothing is written, and nothing held. */
export class LoggedBlocksDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly = true;
  readonly #base: BlockDevice;
  readonly #blockSize: number;
  readonly #blocks: LoggedBlocks;

  constructor(base: BlockDevice, blockSize: number, blocks: LoggedBlocks) {
    this.#base = base;
    this.#blockSize = blockSize;
    this.#blocks = blocks;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    const size = this.#blockSize;
    if (this.#blocks.size === 0) {
      this.#base.read(offset, into);
      return;
    }
    // What has no copy is read in pieces as long as they come.
    let plain = 0;
    let done = 0;
    while (done < into.length) {
      const block = Math.floor((offset + done) / size);
      const within = (offset + done) % size;
      const length = Math.min(size - within, into.length - done);
      if (this.#blocks.has(block)) {
        this.#readPlain(offset, into, plain, done);
        this.#blocks.readWithin(block, within, into.subarray(done, done + length));
        plain = done + length;
      }
      done += length;
    }
    this.#readPlain(offset, into, plain, done);
  }

  write(): void {
    throw new FsError('EROFS', {
      syscall: 'write',
      detail: 'what is replayed from the journal is for reading',
    });
  }

  flush(): void {}

  close(): void {}

  #readPlain(offset: number, into: Uint8Array, from: number, to: number): void {
    if (to <= from) return;
    this.#base.read(offset + from, from === 0 && to === into.length ? into : into.subarray(from, to));
  }
}
