import os from 'node:os';
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { type BlockDevice } from '../device/block-device.ts';
import { SliceDevice } from '../device/slice-device.ts';
import { FsError, UnsupportedError } from '../errors.ts';
import { probeFileSystem } from '../filesystem/drivers.ts';
import type { FileSystem } from '../filesystem/file-system.ts';
import { type Cached, FileSystemSession, MAX_WRITE } from '../fuse/file-system-session.ts';
import { Opcode } from '../fuse/protocol.ts';
import { ReadIn } from '../fuse/structures.ts';
import { type FuseReply, OUT_HEADER_SIZE } from '../fuse/reply.ts';
import type { FuseRequest } from '../fuse/request.ts';
import { CallerProcessor } from '../host/caller-processor.ts';
import { type Gate, GateRequest, gatesOf } from '../host/device-gate.ts';
import { openShare, ShareWord } from '../host/device-share.ts';
import {
  type ChannelEnd,
  errnoOf,
  FuseChannel,
  type FuseHandlers,
  shareableRequest,
} from '../host/fuse-channel.ts';
import { LendingDevice } from '../host/lending-device.ts';
import { SpinWait } from '../host/spin-wait.ts';
import { SplicePipe } from '../host/splice-pipe.ts';
import { encodeError } from './error-transport.ts';
import { mappedIds } from './id-map.ts';
import type { MountCommand, MountEvent, MountWorkerData } from './mount-messages.ts';
import type { MountRequest } from './mount-request.ts';
import { SignsOfLife } from './signs-of-life.ts';
import { WatchedDevice } from './watched-device.ts';

/** How long nothing must happen before what is held back is written down. */
const QUIET_MILLISECONDS = 1000;
/** And how long it may be held back at most, unless the mount says otherwise. */
const HELD_MILLISECONDS = 5000;
/** Requests between two looks at the clock, and at the gate, while there is always another one. */
const LOOK_EVERY = 128;
/** READs from this on are spliced: below, two more system calls cost more than the copy. */
const SPLICE_FROM = 1 << 16;
/** And to this: pipes have 1 MiB at most for whom root has not given more, and the header takes a page. */
const SPLICE_TO = 1 << 19;

/** Memories for requests: of those that the kernel sends one after the other, so many may still be on their way to the file. */
const REQUEST_MEMORIES = 3;
/** The kernel lets eight requests pass before those that forget, of which there are as many again at most. */
const PASSED_FORGETS = 16;

const NOTHING: Cached = { nodes: [], entries: [], hasEpochs: false };

/** The thread of a mounted file system: opens it, waits to be told of the mount, and serves that to its end. */
export function runMountServer(data: MountWorkerData, port: MessagePort): void {
  const post = (event: MountEvent): void => port.postMessage(event);
  const requests = Array.from({ length: REQUEST_MEMORIES }, () => shareableRequest(MAX_WRITE));
  let slice: SliceDevice;
  let lending: LendingDevice | undefined;
  let device: WatchedDevice;
  let session: FileSystemSession;
  let fs: FileSystem;
  try {
    const content = openShare(data.share).content;
    const { withoutBarriers } = data.request.options;
    slice = new SliceDevice(content, data.range.offset, data.range.size);
    const { fd, overlay, offset } = data.share;
    if (overlay === undefined && !slice.readOnly) {
      const memories = requests.map((request) => request.bytes.buffer as SharedArrayBuffer);
      lending = new LendingDevice(slice, { fd, position: offset + data.range.offset }, memories);
    }
    device = new WatchedDevice(lending ?? slice, { withoutBarriers: withoutBarriers === true });
    fs = openRequested(device, data.request);
    session = new FileSystemSession(fs, {
      ...presentationOf(data.request, fs),
      readOnly: data.request.options.readOnly,
      owner: process.getuid!(),
      hasQuotaLimits: data.request.options.quotaLimits !== undefined,
      clock: () => timeOf(Date.now()),
      log: (message) => post({ kind: 'log', message }),
    });
    const { type, readOnly, readOnlyReason } = fs;
    post({ kind: 'opened', type, readOnly, readOnlyReason });
  } catch (error) {
    post({ kind: 'failed', error: encodeError(error) });
    port.close();
    return;
  }
  port.once('message', (command: MountCommand) => {
    let end: ChannelEnd = 'stopped';
    let failure: unknown;
    try {
      if (command.kind === 'serve') {
        end = new MountServer(data, port, session, { fs, slice, device, lending }, requests).serve(
          command.fd,
        );
      }
    } catch (error) {
      failure = error;
    }
    try {
      session.close();
      device.flushAtLast();
      lending?.close();
    } catch (error) {
      failure ??= error;
    }
    post({ kind: 'ended', end, ...(failure === undefined ? {} : { error: encodeError(failure) }) });
    port.close();
  });
}

