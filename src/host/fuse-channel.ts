import { ERRNO, FsError } from '../errors.ts';
import { IN_HEADER_SIZE, FuseRequest } from '../fuse/request.ts';
import { FuseReply } from '../fuse/reply.ts';
import { requestBufferSize } from '../fuse/init.ts';
import { Opcode } from '../fuse/protocol.ts';
import { ReadIn } from '../fuse/structures.ts';
import { nativeError } from './native-error.ts';
import { fixedMemory, sharedMemory } from './native-memory.ts';
import { drain, isReady, type NativePoll, nativePoll, pollSet } from './native-poll.ts';
import { SpinWait } from './spin-wait.ts';
import type { Waiting } from './waiting.ts';

/** Why a channel has ended: the mount is gone, the kernel or somebody has broken the connection, or `stop` was called. */
export type ChannelEnd = 'unmounted' | 'aborted' | 'stopped';

export interface FuseHandlers {
  /**
   * Answers a request: the length of the reply in `reply.bytes`; 0 when there is none to send. What it throws is the reply: the errno of
   * an FsError, else EIO, and `failed` is told.
   */
  handle(request: FuseRequest, reply: FuseReply): number;
  /** `wakeFd` was written to. */
  woken?(): void;
  /** Nothing is left to be read: before the thread sleeps. The number of milliseconds after which `idle` is called again when nothing happens; without end when undefined. */
  idle?(): number | undefined;
  /** Of errors that are not FsErrors. */
  failed?(error: unknown, request: FuseRequest): void;
}

export interface FuseChannelOptions {
  /** Of /dev/fuse. It is made non-blocking. */
  readonly fd: number;
  /** Bytes of data of the longest request and reply. */
  readonly maxWrite: number;
  /** An eventfd that wakes the thread; the channel drains it. */
  readonly wakeFd?: number;
  /** Where requests are read to at first; see `shareableRequest`. */
  readonly request?: FuseRequest;
  /** How the thread waits for the next request; a SpinWait when absent. */
  readonly wait?: Waiting;
}

const EINTR = 4;
const EAGAIN = 11;
const ENODEV = 19;
const ECONNABORTED = 103;
const ENOTCONN = 107;
/** ALIGN: the data of a WRITE lies 80 bytes into a request, that of a READ 16 into a reply; both begin a cache line this way. */
const ALIGN = 64;
const LEAD = ALIGN - (80 % ALIGN);
const REPLY_LEAD = ALIGN - 16;
/** Requests that may wait for others: each has memory of its own from then on. */
const MAX_WAITING = 8;
/** Requests that move so many bytes are long ones. */
const LONG = 1 << 16;

/**
 * One thread's loop over a /dev/fuse descriptor: several threads may each have one on the same descriptor. The read does not block, so that
 * the thread can be woken: a thread in a blocking read can neither be stopped nor told anything until the kernel has a request for it.
 */
export class FuseChannel {
  /** Where requests are read to. May be changed from within a handler, for the requests that come next. */
  request: FuseRequest;
  readonly reply: FuseReply;
  /** Requests answered one after the other without the queue having been empty. */
  backlog = 0;
  readonly #fd: number;
  readonly #wakeFd: number;
  readonly #poll: NativePoll;
  readonly #wait: Waiting;
  readonly #requestLength: number;
  /** Of requests that are answered while others wait, by how many of these there are. */
  readonly #inner: FuseRequest[] = [];
  #waiting = 0;
  #stopped = false;

  constructor(options: FuseChannelOptions) {
    const poll = nativePoll();
    if (poll === undefined) throw new Error('FUSE needs the optional package koffi');
    this.#poll = poll;
    this.#fd = options.fd;
    this.#wakeFd = options.wakeFd ?? -1;
    this.#wait = options.wait ?? new SpinWait();
    poll.setNonBlocking(options.fd);
    const length = requestBufferSize(options.maxWrite);
    this.#requestLength = length;
    this.request = options.request ?? requestOf(length);
    this.reply = new FuseReply(fixedMemory(length + REPLY_LEAD, ALIGN).subarray(REPLY_LEAD));
  }

  /** Ends `run` after the request that is being handled. From within a handler; from elsewhere, have `woken` call it. */
  stop(): void {
    this.#stopped = true;
  }

