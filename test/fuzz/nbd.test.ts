import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
import { NbdProtocolError, clientHandshake } from '../../src/nbd/client-handshake.ts';
import { type BlockingStream, ClientSession } from '../../src/nbd/client-session.ts';
import { HandshakeRefusedError, exportFlags } from '../../src/nbd/server-handshake.ts';
import { FedSession, Party, REPLY_STYLES, serverParty } from '../support/nbd-in-memory.ts';

const flags = exportFlags({ readOnly: false, holes: true });
const SIZE = 1 << 20;

function be(value: number, bytes: 2 | 4): Buffer {
  const result = Buffer.alloc(bytes);
  result.writeUIntBE(value, 0, bytes);
  return result;
}

/** Mostly small, sometimes at the edge of what fits. */
const length32 = fc.oneof(
  fc.nat(100),
  fc.constantFrom(0, 4095, 65536, 65537, 2 ** 31, 2 ** 32 - 1),
  fc.nat(2 ** 32 - 1),
);
const junk = fc.uint8Array({ maxLength: 200 });

const option = fc
  .tuple(fc.oneof(fc.nat(12), fc.nat(2 ** 32 - 1)), junk, fc.option(length32, { freq: 6 }))
  .map(([number, payload, lie]) =>
    Buffer.concat([Buffer.from('IHAVEOPT'), be(number, 4), be(lie ?? payload.length, 4), payload]),
  );

const request = fc
  .record({
    magic: fc.oneof({ weight: 20, arbitrary: fc.constant(0) }, fc.nat(2 ** 32 - 1)),
    command: fc.oneof(fc.nat(8), fc.nat(65535)),
    flags: fc.oneof(fc.constant(0), fc.nat(63), fc.nat(65535)),
    offset: fc.oneof(fc.nat(2 * SIZE), fc.constantFrom(SIZE - 1, SIZE, 2 ** 53, 2 ** 64 - 2 ** 12)),
    length: length32,
    payload: junk,
  })
  .map(({ magic, command, flags: commandFlags, offset, length, payload }) => (extended: boolean) => {
    const bytes = Buffer.alloc(extended ? 32 : 28);
    bytes.writeUInt32BE(magic === 0 ? (extended ? 0x21e41c71 : 0x25609513) : magic);
    bytes.writeUInt16BE(commandFlags, 4);
    bytes.writeUInt16BE(command, 6);
    bytes.writeBigUInt64BE(BigInt(offset), 16);
    if (extended) bytes.writeBigUInt64BE(BigInt(length) << (commandFlags & 1 ? 30n : 0n), 24);
    else bytes.writeUInt32BE(length, 24);
    return Buffer.concat([bytes, payload]);
  });

describe('the NBD codec, fed with what nobody should send', () => {
  it('the server refuses or answers every handshake, in bounded size', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 8, arbitrary: option }, junk), { maxLength: 20 }),
        fc.nat(40),
        (messages, cut) => {
          const server = serverParty({ '': SIZE, part: 4096 });
          let said = 0;
          try {
            server.hear(be(3, 4));
            for (const message of messages) {
              server.hear(message.subarray(0, cut));
              if (!server.done) server.hear(message.subarray(cut));
              said += server.take().length;
              if (server.done) break;
            }
          } catch (error) {
            expect(error).toBeInstanceOf(HandshakeRefusedError);
          }
          expect(said).toBeLessThan(messages.length * 5000 + 100);
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each(REPLY_STYLES)(
    'the server answers or ends every session, %s, and writes nothing past the end',
    (_name, style) => {
      fc.assert(
        fc.property(
          fc.array(request, { maxLength: 12 }),
          fc.constantFrom(1, 17, 4096, Infinity),
          (messages, split) => {
            const device = new MemoryDevice(SIZE);
            const session = new FedSession(device, { ...style, flags }, { size: 64 << 10 });
            const bytes = Buffer.concat(messages.map((message) => message(style.extendedHeaders)));
            const reply = session.feed(bytes, split);
            expect(reply.length).toBeLessThan(messages.length * (SIZE + 200_000) + 1000);
            expect(device.size).toBe(SIZE);
          },
        ),
        { numRuns: 200 },
      );
    },
  );

  it('the client refuses every server that talks nonsense', () => {
    const reply = fc
      .tuple(
        fc.nat(12),
        fc.oneof(fc.constantFrom(1, 2, 3, 4), fc.integer({ min: 0x80000001, max: 0x8000000b })),
        junk,
      )
      .map(([number, type, payload]) =>
        Buffer.concat([
          Buffer.from('0003e889045565a9', 'hex'),
          be(number, 4),
          be(type, 4),
          be(payload.length, 4),
          payload,
        ]),
      );
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 8, arbitrary: reply }, junk), { maxLength: 30 }),
        (messages) => {
          const client = new Party(clientHandshake({ exportName: '', tls: 'none' }));
          try {
            client.hear(Buffer.from('NBDMAGICIHAVEOPT\0\x03', 'latin1'));
            for (const message of messages) if (!client.done) client.hear(message);
          } catch (error) {
            expect(error).toBeInstanceOf(NbdProtocolError);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each(REPLY_STYLES)('the client takes no data that it has not asked for, %s', (_name, style) => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 4096 }), fc.boolean(), (bytes, plausible) => {
        if (plausible) {
          const magic = style.extendedHeaders
            ? 0x6e8a278c
            : style.structuredReplies
              ? 0x668e33ef
              : 0x67446698;
          Buffer.from(bytes.buffer).writeUInt32BE(magic);
          // The cookie of the first request.
          bytes.fill(0, 8, 16);
          bytes[15] = 1;
        }
        let at = 0;
        const stream: BlockingStream = {
          receive(into) {
            if (at + into.length > bytes.length)
              throw new NbdProtocolError('The server has closed the connection');
            into.set(bytes.subarray(at, at + into.length));
            at += into.length;
          },
          send() {},
        };
        const exported = {
          size: SIZE,
          flags,
          minimumBlock: 1,
          preferredBlock: 4096,
          maximumPayload: 32 << 20,
          structuredReplies: style.structuredReplies,
          extendedHeaders: style.extendedHeaders,
          baseAllocation: 1,
        };
        const session = new ClientSession(stream, exported, 'test');
        const into = new Uint8Array(512 + 64);
        try {
          session.read(0, into.subarray(0, 512));
          session.blockStatus(0, 4096);
        } catch (error) {
          expect(error).toBeInstanceOf(FsError);
        }
        expect(into.subarray(512).every((byte) => byte === 0)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