class MountServer {
  readonly #gate: Gate;
  readonly #wakeFd: number;
  readonly #port: MessagePort;
  readonly #session: FileSystemSession;
  readonly #signs: SignsOfLife;
  readonly #slice: SliceDevice;
  readonly #device: WatchedDevice;
  /** Undefined where writes cannot be left to another thread. */
  readonly #lending: LendingDevice | undefined;
  readonly #requests: readonly FuseRequest[];
  readonly #words: Int32Array;
  /** Of the device's first byte in the file `#file`; undefined where the content is not in one file. */
  readonly #position: number | undefined;
  readonly #file: number;
  readonly #heldMilliseconds: number;
  #channel: FuseChannel | undefined;
  #fd = -1;
  /** Null: not to be had. */
  #pipe: SplicePipe | undefined | null;
  /** When something was changed that is not written down yet; 0: nothing. */
  #dirtySince = 0;
  #lastActive = 0;
  #untilLook = LOOK_EVERY;

  constructor(
    data: MountWorkerData,
    port: MessagePort,
    session: FileSystemSession,
    below: {
      readonly fs: FileSystem;
      readonly slice: SliceDevice;
      readonly device: WatchedDevice;
      readonly lending: LendingDevice | undefined;
    },
    requests: readonly FuseRequest[],
  ) {
    this.#gate = gatesOf(data.share.state)[data.gate]!;
    this.#wakeFd = data.wakeFd;
    this.#port = port;
    this.#session = session;
    this.#signs = new SignsOfLife(below.fs, (message) => this.#post({ kind: 'log', message }));
    this.#slice = below.slice;
    this.#device = below.device;
    this.#lending = below.lending;
    this.#requests = requests;
    this.#words = new Int32Array(data.share.state);
    const { share, range } = data;
    this.#file = share.fd;
    const { commitSeconds } = data.request.options;
    this.#heldMilliseconds = commitSeconds === undefined ? HELD_MILLISECONDS : commitSeconds * 1000;
    this.#position = share.overlay === undefined ? share.offset + range.offset : undefined;
  }

