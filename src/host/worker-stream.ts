import { Worker } from 'node:worker_threads';
import { NbdProtocolError } from '../nbd/client-handshake.ts';
import type { ClosableStream } from './blocking-stream.ts';
import type { NbdAddress, NbdTlsAddress } from './nbd-uri.ts';
import { programFile } from './program-file.ts';

/** What the thread is told. */
export type WorkerStreamMessage =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /** There is room again for what has come. */
  | { readonly kind: 'more' }
  | { readonly kind: 'startTls'; readonly tls: NbdTlsAddress; readonly hostname: string }
  | { readonly kind: 'close' };

export interface WorkerStreamData {
  readonly address: Pick<NbdAddress, 'host' | 'port' | 'socket'>;
  readonly shared: SharedArrayBuffer;
}

/** Int32 words at the start of the shared memory. */
export const StreamWord = {
  /** Bytes that were put into the ring, and that were taken from it; both run over. */
  filled: 0,
  taken: 1,
  /** Counts what has happened; notified on each. */
  events: 2,
  state: 3,
  /** The thread waits for room in the ring. */
  isFull: 4,
  /** Bytes of the text that says why the stream has ended. */
  textLength: 5,
} as const;

export const StreamState = { connecting: 0, open: 1, securing: 2, ended: 3 } as const;

/** Byte offsets in the shared memory. */
export const STREAM_TEXT = 64;
export const STREAM_TEXT_LENGTH = 960;
export const STREAM_RING = 1024;
/** A power of two. */
export const STREAM_RING_LENGTH = 1 << 20;

/** A connection that another thread keeps with node's own sockets, while this one waits: for TLS, and where there are no blocking sockets. */
export class WorkerStream implements ClosableStream {
  readonly #worker: Worker;
  readonly #words: Int32Array;
  readonly #text: Uint8Array;
  readonly #ring: Uint8Array;
  readonly #hostname: string;
  #closed = false;

  /** Returns when the connection stands. */
  constructor(address: NbdAddress) {
    const shared = new SharedArrayBuffer(STREAM_RING + STREAM_RING_LENGTH);
    this.#words = new Int32Array(shared, 0, STREAM_TEXT / 4);
    this.#text = new Uint8Array(shared, STREAM_TEXT, STREAM_TEXT_LENGTH);
    this.#ring = new Uint8Array(shared, STREAM_RING, STREAM_RING_LENGTH);
    this.#hostname = address.tls?.hostname ?? address.host ?? 'localhost';
    const { host, port, socket } = address;
    const workerData: WorkerStreamData = {
      address: { port, ...(host === undefined ? {} : { host }), ...(socket === undefined ? {} : { socket }) },
      shared,
    };
    this.#worker = new Worker(programFile('nbd-client-worker'), { workerData });
    this.#worker.unref();
    this.#await(() => this.#state !== StreamState.connecting);
    this.#check();
  }

  receive(into: Uint8Array): void {
    for (let done = 0; done < into.length;) {
      const taken = Atomics.load(this.#words, StreamWord.taken);
      const available = (Atomics.load(this.#words, StreamWord.filled) - taken) | 0;
      if (available === 0) {
        this.#check();
        this.#await(
          () => Atomics.load(this.#words, StreamWord.filled) !== taken || this.#state === StreamState.ended,
        );
        continue;
      }
      const at = taken & (STREAM_RING_LENGTH - 1);
      const count = Math.min(available, into.length - done, STREAM_RING_LENGTH - at);
      into.set(this.#ring.subarray(at, at + count), done);
      done += count;
      Atomics.store(this.#words, StreamWord.taken, (taken + count) | 0);
      if (Atomics.exchange(this.#words, StreamWord.isFull, 0) === 1) this.#tell({ kind: 'more' });
    }
  }

  send(header: Uint8Array, payload?: Uint8Array): void {
    this.#check();
    this.#tell({ kind: 'send', bytes: header });
    // Whatever is sent is copied, so that it may be overwritten when this returns.
    if (payload !== undefined && payload.length > 0)
      this.#tell({
        kind: 'send',
        bytes: payload.byteLength === payload.buffer.byteLength ? payload : payload.slice(),
      });
  }

  startTls(tls: NbdTlsAddress): void {
    Atomics.store(this.#words, StreamWord.state, StreamState.securing);
    this.#tell({ kind: 'startTls', tls, hostname: this.#hostname });
    this.#await(() => this.#state !== StreamState.securing);
    this.#check();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tell({ kind: 'close' });
    // What was sent last is to arrive; a peer that does not take it must not hold the program up.
    this.#await(() => this.#state === StreamState.ended, CLOSE_MILLISECONDS);
    void this.#worker.terminate();
  }

  get #state(): number {
    return Atomics.load(this.#words, StreamWord.state);
  }

  #tell(message: WorkerStreamMessage): void {
    this.#worker.postMessage(message);
  }

  #await(condition: () => boolean, milliseconds?: number): void {
    for (;;) {
      const events = Atomics.load(this.#words, StreamWord.events);
      if (condition()) return;
      if (Atomics.wait(this.#words, StreamWord.events, events, milliseconds) === 'timed-out') return;
    }
  }

  #check(): void {
    if (this.#state !== StreamState.ended) return;
    const length = Atomics.load(this.#words, StreamWord.textLength);
    const text = new TextDecoder().decode(this.#text.slice(0, length));
    throw new NbdProtocolError(text === '' ? 'The server has closed the connection' : text);
  }
}

const CLOSE_MILLISECONDS = 1000;
