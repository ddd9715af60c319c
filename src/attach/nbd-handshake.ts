import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Handshake, NbdProtocolError } from '../nbd/client-handshake.ts';

/**
 * Does what a handshake asks for, on a socket of node's event loop. Each step waits for the one before, so that a peer
 * that only talks, or only listens, costs no memory. `startTls` gives the stream that stands in for the socket from then on.
 */
export async function driveHandshake<Result>(
  socket: Socket,
  handshake: Handshake<Result>,
  startTls: (socket: Socket) => Promise<Duplex>,
): Promise<{ readonly result: Result; readonly stream: Duplex }> {
  let stream: Duplex = socket;
  let received: Uint8Array | undefined;
  for (;;) {
    const step = handshake.next(received);
    received = undefined;
    if (step.done === true) return { result: step.value, stream };
    if (step.value.kind === 'send') await send(stream, step.value.bytes);
    else if (step.value.kind === 'receive') received = await receive(stream, step.value.length);
    else stream = await startTls(socket);
  }
}

function send(stream: Duplex, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed) {
      reject(new NbdProtocolError('The peer has gone'));
      return;
    }
    const gone = () => reject(new NbdProtocolError('The peer has gone'));
    stream.once('close', gone);
    stream.write(bytes, (error) => {
      stream.off('close', gone);
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

/** Exactly `length` bytes; whatever else has come stays in the stream. */
async function receive(stream: Duplex, length: number): Promise<Uint8Array> {
  for (;;) {
    const bytes = stream.read(length) as Uint8Array | null;
    if (bytes !== null && bytes.length === length) return bytes;
    if (bytes !== null || stream.readableEnded || stream.destroyed)
      throw new NbdProtocolError('The peer has gone');
    await readable(stream);
  }
}

function readable(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const events = ['readable', 'end', 'close', 'error'];
    function done(): void {
      for (const event of events) stream.off(event, done);
      resolve();
    }
    for (const event of events) stream.on(event, done);
  });
}