  /** Serves until there is nothing more to serve. */
  run(handlers: FuseHandlers): ChannelEnd {
    const set = pollSet(this.#fd, this.#wakeFd);
    for (;;) {
      if (this.#stopped) return 'stopped';
      const { request } = this;
      const length = this.#poll.read(this.#fd, request.bytes, request.bytes.length);
      if (length >= IN_HEADER_SIZE) {
        this.backlog++;
        this.#wait.met(request.pid, isLong(request, length));
        this.#answer(handlers, request);
        continue;
      }
      switch (-length) {
        case EAGAIN: {
          this.backlog = 0;
          if (this.#wait.missed()) break;
          const timeout = handlers.idle?.();
          if (this.#stopped) break;
          if (this.#sleep(set, timeout ?? -1) > 0 && isReady(set, 1)) {
            drain(this.#wakeFd);
            handlers.woken?.();
          }
          break;
        }
        case ENODEV:
          return 'unmounted';
        case ECONNABORTED:
        case ENOTCONN:
          return 'aborted';
        case EINTR:
        // The request was interrupted and is gone.
        case ERRNO.ENOENT[0]:
          break;
        default:
          throw nativeError('read', { path: '/dev/fuse', errno: -length });
      }
    }
  }

  /**
   * From within a handler, whose request stays as it is while the reply does not: answers what else the kernel has at the moment, at most so many
   * requests. The handlers of these may do the same, up to `MAX_WAITING` deep.
   */
  answerOthers(handlers: FuseHandlers, most: number): void {
    const depth = this.#waiting;
    if (depth === MAX_WAITING) return;
    const request = (this.#inner[depth] ??= requestOf(this.#requestLength));
    this.#waiting++;
    try {
      for (let i = 0; i < most && !this.#stopped; i++) {
        // Whatever keeps it from being read, an end of the mount among it, `run` sees again.
        if (this.#poll.read(this.#fd, request.bytes, request.bytes.length) < IN_HEADER_SIZE) return;
        this.#answer(handlers, request);
      }
    } finally {
      this.#waiting--;
    }
  }

  /** Sends a notification or another message as it is. False: the kernel does not know what it is about. */
  send(message: Uint8Array): boolean {
    return this.#poll.write(this.#fd, message, message.length) === message.length;
  }

  /** How many descriptors are ready. */
  #sleep(set: Int32Array, milliseconds: number): number {
    const { restAfter } = this.#wait;
    if (restAfter === undefined || (milliseconds >= 0 && milliseconds <= restAfter))
      return this.#poll.poll(set, milliseconds);
    const ready = this.#poll.poll(set, restAfter);
    if (ready > 0) return ready;
    this.#wait.rest();
    return this.#poll.poll(set, milliseconds);
  }

  #answer(handlers: FuseHandlers, request: FuseRequest): void {
    const { reply } = this;
    let length: number;
    try {
      length = handlers.handle(request, reply);
    } catch (error) {
      const isForget = request.opcode === Opcode.FORGET || request.opcode === Opcode.BATCH_FORGET;
      length = isForget ? 0 : reply.error(request, errnoOf(error));
      if (!(error instanceof FsError)) handlers.failed?.(error, request);
    }
    if (length === 0) return;
    const written = this.#poll.write(this.#fd, reply.bytes, length);
    // The kernel found the reply malformed: the caller must not wait for ever. Any other failure means that nobody waits.
    if (written === -ERRNO.EINVAL[0])
      this.#poll.write(this.#fd, reply.bytes, reply.error(request, ERRNO.EIO[0]));
  }
}

function isLong(request: FuseRequest, length: number): boolean {
  return length >= LONG || (request.opcode === Opcode.READ && request.get(ReadIn.size) >= LONG);
}

function requestOf(length: number): FuseRequest {
  return new FuseRequest(fixedMemory(length + LEAD, ALIGN).subarray(LEAD));
}

/** Memory for a request, of which other threads can be given what it holds. `maxWrite`: as the channel's. */
export function shareableRequest(maxWrite: number): FuseRequest {
  return new FuseRequest(sharedMemory(requestBufferSize(maxWrite) + LEAD, ALIGN).subarray(LEAD));
}

/** The positive errno that tells a caller of this error. */
export function errnoOf(error: unknown): number {
  if (error instanceof FsError) return -error.errno;
  const errno = (error as NodeJS.ErrnoException | undefined)?.errno;
  return typeof errno === 'number' && errno < 0 && errno > -4096 ? -errno : ERRNO.EIO[0];
}
