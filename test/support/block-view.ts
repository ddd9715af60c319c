import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import type { DeviceShare } from '../../src/host/device-share.ts';
import { builtProgram } from './built-program.ts';

const STEP = 4096;

/** The blocks of a shared device, read and written by a thread of its own. */
export class BlockView {
  readonly #worker: Worker;
  readonly #size: number;

  constructor(share: DeviceShare, size: number) {
    this.#worker = new Worker(builtProgram('block-thread'), { workerData: share });
    this.#size = size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.#ask({ offset, length });
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    await this.#ask({ offset, length: data.length, data });
  }

  /** All of it, as it is now. */
  async copy(): Promise<MemoryDevice> {
    const device = new MemoryDevice(this.#size);
    device.write(0, await this.read(0, this.#size));
    return device;
  }

  /** Writes what differs between two copies. */
  async writeChanges(before: MemoryDevice, after: MemoryDevice): Promise<number> {
    const old = new Uint8Array(STEP);
    const now = new Uint8Array(STEP);
    let count = 0;
    for (let offset = 0; offset < this.#size; offset += STEP) {
      before.read(offset, old);
      after.read(offset, now);
      if (Buffer.compare(old, now) === 0) continue;
      await this.write(offset, now.slice());
      count++;
    }
    return count;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask(request: object): Promise<Uint8Array> {
    const answer = once(this.#worker, 'message');
    this.#worker.postMessage(request);
    const [bytes] = (await answer) as [Uint8Array];
    return bytes;
  }
}
