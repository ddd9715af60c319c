import { InHeader } from '../fuse/structures.ts';
import type { FuseRequest } from '../fuse/request.ts';
import { type SharedDevice, ShareWord } from '../host/device-share.ts';

/**
 * How long closing or syncing a device may take until the names of its partitions have followed what was written. Milliseconds do, unless the
 * disk that holds the names is busy for seconds; who is interrupted waits no longer.
 */
const PUBLISH_MILLISECONDS = 30_000;

interface Waiting {
  readonly message: Uint8Array;
  /** Of the request. */
  readonly unique: number;
  readonly generation: number;
  readonly until: number;
}

/** Replies that are kept until the names of partitions are those of the table: other requests go on being answered meanwhile. */
export class WaitingReplies {
  readonly #device: SharedDevice;
  readonly #send: (message: Uint8Array) => void;
  readonly #replies: Waiting[] = [];

  constructor(device: SharedDevice, send: (message: Uint8Array) => void) {
    this.#device = device;
    this.#send = send;
  }

  get count(): number {
    return this.#replies.length;
  }

  /** Keeps a reply to the request until the table as it is now has been published. */
  add(request: FuseRequest, message: Uint8Array): void {
    this.#replies.push({
      message,
      unique: InHeader.unique.get(request.view, 0),
      generation: Atomics.load(this.#device.words, ShareWord.tableGeneration),
      until: Date.now() + PUBLISH_MILLISECONDS,
    });
  }

  /** Sends those whose time has come. */
  sendReady(): void {
    if (this.#replies.length === 0) return;
    const published = Atomics.load(this.#device.words, ShareWord.publishedGeneration);
    const now = Date.now();
    for (const waiting of this.#replies.splice(0)) {
      if (published - waiting.generation >= 0 || now >= waiting.until) this.#send(waiting.message);
      else this.#replies.push(waiting);
    }
  }

  /** Sends the reply to that request: whoever waits for it was interrupted. */
  sendAtOnce(unique: number): void {
    const index = this.#replies.findIndex((waiting) => waiting.unique === unique);
    if (index >= 0) this.#send(this.#replies.splice(index, 1)[0]!.message);
  }

  sendAll(): void {
    for (const { message } of this.#replies.splice(0)) this.#send(message);
  }
}
