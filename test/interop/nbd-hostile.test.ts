import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NbdServer, startNbdServer } from '../support/nbd-server.ts';
import { describeWithTools, findTool, runTool, temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;
const folder = temporaryFolder();
let server: NbdServer;

beforeAll(async () => {
  const file = path.join(folder, 'image');
  fs.writeFileSync(file, Buffer.alloc(16 * MIB, 0x61));
  server = await startNbdServer({ file, handshakeMilliseconds: 1500 });
});
afterAll(async () => {
  await server.stop();
});

const hex = (text: string) => Buffer.from(text, 'hex');

function option(number: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.from('IHAVEOPT\0\0\0\0\0\0\0\0', 'latin1');
  head.writeUInt32BE(number, 8);
  head.writeUInt32BE(payload.length, 12);
  return Buffer.concat([head, payload]);
}

function request(command: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x25609513);
  bytes.writeUInt16BE(command, 6);
  bytes.writeUInt32BE(Math.floor(offset / 2 ** 32), 16);
  bytes.writeUInt32BE(offset >>> 0, 20);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

async function connect(): Promise<net.Socket> {
  const socket = net.connect(server.socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Into the transmission phase, with simple replies. */
async function connectExport(): Promise<net.Socket> {
  const socket = await connect();
  socket.write(Buffer.concat([hex('00000003'), option(1)]));
  await bytesFrom(socket, 28);
  return socket;
}

/** So many bytes at least; fewer when the connection ends. */
function bytesFrom(socket: net.Socket, length: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let count = 0;
    function finish(): void {
      socket.off('data', take);
      for (const event of ['end', 'close']) socket.off(event, finish);
      socket.pause();
      resolve(Buffer.concat(parts));
    }
    function take(bytes: Buffer): void {
      parts.push(bytes);
      count += bytes.length;
      if (count >= length) finish();
    }
    if (socket.destroyed) {
      finish();
      return;
    }
    socket.on('data', take);
    for (const event of ['end', 'close']) socket.on(event, finish);
    socket.resume();
  });
}

const isOver = (socket: net.Socket) => socket.destroyed || socket.readableEnded;

async function isServed(): Promise<boolean> {
  const socket = await connectExport();
  socket.write(request(0, 1000, 4));
  const reply = await bytesFrom(socket, 20);
  socket.destroy();
  return reply.subarray(16).toString() === 'aaaa';
}

/** MiB. */
function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/mu.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}

const descriptorsOf = (pid: number) => fs.readdirSync(`/proc/${pid}/fd`).length;

