import { describe, expect, it } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { UnsupportedError } from '../../src/errors.ts';
import { answerInit, requestBufferSize } from '../../src/fuse/init.ts';
import { notifyDelete, notifyInvalEntry, notifyInvalInode, notifyStore } from '../../src/fuse/notify.ts';
import { InitFlag, InitFlag2, Opcode } from '../../src/fuse/protocol.ts';
import {
  Attr,
  ENTRY_ATTR,
  EntryOut,
  InHeader,
  InitIn,
  InitOut,
  ReadIn,
  RenameIn,
} from '../../src/fuse/structures.ts';
import {
  deviceNumber,
  DirentWriter,
  errorMessage,
  type FuseEntry,
  FuseReply,
  majorOf,
  minorOf,
  OUT_HEADER_SIZE,
} from '../../src/fuse/reply.ts';
import { FuseRequest, IN_HEADER_SIZE } from '../../src/fuse/request.ts';

function hex(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return Buffer.from(bytes.subarray(start, end)).toString('hex');
}

/** A request with this body; `unique` is above 2^53, where numbers round. */
function requestOf(opcode: number, body: Uint8Array = new Uint8Array(0)): FuseRequest {
  const request = new FuseRequest(new Uint8Array(4096).fill(0xee));
  const { view } = request;
  InHeader.len.set(view, 0, IN_HEADER_SIZE + body.length);
  InHeader.opcode.set(view, 0, opcode);
  view.setBigUint64(8, 0x8000_0000_1234_5679n, true);
  InHeader.nodeid.set(view, 0, 0x1_0000_0002);
  InHeader.uid.set(view, 0, 1000);
  InHeader.gid.set(view, 0, 100);
  InHeader.pid.set(view, 0, 4321);
  InHeader.total_extlen.set(view, 0, 0);
  request.bytes.set(body, IN_HEADER_SIZE);
  return request;
}

const ENTRY: FuseEntry = {
  nodeId: 0x1_0000_0002,
  generation: 3,
  entryValid: 1.5,
  attrValid: 3600,
  attributes: {
    ino: 7,
    size: 2 ** 40,
    blocks: 8,
    atime: { seconds: -1, nanoseconds: 1 },
    mtime: { seconds: 2 ** 33, nanoseconds: 2 },
    ctime: { seconds: 3, nanoseconds: 999_999_999 },
    mode: 0o100644,
    nlink: 2,
    uid: 1000,
    gid: 100,
    rdev: 0,
    blksize: 4096,
  },
};

describe('A request', () => {
  it('is read at the offsets of the header', () => {
    const body = new Uint8Array(ReadIn.$size);
    ReadIn.offset.set(viewOf(body), 0, 3 * 2 ** 40 + 512);
    ReadIn.size.set(viewOf(body), 0, 131_072);
    const request = requestOf(Opcode.READ, body);
    expect([request.length, request.opcode, request.nodeId]).toEqual([80, 15, 0x1_0000_0002]);
    expect([request.uid, request.gid, request.pid]).toEqual([1000, 100, 4321]);
    expect([request.get(ReadIn.offset), request.get(ReadIn.size)]).toEqual([3 * 2 ** 40 + 512, 131_072]);
  });

  it('has names that are any bytes, and ends with itself', () => {
    const lookup = requestOf(Opcode.LOOKUP, Buffer.from('na\xff\xc3\xa9me\0', 'latin1'));
    expect(lookup.name()).toBe('na\udcfféme');
    // Without a NUL the name ends where the request does, not in what an earlier request left behind it.
    expect(requestOf(Opcode.LOOKUP, Buffer.from('open')).name()).toBe('open');
    const rename = requestOf(Opcode.RENAME, Buffer.from(`${'\0'.repeat(RenameIn.$size)}old\0new\0`));
    expect(rename.names(RenameIn.$size)).toEqual(['old', 'new']);
    expect(requestOf(Opcode.RENAME, Buffer.from(`${'\0'.repeat(8)}old`)).names(8)).toEqual(['old', '']);
  });
});

