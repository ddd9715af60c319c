import fs from 'node:fs';
import type { DeviceFamily } from '../disk/device-views.ts';
import { ERRNO } from '../errors.ts';
import { answerInit } from '../fuse/init.ts';
import { FOPEN, FUSE_IOCTL_DIR, FUSE_ROOT_ID, InitFlag, InitFlag2, Opcode } from '../fuse/protocol.ts';
import {
  FallocateIn,
  InHeader,
  InterruptIn,
  IoctlIn,
  IoctlOut,
  LseekIn,
  LseekOut,
  OpenIn,
  ReadIn,
  ReleaseIn,
  WriteIn,
} from '../fuse/structures.ts';
import { type FuseReply, OUT_HEADER_SIZE } from '../fuse/reply.ts';
import { type FuseRequest, IN_HEADER_SIZE } from '../fuse/request.ts';
import { type DeviceShare, type SharedDevice, openShare, ShareWord } from '../host/device-share.ts';
import type { FuseHandlers } from '../host/fuse-channel.ts';
import type { SplicePipe } from '../host/splice-pipe.ts';
import { extentsOf } from '../device/block-device.ts';
import { DeviceFileNames } from './device-files-names.ts';
import { MAX_WRITE } from './device-files-nodes.ts';
import type { FilesState } from './device-files-state.ts';
import { WaitingReplies } from './waiting-replies.ts';

/** READs from this on are spliced: below, two more system calls cost more than the copy. */
const SPLICE_FROM = 1 << 16;

const O_ACCMODE = 3;
const O_RDONLY = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_ZERO_RANGE = 0x10;

/** linux/fs.h. Only those whose number says how much they give back can be answered on a FUSE file; the others end as ENOTTY. */
const Ioctl = {
  BLKRRPART: 0x125f,
  BLKFLSBUF: 0x1261,
  BLKGETSIZE64: 0x8008_1272,
  BLKBSZGET: 0x8008_1270,
  BLKBSZSET: 0x4008_1271,
} as const;

const WISHES = {
  flags:
    InitFlag.ASYNC_READ |
    InitFlag.ASYNC_DIO |
    InitFlag.PARALLEL_DIROPS |
    InitFlag.EXPLICIT_INVAL_DATA |
    InitFlag.ABORT_ERROR,
  flags2: InitFlag2.DIRECT_IO_ALLOW_MMAP,
  maxWrite: MAX_WRITE,
  maxBackground: 64,
};

export interface DeviceFilesServerOptions {
  readonly share: DeviceShare;
  readonly family: DeviceFamily;
  readonly unit: number;
  readonly state: FilesState;
  /** Which of the threads this is. */
  readonly worker: number;
  /** Of /dev/fuse. */
  readonly fd: number;
  /** Sends a reply that was made elsewhere than in the channel's buffer. */
  readonly send: (message: Uint8Array) => void;
  /** Nothing is open any more, and somebody wanted to know. */
  readonly becameIdle: () => void;
  /** Made on the first large READ: loading it is not for devices that have none. */
  readonly openPipe: () => SplicePipe | undefined;
}

/** Answers the requests for the files of a device. Stateless but for what is in `state`, so that several threads may do it side by side. */
export class DeviceFilesServer implements FuseHandlers {
  readonly #options: DeviceFilesServerOptions;
  readonly #device: SharedDevice;
  readonly #state: FilesState;
  readonly #file: number;
  readonly #names: DeviceFileNames;
  readonly #waiting: WaitingReplies;
  #pipe: SplicePipe | undefined | null;

