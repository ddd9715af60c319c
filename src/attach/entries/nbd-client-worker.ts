import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import os from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { NbdTlsAddress } from '../../host/nbd-uri.ts';
import {
  STREAM_RING,
  STREAM_RING_LENGTH,
  STREAM_TEXT,
  STREAM_TEXT_LENGTH,
  StreamState,
  StreamWord,
  type WorkerStreamData,
  type WorkerStreamMessage,
} from '../../host/worker-stream.ts';
import { PSK_CIPHERS, readPskFile } from '../../host/tls-psk.ts';

// A thread that keeps a connection for another one, which waits for it in Atomics.wait.
const { address, shared } = workerData as WorkerStreamData;
const words = new Int32Array(shared, 0, STREAM_TEXT / 4);
const text = new Uint8Array(shared, STREAM_TEXT, STREAM_TEXT_LENGTH);
const ring = new Uint8Array(shared, STREAM_RING, STREAM_RING_LENGTH);

/** What has come and found no room in the ring. */
let held = new Uint8Array(0);
const plain =
  address.socket === undefined
    ? net.connect({ host: address.host!, port: address.port, noDelay: true })
    : net.connect(address.socket);
let stream: net.Socket = plain;

plain.once('connect', () => become(StreamState.open));
listen(plain);
parentPort!.on('message', (message: WorkerStreamMessage) => {
  if (message.kind === 'send') stream.write(message.bytes);
  else if (message.kind === 'more') take(new Uint8Array(0));
  else if (message.kind === 'close') {
    stream.resume();
    stream.end(() => end(''));
  } else startTls(message.tls, message.hostname);
});

function listen(socket: net.Socket): void {
  socket.on('data', take);
  socket.on('end', () => end(''));
  socket.on('error', (error) => end(error.message));
}

/** Puts bytes into the ring as far as there is room. */
function take(bytes: Uint8Array): void {
  const all = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
  const filled = Atomics.load(words, StreamWord.filled);
  const room = STREAM_RING_LENGTH - ((filled - Atomics.load(words, StreamWord.taken)) | 0);
  const count = Math.min(room, all.length);
  const at = filled & (STREAM_RING_LENGTH - 1);
  const first = Math.min(count, STREAM_RING_LENGTH - at);
  ring.set(all.subarray(0, first), at);
  ring.set(all.subarray(first, count), 0);
  Atomics.store(words, StreamWord.filled, (filled + count) | 0);
  held = all.slice(count);
  if (held.length === 0) stream.resume();
  else {
    stream.pause();
    Atomics.store(words, StreamWord.isFull, 1);
    // Room that was made before the other thread could see that it is wanted.
    if (Atomics.load(words, StreamWord.taken) !== filled + count - STREAM_RING_LENGTH) setImmediate(retry);
  }
  tell();
}

function retry(): void {
  if (held.length > 0 && Atomics.exchange(words, StreamWord.isFull, 0) === 1) take(new Uint8Array(0));
}

function startTls(options: NbdTlsAddress, hostname: string): void {
  plain.removeAllListeners('data');
  try {
    stream = tls.connect({ socket: plain, minVersion: 'TLSv1.2', ...credentials(options, hostname) });
  } catch (error) {
    end(error instanceof Error ? error.message : String(error));
    return;
  }
  stream.once('secureConnect', () => become(StreamState.open));
  listen(stream);
}

function credentials(options: NbdTlsAddress, hostname: string): tls.ConnectionOptions {
  if (options.pskFile !== undefined) {
    const users = readPskFile(options.pskFile);
    const identity = options.username ?? os.userInfo().username;
    const psk = users.get(identity);
    if (psk === undefined) throw new Error(`${options.pskFile} has no key for the user ${identity}`);
    return {
      ciphers: PSK_CIPHERS,
      maxVersion: 'TLSv1.2',
      pskCallback: () => ({ psk, identity }),
      // Who has the key is who it says it is.
      checkServerIdentity: () => undefined,
    };
  }
  const own: tls.ConnectionOptions = { rejectUnauthorized: options.verifyPeer };
  if (net.isIP(hostname) === 0) own.servername = hostname;
  own.checkServerIdentity = (_name, certificate) => tls.checkServerIdentity(hostname, certificate);
  const folder = options.certificates;
  if (folder === undefined) return own;
  own.ca = fs.readFileSync(path.join(folder, 'ca-cert.pem'));
  if (fs.existsSync(path.join(folder, 'client-cert.pem'))) {
    own.cert = fs.readFileSync(path.join(folder, 'client-cert.pem'));
    own.key = fs.readFileSync(path.join(folder, 'client-key.pem'));
  }
  return own;
}

function become(state: number): void {
  Atomics.store(words, StreamWord.state, state);
  tell();
}

function end(why: string): void {
  if (Atomics.load(words, StreamWord.state) === StreamState.ended) return;
  const bytes = new TextEncoder().encode(why).subarray(0, STREAM_TEXT_LENGTH);
  text.set(bytes);
  Atomics.store(words, StreamWord.textLength, bytes.length);
  become(StreamState.ended);
}

function tell(): void {
  Atomics.add(words, StreamWord.events, 1);
  Atomics.notify(words, StreamWord.events);
}
