import type { BlockDevice } from '../device/block-device.ts';
import { viewOf } from '../bytes/struct.ts';
import {
  Command,
  CommandFlag,
  EXTENDED_REQUEST_SIZE,
  NBD_EXTENDED_REQUEST_MAGIC,
  NBD_REQUEST_MAGIC,
  NbdErrno,
  REQUEST_SIZE,
} from './protocol.ts';
import { RangeCommands } from './range-commands.ts';
import { errnoOf, ReplyBatch, textOf } from './reply-batch.ts';
import { MAX_PAYLOAD } from './server-handshake.ts';
import {
  BUFFER_START,
  type SessionTerms,
  type SessionTransport,
  type Shortcuts,
} from './session-transport.ts';
import { getU64 } from './wire.ts';

/** A reply batch is sent when it has this many bytes: enough for few calls, little enough for the second-level cache. */
const BATCH = 256 << 10;
/** Transfers from here on take the way without copies. */
const STRAIGHT = 64 << 10;
const PAGE = 4096;

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
  readonly #replies: ReplyBatch;
  readonly #ranges: RangeCommands;
  readonly #phase: number;
  readonly #requestSize: number;
  #inputStart = BUFFER_START;
  // The request that is being answered.
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
    this.#replies = new ReplyBatch(terms, transport);
    this.#ranges = new RangeCommands(device, terms, this.#replies, transport.shortcuts);
    this.#phase = transport.filePhase ?? 0;
    this.#requestSize = terms.extendedHeaders ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE;
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
      this.#replies.flush();
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
    this.#offset = getU64(view, at + 16);
    this.#replies.answer(view.getUint32(at + 8), view.getUint32(at + 12), this.#offset);
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
    if (known === undefined) return this.#replies.fail(NbdErrno.EINVAL, `command ${command} is not known`);
    if ((flags & ~known) !== 0)
      return this.#replies.fail(
        NbdErrno.EINVAL,
        `flags 0x${flags.toString(16)} do not go with command ${command}`,
      );
    switch (command) {
      case Command.read:
        return this.#read();
      case Command.flush:
        return this.#ranges.flush();
      case Command.trim:
        return this.#ranges.trim(this.#offset, this.#length, flags);
      case Command.writeZeroes:
        return this.#ranges.zero(this.#offset, this.#length, flags);
      case Command.cache:
        return this.#ranges.cache(this.#offset, this.#length);
      default:
        return this.#ranges.blockStatus(this.#offset, this.#length, flags);
    }
  }

  // Reads

  #read(): void {
    const length = this.#length;
    if (!this.#ranges.isWithin(this.#offset, length, NbdErrno.EINVAL, 'read')) return;
    const replies = this.#replies;
    if (length > MAX_PAYLOAD)
      return replies.fail(NbdErrno.EINVAL, `a read has ${length} bytes, ${MAX_PAYLOAD} are allowed`);
    if (length === 0) return replies.succeedEmptyRead();
    const shortcuts = this.#shortcuts;
    const headerSize = replies.readHeaderSize;
    if (length >= STRAIGHT && shortcuts?.sendFile !== undefined && shortcuts.isOpen) {
      replies.makeRoom(headerSize);
      replies.readHeaderAt(replies.end, length, false);
      replies.end += headerSize;
      replies.flush();
      this.#endLateRead(length, shortcuts.sendFile(this.#offset, length));
      return;
    }
    const { output } = replies;
    if (replies.end + length > output.length - headerSize) replies.flush();
    if (length >= STRAIGHT && replies.end === replies.start) replies.alignDataTo(this.#phase + this.#offset);
    const at = replies.end + headerSize;
    const first = Math.min(length, output.length - at);
    // The first part is read before the header goes out, so that an error can still be told in its place.
    const failure = this.#readInto(this.#offset, at, first);
    if (failure !== undefined) return replies.failWith(failure);
    replies.readHeaderAt(replies.end, length, first === length);
    replies.end = at + first;
    if (replies.end - replies.start >= BATCH) replies.flush();
    if (first < length) this.#readRest(first);
  }

  /** The reply to a read that is larger than the buffer goes out in parts. */
  #readRest(from: number): void {
    const length = this.#length;
    const replies = this.#replies;
    replies.flush();
    for (let done = from; done < length;) {
      const start = (this.#phase + this.#offset + done) % PAGE;
      const within = Math.min(length - done, replies.output.length - start);
      if (this.#readInto(this.#offset + done, start, within) !== undefined) {
        return this.#endLateRead(length, done);
      }
      replies.start = start;
      replies.end = start + within;
      replies.flush();
      done += within;
    }
    this.#endLateRead(length, length);
  }

  #readInto(offset: number, at: number, length: number): unknown {
    const shortcuts = this.#shortcuts;
    try {
      if (shortcuts !== undefined && shortcuts.isOpen && shortcuts.read(offset, at, length)) return undefined;
      this.#device.read(offset, this.#replies.output.subarray(at, at + length));
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
      this.#replies.endChunks();
      return;
    }
    const { output } = this.#replies;
    output.fill(0);
    for (let done = sent; done < length;) {
      const count = Math.min(length - done, output.length);
      this.#transport.send(0, count);
      done += count;
    }
    this.#replies.errorChunk(NbdErrno.EIO, 'the device cannot be read', this.#offset + sent);
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
      this.#refusePayload(NbdErrno.ENOSPC, this.#ranges.pastEnd(this.#offset, length, 'write'));
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
    this.#replies.flush();
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
    if (this.#payloadError !== 0) return this.#replies.fail(this.#payloadError, this.#payloadText);
    if (!this.#payloadFua) return this.#replies.succeed();
    this.#ranges.flush();
  }
}
