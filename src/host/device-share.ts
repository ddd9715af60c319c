import type { BlockDevice, Extent, FileRange } from '../device/block-device.ts';
import { checkRange, checkWritable, discardRange, extentsOf, zeroRange } from '../device/block-device.ts';
import { tableBlocks } from '../disk/device-views.ts';
import { type Gate, gatesOf } from './device-gate.ts';
import { DescriptorDevice } from './descriptor-device.ts';
import { OverlayDevice, type OverlayShare } from './overlay-device.ts';
import {
  GATE_BYTES,
  GATE_COUNT,
  GATES_OFFSET,
  ShareWord,
  TABLE_LIST,
  TABLE_LIST_LENGTH,
} from './share-layout.ts';

export { GATE_COUNT, ShareWord } from './share-layout.ts';

/**
 * One attached device, as all threads of its process see it. `DeviceShare` is plain data and goes to a worker in its
 * workerData; `openShare` makes a BlockDevice of it there. The content is in a file that every thread reads and writes
 * side by side; what must be common besides is in `state`.
 *
 * As long as no file system of the device is mounted, reads and writes go straight to the file, and `fileRange` is there for
 * transports that splice. While one is mounted, every access to its range goes through its gate (device-gate.ts), so that the
 * block view and the file view agree.
 */
export interface DeviceShare {
  /** An open descriptor of this process. */
  readonly fd: number;
  /** For messages. */
  readonly path: string;
  /** Bytes into the file at which the device starts. */
  readonly offset: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  /** Writes go to another place: see overlay-device.ts. */
  readonly overlay?: OverlayShare;
  readonly state: SharedArrayBuffer;
}

/** What lies at both ends of a disk and holds tables: MBR and GPT with 128 entries on sectors of 512 or 4096 bytes. */
const TABLE_MARGIN = 6 * 4096;

export function createShareState(size: number): SharedArrayBuffer {
  const state = new SharedArrayBuffer(GATES_OFFSET + GATE_COUNT * GATE_BYTES);
  setShareSize(state, size);
  return state;
}

/** After the file has grown. */
export function setShareSize(state: SharedArrayBuffer, size: number): void {
  new Float64Array(state, 0, 1)[0] = size;
}

/** Offsets (bytes) of the extended boot records that are in use now. */
export function setTableSectors(state: SharedArrayBuffer, offsets: readonly number[]): void {
  const list = new Float64Array(state, TABLE_LIST, TABLE_LIST_LENGTH);
  const count = Math.min(offsets.length, TABLE_LIST_LENGTH);
  for (let index = 0; index < count; index++) list[index] = offsets[index]!;
  Atomics.store(new Int32Array(state), ShareWord.tableSectorCount, count);
}

export function openShare(share: DeviceShare): SharedDevice {
  return new SharedDevice(share);
}

export class SharedDevice implements BlockDevice {
  readonly share: DeviceShare;
  readonly words: Int32Array;
  readonly #size: Float64Array;
  readonly #tableList: Float64Array;
  readonly #gates: readonly Gate[];
  readonly #file: BlockDevice;

  constructor(share: DeviceShare) {
    this.share = share;
    this.words = new Int32Array(share.state);
    this.#size = new Float64Array(share.state, 0, 1);
    this.#tableList = new Float64Array(share.state, TABLE_LIST, TABLE_LIST_LENGTH);
    this.#gates = gatesOf(share.state);
    this.#file = contentOf(share);
  }

  get size(): number {
    return this.#size[0]!;
  }

  get sectorSize(): number {
    const changed = Atomics.load(this.words, ShareWord.sectorSize);
    return changed === 0 ? this.share.sectorSize : changed;
  }

  get readOnly(): boolean {
    const changed = Atomics.load(this.words, ShareWord.readOnly);
    return changed === 0 ? this.share.readOnly : changed === 1;
  }

  /** Straight access is allowed: no overlay, nothing mounted. Ask before each use; it changes. */
  get isPlainFile(): boolean {
    return this.share.overlay === undefined && Atomics.load(this.words, ShareWord.mounts) === 0;
  }