  serve(fd: number): ChannelEnd {
    const request = this.#requests[0]!;
    const wait = CallerProcessor.ofThisThread() ?? new SpinWait();
    const channel = new FuseChannel({ fd, maxWrite: MAX_WRITE, wakeFd: this.#wakeFd, request, wait });
    this.#channel = channel;
    this.#fd = fd;
    const session = this.#session;
    const handlers: FuseHandlers = {
      handle: (request, reply) => {
        let length = this.#handle(request, reply);
        if (session.mayGetSpace) {
          channel.answerOthers(handlers, PASSED_FORGETS);
          length = this.#handle(request, reply);
        }
        if (request.opcode === Opcode.INIT && session.agreement !== undefined)
          this.#post({ kind: 'serving' });
        const lent = this.#lending?.takeLent();
        if (lent !== undefined) channel.request = this.#requests[lent]!;
        if (--this.#untilLook === 0) this.#look();
        return length;
      },
      woken: () => this.#woken(),
      idle: () => this.#signs.shorten(this.#idle()),
    };
    const end = channel.run(handlers);
    this.#pipe?.close();
    return end;
  }

  #handle(request: FuseRequest, reply: FuseReply): number {
    // It may ask for what the device has got since.
    if (request.opcode === Opcode.IOCTL) this.#slice.resize(this.#gate.size);
    const isLong =
      request.opcode === Opcode.READ &&
      this.#position !== undefined &&
      request.get(ReadIn.size) >= SPLICE_FROM;
    return isLong ? this.#readLong(request, reply) : this.#session.handle(request, reply);
  }

  /** The session finds out where the content lies, which then goes from the file to the kernel without a copy in this process. */
  #readLong(request: FuseRequest, reply: FuseReply): number {
    this.#device.putOffReads(reply.bytes);
    let length;
    let reads;
    try {
      length = this.#session.handle(request, reply);
    } finally {
      reads = this.#device.takeReads();
    }
    const size = length - OUT_HEADER_SIZE;
    // An error, the end of the file, or holes only.
    if (size <= 0 || reads.length === 0) return length;
    const [first] = reads;
    if (reads.length === 1 && first!.into.length === size && size >= SPLICE_FROM) {
      const pipe = (this.#pipe ??= this.#pipe === undefined ? (SplicePipe.open(SPLICE_TO) ?? null) : null);
      const position = this.#position! + first!.offset;
      this.#lending?.waitForRange(first!.offset, size);
      if (pipe?.send(this.#fd, reply.bytes, OUT_HEADER_SIZE, this.#file, position, size) === true) return 0;
    }
    try {
      for (const { offset, into } of reads) this.#device.read(offset, into);
    } catch (error) {
      this.#post({ kind: 'log', message: `Reading failed: ${String(error)}` });
      return reply.error(request, errnoOf(error));
    }
    return length;
  }

  /** In the midst of work. */
  #look(): void {
    this.#untilLook = LOOK_EVERY;
    const now = Date.now();
    this.#lastActive = now;
    this.#signs.giveIfDue(now);
    this.#noteDirty(now);
    if (this.#dirtySince > 0 && now - this.#dirtySince >= this.#heldMilliseconds) this.#settle();
    // With so much to do the queue may never be found empty: what is in it now comes after the block access.
    if (this.#gate.request !== GateRequest.none) this.#answerGate();
  }

  #idle(): number | undefined {
    // Asked before the thread has looked at its wake-up: nothing is lost, since that comes next.
    if (!this.#session.isDirty) {
      this.#dirtySince = 0;
      this.#tellWrites();
      return undefined;
    }
    const now = Date.now();
    this.#noteDirty(now);
    if (this.#untilLook !== LOOK_EVERY) this.#lastActive = now;
    this.#untilLook = LOOK_EVERY;
    const quiet = now - this.#lastActive >= QUIET_MILLISECONDS;
    if (quiet || now - this.#dirtySince >= this.#heldMilliseconds) {
      this.#settle();
      return undefined;
    }
    return QUIET_MILLISECONDS;
  }

  #noteDirty(now: number): void {
    if (this.#dirtySince === 0 && this.#session.isDirty) this.#dirtySince = now;
  }

  /** False: the device does not take it. */
  #settle(): boolean {
    this.#dirtySince = 0;
    let settled = true;
    try {
      this.#session.settle();
      this.#lending?.drain();
    } catch (error) {
      settled = false;
      // The device fails: fsync will say so to whoever wants to know. Not again at once.
      this.#dirtySince = Date.now();
      this.#post({ kind: 'log', message: `Writing back failed: ${String(error)}` });
    }
    this.#tellWrites();
    return settled;
  }

  #woken(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: MountCommand } | undefined;
      if (received === undefined) break;
      if (received.message.kind === 'stop') this.#channel!.stop();
    }
    this.#answerGate();
  }

  #answerGate(): void {
    const { request } = this.#gate;
    if (request === GateRequest.none) return;
    const settled = this.#settle();
    this.#gate.answer();
    if (request !== GateRequest.hold) return;
    // The gate was held, and is let go now: the blocks are written.
    this.#post({ kind: 'reloaded', cached: settled ? this.#reload() : NOTHING });
    this.#gate.answer();
  }

  /** Only after all is written: what is held back exists nowhere else. */
  #reload(): Cached {
    try {
      return this.#session.reload();
    } catch (error) {
      this.#post({ kind: 'log', message: `Reading the device anew failed: ${String(error)}` });
      return NOTHING;
    }
  }

