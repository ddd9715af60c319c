import { type BlockDevice, type Extent, discardRange, extentsOf, zeroRange } from '../device/block-device.ts';
import { viewOf } from '../bytes/struct.ts';
import { encodeUtf8Into, utf8Length } from '../bytes/utf8.ts';
import { FsError } from '../errors.ts';
import {
  AllocationState,
  Command,
  CommandFlag,
  EXTENDED_REPLY_SIZE,
  EXTENDED_REQUEST_SIZE,
  ExportFlag,
  NBD_EXTENDED_REPLY_MAGIC,
  NBD_EXTENDED_REQUEST_MAGIC,
  NBD_REQUEST_MAGIC,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
  NbdErrno,
  REPLY_FLAG_DONE,
  REQUEST_SIZE,
  ReplyType,
  SIMPLE_REPLY_SIZE,
  STRUCTURED_REPLY_SIZE,
} from './protocol.ts';
import { BASE_ALLOCATION_ID, MAX_PAYLOAD } from './server-handshake.ts';
import { getU64, setU64 } from './wire.ts';

/**
 * What a session stands on: memory of a fixed size that it and its driver share, a way out, and shortcuts where there
 * are some. The driver puts what it receives at `input[session.inputEnd …)` and calls `process`.
 */
export interface SessionTransport {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  /** Sends all of `output[start, end)`; when it returns the bytes may be overwritten. */
  send(start: number, end: number): void;
  readonly shortcuts?: Shortcuts;
  /** Offset of the export's first byte in its file, modulo the page: copies between equal places of a page are fastest. */
  readonly filePhase?: number;
}

/**
 * Ways past the device, straight between the file behind it and the buffers or the socket. Offsets are bytes of the export,
 * within its bounds. A write through a shortcut is noted where writes of the device are.
 */
export interface Shortcuts {
  /** Are they allowed now? Asked before each use. */
  readonly isOpen: boolean;
  /** Into `output` at `at`. False when it has not all been read: then the device is asked, which says why. */
  read(offset: number, at: number, length: number): boolean;
  /** From `input` at `at`. */
  write(offset: number, at: number, length: number): boolean;
  /** Makes what was written durable. */
  flush(): boolean;
  /** From the file to the socket; gives the bytes that were sent, fewer when the file cannot be read. */
  sendFile?(offset: number, length: number): number;
  /** From the socket to the file; gives the bytes that were taken from the socket, and whether all went well with them. */
  receiveToFile?(offset: number, length: number): { readonly taken: number; readonly ok: boolean };
  /** Has the host start to read the range, which will be wanted soon. */
  prefetch?(offset: number, length: number): void;
}

/** What was agreed on, as far as the transmission phase needs it. */
export interface SessionTerms {
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  readonly baseAllocation: boolean;
  /** `ExportFlag`s. */
  readonly flags: number;
}

/** A reply batch is sent when it has this many bytes: enough for few calls, little enough for the second-level cache. */
const BATCH = 256 << 10;
/** Transfers from here on take the way without copies. */
const STRAIGHT = 64 << 10;
const PAGE = 4096;
/** First byte of the buffers that is used: copies whose ends lie 1 to 31 bytes apart in their pages are slow, and so long are headers. */
const BUFFER_START = 64;
const MAX_EXTENTS = 4096;
/** Bytes of a TRIM or WRITE_ZEROES that are done at once: one does not stop the others of a device for long. */
const RANGE_STEP = 1 << 30;
const ZEROS = new Uint8Array(1 << 20);
const MAX_ERROR_TEXT = 200;

const KNOWN_FLAGS: Readonly<Record<number, number>> = {
  [Command.read]: CommandFlag.df,
  [Command.write]: CommandFlag.fua,
  [Command.flush]: 0,
  [Command.trim]: CommandFlag.fua,
  [Command.cache]: 0,
  [Command.writeZeroes]: CommandFlag.fua | CommandFlag.noHole | CommandFlag.fastZero,
  [Command.blockStatus]: CommandFlag.reqOne,
};

/**
 * The server's side of the transmission phase. Requests are answered in the order in which they come; every complete one of a
 * batch is answered in one send. Nothing is allocated for a read or a write.
 *
 * A request that breaks the protocol so that the next one cannot be found ends the session; every other bad request is
 * answered with its error.
 */