describe('hostile clients cost their own connection only', () => {
  it('one that speaks something else, and one with a wrong magic in the middle', async () => {
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(4096, 0xff), option(3)]) {
      const socket = await connect();
      socket.write(bytes);
      await bytesFrom(socket, Infinity);
      expect(isOver(socket)).toBe(true);
    }
    const socket = await connectExport();
    socket.write(Buffer.alloc(28, 0x55));
    expect(await bytesFrom(socket, Infinity)).toHaveLength(0);
    expect(await isServed()).toBe(true);
  });

  it('one that sends half a header and waits', async () => {
    const waiting = await connectExport();
    waiting.write(request(0, 0, 4).subarray(0, 13));
    expect(await isServed()).toBe(true);
    waiting.write(request(0, 0, 4).subarray(13));
    expect((await bytesFrom(waiting, 20)).subarray(16).toString()).toBe('aaaa');
    waiting.destroy();
  });

  it('one that never ends its handshake is cut off', async () => {
    const partial = Buffer.concat([hex('00000003'), option(7).subarray(0, 9)]);
    await Promise.all(
      [Buffer.alloc(0), hex('0000'), partial].map(async (bytes) => {
        const socket = await connect();
        socket.write(bytes);
        await bytesFrom(socket, Infinity);
        expect(isOver(socket)).toBe(true);
      }),
    );
  });

  it('one that asks for lengths of 2^32 - 1 and offsets past the end', async () => {
    const socket = await connectExport();
    for (const [command, offset, errno] of [
      [0, 0, 22],
      [0, 2 ** 53, 22],
      [4, 2 ** 40, 22],
      [6, 2 ** 40, 28],
      [7, 0, 22],
      [42, 0, 22],
    ] as const) {
      socket.write(request(command, offset, 0xffffffff));
      expect((await bytesFrom(socket, 16)).readUInt32BE(4)).toBe(errno);
    }
    socket.write(request(1, 0, 0xffffffff));
    expect(await bytesFrom(socket, Infinity)).toHaveLength(0);
    expect(await isServed()).toBe(true);
  });

  it('one that floods options and reads nothing, in bounded memory', async () => {
    const before = memoryOf(server.process.pid!);
    const socket = await connect();
    socket.pause();
    socket.write(hex('00000003'));
    const flood = Buffer.concat(Array.from({ length: 500 }, () => option(3)));
    for (let count = 0; count < 100 && socket.write(flood); count++);
    expect(await isServed()).toBe(true);
    expect(memoryOf(server.process.pid!) - before).toBeLessThan(60);
    socket.destroy();
  });

  it('one that asks for everything and reads nothing, in bounded memory', async () => {
    const sockets = await Promise.all([connectExport(), connectExport(), connectExport()]);
    const before = memoryOf(server.process.pid!);
    const asked = Buffer.concat(Array.from({ length: 600 }, () => request(0, 0, 16 * MIB)));
    for (const socket of sockets) {
      socket.pause();
      socket.write(asked);
    }
    expect(await isServed()).toBe(true);
    expect(memoryOf(server.process.pid!) - before).toBeLessThan(100);
    for (const socket of sockets) socket.destroy();
  });

  it('600 requests at once are all answered, also when their bytes dribble', async () => {
    const socket = await connectExport();
    const all = Buffer.concat(Array.from({ length: 600 }, (_, index) => request(0, index * 512, 512)));
    for (let at = 0; at < all.length; at += 61) socket.write(all.subarray(at, at + 61));
    expect(await bytesFrom(socket, 600 * 528)).toHaveLength(600 * 528);
    socket.destroy();
  });

  it('more clients than there may be are turned away, and the rest are served', async () => {
    const sockets = await Promise.all(Array.from({ length: 80 }, () => connect()));
    const greetings = await Promise.all(sockets.map((socket) => bytesFrom(socket, 18)));
    expect(greetings.filter(({ length }) => length === 18).length).toBeLessThanOrEqual(64);
    for (const socket of sockets) socket.destroy();
    await server.ask('idle');
    expect(await isServed()).toBe(true);
  });

  it('half a write is no answer, and nothing past it is written', async () => {
    const socket = await connectExport();
    socket.write(Buffer.concat([request(1, 8 * MIB, 100_000), Buffer.alloc(50_000, 0x62)]));
    socket.end();
    expect(await bytesFrom(socket, Infinity)).toHaveLength(0);
    await server.ask('idle');
    const bytes = fs.readFileSync(server.file).subarray(8 * MIB + 50_000);
    expect(Buffer.compare(bytes, Buffer.alloc(bytes.length, 0x61))).toBe(0);
  });
});

describe('the server', () => {
  it('names who is connected', async () => {
    const socket = await connectExport();
    const holders = JSON.parse(await server.ask('holders')) as object[];
    expect(holders).toContainEqual({ pid: process.pid, command: expect.any(String), what: 'nbd' });
    socket.destroy();
  });

  it('ends soon, also with clients that neither read nor go', async () => {
    const file = path.join(folder, 'ends');
    fs.writeFileSync(file, Buffer.alloc(16 * MIB, 0x61));
    const others = server;
    server = await startNbdServer({ file });
    const mine = server;
    const idle = await connectExport();
    const deaf = await connectExport();
    deaf.pause();
    for (let count = 0; count < 50; count++) deaf.write(request(0, 0, 8 * MIB));
    const half = await connect();
    expect(await isServed()).toBe(true);
    server = others;
    await mine.stop();
    expect(mine.process.exitCode).toBe(0);
    expect(fs.existsSync(mine.socket)).toBe(false);
    for (const socket of [idle, deaf, half]) socket.destroy();
  });
});

describeWithTools(['nbdcopy', 'nbdinfo'], 'clients that are killed in the middle', () => {
  it('leave no descriptor behind', async () => {
    const source = path.join(folder, 'source');
    fs.writeFileSync(source, Buffer.alloc(16 * MIB, 0x61));
    const counts: number[] = [];
    for (let round = 0; round < 4; round++) {
      const children = [
        [server.uri(), 'null:'],
        [source, server.uri()],
      ].map((args) =>
        spawn(findTool('nbdcopy')!, ['--connections=4', '--request-size=4096', ...args], { stdio: 'ignore' }),
      );
      await new Promise((resolve) => setTimeout(resolve, 60 + 20 * round));
      await Promise.all(
        children.map(async (child) => {
          const ended =
            child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
          child.kill('SIGKILL');
          await ended;
        }),
      );
      await server.ask('idle');
      expect(runTool('nbdinfo', ['--size', server.uri()]).stdout).toBe(`${16 * MIB}\n`);
      await server.ask('idle');
      counts.push(descriptorsOf(server.process.pid!));
    }
    // Threads that are kept have descriptors of their own: their number is bounded, it does not grow with the rounds.
    expect(counts.at(-1)! - counts[1]!).toBeLessThan(24);
    expect(JSON.parse(await server.ask('holders'))).toEqual([]);
  });
});