  constructor(options: DeviceFilesServerOptions) {
    this.#options = options;
    this.#device = openShare(options.share);
    this.#state = options.state;
    this.#file = options.share.fd;
    this.#names = new DeviceFileNames(this.#device, {
      file: options.share.fd,
      family: options.family,
      unit: options.unit,
    });
    this.#waiting = new WaitingReplies(this.#device, options.send);
  }

  handle(request: FuseRequest, reply: FuseReply): number {
    const { offset } = InHeader.unique;
    const { worker } = this.#options;
    this.#state.setCurrent(
      worker,
      request.view.getUint32(offset, true),
      request.view.getUint32(offset + 4, true),
    );
    if (this.#waiting.count > 0) this.#waiting.sendReady();
    const { opcode } = request;
    if (opcode === Opcode.READ) return this.#read(request, reply);
    if (opcode === Opcode.WRITE) return this.#write(request, reply);
    return this.#other(opcode, request, reply);
  }

  /** Answers that have waited are sent when it is time. Returns the milliseconds until it is worth looking again. */
  idle(): number | undefined {
    this.#waiting.sendReady();
    return this.#waiting.count > 0 ? 1 : undefined;
  }

  close(): void {
    this.#waiting.sendAll();
    this.#pipe?.close();
  }

  #other(opcode: number, request: FuseRequest, reply: FuseReply): number {
    switch (opcode) {
      case Opcode.INIT:
        return answerInit(request, reply, WISHES).length;
      case Opcode.LOOKUP:
        return this.#names.lookup(request, reply);
      case Opcode.GETATTR:
        return this.#names.attributes(request, reply);
      case Opcode.SETATTR:
        return this.#names.setAttributes(request, reply);
      case Opcode.OPEN:
        return this.#open(request, reply);
      case Opcode.RELEASE:
        return this.#release(request, reply);
      case Opcode.FLUSH:
        return this.#flush(request, reply);
      case Opcode.FSYNC:
        this.#device.flush();
        return this.#flush(request, reply);
      case Opcode.FALLOCATE:
        return this.#fallocate(request, reply);
      case Opcode.LSEEK:
        return this.#seek(request, reply);
      case Opcode.IOCTL:
        return this.#ioctl(request, reply);
      case Opcode.OPENDIR:
        return reply.open(request, 0, 0);
      case Opcode.READDIR:
        return this.#names.readDirectory(request, reply);
      case Opcode.STATFS:
        // No blocks: df leaves it out.
        return reply.statfs(request, {
          blocks: 0,
          bfree: 0,
          bavail: 0,
          files: 0,
          ffree: 0,
          bsize: 512,
          namelen: 255,
          frsize: 512,
        });
      case Opcode.RELEASEDIR:
      case Opcode.FSYNCDIR:
      case Opcode.DESTROY:
        return reply.done(request, 0);
      case Opcode.FORGET:
      case Opcode.BATCH_FORGET:
        return 0;
      case Opcode.INTERRUPT:
        this.#waiting.sendAtOnce(request.get(InterruptIn.unique));
        return 0;
      case Opcode.CREATE:
      case Opcode.MKNOD:
      case Opcode.MKDIR:
      case Opcode.SYMLINK:
      case Opcode.LINK:
      case Opcode.UNLINK:
      case Opcode.RMDIR:
      case Opcode.RENAME:
      case Opcode.RENAME2:
        // The names are those of the partition table.
        return reply.error(request, ERRNO.EPERM[0]);
      default:
        return reply.error(request, ERRNO.ENOSYS[0]);
    }
  }

  // Data

  #read(request: FuseRequest, reply: FuseReply): number {
    const view = this.#names.view(request.nodeId);
    const offset = request.get(ReadIn.offset);
    const length = Math.min(request.get(ReadIn.size), view.size - offset);
    if (length <= 0) return reply.done(request, 0);
    const at = view.offset + offset;
    const device = this.#device;
    if (!device.isPlainFile) {
      device.read(at, reply.bytes.subarray(OUT_HEADER_SIZE, OUT_HEADER_SIZE + length));
      return reply.done(request, length);
    }
    const position = this.#options.share.offset + at;
    if (length >= SPLICE_FROM && this.#splice(request, reply, position, length)) return 0;
    let done = 0;
    while (done < length) {
      const count = fs.readSync(
        this.#file,
        reply.bytes,
        OUT_HEADER_SIZE + done,
        length - done,
        position + done,
      );
      if (count === 0) break;
      done += count;
    }
    // The file has become shorter than the device: as the loop driver has it, zeros.
    if (done < length) reply.bytes.fill(0, OUT_HEADER_SIZE + done, OUT_HEADER_SIZE + length);
    return reply.done(request, length);
  }

  #splice(request: FuseRequest, reply: FuseReply, position: number, length: number): boolean {
    this.#pipe ??= this.#pipe === undefined ? (this.#options.openPipe() ?? null) : null;
    if (this.#pipe === null) return false;
    reply.done(request, length);
    return this.#pipe.send(this.#options.fd, reply.bytes, OUT_HEADER_SIZE, this.#file, position, length);
  }

  #write(request: FuseRequest, reply: FuseReply): number {
    const view = this.#names.view(request.nodeId);
    const device = this.#device;
    // As a read-only loop device: it can be opened for writing, and refuses.
    if (device.readOnly) return reply.error(request, ERRNO.EPERM[0]);
    const offset = request.get(WriteIn.offset);
    const length = Math.min(request.get(WriteIn.size), view.size - offset);
    if (length <= 0) return reply.error(request, ERRNO.ENOSPC[0]);
    const at = view.offset + offset;
    const data = IN_HEADER_SIZE + WriteIn.$size;
    this.#state.beginWrite(view.id);
    try {
      if (device.isPlainFile) {
        const position = this.#options.share.offset + at;
        for (let done = 0; done < length;) {
          done += fs.writeSync(this.#file, request.bytes, data + done, length - done, position + done);
        }
        device.noteWrite(at, length);
      } else device.write(at, request.bytes.subarray(data, data + length));
    } finally {
      this.#state.endWrite();
    }
    return reply.written(request, length);
  }

  /** As blkdev_fallocate() has it: zeros can be made anywhere, a device cannot be given space or length. */
  #fallocate(request: FuseRequest, reply: FuseReply): number {
    const view = this.#names.view(request.nodeId);
    if (this.#device.readOnly) return reply.error(request, ERRNO.EPERM[0]);
    const mode = request.get(FallocateIn.mode);
    const keepsSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
    const kind = mode & ~FALLOC_FL_KEEP_SIZE;
    const isKnown = kind === FALLOC_FL_ZERO_RANGE || (kind === FALLOC_FL_PUNCH_HOLE && keepsSize);
    if (!isKnown) return reply.error(request, ERRNO.EOPNOTSUPP[0]);
    const offset = request.get(FallocateIn.offset);
    if (offset >= view.size) return reply.error(request, ERRNO.ENOSPC[0]);
    let length = request.get(FallocateIn.length);
    if (offset + length > view.size) {
      if (!keepsSize) return reply.error(request, ERRNO.EINVAL[0]);
      length = view.size - offset;
    }
    this.#state.beginWrite(view.id);
    try {
      this.#device.zero(view.offset + offset, length);
    } finally {
      this.#state.endWrite();
    }
    return reply.done(request, 0);
  }

  #seek(request: FuseRequest, reply: FuseReply): number {
    const view = this.#names.view(request.nodeId);
    const offset = request.get(LseekIn.offset);
    const whence = request.get(LseekIn.whence);
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return reply.error(request, ERRNO.EINVAL[0]);
    if (offset >= view.size) return reply.error(request, ERRNO.ENXIO[0]);
    let found: number | undefined = whence === SEEK_HOLE ? view.size : undefined;
    for (const extent of extentsOf(this.#device, view.offset + offset, view.size - offset)) {
      if ((extent.kind === 'hole') !== (whence === SEEK_HOLE)) continue;
      found = extent.offset - view.offset;
      break;
    }
    if (found === undefined) return reply.error(request, ERRNO.ENXIO[0]);
    reply.set(LseekOut.offset, found);
    return reply.done(request, LseekOut.$size);
  }

  // Opening and closing

  #open(request: FuseRequest, reply: FuseReply): number {
    const view = this.#names.view(request.nodeId);
    const { words } = this.#device;
    const isCached = Atomics.load(words, ShareWord.mounts) === 0;
    const handle = this.#state.openHandle(view.id, request.pid, isCached);
    if (handle === 0) return reply.error(request, ERRNO.ENFILE[0]);
    // What only reads has nothing to wait for when it is closed.
    let flags = (request.get(OpenIn.flags) & O_ACCMODE) === O_RDONLY ? FOPEN.NOFLUSH : 0;
    const mayKeep = this.#state.mayKeepCache(view.id, Atomics.load(words, ShareWord.writes));
    if (!isCached) flags |= FOPEN.DIRECT_IO;
    else {
      Atomics.add(words, ShareWord.cachedHandles, 1);
      if (mayKeep) flags |= FOPEN.KEEP_CACHE;
    }
    return reply.open(request, handle, flags);
  }

  #release(request: FuseRequest, reply: FuseReply): number {
    const wasCached = this.#state.closeHandle(request.get(ReleaseIn.fh));
    if (wasCached) Atomics.sub(this.#device.words, ShareWord.cachedHandles, 1);
    if (this.#state.openCount === 0 && this.#state.takeIdleWanted()) this.#options.becameIdle();
    return reply.done(request, 0);
  }

  /** Whoever has written a partition table and closed the device finds the partitions there. Others go on being served meanwhile. */
  #flush(request: FuseRequest, reply: FuseReply): number {
    return this.#whenPublished(request, reply, 0);
  }

  #whenPublished(request: FuseRequest, reply: FuseReply, bodyLength: number): number {
    const length = reply.done(request, bodyLength);
    if (this.#device.awaitPublished(0)) return length;
    this.#waiting.add(request, reply.bytes.slice(0, length));
    return 0;
  }

  // ioctl(2)

  #ioctl(request: FuseRequest, reply: FuseReply): number {
    const isDirectory = (request.get(IoctlIn.flags) & FUSE_IOCTL_DIR) !== 0;
    if (isDirectory || request.nodeId === FUSE_ROOT_ID) return reply.error(request, ERRNO.ENOTTY[0]);
    const view = this.#names.view(request.nodeId);
    reply.clear(IoctlOut.$size + 8);
    const value = OUT_HEADER_SIZE + IoctlOut.$size;
    switch (request.get(IoctlIn.cmd)) {
      case Ioctl.BLKGETSIZE64:
        reply.view.setBigUint64(value, BigInt(view.size), true);
        return reply.done(request, IoctlOut.$size + 8);
      case Ioctl.BLKBSZGET:
        // An int in spite of what the number says.
        reply.view.setInt32(value, 4096, true);
        return reply.done(request, IoctlOut.$size + 8);
      case Ioctl.BLKRRPART:
        return this.#whenPublished(request, reply, IoctlOut.$size);
      case Ioctl.BLKFLSBUF:
        this.#device.flush();
        return reply.done(request, IoctlOut.$size);
      case Ioctl.BLKBSZSET:
        return reply.done(request, IoctlOut.$size);
      default:
        return reply.error(request, ERRNO.ENOTTY[0]);
    }
  }
}
