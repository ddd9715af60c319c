import { describe, expect, it } from 'vitest';
import type { BlockDevice, Extent } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
import { exportFlags } from '../../src/nbd/server-handshake.ts';
import { FedSession, REPLY_STYLES, connectInMemory } from '../support/nbd-in-memory.ts';

const MIB = 1 << 20;
const flags = exportFlags({ readOnly: false, holes: true });
const SIMPLE = { ...REPLY_STYLES[0]![1], flags };
const STRUCTURED = { ...REPLY_STYLES[1]![1], flags };
const EXTENDED = { ...REPLY_STYLES[2]![1], flags };

function request(
  command: number,
  offset: number,
  length: number,
  commandFlags = 0,
  cookie = 0x1122334455667788n,
): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x25609513);
  bytes.writeUInt16BE(commandFlags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(cookie, 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

function extendedRequest(command: number, offset: bigint, length: bigint, commandFlags = 0): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32BE(0x21e41c71);
  bytes.writeUInt16BE(commandFlags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(7n, 8);
  bytes.writeBigUInt64BE(offset, 16);
  bytes.writeBigUInt64BE(length, 24);
  return bytes;
}

function patterned(size: number): MemoryDevice {
  const device = new MemoryDevice(size);
  device.write(
    0,
    Uint8Array.from({ length: size }, (_, index) => (index * 7 + (index >> 8)) & 0xff),
  );
  return device;
}

/** A device of holes and data, of which a part cannot be read. */
class PatchyDevice implements BlockDevice {
  readonly size = 4 * MIB;
  readonly sectorSize = 512;
  readonly readOnly = false;
  bad = Infinity;
  read(offset: number, into: Uint8Array): void {
    if (offset + into.length > this.bad) throw new FsError('EIO', { syscall: 'read', detail: 'a bad block' });
    into.fill(0x5a);
  }
  write(): void {
    throw new FsError('ENOSPC', { syscall: 'write' });
  }
  flush(): void {}
  close(): void {}
  *extents(offset: number, length: number): Iterable<Extent> {
    for (let at = offset; at < offset + length;) {
      const next = Math.min(offset + length, (Math.floor(at / 65536) + 1) * 65536);
      yield { offset: at, length: next - at, kind: Math.floor(at / 65536) % 2 === 0 ? 'data' : 'hole' };
      at = next;
    }
  }
}

const errnoOf = (reply: Buffer) => reply.readUInt32BE(4);

describe('replies', () => {
  it('to a read are a simple header and the data', () => {
    const reply = new FedSession(patterned(8192), SIMPLE).feed(request(0, 4096, 4));
    expect(reply.toString('hex')).toBe('67446698' + '00000000' + '1122334455667788' + '10171e25');
  });

  it('to a read are a structured chunk with its offset', () => {
    const reply = new FedSession(patterned(8192), STRUCTURED).feed(request(0, 4096, 4));
    expect(reply.toString('hex')).toBe(
      '668e33ef' + '0001' + '0001' + '1122334455667788' + '0000000c' + '0000000000001000' + '10171e25',
    );
  });

  it('to a read are an extended chunk', () => {
    const reply = new FedSession(patterned(8192), EXTENDED).feed(extendedRequest(0, 4096n, 4n));
    expect(reply.toString('hex')).toBe(
      '6e8a278c' +
        '0001' +
        '0001' +
        '0000000000000007' +
        '0000000000001000' +
        '000000000000000c' +
        '0000000000001000' +
        '10171e25',
    );
  });

  it('to block status tell holes, put neighbours together and end at one when one is wanted', () => {
    const session = new FedSession(new PatchyDevice(), STRUCTURED);
    const reply = session.feed(request(7, 4096, 131072));
    expect(reply.subarray(16).toString('hex')).toBe(
      '0000001c' + '00000001' + '0000f000' + '00000000' + '00010000' + '00000003' + '00001000' + '00000000',
    );
    const one = session.feed(request(7, 65536, 131072, 8));
    expect(one.subarray(16).toString('hex')).toBe('0000000c' + '00000001' + '00010000' + '00000003');
  });

  it('to block status have 64 bits where headers are extended', () => {
    const reply = new FedSession(new PatchyDevice(), EXTENDED).feed(extendedRequest(7, 0n, 65537n));
    expect(reply.subarray(24).toString('hex')).toBe(
      '0000000000000028' +
        '00000001' +
        '00000002' +
        '0000000000010000' +
        '0000000000000000' +
        '0000000000000001' +
        '0000000000000003',
    );
  });

  it('to what goes wrong name the number and say why', () => {
    const reply = new FedSession(patterned(8192), STRUCTURED).feed(request(0, 8192, 1));
    expect(reply.readUInt16BE(6)).toBe(0x8001);
    expect(reply.readUInt32BE(20)).toBe(22);
    expect(reply.subarray(26).toString()).toBe('read of 1 bytes at byte 8192: the export ends at byte 8192');
  });
});

describe('requests that cannot be done', () => {
  it.each([
    ['a read past the end', request(0, 8191, 2), 22],
    [
      'a read at 2^64 - 1',
      Buffer.concat([request(0, 0, 1).subarray(0, 16), Buffer.alloc(8, 0xff), Buffer.from([0, 0, 0, 1])]),
      22,
    ],
    ['a read of more than is allowed', request(0, 0, 0xffffffff), 22],
    ['a trim past the end', request(4, 8000, 1000), 22],
    ['zeroes past the end', request(6, 8000, 1000), 28],
    ['block status without a context', request(7, 0, 4096), 22],
    ['RESIZE, which is not offered', request(8, 0, 4096), 22],
    ['a command that nobody knows', request(99, 0, 4096), 22],
    ['a read with a flag of writes', request(0, 0, 4096, 1 << 1), 22],
    ['fast zeroes that must not be a hole', request(6, 0, 4096, 0b10010), 95],
  ])('%s: error, and the next one is answered', (_what, bytes, errno) => {
    const session = new FedSession(patterned(8192), SIMPLE);
    const first = session.feed(bytes);
    expect(errnoOf(first)).toBe(errno);
    expect(first.length).toBe(16);
    expect(
      session
        .feed(request(0, 0, 2))
        .subarray(16)
        .toString('hex'),
    ).toBe('0007');
  });

  it('a write past the end, or with unknown flags: its payload is passed over', () => {
    for (const [bytes, errno] of [
      [request(1, 8000, 1000), 28],
      [request(1, 0, 1000, 1 << 4), 22],
    ] as const) {
      const device = patterned(8192);
      const session = new FedSession(device, SIMPLE);
      const reply = session.feed(Buffer.concat([bytes, Buffer.alloc(1000, 0xee), request(0, 8000, 2)]));
      expect(errnoOf(reply)).toBe(errno);
      expect(reply.length).toBe(16 + 18);
      expect(reply.subarray(32)).not.toEqual(Buffer.from([0xee, 0xee]));
    }
  });

  it('writes to what is read-only', () => {
    const device = new MemoryDevice(8192, { readOnly: true });
    for (const bytes of [
      Buffer.concat([request(1, 0, 16), Buffer.alloc(16)]),
      request(4, 0, 16),
      request(6, 0, 16),
    ])
      expect(errnoOf(new FedSession(device, SIMPLE).feed(bytes))).toBe(1);
  });

  it('a device that is full or broken answers with its own error', () => {
    const device = new PatchyDevice();
    const write = Buffer.concat([request(1, 0, 300_000), Buffer.alloc(300_000)]);
    for (const split of [Infinity, 1000, 65536])
      expect(errnoOf(new FedSession(device, SIMPLE).feed(write, split))).toBe(28);
    device.bad = 0;
    expect(errnoOf(new FedSession(device, SIMPLE).feed(request(0, 0, 4096)))).toBe(5);
  });

  it('a wrong magic and a write of 4 GiB end the session, and nothing else is done', () => {
    for (const bytes of [Buffer.alloc(28, 1), request(1, 0, 0xffffffff)]) {
      const device = patterned(8192);
      const session = new FedSession(device, SIMPLE);
      expect(session.feed(Buffer.concat([bytes, request(6, 0, 8192)])).length).toBe(0);
      expect(session.session.isEnded).toBe(true);
      const content = new Uint8Array(2);
      device.read(0, content);
      expect(content).toEqual(Uint8Array.of(0, 7));
    }
  });

  it('a payload where none belongs is passed over', () => {
    const session = new FedSession(patterned(8192), EXTENDED);
    const reply = session.feed(
      Buffer.concat([extendedRequest(7, 0n, 12n, 1 << 5), Buffer.alloc(12), extendedRequest(0, 0n, 2n)]),
    );
    expect(reply.readUInt16BE(6)).toBe(0x8001);
    expect(reply.subarray(-2).toString('hex')).toBe('0007');
  });

  it('lengths of 64 bits are compared, not cut', () => {
    const session = new FedSession(patterned(8192), EXTENDED);
    for (const command of [0, 4, 5, 6, 7]) {
      const reply = session.feed(extendedRequest(command, 1n, 0xffff_ffff_ffff_ffffn));
      expect(reply.readUInt16BE(6)).toBe(0x8001);
    }
    expect(session.session.isEnded).toBe(false);
  });
});

describe('reads that fail when their header is out', () => {
  const shortcuts = (upTo: number) => (fed: FedSession) => ({
    isOpen: true,
    read: () => false,
    write: () => false,
    flush: () => false,
    sendFile(_offset: number, length: number) {
      const count = Math.min(length, upTo);
      fed.sent.push(new Uint8Array(count).fill(1));
      return count;
    },
  });

  it('are filled with zeros and an error with its place', () => {
    const session = new FedSession(new PatchyDevice(), STRUCTURED, { shortcuts: shortcuts(1000) });
    const reply = session.feed(request(0, 4096, 70_000));
    expect(reply.readUInt16BE(4)).toBe(0);
    expect(reply.readUInt32BE(16)).toBe(70_008);
    expect(reply.subarray(28 + 1000, 28 + 70_000).every((byte) => byte === 0)).toBe(true);
    const error = reply.subarray(28 + 70_000);
    expect([error.readUInt16BE(4), error.readUInt16BE(6), error.readUInt32BE(20)]).toEqual([1, 0x8002, 5]);
    expect(error.readBigUInt64BE(error.length - 8)).toBe(5096n);
  });

  it('end in a chunk that says so when nothing failed', () => {
    const session = new FedSession(new PatchyDevice(), STRUCTURED, { shortcuts: shortcuts(Infinity) });
    const reply = session.feed(request(0, 0, 70_000));
    expect(reply.length).toBe(28 + 70_000 + 20);
    expect([reply.readUInt16BE(70_032), reply.readUInt16BE(70_034)]).toEqual([1, 0]);
  });

  it('end the session where replies are simple', () => {
    const session = new FedSession(new PatchyDevice(), SIMPLE, { shortcuts: shortcuts(1000) });
    session.feed(request(0, 4096, 70_000));
    expect(session.session.isEnded).toBe(true);
  });

  it('of more than the buffer holds are the same', () => {
    const device = new PatchyDevice();
    device.bad = 300_000;
    const session = new FedSession(device, STRUCTURED, { size: 128 << 10 });
    const reply = session.feed(request(0, 0, 2 * MIB));
    const error = reply.subarray(28 + 2 * MIB);
    expect(error.readUInt16BE(6)).toBe(0x8002);
    expect(Number(error.readBigUInt64BE(error.length - 8))).toBeLessThanOrEqual(300_000);
    expect(reply.subarray(28, 28 + 65536).every((byte) => byte === 0x5a)).toBe(true);
  });
});

describe('bytes that arrive in pieces', () => {
  const stream = Buffer.concat([
    request(0, 0, 100),
    request(1, 1000, 5000),
    Buffer.alloc(5000, 0x42),
    request(3, 0, 0),
    request(0, 900, 5200, 0, 5n),
    request(6, 2000, 1000, 0b11),
    request(0, 1990, 1020, 0, 6n),
    request(2, 0, 0),
  ]);

  it('are answered as if they had come at once', () => {
    for (const terms of [SIMPLE, STRUCTURED]) {
      const whole = new FedSession(patterned(8192), terms).feed(stream);
      for (const split of [1, 2, 27, 28, 29, 1000])
        expect(new FedSession(patterned(8192), terms).feed(stream, split)).toEqual(whole);
    }
  });

  it('may be cut anywhere', () => {
    const whole = new FedSession(patterned(8192), SIMPLE).feed(stream);
    for (let cut = 1; cut < 130; cut++) {
      const session = new FedSession(patterned(8192), SIMPLE);
      const parts = [session.feed(stream.subarray(0, cut)), session.feed(stream.subarray(cut))];
      expect(Buffer.concat(parts)).toEqual(whole);
    }
  });

  it('are answered in one go when they come in one go', () => {
    const session = new FedSession(patterned(8192), SIMPLE);
    const requests = Array.from({ length: 600 }, (_, index) => request(0, index, 8, 0, BigInt(index)));
    const reply = session.feed(Buffer.concat(requests));
    expect(reply.length).toBe(600 * 24);
    for (let index = 0; index < 600; index++) expect(reply.readUInt32BE(index * 24 + 12)).toBe(index);
  });
});

describe.each(REPLY_STYLES)('our client and our server, %s', (_name, style) => {
  const terms = { ...style, flags };

  it.each([Infinity, 1000])('move data larger than any buffer, %d bytes at once', (split) => {
    const device = new MemoryDevice(3 * MIB);
    const session = connectInMemory(device, terms, { bufferSize: 128 << 10, split });
    const data = Uint8Array.from({ length: 2 * MIB + 77 }, (_, index) => (index * 31) >> 3);
    session.write(12345, data);
    const back = new Uint8Array(data.length);
    session.read(12345, back);
    expect(Buffer.compare(back, data)).toBe(0);
  });

  it('tell errors and go on', () => {
    const session = connectInMemory(patterned(8192), terms);
    expect(() => session.read(8000, new Uint8Array(1000))).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    expect(() => session.write(8000, new Uint8Array(1000))).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    );
    const bytes = new Uint8Array(3);
    session.read(1, bytes);
    expect(bytes).toEqual(Uint8Array.of(7, 14, 21));
  });

  it.runIf(style.baseAllocation)('tell holes', () => {
    const session = connectInMemory(new PatchyDevice(), terms);
    expect(session.blockStatus(4096, 100_000)).toEqual([
      { offset: 4096, length: 61_440, kind: 'data' },
      { offset: 65_536, length: 38_560, kind: 'hole' },
    ]);
  });
});
