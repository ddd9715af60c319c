import { encodeUtf8 } from '../bytes/utf8.ts';
import { CorruptImageError, FsError, hasCode } from '../errors.ts';
import type { FileSystem, NodeId, NodeKind } from '../filesystem/file-system.ts';
import { type FuseAgreement, answerInit } from './init.ts';
import { OpenDirectoryHandles } from './open-directories.ts';
import { KIND_MODE } from './presentation.ts';
import { FOPEN, FUSE_ROOT_ID, FUSE_WRITE_CACHE, InitFlag, Opcode } from './protocol.ts';
import { BatchForgetIn, ForgetIn, ForgetOne, ReadIn, ReleaseIn, WriteIn } from './structures.ts';
import { DirentWriter, type FuseEntry, type FuseReply } from './reply.ts';
import type { FuseRequest } from './request.ts';
import { AttributeRequests } from './session-attributes.ts';
import { ContentRequests } from './session-content.ts';
import { SessionCore, type SessionOptions } from './session-core.ts';
import { answerIoctl } from './session-ioctl.ts';
import { NameRequests } from './session-names.ts';

/** Longest WRITE and READ, bytes: what the kernel allows everybody. */
export const MAX_WRITE = 1 << 20;

const EIO = 5;
const ENOSPC = 28;
/** A user who is not root. */
const NOBODY = 65_534;
const ENOSYS = 38;

const FLAGS =
  InitFlag.ASYNC_READ |
  InitFlag.DO_READDIRPLUS |
  InitFlag.ASYNC_DIO |
  InitFlag.NO_OPEN_SUPPORT |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.ABORT_ERROR |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.EXPLICIT_INVAL_DATA |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.SETXATTR_EXT;

/** What the kernel may have cached of a mount and has to drop when the device was changed below it. */
export interface Cached {
  readonly nodes: readonly number[];
  /** Names with the node IDs of their directories. */
  readonly entries: readonly (readonly [parent: number, name: string])[];
  /** All names at once can be dropped by one notification. */
  readonly hasEpochs: boolean;
}

/**
 * A file system served over the kernel's protocol: requests in, replies out, no descriptors. One request is answered after the other.
 * An error of a handler is the answer to its request; one that is no errno is EIO (or ENOSPC, when the image cannot grow), and a line in the log.
 *
 * Files are not opened: the kernel is told so by ENOSYS and then neither asks for it nor for closing, which halves the cost of an open file. What is
 * open stays alive since the kernel does not forget its node before. CREATE is answered alike, so that it comes as MKNOD.
 */
export class FileSystemSession {
  readonly fs: FileSystem;
  readonly #core: SessionCore;
  readonly #names: NameRequests;
  readonly #content: ContentRequests;
  readonly #attributes: AttributeRequests;
  readonly #directories: OpenDirectoryHandles;
  #dirents: DirentWriter | undefined;
  #lackedSpace = false;
  #closed = false;

  constructor(fs: FileSystem, options: SessionOptions) {
    this.fs = fs;
    this.#core = new SessionCore(fs, options);
    this.#names = new NameRequests(this.#core);
    this.#content = new ContentRequests(this.#core);
    this.#attributes = new AttributeRequests(this.#core, this.#content);
    this.#directories = new OpenDirectoryHandles(fs);
  }

  get agreement(): FuseAgreement | undefined {
    return this.#core.agreement;
  }

  /** Something has changed since the last `settle` or `sync`. */
  get isDirty(): boolean {
    return this.#core.isDirty;
  }

  /** Nodes that the kernel holds, without the root. */
  get knownCount(): number {
    return this.#core.known.size;
  }

