import type { Extent } from '../device/block-device.ts';
import { FsError, type ErrnoCode } from '../errors.ts';
import { decodeUtf8 } from '../bytes/utf8.ts';
import { viewOf } from '../bytes/struct.ts';
import { NbdProtocolError, type NegotiatedExport } from './client-handshake.ts';
import {
  AllocationState,
  Command,
  EXTENDED_REPLY_SIZE,
  EXTENDED_REQUEST_SIZE,
  NBD_EXTENDED_REPLY_MAGIC,
  NBD_EXTENDED_REQUEST_MAGIC,
  NBD_REQUEST_MAGIC,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
  NbdErrno,
  CommandFlag,
  REPLY_FLAG_DONE,
  REPLY_TYPE_ERROR,
  REQUEST_SIZE,
  ReplyType,
  SIMPLE_REPLY_SIZE,
  STRUCTURED_REPLY_SIZE,
} from './protocol.ts';
import { getU64, setU64 } from './wire.ts';

/** The client's way to the server, in blocking style. */
export interface BlockingStream {
  /** Fills `into` wholly, or throws. */
  receive(into: Uint8Array): void;
  /** Sends all of both, or throws. */
  send(header: Uint8Array, payload?: Uint8Array): void;
}

interface ReplyHeader {
  readonly type: number;
  readonly done: boolean;
  readonly length: number;
}

/** The payload of a chunk that holds no data: an error with its text, or block status. */
const MAX_CONTROL_PAYLOAD = 8 << 20;
const ERRNO_CODES: Readonly<Record<number, ErrnoCode>> = {
  [NbdErrno.EPERM]: 'EPERM',
  [NbdErrno.EIO]: 'EIO',
  [NbdErrno.ENOMEM]: 'ENOMEM',
  [NbdErrno.EINVAL]: 'EINVAL',
  [NbdErrno.ENOSPC]: 'ENOSPC',
  [NbdErrno.EOVERFLOW]: 'EOVERFLOW',
  [NbdErrno.ENOTSUP]: 'EOPNOTSUPP',
};

/**
 * The client's side of the transmission phase: one request at a time, each answered before the call returns. Requests
 * must fit what the server has named; offsets and lengths are bytes. A server that breaks the protocol, and a connection that
 * breaks, end the session: every later call fails with the same words.
 */
export class ClientSession {
  readonly export: NegotiatedExport;
  readonly #stream: BlockingStream;
  /** The server, for messages. */
  readonly #name: string;
  readonly #header: Uint8Array;
  readonly #headerView: DataView;
  readonly #reply = new Uint8Array(EXTENDED_REPLY_SIZE);
  readonly #replyView = viewOf(this.#reply);
  #cookie = 0;
  #broken: Error | undefined;

  constructor(stream: BlockingStream, exported: NegotiatedExport, name: string) {
    this.export = exported;
    this.#stream = stream;
    this.#name = name;
    this.#header = new Uint8Array(exported.extendedHeaders ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE);
    this.#headerView = viewOf(this.#header);
  }