describe('A reply', () => {
  const reply = new FuseReply(new Uint8Array(1024).fill(0xee));
  const request = requestOf(Opcode.LOOKUP);

  it('carries the number of the request exactly', () => {
    expect(hex(reply.bytes, 0, reply.error(request, 2))).toBe('10000000feffffff7956341200000080');
    expect(hex(reply.bytes, 0, reply.done(request, 0))).toBe('10000000000000007956341200000080');
    expect(hex(errorMessage(0x1234_5679, 0x8000_0000, 5))).toBe('10000000fbffffff7956341200000080');
  });

  it('has every byte of an entry', () => {
    const length = reply.entry(request, ENTRY);
    expect(length).toBe(OUT_HEADER_SIZE + 128);
    expect(hex(reply.bytes, 16, length)).toBe(
      [
        '0200000001000000', // nodeid
        '0300000000000000', // generation
        '0100000000000000', // entry_valid
        '100e000000000000', // attr_valid
        '0065cd1d', // entry_valid_nsec: half a second
        '00000000',
        '0700000000000000', // ino
        '0000000000010000', // size
        '0800000000000000', // blocks
        'ffffffffffffffff', // atime: one second before 1970
        '0000000002000000', // mtime
        '0300000000000000', // ctime
        '01000000',
        '02000000',
        'ffc99a3b',
        'a4810000', // mode
        '02000000',
        'e8030000',
        '64000000',
        '00000000',
        '00100000', // blksize
        '00000000',
      ].join(''),
    );
    expect(reply.create(request, ENTRY, 9, 2)).toBe(OUT_HEADER_SIZE + 144);
    expect(hex(reply.bytes, 16 + 128, 16 + 144)).toBe('09000000000000000200000000000000');
    expect(reply.noEntry(request, 5)).toBe(OUT_HEADER_SIZE + 128);
    expect(hex(reply.bytes, 16, 48)).toBe(`${'00'.repeat(16)}0500000000000000${'00'.repeat(8)}`);
  });

  it('leaves nothing of the reply before it', () => {
    reply.bytes.fill(0xee);
    reply.attributes(request, ENTRY.attributes, 1);
    expect(hex(reply.bytes, 16, 32)).toBe('01000000000000000000000000000000');
    reply.bytes.fill(0xee);
    const values = { blocks: 9, bfree: 8, bavail: 7, files: 6, ffree: 5, bsize: 4, namelen: 3, frsize: 2 };
    expect(reply.statfs(request, values)).toBe(OUT_HEADER_SIZE + 80);
    expect(hex(reply.bytes, 16 + 52, 16 + 80)).toBe('00'.repeat(28));
    reply.bytes.fill(0xee);
    expect(reply.written(request, 512)).toBe(24);
    expect(hex(reply.bytes, 16, 24)).toBe('0002000000000000');
    reply.open(request, 1, 0);
    expect(hex(reply.bytes, 16, 32)).toBe('01000000000000000000000000000000');
  });

  it('has directory entries padded to eight bytes, as many as fit', () => {
    const writer = new DirentWriter(reply);
    reply.bytes.fill(0xee);
    writer.start(24 + 8 + 24 + 8);
    expect(writer.add('a', 5, 0o100644, 1)).toBe(true);
    expect(writer.add('12345678', 0x1_0000_0006, 0o040755, 2)).toBe(true);
    expect(writer.add('b', 7, 0, 3)).toBe(false);
    expect(writer.length).toBe(64);
    expect(hex(reply.bytes, 16, 80)).toBe(
      '0500000000000000010000000000000001000000080000006100000000000000' +
        '0600000001000000020000000000000008000000040000003132333435363738',
    );
    writer.start(152 + 8);
    expect(writer.addPlus('abc', ENTRY, 1)).toBe(true);
    expect(writer.addPlus('d', ENTRY, 2)).toBe(false);
    expect(writer.length).toBe(160);
    expect(Attr.size.get(reply.view, 16 + ENTRY_ATTR)).toBe(2 ** 40);
    expect(hex(reply.bytes, 16 + EntryOut.$size, 16 + 160)).toBe(
      '07000000000000000100000000000000030000000800000061626300' + '00000000',
    );
    writer.start(160);
    expect(writer.add('x'.repeat(255), 1, 0, 1)).toBe(false);
    expect(writer.length).toBe(0);
  });

  it('packs device numbers as the kernel does', () => {
    for (const [major, minor, packed] of [
      [8, 1, 0x801],
      [259, 3, 0x1_0303],
      [0xfff, 0xf_ffff, 0xffff_ffff],
    ] as const) {
      expect(deviceNumber(major, minor)).toBe(packed);
      expect([majorOf(packed), minorOf(packed)]).toEqual([major, minor]);
    }
  });
});

