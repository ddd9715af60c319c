import net from 'node:net';
import type { Duplex } from 'node:stream';
import { nativeSockets } from '../host/native-socket.ts';

/** What node's sockets stand on: the part of libuv's stream handles that hands a connection to another thread. */
interface StreamHandle {
  readonly fd: number;
  readStop(): number;
  setBlocking(on: boolean): number;
  close(done?: () => void): void;
}

/** A connection that was taken from node's event loop: a blocking descriptor, still owned by its handle. */
export class BlockingConnection {
  readonly fd: number;
  /** What had been read from the connection already. */
  readonly initial: Uint8Array;
  readonly #handle: StreamHandle;
  #closed = false;

  private constructor(handle: StreamHandle, initial: Uint8Array) {
    this.#handle = handle;
    this.fd = handle.fd;
    this.initial = initial;
  }

  /** The socket is of no use afterwards. Undefined where this runtime does not let connections go. */
  static take(socket: net.Socket, initial: Uint8Array): BlockingConnection | undefined {
    const owner = socket as unknown as { _handle: StreamHandle | null };
    const handle = owner._handle;
    if (handle === null || typeof handle.setBlocking !== 'function' || !(handle.fd >= 0)) return undefined;
    handle.readStop();
    const late = socket.read() as Uint8Array | null;
    if (handle.setBlocking(true) !== 0) return undefined;
    owner._handle = null;
    socket.destroy();
    return new BlockingConnection(handle, late === null ? initial : Buffer.concat([initial, late]));
  }

  /** Lets a thread that waits for the next request see the end of the connection; answers still go out. */
  endInput(): void {
    const sockets = nativeSockets();
    if (sockets !== undefined) sockets.shutdown(this.fd, 'read');
    // Without foreign calls only our side can be ended; a well-behaved client then ends the other.
    else new net.Socket({ handle: this.#handle } as net.SocketConstructorOpts).end();
  }

  /** Wakes a thread that waits to send, too. False where that cannot be done. */
  cut(): boolean {
    const sockets = nativeSockets();
    sockets?.shutdown(this.fd, 'both');
    return sockets !== undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handle.close();
  }
}

/** Moves bytes both ways until either side ends; resolves when both are closed. Holds back whoever is faster than the other. */
export function join(a: Duplex, b: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let open = 2;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.on('error', () => to.destroy());
      from.once('close', () => {
        // What is on its way to the other side arrives, then that ends, too.
        if (!to.destroyed) to.end(() => to.destroy());
        open -= 1;
        if (open === 0) resolve();
      });
      from.pipe(to);
    }
  });
}
