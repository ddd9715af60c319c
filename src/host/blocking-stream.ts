import fs from 'node:fs';
import { hasCode } from '../errors.ts';
import type { BlockingStream } from '../nbd/client-session.ts';
import { NbdProtocolError } from '../nbd/client-handshake.ts';
import type { NbdTlsAddress } from './nbd-uri.ts';

/** A stream that somebody must close. */
export interface ClosableStream extends BlockingStream {
  /** Everything from here on is in TLS. */
  startTls?(tls: NbdTlsAddress): void;
  close(): void;
}

/** A connected, blocking socket by its descriptor. */
export class DescriptorStream implements ClosableStream {
  readonly #fd: number;
  readonly #close: (fd: number) => void;
  #closed = false;

  /** `close`: by whoever has opened it. */
  constructor(fd: number, close: (fd: number) => void) {
    this.#fd = fd;
    this.#close = close;
  }

  receive(into: Uint8Array): void {
    for (let done = 0; done < into.length;) {
      const count = retried(() => fs.readSync(this.#fd, into, done, into.length - done, null));
      if (count === 0) throw new NbdProtocolError('The server has closed the connection');
      done += count;
    }
  }

  send(header: Uint8Array, payload?: Uint8Array): void {
    if (payload === undefined || payload.length === 0) {
      this.#sendAll(header, 0);
      return;
    }
    const count = retried(() => fs.writevSync(this.#fd, [header, payload]));
    if (count < header.length) this.#sendAll(header, count);
    this.#sendAll(payload, Math.max(0, count - header.length));
  }

  #sendAll(bytes: Uint8Array, from: number): void {
    for (let done = from; done < bytes.length;)
      done += retried(() => fs.writeSync(this.#fd, bytes, done, bytes.length - done, null));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#close(this.#fd);
  }
}

function retried(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (hasCode(error, 'EINTR')) continue;
      if (hasCode(error, 'EPIPE') || hasCode(error, 'ECONNRESET'))
        throw new NbdProtocolError('The server has closed the connection', { cause: error });
      throw error;
    }
  }
}