export class ServerSession {
  /** Where the next bytes from the client belong. */
  inputEnd = BUFFER_START;
  readonly #device: BlockDevice;
  readonly #terms: SessionTerms;
  readonly #transport: SessionTransport;
  readonly #shortcuts: Shortcuts | undefined;
  readonly #in: Uint8Array;
  readonly #inView: DataView;
  readonly #out: Uint8Array;
  readonly #outView: DataView;
  readonly #phase: number;
  readonly #requestSize: number;
  /** Bytes in front of the data of a successful read. */
  readonly #readHeader: number;
  #inputStart = BUFFER_START;
  #outputStart = BUFFER_START;
  #outputEnd = BUFFER_START;
  // The request that is being answered.
  #cookieHigh = 0;
  #cookieLow = 0;
  #offset = 0;
  #length = 0;
  // A write whose payload is not all there yet.
  #payloadLeft = 0;
  #payloadOffset = 0;
  #payloadFua = false;
  #payloadError = 0;
  #payloadText = '';
  #ended = false;

  constructor(device: BlockDevice, terms: SessionTerms, transport: SessionTransport) {
    this.#device = device;
    this.#terms = terms;
    this.#transport = transport;
    this.#shortcuts = transport.shortcuts;
    this.#in = transport.input;
    this.#inView = viewOf(transport.input);
    this.#out = transport.output;
    this.#outView = viewOf(transport.output);
    this.#phase = transport.filePhase ?? 0;
    this.#requestSize = terms.extendedHeaders ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE;
    this.#readHeader = terms.extendedHeaders
      ? EXTENDED_REPLY_SIZE + 8
      : terms.structuredReplies
        ? STRUCTURED_REPLY_SIZE + 8
        : SIMPLE_REPLY_SIZE;
  }

  /** The client has said goodbye, or has done what ends a session. */
  get isEnded(): boolean {
    return this.#ended;
  }