  /** The length of the reply; 0 when the request gets none. */
  handle(request: FuseRequest, reply: FuseReply): number {
    this.#lackedSpace = false;
    try {
      return this.#dispatch(request, reply);
    } catch (error) {
      if (hasNoReply(request.opcode)) {
        this.#log(request, error);
        return 0;
      }
      if (error instanceof FsError && error.code === 'ENOSPC') this.#lackedSpace = true;
      return reply.error(request, this.#errno(request, error));
    }
  }

  /**
   * The last request was answered with ENOSPC, and there are files without a name. What the kernel has let go of them may be among the requests that it
   * has ready, since it lets others pass: after these the same request may find space.
   */
  get mayGetSpace(): boolean {
    return this.#lackedSpace && this.#core.known.hasNameless;
  }

  /** Writes to the device what is held back. */
  settle(): void {
    if (this.#core.readOnly) return;
    this.fs.settle();
    this.#core.isDirty = false;
  }

  /** `settle`, and makes it durable. */
  sync(): void {
    if (this.#core.readOnly) return;
    this.fs.sync();
    this.#core.isDirty = false;
  }

  /** The device was changed below the file system, which was settled before. Returns what the kernel has to drop. */
  reload(): Cached {
    this.#core.changes++;
    this.fs.reload();
    const { nodes, entries } = this.#core.known.listed();
    return { nodes, entries, hasEpochs: this.#core.hasEpochs };
  }

  /** The mount is gone: everything is written, and the file system is clean. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#core.known.clear();
    } finally {
      this.fs.close();
    }
  }

  #dispatch(request: FuseRequest, reply: FuseReply): number {
    if (this.#core.options.hasQuotaLimits === true) this.#actFor(request);
    switch (request.opcode) {
      case Opcode.LOOKUP:
        return this.#names.lookup(request, reply);
      case Opcode.GETATTR:
        return this.#attributes.getattr(request, reply);
      case Opcode.READ:
        return this.#content.read(request, reply);
      case Opcode.WRITE:
        return this.#content.write(request, reply);
      case Opcode.READDIR:
        return this.#readdir(request, reply, false);
      case Opcode.READDIRPLUS:
        return this.#readdir(request, reply, true);
      case Opcode.FORGET:
        this.#forget(request.nodeId, request.get(ForgetIn.nlookup));
        return 0;
      case Opcode.BATCH_FORGET:
        return this.#batchForget(request);
      case Opcode.MKNOD:
        return this.#names.mknod(request, reply);
      case Opcode.MKDIR:
        return this.#names.mkdir(request, reply);
      case Opcode.SYMLINK:
        return this.#names.symlink(request, reply);
      case Opcode.LINK:
        return this.#names.link(request, reply);
      case Opcode.UNLINK:
        return this.#names.unlink(request, reply);
      case Opcode.RMDIR:
        return this.#names.rmdir(request, reply);
      case Opcode.RENAME:
        return this.#names.rename(request, reply);
      case Opcode.RENAME2:
        return this.#names.rename2(request, reply);
      case Opcode.SETATTR:
        return this.#attributes.setattr(request, reply);
      case Opcode.READLINK:
        return this.#readlink(request, reply);
      case Opcode.OPENDIR:
        return this.#opendir(request, reply);
      case Opcode.RELEASEDIR:
        this.#directories.close(request.get(ReleaseIn.fh));
        return reply.done(request, 0);
      case Opcode.FSYNC:
      case Opcode.FSYNCDIR:
      case Opcode.SYNCFS:
        this.sync();
        return reply.done(request, 0);
      case Opcode.STATFS:
        return this.#statfs(request, reply);
      case Opcode.GETXATTR:
        return this.#attributes.getxattr(request, reply);
      case Opcode.LISTXATTR:
        return this.#attributes.listxattr(request, reply);
      case Opcode.SETXATTR:
        return this.#attributes.setxattr(request, reply);
      case Opcode.REMOVEXATTR:
        return this.#attributes.removexattr(request, reply);
      case Opcode.FALLOCATE:
        return this.#content.fallocate(request, reply);
      case Opcode.LSEEK:
        return this.#content.lseek(request, reply);
      case Opcode.IOCTL:
        return answerIoctl(this.#core, request, reply);
      case Opcode.INIT:
        return this.#init(request, reply);
      case Opcode.INTERRUPT:
        return 0;
      case Opcode.DESTROY:
        return reply.done(request, 0);
      default:
        // OPEN, CREATE, FLUSH, ACCESS and whatever is new: the kernel does without, and asks no more.
        return reply.error(request, ENOSYS);
    }
  }

  #init(request: FuseRequest, reply: FuseReply): number {
    const { capabilities } = this.fs;
    const writeBack = this.#core.options.writeBack === true && !this.#core.readOnly;
    const { length, agreement } = answerInit(request, reply, {
      flags: writeBack ? FLAGS | InitFlag.WRITEBACK_CACHE : FLAGS,
      flags2: 0,
      maxWrite: MAX_WRITE,
      maxBackground: 64,
      timeGranularity: Math.min(capabilities.timeStep, 1_000_000_000),
    });
    if (agreement !== undefined) this.#core.agreement = agreement;
    return length;
  }

  #forget(nodeId: number, lookups: number): void {
    if (this.#core.known.forget(nodeId, lookups)) this.#core.isDirty = true;
  }

  #batchForget(request: FuseRequest): number {
    const count = request.get(BatchForgetIn.count);
    for (let i = 0; i < count; i++) {
      const at = BatchForgetIn.$size + i * ForgetOne.$size;
      const nodeId = request.getAt(at, ForgetOne.nodeid);
      try {
        this.#forget(nodeId, request.getAt(at, ForgetOne.nlookup));
      } catch (error) {
        // One that cannot be freed shall not keep the others.
        this.#log(request, error);
      }
    }
    return 0;
  }

  #readlink(request: FuseRequest, reply: FuseReply): number {
    const target = this.fs.readLink(this.#core.nodeOf(request));
    return reply.data(request, encodeUtf8(target));
  }

  #opendir(request: FuseRequest, reply: FuseReply): number {
    const handle = this.#directories.open(this.#core.nodeOf(request));
    return reply.open(request, handle, FOPEN.KEEP_CACHE | FOPEN.CACHE_DIR);
  }

  #readdir(request: FuseRequest, reply: FuseReply, plus: boolean): number {
    const core = this.#core;
    const directory = core.nodeOf(request);
    const offset = request.get(ReadIn.offset);
    const dirents = (this.#dirents ??= new DirentWriter(reply));
    dirents.start(request.get(ReadIn.size));
    if (offset < 2 && !this.#addDots(dirents, directory, offset, plus))
      return reply.done(request, dirents.length);
    const { list, fresh } = this.#directories.entries(
      request.get(ReadIn.fh),
      directory,
      offset === 0,
      core.changes,
    );
    for (let i = Math.max(0, offset - 2); i < list.length; i++) {
      const { name, node, kind } = list[i]!;
      if (!fresh && this.fs.lookup(directory, name) !== node) continue;
      const next = i + 3;
      if (plus) {
        const entry = this.#entryOf(node, name, kind);
        if (!dirents.addPlus(name, entry, next)) break;
        if (entry.nodeId !== 0) core.known.remember(node, request.nodeId, name);
      } else if (!dirents.add(name, node, KIND_MODE[kind], next)) break;
    }
    const { accessTime, directoryAccessTime } = core.options;
    if (offset === 0 && !core.readOnly && accessTime !== 'none' && directoryAccessTime !== false)
      this.#content.noteAccess(directory);
    return reply.done(request, dirents.length);
  }

  /** `.` and `..`, which have the offsets 1 and 2. False: the reply is full. */
  #addDots(dirents: DirentWriter, directory: NodeId, offset: number, plus: boolean): boolean {
    for (let i = offset; i < 2; i++) {
      const name = i === 0 ? '.' : '..';
      const node = i === 0 ? directory : this.fs.parent(directory);
      const done = plus
        ? dirents.addPlus(name, { ...this.#core.entry(node, ''), nodeId: 0 }, i + 1)
        : dirents.add(name, node, KIND_MODE.directory, i + 1);
      if (!done) return false;
    }
    return true;
  }

  /** One damaged node shall not hide the others: the kernel looks it up by itself and is told then. */
  #entryOf(node: NodeId, name: string, kind: NodeKind): FuseEntry {
    try {
      return this.#core.entry(node, name);
    } catch (error) {
      if (!(error instanceof CorruptImageError)) throw error;
      const entry = this.#core.entry(this.fs.root, '');
      return { ...entry, nodeId: 0, attributes: { ...entry.attributes, ino: node, mode: KIND_MODE[kind] } };
    }
  }

  /** What the kernel writes back it does not say for whom: that is bound by limits. */
  #actFor(request: FuseRequest): void {
    const isWrittenBack =
      request.opcode === Opcode.WRITE && (request.get(WriteIn.write_flags) & FUSE_WRITE_CACHE) !== 0;
    this.fs.actAs?.(isWrittenBack ? NOBODY : request.uid);
  }

  #statfs(request: FuseRequest, reply: FuseReply): number {
    const usage = this.fs.usage(this.#core.nodeOf(request));
    return reply.statfs(request, {
      blocks: usage.totalBlocks,
      bfree: usage.freeBlocks,
      bavail: usage.availableBlocks,
      files: usage.totalNodes,
      ffree: usage.freeNodes,
      bsize: usage.blockSize,
      namelen: this.fs.capabilities.maxNameLength,
      frsize: usage.blockSize,
    });
  }

  #errno(request: FuseRequest, error: unknown): number {
    if (error instanceof FsError && error.code !== 'EIO') return -error.errno;
    this.#log(request, error);
    // Where the image itself cannot grow: what is to be done is the same as when the file system is full.
    return hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT') ? ENOSPC : EIO;
  }

  #log(request: FuseRequest, error: unknown): void {
    const known = error instanceof CorruptImageError || error instanceof FsError;
    const text =
      error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
    const node = request.nodeId === FUSE_ROOT_ID ? 'the root' : `node ${request.nodeId}`;
    this.#core.options.log(`Request ${request.opcode} for ${node} failed: ${text}`);
  }
}

function hasNoReply(opcode: number): boolean {
  return opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET || opcode === Opcode.INTERRUPT;
}
