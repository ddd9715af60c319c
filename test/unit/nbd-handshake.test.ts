import { describe, expect, it } from 'vitest';
import { NbdProtocolError, clientHandshake, clientList } from '../../src/nbd/client-handshake.ts';
import { HandshakeRefusedError } from '../../src/nbd/server-handshake.ts';
import { Party, converse, serverParty } from '../support/nbd-in-memory.ts';

const GREETING = '4e42444d41474943' + '49484156454f5054' + '0003';
const hex = (text: string) => Buffer.from(text.replaceAll(/\s/gu, ''), 'hex');
const option = (number: number, payload = '') =>
  hex(
    '49484156454f5054' +
      number.toString(16).padStart(8, '0') +
      (payload.length / 2).toString(16).padStart(8, '0') +
      payload,
  );

function afterGreeting(flags = '00000003', tls: 'none' | 'offer' | 'require' = 'none') {
  const server = serverParty({ '': 1 << 20, part: 4096 }, tls);
  server.hear(hex(flags));
  server.take();
  return server;
}

describe('the server in a handshake', () => {
  it('greets with the fixed newstyle and no zeroes', () => {
    expect(serverParty({}).take().toString('hex')).toBe(GREETING);
  });

  it('answers EXPORT_NAME with size, flags and, unless told not to, 124 zeroes', () => {
    const short = afterGreeting();
    short.hear(option(1, Buffer.from('part').toString('hex')));
    expect(short.take().toString('hex')).toBe('0000000000001000' + '0ded');
    expect(short.result).toMatchObject({ structuredReplies: false, export: { name: 'part' } });
    const long = afterGreeting('00000001');
    long.hear(option(1));
    expect(long.take().toString('hex')).toBe('0000000000100000' + '0ded' + '00'.repeat(124));
  });

  it('answers GO with what was asked for, byte by byte', () => {
    const server = afterGreeting();
    server.hear(option(7, '00000004' + Buffer.from('part').toString('hex') + '0001' + '0003'));
    const reply = '0003e889045565a9' + '00000007';
    expect(server.take().toString('hex')).toBe(
      `${reply}00000003` +
        '0000000c' +
        '0000' +
        '0000000000001000' +
        '0ded' +
        `${reply}00000003` +
        '0000000e' +
        '0003' +
        '00000001' +
        '00001000' +
        '02000000' +
        `${reply}00000001` +
        '00000000',
    );
    expect(server.done).toBe(true);
  });

  it.each([
    ['an unknown export', option(7, '00000001' + '7a' + '0000'), 0x80000006],
    ['a name longer than the option', option(7, '00000009' + '7a' + '0000'), 0x80000003],
    ['more requests than there are', option(6, '00000000' + '0002' + '0000'), 0x80000003],
    ['a list with data', option(3, '00'), 0x80000003],
    ['structured replies with data', option(8, '00'), 0x80000003],
    ['a context before structured replies', option(10, '00000000' + '00000000'), 0x80000003],
    ['TLS, which is not set up', option(5), 0x80000002],
    ['an option that nobody knows', option(4711), 0x80000001],
    ['PEEK_EXPORT, which was withdrawn', option(4), 0x80000001],
  ])('refuses %s and goes on', (_what, request, type) => {
    const server = afterGreeting();
    server.hear(request);
    const reply = server.take();
    expect(reply.readUInt32BE(12)).toBe(type);
    expect(reply.length).toBe(20 + reply.readUInt32BE(16));
    server.hear(option(2));
    expect(server.take().readUInt32BE(12)).toBe(1);
    expect(server.done).toBe(true);
    expect(server.result).toBeUndefined();
  });

  it('refuses to agree on the same twice', () => {
    for (const number of [8, 11]) {
      const server = afterGreeting();
      server.hear(option(number));
      expect(server.take().readUInt32BE(12)).toBe(1);
      server.hear(option(number));
      expect(server.take().readUInt32BE(12)).toBe(0x80000003);
    }
  });

  it('lists base:allocation for a wildcard, for no query, and not for others', () => {
    const name = '00000000';
    const query = (text: string) =>
      text.length.toString(16).padStart(8, '0') + Buffer.from(text).toString('hex');
    for (const [queries, count] of [
      ['00000000', 1],
      [`00000001${query('base:')}`, 1],
      [`00000001${query('base:allocation')}`, 1],
      [`00000002${query('qemu:')}${query('x-y:z')}`, 0],
    ] as const) {
      const server = afterGreeting();
      server.hear(option(8));
      server.take();
      server.hear(option(9, name + queries));
      const reply = server.take();
      expect(reply.includes('base:allocation') ? 1 : 0).toBe(count);
    }
  });

  it('forgets the chosen context when the export is another', () => {
    const server = afterGreeting();
    server.hear(option(8));
    const base = Buffer.from('base:allocation').toString('hex');
    server.hear(option(10, '00000000' + '00000001' + '0000000f' + base));
    server.hear(option(7, '00000004' + Buffer.from('part').toString('hex') + '0000'));
    expect(server.result).toMatchObject({ baseAllocation: false, structuredReplies: true });
  });

  it.each([
    ['an option without its magic', hex('49484156454f5055' + '00000003' + '00000000')],
    ['an option of 4 GiB', hex('49484156454f5054' + '00000007' + 'ffffffff')],
    ['an unknown export by a way that cannot say no', option(1, '7a')],
  ])('ends the connection on %s', (_what, request) => {
    const server = afterGreeting();
    expect(() => server.hear(request)).toThrow(HandshakeRefusedError);
  });

  it('ends the connection on client flags that it does not know', () => {
    expect(() => serverParty({ '': 1 }).hear(hex('00000005'))).toThrow(HandshakeRefusedError);
  });

  it('takes nothing but EXPORT_NAME from a client without the fixed newstyle', () => {
    const server = afterGreeting('00000000');
    expect(() => server.hear(option(3))).toThrow(HandshakeRefusedError);
    const old = afterGreeting('00000000');
    old.hear(option(1));
    expect(old.take().length).toBe(134);
  });

  it('requires TLS for everything else, and forgets what was agreed on before it', () => {
    const server = afterGreeting('00000003', 'require');
    server.hear(option(8));
    expect(server.take().readUInt32BE(12)).toBe(0x80000005);
    server.hear(option(5));
    expect(server.take().readUInt32BE(12)).toBe(1);
    expect(server.startedTls).toBe(true);
    server.hear(option(5));
    expect(server.take().readUInt32BE(12)).toBe(0x80000003);
    server.hear(option(7, '00000000' + '0000'));
    expect(server.result).toMatchObject({ structuredReplies: false });
    const offered = afterGreeting('00000003', 'offer');
    offered.hear(option(8));
    offered.hear(option(5));
    offered.hear(option(7, '00000000' + '0000'));
    expect(offered.result).toMatchObject({ structuredReplies: false });
    expect(() => afterGreeting('00000003', 'require').hear(option(1))).toThrow(HandshakeRefusedError);
  });

  it('has enough of options at some time', () => {
    const server = afterGreeting();
    expect(() => {
      for (let count = 0; count < 5000; count++) {
        server.hear(option(3));
        server.take();
      }
    }).toThrow(/4096 options/u);
  });
});

