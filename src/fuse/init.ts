import { UnsupportedError } from '../errors.ts';
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_MIN_READ_BUFFER,
  FUSE_OLDEST_MINOR_VERSION,
  InitFlag,
  InitFlag2,
} from './protocol.ts';
import { InitIn, InitOut } from './structures.ts';
import type { FuseReply } from './reply.ts';
import type { FuseRequest } from './request.ts';

/** What a server asks for; it gets what the kernel also offers. */
export interface FuseWishes {
  /** Bits of InitFlag; INIT_EXT, MAX_PAGES and BIG_WRITES go without saying. */
  readonly flags: number;
  /** Bits of InitFlag2. */
  readonly flags2: number;
  /** Longest WRITE, and READ, too: bytes, a multiple of the page size. At most 1 MiB unless root has raised fs.fuse.max_pages_limit. */
  readonly maxWrite: number;
  /** Requests that may be under way which nobody waits for: readahead, asynchronous direct I/O. Users other than root are kept to fs.fuse.max_user_bgreq. */
  readonly maxBackground: number;
  /** Steps of the times that the file system keeps, nanoseconds; 1 to 1e9. Default 1. */
  readonly timeGranularity?: number;
  /** Bytes. Default: what the kernel offers. */
  readonly maxReadahead?: number;
}

/** What both sides have agreed on. */
export interface FuseAgreement {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxWrite: number;
  readonly maxReadahead: number;
}

/** Bytes of a page of every machine that FUSE's max_pages is counted for here. */
const PAGE = 4096;

/** Bytes of the buffer into which read(2) must be done: `maxWrite` and a page for the headers. */
export function requestBufferSize(maxWrite: number): number {
  return Math.max(FUSE_MIN_READ_BUFFER, maxWrite + PAGE);
}

/** The answer to an INIT request; `agreement` is undefined when the kernel is to ask again for our major version. UnsupportedError: too old a kernel. */
export function answerInit(
  request: FuseRequest,
  reply: FuseReply,
  wishes: FuseWishes,
): { readonly length: number; readonly agreement: FuseAgreement | undefined } {
  const major = request.get(InitIn.major);
  const kernelMinor = request.get(InitIn.minor);
  reply.clear(InitOut.$size);
  reply.set(InitOut.major, FUSE_KERNEL_VERSION);
  reply.set(InitOut.minor, FUSE_KERNEL_MINOR_VERSION);
  if (major > FUSE_KERNEL_VERSION)
    return { length: reply.done(request, InitOut.$size), agreement: undefined };
  if (major < FUSE_KERNEL_VERSION || kernelMinor < FUSE_OLDEST_MINOR_VERSION) {
    throw new UnsupportedError(
      `The kernel speaks FUSE protocol ${major}.${kernelMinor}, needed is ${FUSE_KERNEL_VERSION}.${FUSE_OLDEST_MINOR_VERSION} (Linux 5.2) or later`,
      [`FUSE ${major}.${kernelMinor}`],
    );
  }
  const offered = request.get(InitIn.flags);
  const offered2 = (offered & InitFlag.INIT_EXT) === 0 ? 0 : request.get(InitIn.flags2);
  const always = InitFlag.BIG_WRITES | InitFlag.MAX_PAGES | InitFlag.INIT_EXT;
  const flags = (offered & (wishes.flags | always)) >>> 0;
  const flags2 = (offered2 & wishes.flags2 & ~InitFlag2.HAS_RESEND) >>> 0;
  const maxReadahead = Math.min(
    request.get(InitIn.max_readahead),
    wishes.maxReadahead ?? Number.POSITIVE_INFINITY,
  );
  const minor = Math.min(kernelMinor, FUSE_KERNEL_MINOR_VERSION);
  reply.set(InitOut.minor, minor);
  reply.set(InitOut.max_readahead, maxReadahead);
  reply.set(InitOut.flags, flags);
  reply.set(InitOut.flags2, flags2);
  reply.set(InitOut.max_background, wishes.maxBackground);
  reply.set(InitOut.congestion_threshold, Math.ceil(wishes.maxBackground * 0.75));
  reply.set(InitOut.max_write, wishes.maxWrite);
  reply.set(InitOut.time_gran, wishes.timeGranularity ?? 1);
  reply.set(InitOut.max_pages, Math.ceil(wishes.maxWrite / PAGE));
  return {
    length: reply.done(request, InitOut.$size),
    agreement: { minor, flags, flags2, maxWrite: wishes.maxWrite, maxReadahead },
  };
}
