// node bench/nbd-load.mjs SOCKET read|write LENGTH DEPTH SECONDS: a client that sends a whole queue of random requests in one
// call and waits for all answers; shows what a server can, not what usual clients make of it. Prints requests per second.
import { createRequire } from 'node:module';
import { readSync, writeSync } from 'node:fs';

const koffi = createRequire(import.meta.url)('koffi');
const libc = koffi.load(null);
const socket = libc.func('int socket(int, int, int)');
const connect = libc.func('int connect(int, void *, uint32_t)');

const [path, kind, lengthText, depthText, secondsText] = process.argv.slice(2);
const length = Number(lengthText);
const depth = Number(depthText);
const fd = socket(1, 1, 0);
const address = Buffer.alloc(2 + path.length + 1);
address.writeUInt16LE(1);
address.write(path, 2);
if (connect(fd, address, address.length) !== 0) throw new Error(`Cannot connect to ${path}`);

function receive(into, from, count) {
  for (let done = 0; done < count;) {
    const got = readSync(fd, into, from + done, count - done, null);
    if (got === 0) throw new Error('The server has gone');
    done += got;
  }
}

function sendAll(bytes) {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, null);
}

// NBD_OPT_EXPORT_NAME with NBD_FLAG_NO_ZEROES and no name.
const hello = Buffer.alloc(18);
receive(hello, 0, 18);
const choice = Buffer.alloc(20);
choice.writeUInt32BE(hello.readUInt16BE(16) & 3);
choice.write('IHAVEOPT', 4);
choice.writeUInt32BE(1, 12);
sendAll(choice);
const answer = Buffer.alloc(hello.readUInt16BE(16) & 2 ? 10 : 134);
receive(answer, 0, answer.length);
const blocks = Math.floor(Number(answer.readBigUInt64BE(0)) / length);

const isRead = kind === 'read';
const requestSize = 28 + (isRead ? 0 : length);
const batch = Buffer.alloc(depth * requestSize, 0xa5);
const replies = Buffer.alloc(depth * (16 + (isRead ? length : 0)));
for (let index = 0; index < depth; index++) {
  const at = index * requestSize;
  batch.writeUInt32BE(0x25609513, at);
  batch.writeUInt32BE(isRead ? 0 : 1, at + 4);
  batch.writeUInt32BE(0, at + 8);
  batch.writeUInt32BE(index, at + 12);
  batch.writeUInt32BE(length, at + 24);
}
let seed = 12345;
let count = 0;
const start = performance.now();
const end = start + Number(secondsText) * 1000;
while (performance.now() < end) {
  for (let index = 0; index < depth; index++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const offset = (seed % blocks) * length;
    batch.writeUInt32BE(Math.floor(offset / 2 ** 32), index * requestSize + 16);
    batch.writeUInt32BE(offset >>> 0, index * requestSize + 20);
  }
  // A queue that fits no socket buffer is sent one by one, or both sides would wait for each other.
  if (isRead || batch.length < 100_000) {
    sendAll(batch);
    receive(replies, 0, replies.length);
  } else {
    for (let index = 0; index < depth; index++)
      sendAll(batch.subarray(index * requestSize, (index + 1) * requestSize));
    receive(replies, 0, replies.length);
  }
  count += depth;
}
console.log(count / ((performance.now() - start) / 1000));
