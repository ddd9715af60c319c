import fs from 'node:fs';
import v8 from 'node:v8';

/** Bytes of the length before each message. */
const PREFIX = 4;

/** Waits for the next message; undefined when the other end is closed. */
export function readMessage(fd: number): unknown {
  const prefix = readExactly(fd, PREFIX);
  if (prefix === undefined) return undefined;
  const body = readExactly(fd, prefix.readUInt32LE());
  return body === undefined ? undefined : v8.deserialize(body);
}

export function writeMessage(fd: number, message: unknown): void {
  const body = v8.serialize(message);
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32LE(body.length);
  for (const part of [prefix, body]) for (let at = 0; at < part.length;) at += fs.writeSync(fd, part, at);
}

function readExactly(fd: number, length: number): Buffer | undefined {
  const into = Buffer.alloc(length);
  for (let at = 0; at < length;) {
    const count = fs.readSync(fd, into, at, length - at, null);
    if (count === 0) return undefined;
    at += count;
  }
  return into;
}
