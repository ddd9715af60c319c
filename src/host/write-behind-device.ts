import {
  type BlockDevice,
  type Extent,
  checkRange,
  checkWritable,
  discardRange,
  extentsOf,
  zeroRange,
} from '../device/block-device.ts';
import type { ContentCopier } from '../device/content-copier.ts';
import { isZero } from '../bytes/is-zero.ts';
import { type FileBackedDevice, WriteQueue } from './write-queue.ts';
import { QueueLayout } from './write-thread.ts';

/** Below this many bytes written, a thread costs more than it brings; nor for so few files. */
const BYTES_THRESHOLD = 4 << 20;
const FILES_THRESHOLD = 64;
/** Up to this length zeros are written like anything else. */
const SMALL_ZEROS = 1 << 16;

/**
 * Lets a second thread write to the file, while this one goes on reading and computing: filling an image is half host
 * reads, half image writes, and either waits for the page cache. The second thread also reads files of the host that are to be copied to the
 * device as they are. Writes are done in the order in which they were
 * given. When one fails, none after it is done, so the file is as after a power cut at that write; the error
 * comes with the next call. Reads wait for the writes that they overlap, everything else for all of them.
 *
 * The thread is started with the 4th MiB, or the 64th file; until it runs every write is made at once.
 */
export class WriteBehindDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #base: FileBackedDevice;
  #direct = 0;
  #files = 0;
  #queue: WriteQueue | undefined;

  constructor(base: FileBackedDevice) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
    this.readOnly = base.readOnly;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    this.#queue?.waitFor(offset, into.length);
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    if (this.#queue?.isRunning !== true) {
      this.#base.write(offset, from);
      this.#direct += from.length;
      if (this.#direct >= BYTES_THRESHOLD) this.#start();
      return;
    }
    for (let done = 0; done < from.length; done += QueueLayout.slotSize) {
      const end = Math.min(done + QueueLayout.slotSize, from.length);
      this.#queue.push(offset + done, from.subarray(done, end));
    }
  }

  copier(files = 1): ContentCopier | undefined {
    if (this.#queue?.isRunning === true) return this.#queue;
    this.#files += files;
    if (this.#files >= FILES_THRESHOLD && !this.readOnly) this.#start();
    return undefined;
  }

  zero(offset: number, length: number): void {
    if (this.#queue?.isRunning === true && length <= SMALL_ZEROS) {
      const found = new Uint8Array(length);
      this.read(offset, found);
      if (!isZero(found)) this.write(offset, found.fill(0));
      return;
    }
    this.#queue?.drain();
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
    this.#queue?.drain();
    discardRange(this.#base, offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    this.#queue?.drain();
    return extentsOf(this.#base, offset, length);
  }

  flush(): void {
    this.#queue?.drain();
    this.#base.flush();
  }

  close(): void {
    try {
      this.#queue?.end();
    } finally {
      this.#base.close();
    }
  }

  #start(): void {
    this.#queue ??= new WriteQueue(this.#base);
  }
}