  read(offset: number, into: Uint8Array): void {
    this.#exchange('read', () => {
      this.#request(Command.read, 0, offset, into.length);
      if (!this.export.structuredReplies) {
        this.#simpleReply('read');
        this.#stream.receive(into);
        return;
      }
      this.#readChunks(offset, into);
    });
  }

  write(offset: number, from: Uint8Array): void {
    this.#exchange('write', () => {
      const flags = this.export.extendedHeaders ? CommandFlag.payloadLength : 0;
      this.#request(Command.write, flags, offset, from.length, from);
      this.#emptyReply('write');
    });
  }

  /** A request without payload and with an empty answer: FLUSH, TRIM, WRITE_ZEROES, CACHE. */
  command(syscall: string, command: number, flags: number, offset: number, length: number): void {
    this.#exchange(syscall, () => {
      this.#request(command, flags, offset, length);
      this.#emptyReply(syscall);
    });
  }

  /** What base:allocation says of the range from its start on; it may say less than was asked, never nothing. */
  blockStatus(offset: number, length: number): Extent[] {
    return this.#exchange('block status', () => {
      this.#request(Command.blockStatus, 0, offset, length);
      const extents: Extent[] = [];
      for (;;) {
        const chunk = this.#chunk();
        if ((chunk.type & REPLY_TYPE_ERROR) !== 0) this.#fail('block status', chunk);
        const payload = this.#controlPayload(chunk);
        if (chunk.type === ReplyType.blockStatus || chunk.type === ReplyType.blockStatusExtended)
          this.#addExtents(extents, payload, chunk.type === ReplyType.blockStatusExtended, offset, length);
        else if (chunk.type !== ReplyType.none)
          throw new NbdProtocolError(`The server answers block status with chunk ${chunk.type}`);
        if (chunk.done) break;
      }
      if (extents.length === 0)
        throw new NbdProtocolError('The server tells nothing of the blocks it was asked for');
      return extents;
    });
  }

  /** Says goodbye; there is no answer. */
  disconnect(): void {
    if (this.#broken === undefined) this.#request(Command.disconnect, 0, 0, 0);
  }

  #exchange<T>(syscall: string, body: () => T): T {
    if (this.#broken !== undefined)
      throw new FsError('EIO', {
        syscall,
        path: this.#name,
        detail: this.#broken.message,
        cause: this.#broken,
      });
    try {
      return body();
    } catch (error) {
      // An error that the server has answered with leaves the session as it was.
      if (error instanceof FsError) throw error;
      this.#broken = error instanceof Error ? error : new Error(String(error));
      throw new FsError('EIO', { syscall, path: this.#name, detail: this.#broken.message, cause: error });
    }
  }

  #request(command: number, flags: number, offset: number, length: number, payload?: Uint8Array): void {
    const view = this.#headerView;
    this.#cookie = (this.#cookie + 1) >>> 0;
    view.setUint32(0, this.export.extendedHeaders ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
    view.setUint16(4, flags);
    view.setUint16(6, command);
    view.setUint32(8, 0);
    view.setUint32(12, this.#cookie);
    setU64(view, 16, offset);
    if (this.export.extendedHeaders) setU64(view, 24, length);
    else view.setUint32(24, length);
    this.#stream.send(this.#header, payload);
  }

  #readChunks(offset: number, into: Uint8Array): void {
    let filled = 0;
    let failure: ReplyHeader | undefined;
    let said: Uint8Array | undefined;
    for (;;) {
      const chunk = this.#chunk();
      if (chunk.type === ReplyType.offsetData) filled += this.#dataChunk(chunk, offset, into);
      else if (chunk.type === ReplyType.offsetHole) filled += this.#holeChunk(chunk, offset, into);
      else {
        const payload = this.#controlPayload(chunk);
        if ((chunk.type & REPLY_TYPE_ERROR) !== 0) {
          failure ??= chunk;
          said ??= payload;
        } else if (chunk.type !== ReplyType.none)
          throw new NbdProtocolError(`The server answers a read with chunk ${chunk.type}`);
      }
      if (chunk.done) break;
    }
    if (said !== undefined) throw this.#serverError('read', said);
    if (filled !== into.length)
      throw new NbdProtocolError(`The server answers a read of ${into.length} bytes with ${filled}`);
  }

  #dataChunk(chunk: ReplyHeader, offset: number, into: Uint8Array): number {
    if (chunk.length < 9)
      throw new NbdProtocolError(`The server sends a data chunk of ${chunk.length} bytes`);
    const start = this.#chunkOffset() - offset;
    const length = chunk.length - 8;
    this.#checkChunk(start, length, into);
    this.#stream.receive(into.subarray(start, start + length));
    return length;
  }

  #holeChunk(chunk: ReplyHeader, offset: number, into: Uint8Array): number {
    if (chunk.length !== 12)
      throw new NbdProtocolError(`The server sends a hole chunk of ${chunk.length} bytes`);
    const start = this.#chunkOffset() - offset;
    this.#stream.receive(this.#reply.subarray(0, 4));
    const length = this.#replyView.getUint32(0);
    this.#checkChunk(start, length, into);
    into.fill(0, start, start + length);
    return length;
  }

  #chunkOffset(): number {
    this.#stream.receive(this.#reply.subarray(0, 8));
    return getU64(this.#replyView, 0);
  }

  #checkChunk(start: number, length: number, into: Uint8Array): void {
    if (start < 0 || length === 0 || start + length > into.length)
      throw new NbdProtocolError(
        `The server sends ${length} bytes at byte ${start} of a read of ${into.length}`,
      );
  }

  #emptyReply(syscall: string): void {
    // A server with structured replies may still answer everything but reads with simple ones.
    for (;;) {
      const chunk = this.#chunk();
      if ((chunk.type & REPLY_TYPE_ERROR) !== 0) this.#fail(syscall, chunk);
      if (chunk.length > 0 || chunk.type !== ReplyType.none)
        throw new NbdProtocolError(
          `The server answers ${syscall} with chunk ${chunk.type} of ${chunk.length} bytes`,
        );
      if (chunk.done) return;
    }
  }

  /** Reads the rest of a reply that has failed, and throws what it says. */
  #fail(syscall: string, first: ReplyHeader): never {
    const payload = this.#controlPayload(first);
    for (let chunk = first; !chunk.done;) {
      chunk = this.#chunk();
      this.#controlPayload(chunk);
    }
    throw this.#serverError(syscall, payload);
  }

  #serverError(syscall: string, payload: Uint8Array): Error {
    if (payload.length < 6) return new NbdProtocolError('The server sends an error without its number');
    const view = viewOf(payload);
    const textLength = Math.min(view.getUint16(4), payload.length - 6);
    const text = decodeUtf8(payload, 6, 6 + textLength)
      .replaceAll(/\p{C}/gu, '')
      .slice(0, 300);
    return this.#errnoError(syscall, view.getUint32(0), text);
  }

  #errnoError(syscall: string, errno: number, text: string): FsError {
    const code = ERRNO_CODES[errno] ?? 'EIO';
    const detail =
      text !== '' ? text : errno === NbdErrno.ESHUTDOWN ? 'the server is shutting down' : undefined;
    return new FsError(code, { syscall, path: this.#name, ...(detail === undefined ? {} : { detail }) });
  }

  #simpleReply(syscall: string): void {
    this.#stream.receive(this.#reply.subarray(0, SIMPLE_REPLY_SIZE));
    if (this.#replyView.getUint32(0) !== NBD_SIMPLE_REPLY_MAGIC)
      throw new NbdProtocolError('The server answers with something that is no reply');
    this.#checkCookie();
    const errno = this.#replyView.getUint32(4);
    if (errno !== 0) throw this.#errnoError(syscall, errno, '');
  }

  /** The next header; a simple reply reads as an empty last chunk. */
  #chunk(): ReplyHeader {
    const view = this.#replyView;
    if (this.export.extendedHeaders) {
      this.#stream.receive(this.#reply);
      if (view.getUint32(0) !== NBD_EXTENDED_REPLY_MAGIC)
        throw new NbdProtocolError('The server answers with something that is no extended reply');
      this.#checkCookie();
      const done = (view.getUint16(4) & REPLY_FLAG_DONE) !== 0;
      return { type: view.getUint16(6), done, length: getU64(view, 24) };
    }
    this.#stream.receive(this.#reply.subarray(0, SIMPLE_REPLY_SIZE));
    const magic = view.getUint32(0);
    this.#checkCookie();
    if (magic === NBD_SIMPLE_REPLY_MAGIC) {
      const errno = view.getUint32(4);
      if (errno !== 0) throw this.#errnoError('request', errno, '');
      return { type: ReplyType.none, done: true, length: 0 };
    }
    if (magic !== NBD_STRUCTURED_REPLY_MAGIC)
      throw new NbdProtocolError('The server answers with something that is no reply');
    this.#stream.receive(this.#reply.subarray(SIMPLE_REPLY_SIZE, STRUCTURED_REPLY_SIZE));
    const done = (view.getUint16(4) & REPLY_FLAG_DONE) !== 0;
    return { type: view.getUint16(6), done, length: view.getUint32(SIMPLE_REPLY_SIZE) };
  }

  #checkCookie(): void {
    if (this.#replyView.getUint32(8) !== 0 || this.#replyView.getUint32(12) !== this.#cookie)
      throw new NbdProtocolError('The server answers a request that was not made');
  }

  #controlPayload(chunk: ReplyHeader): Uint8Array {
    if (chunk.length > MAX_CONTROL_PAYLOAD)
      throw new NbdProtocolError(
        `The server sends a chunk of ${chunk.length} bytes, ${MAX_CONTROL_PAYLOAD} are allowed`,
      );
    const payload = new Uint8Array(chunk.length);
    if (chunk.length > 0) this.#stream.receive(payload);
    return payload;
  }

  #addExtents(
    extents: Extent[],
    payload: Uint8Array,
    extended: boolean,
    start: number,
    length: number,
  ): void {
    const view = viewOf(payload);
    const entry = extended ? 16 : 8;
    let at = extended ? 8 : 4;
    if (payload.length < at + entry || (payload.length - at) % entry !== 0)
      throw new NbdProtocolError(`The server sends a block status of ${payload.length} bytes`);
    if (view.getUint32(0) !== this.export.baseAllocation) return;
    let offset = start;
    for (; at < payload.length && offset < start + length; at += entry) {
      const size = extended ? getU64(view, at) : view.getUint32(at);
      if (size === 0) throw new NbdProtocolError('The server tells of an extent without blocks');
      const state = extended ? view.getUint32(at + 12) : view.getUint32(at + 4);
      const within = Math.min(size, start + length - offset);
      const isZero = (state & AllocationState.zero) !== 0;
      const kind = !isZero ? 'data' : (state & AllocationState.hole) !== 0 ? 'hole' : 'zero';
      extents.push({ offset, length: within, kind });
      offset += within;
    }
  }
}