  /** The content below the gates: for the file systems mounted from it, which are what the gates guard. */
  get content(): BlockDevice {
    return this.#file;
  }

  /** Only while `isPlainFile`. */
  fileRange(): FileRange {
    return { fd: this.share.fd, offset: this.share.offset };
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    if (Atomics.load(this.words, ShareWord.mounts) > 0) this.#settle(offset, into.length);
    this.#file.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    this.change(offset, from.length, () => this.#file.write(offset, from));
  }

  zero(offset: number, length: number): void {
    checkWritable(this, 'zero');
    checkRange(this, 'zero', offset, length);
    this.change(offset, length, () => zeroRange(this.#file, offset, length));
  }

  discard(offset: number, length: number): void {
    checkWritable(this, 'discard');
    checkRange(this, 'discard', offset, length);
    this.change(offset, length, () => discardRange(this.#file, offset, length));
  }

  extents(offset: number, length: number): Iterable<Extent> {
    checkRange(this, 'extents', offset, length);
    if (Atomics.load(this.words, ShareWord.mounts) > 0) this.#settle(offset, length);
    return extentsOf(this.#file, offset, length);
  }

  flush(): void {
    if (Atomics.load(this.words, ShareWord.mounts) > 0) this.#settle(0, this.size);
    this.#file.flush();
  }

  /** The descriptors belong to the process. */
  close(): void {}

  /** Runs `write`, which changes the range by whatever means, with the gates of the mounted file systems held. */
  change(offset: number, length: number, write: () => void): void {
    if (Atomics.load(this.words, ShareWord.mounts) === 0) write();
    else this.#withHeldGates(offset, length, write);
    this.noteWrite(offset, length);
  }

  /** For transports that have written past this object, by splice: tells those who watch. */
  noteWrite(offset: number, length: number): void {
    Atomics.add(this.words, ShareWord.writes, 1);
    if (!this.#holdsTable(offset, length)) return;
    // At once: the next write may be to a block that the table has only now come to name.
    setTableSectors(this.share.state, tableBlocks(this.#file));
    Atomics.add(this.words, ShareWord.tableGeneration, 1);
    Atomics.notify(this.words, ShareWord.tableGeneration);
  }

  /** Waits until the names of the partitions follow all changes of the table that were made so far. False: not in time. */
  awaitPublished(timeoutMilliseconds: number): boolean {
    const wanted = Atomics.load(this.words, ShareWord.tableGeneration);
    const end = Date.now() + timeoutMilliseconds;
    for (;;) {
      const published = Atomics.load(this.words, ShareWord.publishedGeneration);
      if (published - wanted >= 0) return true;
      const left = end - Date.now();
      if (left <= 0) return false;
      Atomics.wait(this.words, ShareWord.publishedGeneration, published, left);
    }
  }

  #holdsTable(offset: number, length: number): boolean {
    if (offset < TABLE_MARGIN || offset + length > this.size - TABLE_MARGIN) return true;
    const count = Atomics.load(this.words, ShareWord.tableSectorCount);
    for (let index = 0; index < count; index++) {
      const at = this.#tableList[index]!;
      if (at < offset + length && at + 512 > offset) return true;
    }
    return false;
  }

  #settle(offset: number, length: number): void {
    for (const gate of this.#gates) if (gate.guards(offset, length)) gate.settle();
  }

  #withHeldGates(offset: number, length: number, write: () => void): void {
    const held = this.#gates.filter((gate) => gate.guards(offset, length) && gate.hold());
    try {
      write();
    } finally {
      for (const gate of held) gate.resume();
    }
  }
}

function contentOf(share: DeviceShare): BlockDevice {
  const view = new Float64Array(share.state, 0, 1);
  const size = (): number => view[0]!;
  if (share.overlay === undefined) return new DescriptorDevice(share.fd, { ...share, size });
  const base = new DescriptorDevice(share.fd, { ...share, readOnly: true, size });
  return new OverlayDevice(base, share.overlay, size);
}