describe('INIT', () => {
  const wishes = {
    flags: InitFlag.ASYNC_READ | InitFlag.WRITEBACK_CACHE,
    flags2: InitFlag2.DIRECT_IO_ALLOW_MMAP,
    maxWrite: 1 << 20,
    maxBackground: 64,
  };

  function init(major: number, minor: number, flags: number, flags2 = 0): FuseRequest {
    const body = new Uint8Array(InitIn.$size);
    const values = { major, minor, max_readahead: 131_072, flags, flags2 };
    for (const [name, value] of Object.entries(values))
      InitIn[name as keyof typeof values].set(viewOf(body), 0, value);
    return requestOf(Opcode.INIT, body);
  }

  it('agrees on what both sides have', () => {
    const reply = new FuseReply(new Uint8Array(128).fill(0xee));
    const offered = (InitFlag.ASYNC_READ | InitFlag.MAX_PAGES | InitFlag.INIT_EXT) >>> 0;
    const { length, agreement } = answerInit(init(7, 99, offered, 0xffff_ffff), reply, wishes);
    expect(length).toBe(OUT_HEADER_SIZE + 64);
    expect(agreement).toEqual({
      minor: 45,
      flags: offered,
      flags2: InitFlag2.DIRECT_IO_ALLOW_MMAP,
      maxWrite: 1 << 20,
      maxReadahead: 131_072,
    });
    const got = (field: (typeof InitOut)['minor']): number => field.get(reply.view, OUT_HEADER_SIZE);
    expect([got(InitOut.major), got(InitOut.minor), got(InitOut.max_pages)]).toEqual([7, 45, 256]);
    expect([got(InitOut.max_write), got(InitOut.time_gran)]).toEqual([1 << 20, 1]);
    expect(hex(reply.bytes, 16 + 0x24, length)).toBe('00'.repeat(28));
  });

  it('does not read flags2 of a kernel that has none', () => {
    const reply = new FuseReply(new Uint8Array(128));
    const { agreement } = answerInit(init(7, 31, InitFlag.ASYNC_READ, 0xffff_ffff), reply, wishes);
    expect([agreement?.minor, agreement?.flags, agreement?.flags2]).toEqual([31, InitFlag.ASYNC_READ, 0]);
  });

  it('asks a newer kernel for version 7, and refuses an older one', () => {
    const reply = new FuseReply(new Uint8Array(128));
    expect(answerInit(init(8, 0, 0), reply, wishes).agreement).toBe(undefined);
    expect(InitOut.major.get(reply.view, OUT_HEADER_SIZE)).toBe(7);
    expect(() => answerInit(init(7, 26, 0), reply, wishes)).toThrow(UnsupportedError);
    expect(() => answerInit(init(6, 99, 0), reply, wishes)).toThrow('needed is 7.31');
  });

  it('needs room for the headers in the buffer', () => {
    expect(requestBufferSize(1 << 20)).toBe((1 << 20) + 4096);
    expect(requestBufferSize(512)).toBe(8192);
  });
});

describe('Notifications', () => {
  it('are headers without a request, and end names with a NUL', () => {
    expect(hex(notifyInvalInode(2, -1))).toBe(
      '2800000002000000' + '00'.repeat(8) + '0200000000000000' + 'ff'.repeat(8) + '00'.repeat(8),
    );
    expect(hex(notifyInvalEntry(1, 'ab'))).toBe(
      '2300000003000000' + '00'.repeat(8) + '0100000000000000' + '0200000000000000' + '616200',
    );
    expect(hex(notifyDelete(1, 2, 'a'))).toBe(
      '2a00000006000000' + '00'.repeat(8) + '01000000000000000200000000000000' + '0100000000000000' + '6100',
    );
    expect(hex(notifyStore(3, 4096, Uint8Array.of(1, 2)))).toBe(
      '2a00000004000000' + '00'.repeat(8) + '03000000000000000010000000000000' + '0200000000000000' + '0102',
    );
  });
});