  /** Device files that were opened before the mount may have pages of what it has written. */
  #tellWrites(): void {
    if (!this.#device.takeWritten()) return;
    if (Atomics.load(this.#words, ShareWord.cachedHandles) > 0) this.#post({ kind: 'wrote' });
  }

  #post(event: MountEvent): void {
    this.#port.postMessage(event);
  }
}

function openRequested(device: BlockDevice, request: MountRequest): FileSystem {
  const { type, options, view } = request;
  const driver = probeFileSystem(device);
  if (driver === undefined) {
    throw new UnsupportedError(
      `There is no file system on ${view} that userloop can mount: it knows FAT12, FAT16, FAT32, ext2, ext3 and ext4`,
    );
  }
  const fs = driver.open(device, {
    readOnly: options.readOnly,
    clock: () => timeOf(Date.now()),
    ...(options.withoutReplay === true && { withoutReplay: true }),
    holder: { node: os.hostname(), device: request.source },
    givesSigns: true,
    waitForIdle: ({ sequence }) => sequence === options.idleSequence,
    ...(options.discard === true && { discard: true }),
    ...(options.quotaLimits !== undefined && { quotaLimits: options.quotaLimits }),
    utcOffsetMinutes: options.utcOffsetMinutes ?? -new Date().getTimezoneOffset(),
  });
  if (type !== undefined && type !== driver.name && type !== fs.type && !isNearly(type, fs.type)) {
    throw new FsError('EINVAL', { syscall: 'mount', detail: `${view} holds ${fs.type}, not ${type}` });
  }
  if (options.fatBits !== undefined && fs.type !== `fat${options.fatBits}`) {
    throw new FsError('EINVAL', {
      syscall: 'mount',
      detail: `${view} holds ${fs.type}, not FAT with ${options.fatBits} bits`,
    });
  }
  const needsJournal = options.journalMode !== undefined || options.commitSeconds !== undefined;
  if (needsJournal && !fs.features.includes('has_journal')) {
    throw new FsError('EINVAL', {
      syscall: 'mount',
      detail: `data= and commit= need a journal: ${view} holds ${fs.type} without one`,
    });
  }
  if (options.journalChecksum === true && !fs.features.includes('metadata_csum')) {
    throw new FsError('EINVAL', {
      syscall: 'mount',
      detail: `journal_checksum needs checksums of metadata, which the ${fs.type} on ${view} does not have`,
    });
  }
  requireQuotas(fs, request);
  return fs;
}

/** EINVAL for limits of quotas that the volume does not have. */
function requireQuotas(fs: FileSystem, { options, view }: MountRequest): void {
  const missing = (options.quotaLimits ?? []).filter((kind) => fs.quotaKinds?.includes(kind) !== true);
  if (missing.length === 0) return;
  throw new FsError('EINVAL', {
    syscall: 'mount',
    detail: `limits for each ${missing.join(' and ')} need quotas of that kind: the ${fs.type} on ${view} does not have them`,
  });
}

/** Each of the ext drivers mounts what the ones before it do. */
function isNearly(type: string, found: string): boolean {
  const family = ['ext2', 'ext3', 'ext4'];
  return family.includes(found) && family.indexOf(type) > family.indexOf(found);
}

function presentationOf(request: MountRequest, fs: FileSystem) {
  const { options } = request;
  const owned = fs.capabilities.ownership;
  // FAT's files belong to whoever mounts it, as with Linux' vfat.
  const uid = options.uid ?? (owned ? undefined : process.getuid!());
  const gid = options.gid ?? (owned ? undefined : process.getgid!());
  const hasUid = mappedIds('/proc/self/uid_map');
  const hasGid = mappedIds('/proc/self/gid_map');
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(options.fileMask === undefined ? {} : { fileMask: options.fileMask }),
    ...(options.directoryMask === undefined ? {} : { directoryMask: options.directoryMask }),
    ...(options.showExec === undefined ? {} : { showExec: options.showExec }),
    ...(options.quiet === undefined ? {} : { quiet: options.quiet }),
    ...(options.accessTime === undefined ? {} : { accessTime: options.accessTime }),
    ...(options.directoryAccessTime === false && { directoryAccessTime: false }),
    ...(options.groupOfDirectory === true && { groupOfDirectory: true }),
    ...(options.synchronous === undefined ? {} : { synchronous: options.synchronous }),
    ...(options.writeBack === undefined ? {} : { writeBack: options.writeBack }),
    ...(hasUid === undefined ? {} : { hasUid }),
    ...(hasGid === undefined ? {} : { hasGid }),
  };
}

function timeOf(milliseconds: number): { seconds: number; nanoseconds: number } {
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: (milliseconds - seconds * 1000) * 1_000_000 };
}