describe('client and server', () => {
  it.each([1, 3, 7, Infinity])('agree when %d bytes arrive at once', (split) => {
    const client = new Party(clientHandshake({ exportName: 'part', tls: 'none' }));
    const server = serverParty({ '': 1 << 20, part: 4096 });
    converse(client, server, split);
    expect(client.result).toEqual({
      size: 4096,
      flags: 0xded,
      structuredReplies: true,
      extendedHeaders: true,
      baseAllocation: 1,
      minimumBlock: 1,
      preferredBlock: 4096,
      maximumPayload: 32 << 20,
    });
    expect(server.result).toMatchObject({
      structuredReplies: true,
      extendedHeaders: true,
      baseAllocation: true,
    });
  });

  it('agree on less when less is wanted', () => {
    const wishes = { exportName: '', tls: 'none', extendedHeaders: false, baseAllocation: false } as const;
    const client = new Party(clientHandshake(wishes));
    const server = serverParty({ '': 1 << 20 });
    converse(client, server);
    expect(client.result).toMatchObject({ extendedHeaders: false, structuredReplies: true });
    expect(client.result!.baseAllocation).toBeUndefined();
  });

  it('list the exports', () => {
    const client = new Party(clientList({ tls: 'none' }));
    const server = serverParty({ '': 1, a: 2, 'b c': 3 });
    converse(client, server);
    expect(client.result).toEqual(['', 'a', 'b c']);
    expect(server.done).toBe(true);
  });

  it('say what is wrong', () => {
    const attempt = (exportName: string, tls: 'none' | 'require', mode: 'none' | 'require') => () =>
      converse(new Party(clientHandshake({ exportName, tls })), serverParty({ '': 1 }, mode));
    expect(attempt('x', 'none', 'none')).toThrow(/refuses the export 'x': the server has no such export/u);
    expect(attempt('', 'none', 'require')).toThrow(/requires TLS/u);
    expect(attempt('', 'require', 'none')).toThrow(/refuses TLS: the server does not allow it/u);
  });
});

describe('the client in a handshake', () => {
  const greeted = () => {
    const client = new Party(clientHandshake({ exportName: '', tls: 'none' }));
    return client;
  };

  it.each([
    ['something else', 'ff'.repeat(16), /not an NBD server/u],
    ['a server of the oldstyle', '4e42444d41474943' + '0000420281861253', /oldstyle/u],
    [
      'a server without the fixed newstyle',
      '4e42444d41474943' + '49484156454f5054' + '0000',
      /fixed newstyle/u,
    ],
  ])('refuses %s', (_what, bytes, message) => {
    expect(() => greeted().hear(hex(bytes))).toThrow(message);
  });

  it.each([
    ['garbage', '00'.repeat(20), /garbage/u],
    [
      'the answer to another option',
      '0003e889045565a9' + '00000003' + '00000001' + '00000000',
      /answers option 3/u,
    ],
    ['an answer of 4 GiB', '0003e889045565a9' + '0000000b' + '00000001' + 'ffffffff', /4294967295 bytes/u],
  ])('refuses %s in answer to an option', (_what, bytes, message) => {
    const client = greeted();
    client.hear(hex(GREETING));
    expect(() => client.hear(hex(bytes))).toThrow(message);
  });

  it('takes EXPORT_NAME with a server that does not know GO', () => {
    const client = greeted();
    client.hear(hex(GREETING));
    for (const number of [0x0b, 8, 7])
      client.hear(hex(`0003e889045565a9${number.toString(16).padStart(8, '0')}8000000100000000`));
    expect(client.take().subarray(-16).toString('hex')).toBe('49484156454f5054' + '00000001' + '00000000');
    client.hear(hex('0000000000001234' + '0003'));
    expect(client.result).toMatchObject({ size: 0x1234, flags: 3, structuredReplies: false });
  });

  it('refuses sizes that cannot be', () => {
    const client = greeted();
    client.hear(hex(GREETING));
    for (const number of [0x0b, 8, 7])
      client.hear(hex(`0003e889045565a9${number.toString(16).padStart(8, '0')}8000000100000000`));
    expect(() => client.hear(hex('ffffffffffffffff' + '0003'))).toThrow(NbdProtocolError);
  });
});
