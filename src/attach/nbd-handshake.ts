import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Handshake, NbdProtocolError } from '../nbd/client-handshake.ts';

/** A peer that sends faster than the handshake goes on is made to wait from here on, bytes. */
const MOST_PENDING = 128 << 10;

/** A stream of node's event loop, read in pieces of a wanted length. */
class PieceReader {
  readonly #stream: Duplex;
  #pending: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #onData = (bytes: Buffer): void => {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    if (this.#pending.length > MOST_PENDING) this.#stream.pause();
    this.#wake?.();
  };
  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wake?.();
  };

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', this.#onData);
    for (const event of ['end', 'close', 'error']) stream.on(event, this.#onEnd);
  }

  async read(length: number): Promise<Uint8Array> {
    while (this.#pending.length < length) {
      if (this.#ended) throw new NbdProtocolError('The peer has gone');
      this.#stream.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const bytes = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return bytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#ended || this.#stream.destroyed) throw new NbdProtocolError('The peer has gone');
    await new Promise<void>((resolve, reject) => {
      this.#wake = () => {
        if (this.#ended) reject(new NbdProtocolError('The peer has gone'));
      };
      this.#stream.write(bytes, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
    this.#wake = undefined;
  }

  /** Stops reading; gives what has come and was not asked for. */
  release(): Uint8Array {
    this.#stream.off('data', this.#onData);
    for (const event of ['end', 'close', 'error']) this.#stream.off(event, this.#onEnd);
    this.#stream.pause();
    return this.#pending;
  }
}

export interface HandshakeOutcome<Result> {
  readonly result: Result;
  /** The socket, or the TLS stream that stands in for it; paused. */
  readonly stream: Duplex;
  /** What has come after the handshake already. */
  readonly initial: Uint8Array;
}

/**
 * Does what a handshake asks for, on a socket of node's event loop. Each step waits for the one before, so that a peer
 * that only talks, or only listens, costs no memory. `startTls` gives the stream that stands in for the socket from then on.
 */
export async function driveHandshake<Result>(
  socket: Socket,
  handshake: Handshake<Result>,
  startTls: (socket: Socket) => Promise<Duplex>,
): Promise<HandshakeOutcome<Result>> {
  let stream: Duplex = socket;
  let reader = new PieceReader(socket);
  let received: Uint8Array | undefined;
  for (;;) {
    const step = handshake.next(received);
    received = undefined;
    if (step.done === true) return { result: step.value, stream, initial: reader.release() };
    if (step.value.kind === 'send') await reader.write(step.value.bytes);
    else if (step.value.kind === 'receive') received = await reader.read(step.value.length);
    else {
      // What was sent in the clear must not be taken for something that came in TLS.
      if (reader.release().length > 0) throw new NbdProtocolError('The peer goes on before TLS is there');
      stream = await startTls(socket);
      reader = new PieceReader(stream);
    }
  }
}