  /**
   * How many bytes should be there before `process` is called again: the rest of a header, or as much of a payload as is worth
   * a write. Fewer do no harm.
   */
  get wanted(): number {
    const have = this.inputEnd - this.#inputStart;
    if (this.#payloadLeft > 0) return Math.max(1, Math.min(this.#payloadLeft, BATCH) - have);
    return Math.max(1, this.#requestSize - have);
  }

  /** The driver has put `count` bytes at `inputEnd`: answers every request that is complete. */
  process(count: number): void {
    this.inputEnd += count;
    try {
      while (!this.#ended) {
        const have = this.inputEnd - this.#inputStart;
        if (this.#payloadLeft > 0) {
          if (!this.#takePayload(have)) break;
        } else if (have < this.#requestSize) break;
        else this.#request();
      }
      this.#flushOutput();
    } finally {
      this.#compact();
    }
  }

  /** Makes room at the end of the input, and puts the next payload in a good phase to the file. */
  #compact(): void {
    const have = this.inputEnd - this.#inputStart;
    if (have === 0) {
      const phase = this.#payloadLeft > 0 ? (this.#phase + this.#payloadOffset) % PAGE : BUFFER_START;
      this.#inputStart = phase;
      this.inputEnd = phase;
    } else if (this.#in.length - this.inputEnd < this.#in.length >> 1) {
      this.#in.copyWithin(BUFFER_START, this.#inputStart, this.inputEnd);
      this.#inputStart = BUFFER_START;
      this.inputEnd = BUFFER_START + have;
    }
  }

  #request(): void {
    const view = this.#inView;
    const at = this.#inputStart;
    const extended = this.#terms.extendedHeaders;
    const magic = extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC;
    if (view.getUint32(at) !== magic) {
      this.#ended = true;
      return;
    }
    const flags = view.getUint16(at + 4);
    const command = view.getUint16(at + 6);
    this.#cookieHigh = view.getUint32(at + 8);
    this.#cookieLow = view.getUint32(at + 12);
    this.#offset = getU64(view, at + 16);
    this.#length = extended ? getU64(view, at + 24) : view.getUint32(at + 24);
    this.#inputStart = at + this.#requestSize;
    if (command === Command.write) this.#write(flags);
    else if (extended && (flags & CommandFlag.payloadLength) !== 0) this.#unwantedPayload();
    else if (command === Command.read && flags === 0) this.#read();
    else this.#other(command, flags);
  }

  #other(command: number, flags: number): void {
    if (command === Command.disconnect) {
      this.#ended = true;
      return;
    }
    const known = KNOWN_FLAGS[command];
    if (known === undefined) return this.#fail(NbdErrno.EINVAL, `command ${command} is not known`);
    if ((flags & ~known) !== 0)
      return this.#fail(NbdErrno.EINVAL, `flags 0x${flags.toString(16)} do not go with command ${command}`);
    switch (command) {
      case Command.read:
        return this.#read();
      case Command.flush:
        return this.#change(() => this.#flushDevice());
      case Command.trim:
        return this.#trim(flags);
      case Command.writeZeroes:
        return this.#zero(flags);
      case Command.cache:
        return this.#cache();
      default:
        return this.#blockStatus(flags);
    }
  }

  // Reads

  #read(): void {
    const length = this.#length;
    if (!this.#isWithin(NbdErrno.EINVAL, 'read')) return;
    if (length > MAX_PAYLOAD)
      return this.#fail(NbdErrno.EINVAL, `a read has ${length} bytes, ${MAX_PAYLOAD} are allowed`);
    if (length === 0) return this.#succeedEmptyRead();
    const shortcuts = this.#shortcuts;
    if (length >= STRAIGHT && shortcuts?.sendFile !== undefined && shortcuts.isOpen) {
      this.#makeRoom(this.#readHeader);
      this.#readHeaderAt(this.#outputEnd, length, false);
      this.#outputEnd += this.#readHeader;
      this.#flushOutput();
      this.#endLateRead(length, shortcuts.sendFile(this.#offset, length));
      return;
    }
    const room = this.#out.length - this.#readHeader;
    if (this.#outputEnd + length > room) this.#flushOutput();
    if (length >= STRAIGHT && this.#outputEnd === this.#outputStart) this.#alignOutput();
    const at = this.#outputEnd + this.#readHeader;
    const first = Math.min(length, this.#out.length - at);
    // The first part is read before the header goes out, so that an error can still be told in its place.
    const failure = this.#readInto(this.#offset, at, first);
    if (failure !== undefined) return this.#failWith(failure);
    this.#readHeaderAt(this.#outputEnd, length, first === length);
    this.#outputEnd = at + first;
    if (this.#outputEnd - this.#outputStart >= BATCH) this.#flushOutput();
    if (first < length) this.#readRest(first);
  }

  /** The reply to a read that is larger than the buffer goes out in parts. */
  #readRest(from: number): void {
    const length = this.#length;
    this.#flushOutput();
    for (let done = from; done < length;) {
      this.#outputStart = (this.#phase + this.#offset + done) % PAGE;
      const within = Math.min(length - done, this.#out.length - this.#outputStart);
      if (this.#readInto(this.#offset + done, this.#outputStart, within) !== undefined) {
        this.#outputEnd = this.#outputStart = BUFFER_START;
        return this.#endLateRead(length, done);
      }
      this.#outputEnd = this.#outputStart + within;
      this.#flushOutput();
      done += within;
    }
    this.#endLateRead(length, length);
  }

  #readInto(offset: number, at: number, length: number): unknown {
    const shortcuts = this.#shortcuts;
    try {
      if (shortcuts !== undefined && shortcuts.isOpen && shortcuts.read(offset, at, length)) return undefined;
      this.#device.read(offset, this.#out.subarray(at, at + length));
      return undefined;
    } catch (error) {
      return error ?? new Error('the device cannot be read');
    }
  }

  /**
   * The header of a read is out, and `sent` of its data. Where that is not all, the rest are zeros, and a chunk says that
   * they are none. A simple reply has no such chunk: the only way to take it back is to end the connection.
   */
  #endLateRead(length: number, sent: number): void {
    if (!this.#terms.structuredReplies) {
      if (sent < length) this.#ended = true;
      return;
    }
    if (sent === length) {
      this.#makeRoom(EXTENDED_REPLY_SIZE);
      this.#outputEnd = this.#chunkHeader(this.#outputEnd, REPLY_FLAG_DONE, ReplyType.none, 0);
      return;
    }
    this.#out.fill(0);
    for (let done = sent; done < length;) {
      const count = Math.min(length - done, this.#out.length);
      this.#transport.send(0, count);
      done += count;
    }
    this.#errorChunk(NbdErrno.EIO, 'the device cannot be read', this.#offset + sent);
  }

  /** Starts a batch so that its data lies in the page as it does in the file. */
  #alignOutput(): void {
    const start = (this.#phase + this.#offset + PAGE - this.#readHeader) % PAGE;
    this.#outputStart = start;
    this.#outputEnd = start;
  }

  #readHeaderAt(at: number, length: number, isLast: boolean): void {
    const view = this.#outView;
    if (!this.#terms.structuredReplies) {
      view.setUint32(at, NBD_SIMPLE_REPLY_MAGIC);
      view.setUint32(at + 4, 0);
      view.setUint32(at + 8, this.#cookieHigh);
      view.setUint32(at + 12, this.#cookieLow);
      return;
    }
    const end = this.#chunkHeader(at, isLast ? REPLY_FLAG_DONE : 0, ReplyType.offsetData, length + 8);
    setU64(view, end, this.#offset);
  }

  #succeedEmptyRead(): void {
    if (!this.#terms.structuredReplies) return this.#simpleReply(0);
    this.#makeRoom(EXTENDED_REPLY_SIZE);
    this.#outputEnd = this.#chunkHeader(this.#outputEnd, REPLY_FLAG_DONE, ReplyType.none, 0);
  }

  // Writes

  #write(flags: number): void {
    const length = this.#length;
    const known = CommandFlag.fua | (this.#terms.extendedHeaders ? CommandFlag.payloadLength : 0);
    // Past such a length there is nothing to be found that would be worth waiting for.
    if (length > 2 * MAX_PAYLOAD) {
      this.#ended = true;
      return;
    }
    this.#payloadError = 0;
    this.#payloadText = '';
    if ((flags & ~known) !== 0)
      this.#refusePayload(NbdErrno.EINVAL, `flags 0x${flags.toString(16)} do not go with a write`);
    else if (this.#device.readOnly) this.#refusePayload(NbdErrno.EPERM, 'the export is read-only');
    else if (length > MAX_PAYLOAD)
      this.#refusePayload(NbdErrno.EINVAL, `a write has ${length} bytes, ${MAX_PAYLOAD} are allowed`);
    else if (this.#offset + length > this.#device.size)
      this.#refusePayload(NbdErrno.ENOSPC, this.#pastEnd('write'));
    this.#payloadOffset = this.#offset;
    this.#payloadLeft = length;
    this.#payloadFua = (flags & CommandFlag.fua) !== 0;
    if (length === 0) this.#endPayload();
    else if (length >= STRAIGHT && this.#payloadError === 0 && this.inputEnd - this.#inputStart < length)
      this.#writeStraight();
  }

  #unwantedPayload(): void {
    if (this.#length > 2 * MAX_PAYLOAD) {
      this.#ended = true;
      return;
    }
    this.#refusePayload(NbdErrno.EINVAL, 'this command takes no payload');
    this.#payloadLeft = this.#length;
    this.#payloadFua = false;
    if (this.#length === 0) this.#endPayload();
  }

  #refusePayload(errno: number, text: string): void {
    this.#payloadError = errno;
    this.#payloadText = text;
  }

  /** Writes what is there of a payload that came in part, and has the rest go from the socket to the file. */
  #writeStraight(): void {
    const shortcuts = this.#shortcuts;
    if (shortcuts?.receiveToFile === undefined || !shortcuts.isOpen) return;
    const have = this.inputEnd - this.#inputStart;
    if (have > 0) this.#takePayload(have);
    if (this.#payloadLeft === 0 || this.#payloadError !== 0) return;
    // Whoever waits for earlier answers gets them before this thread waits for the payload.
    this.#flushOutput();
    const { taken, ok } = shortcuts.receiveToFile(this.#payloadOffset, this.#payloadLeft);
    this.#payloadOffset += taken;
    this.#payloadLeft -= taken;
    if (!ok) this.#refusePayload(NbdErrno.EIO, 'the device cannot be written');
    if (this.#payloadLeft === 0) this.#endPayload();
  }

  /** False when there is nothing to do until more has come. */
  #takePayload(have: number): boolean {
    const count = Math.min(have, this.#payloadLeft);
    if (count === 0) return false;
    if (this.#payloadError === 0) this.#writePart(count);
    this.#inputStart += count;
    this.#payloadOffset += count;
    this.#payloadLeft -= count;
    if (this.#payloadLeft > 0) return false;
    this.#endPayload();
    return true;
  }

  #writePart(count: number): void {
    const at = this.#inputStart;
    const shortcuts = this.#shortcuts;
    try {
      if (shortcuts !== undefined && shortcuts.isOpen && shortcuts.write(this.#payloadOffset, at, count))
        return;
      this.#device.write(this.#payloadOffset, this.#in.subarray(at, at + count));
    } catch (error) {
      this.#refusePayload(errnoOf(error), textOf(error));
    }
  }

  #endPayload(): void {
    if (this.#payloadError !== 0) return this.#fail(this.#payloadError, this.#payloadText);
    if (!this.#payloadFua) return this.#succeed();
    this.#change(() => this.#flushDevice());
  }

  // Everything else

  #trim(flags: number): void {
    if (this.#device.readOnly) return this.#fail(NbdErrno.EPERM, 'the export is read-only');
    if ((this.#terms.flags & ExportFlag.sendTrim) === 0)
      return this.#fail(NbdErrno.EINVAL, 'this export cannot be trimmed');
    if (!this.#isWithin(NbdErrno.EINVAL, 'trim')) return;
    this.#change(() => {
      this.#inSteps(RANGE_STEP, (offset, length) => discardRange(this.#device, offset, length));
      if ((flags & CommandFlag.fua) !== 0) this.#flushDevice();
    });
  }

  #zero(flags: number): void {
    if (this.#device.readOnly) return this.#fail(NbdErrno.EPERM, 'the export is read-only');
    if (!this.#isWithin(NbdErrno.ENOSPC, 'zero')) return;
    const noHole = (flags & CommandFlag.noHole) !== 0;
    const canBeFast = !noHole && (this.#terms.flags & ExportFlag.sendFastZero) !== 0;
    if ((flags & CommandFlag.fastZero) !== 0 && !canBeFast)
      return this.#fail(NbdErrno.ENOTSUP, 'zeros would have to be written');
    this.#change(() => {
      if (noHole)
        this.#inSteps(ZEROS.length, (offset, length) =>
          this.#device.write(offset, ZEROS.subarray(0, length)),
        );
      else this.#inSteps(RANGE_STEP, (offset, length) => zeroRange(this.#device, offset, length));
      if ((flags & CommandFlag.fua) !== 0) this.#flushDevice();
    });
  }

  #inSteps(step: number, body: (offset: number, length: number) => void): void {
    for (let done = 0; done < this.#length; done += step)
      body(this.#offset + done, Math.min(step, this.#length - done));
  }

  #cache(): void {
    if (!this.#isWithin(NbdErrno.EINVAL, 'cache')) return;
    if (this.#shortcuts?.isOpen === true) this.#shortcuts.prefetch?.(this.#offset, this.#length);
    this.#succeed();
  }

  #flushDevice(): void {
    if (this.#shortcuts?.isOpen === true && this.#shortcuts.flush()) return;
    this.#device.flush();
  }

  #change(body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#failWith(error);
      return;
    }
    this.#succeed();
  }

  #blockStatus(flags: number): void {
    if (!this.#terms.baseAllocation) return this.#fail(NbdErrno.EINVAL, 'no metadata context was chosen');
    if (!this.#isWithin(NbdErrno.EINVAL, 'block status')) return;
    if (this.#length === 0) return this.#fail(NbdErrno.EINVAL, 'block status of 0 bytes');
    try {
      const most = (flags & CommandFlag.reqOne) !== 0 ? 1 : MAX_EXTENTS;
      this.#statusReply(this.#extents(most));
    } catch (error) {
      this.#failWith(error);
    }
  }

  /** Extents of one state each, neighbours put together, at most `most`. */
  #extents(most: number): Extent[] {
    const found: { offset: number; length: number; kind: Extent['kind'] }[] = [];
    for (const { offset, length, kind } of extentsOf(this.#device, this.#offset, this.#length)) {
      const last = found.at(-1);
      if (last?.kind === kind) last.length += length;
      else if (found.length === most) break;
      else found.push({ offset, length, kind });
    }
    return found;
  }

  #statusReply(extents: readonly Extent[]): void {
    const extended = this.#terms.extendedHeaders;
    const prefix = extended ? 8 : 4;
    const entry = extended ? 16 : 8;
    this.#makeRoom(EXTENDED_REPLY_SIZE + prefix + entry * extents.length);
    const type = extended ? ReplyType.blockStatusExtended : ReplyType.blockStatus;
    const length = prefix + entry * extents.length;
    const view = this.#outView;
    let at = this.#chunkHeader(this.#outputEnd, REPLY_FLAG_DONE, type, length);
    view.setUint32(at, BASE_ALLOCATION_ID);
    if (extended) view.setUint32(at + 4, extents.length);
    at += prefix;
    for (const extent of extents) {
      const state =
        extent.kind === 'data'
          ? 0
          : extent.kind === 'zero'
            ? AllocationState.zero
            : AllocationState.zero | AllocationState.hole;
      if (extended) {
        setU64(view, at, extent.length);
        setU64(view, at + 8, state);
      } else {
        view.setUint32(at, extent.length);
        view.setUint32(at + 4, state);
      }
      at += entry;
    }
    this.#outputEnd = at;
  }

  // Replies

  #isWithin(errno: number, what: string): boolean {
    if (this.#offset + this.#length <= this.#device.size) return true;
    this.#fail(errno, this.#pastEnd(what));
    return false;
  }

  #pastEnd(what: string): string {
    return `${what} of ${this.#length} bytes at byte ${this.#offset}: the export ends at byte ${this.#device.size}`;
  }

  #succeed(): void {
    // A reply without data may be simple even where replies are structured; but not to a read.
    if (!this.#terms.extendedHeaders) return this.#simpleReply(0);
    this.#makeRoom(EXTENDED_REPLY_SIZE);
    this.#outputEnd = this.#chunkHeader(this.#outputEnd, REPLY_FLAG_DONE, ReplyType.none, 0);
  }

  #simpleReply(errno: number): void {
    this.#makeRoom(SIMPLE_REPLY_SIZE);
    const view = this.#outView;
    const at = this.#outputEnd;
    view.setUint32(at, NBD_SIMPLE_REPLY_MAGIC);
    view.setUint32(at + 4, errno);
    view.setUint32(at + 8, this.#cookieHigh);
    view.setUint32(at + 12, this.#cookieLow);
    this.#outputEnd = at + SIMPLE_REPLY_SIZE;
  }

  #failWith(error: unknown): void {
    this.#fail(errnoOf(error), textOf(error));
  }

  #fail(errno: number, text: string): void {
    if (this.#terms.structuredReplies) this.#errorChunk(errno, text);
    else this.#simpleReply(errno);
  }

  #errorChunk(errno: number, text: string, offset?: number): void {
    const message = text.slice(0, MAX_ERROR_TEXT);
    const textLength = utf8Length(message);
    const length = 6 + textLength + (offset === undefined ? 0 : 8);
    this.#makeRoom(EXTENDED_REPLY_SIZE + length);
    const type = offset === undefined ? ReplyType.error : ReplyType.errorOffset;
    const at = this.#chunkHeader(this.#outputEnd, REPLY_FLAG_DONE, type, length);
    this.#outView.setUint32(at, errno);
    this.#outView.setUint16(at + 4, textLength);
    encodeUtf8Into(message, this.#out, at + 6);
    if (offset !== undefined) setU64(this.#outView, at + 6 + textLength, offset);
    this.#outputEnd = at + length;
  }

  /** Gives the place of the payload. */
  #chunkHeader(at: number, flags: number, type: number, length: number): number {
    const view = this.#outView;
    const extended = this.#terms.extendedHeaders;
    view.setUint32(at, extended ? NBD_EXTENDED_REPLY_MAGIC : NBD_STRUCTURED_REPLY_MAGIC);
    view.setUint16(at + 4, flags);
    view.setUint16(at + 6, type);
    view.setUint32(at + 8, this.#cookieHigh);
    view.setUint32(at + 12, this.#cookieLow);
    if (!extended) {
      view.setUint32(at + 16, length);
      return at + STRUCTURED_REPLY_SIZE;
    }
    setU64(view, at + 16, this.#offset);
    setU64(view, at + 24, length);
    return at + EXTENDED_REPLY_SIZE;
  }

  #makeRoom(length: number): void {
    if (this.#outputEnd + length > this.#out.length) this.#flushOutput();
  }

  #flushOutput(): void {
    if (this.#outputEnd > this.#outputStart) this.#transport.send(this.#outputStart, this.#outputEnd);
    this.#outputStart = BUFFER_START;
    this.#outputEnd = BUFFER_START;
  }
}

const ERRNO_OF_CODE: Readonly<Record<string, number>> = {
  EPERM: NbdErrno.EPERM,
  EACCES: NbdErrno.EPERM,
  EROFS: NbdErrno.EPERM,
  ENOMEM: NbdErrno.ENOMEM,
  EINVAL: NbdErrno.EINVAL,
  ENOSPC: NbdErrno.ENOSPC,
  EFBIG: NbdErrno.ENOSPC,
  EDQUOT: NbdErrno.ENOSPC,
  EOPNOTSUPP: NbdErrno.ENOTSUP,
};

function errnoOf(error: unknown): number {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return (typeof code === 'string' ? ERRNO_OF_CODE[code] : undefined) ?? NbdErrno.EIO;
}

function textOf(error: unknown): string {
  if (error instanceof FsError) return error.detail ?? error.text;
  return error instanceof Error ? error.message : String(error);
}
