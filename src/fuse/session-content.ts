import { FsError } from '../errors.ts';
import type { NodeId } from '../filesystem/file-system.ts';
import { withoutSetId } from './presentation.ts';
import { FUSE_WRITE_KILL_SUIDGID } from './protocol.ts';
import { FallocateIn, LseekIn, LseekOut, ReadIn, WriteIn } from './structures.ts';
import { type FuseReply, OUT_HEADER_SIZE } from './reply.ts';
import type { FuseRequest } from './request.ts';
import type { SessionCore } from './session-core.ts';

/** Modes of fallocate(2). */
const KEEP_SIZE = 0x01;
const PUNCH_HOLE = 0x02;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;
const ENOSYS = 38;
const DAY = 86_400;
const CAPABILITY = 'security.capability';

/** Requests on the bytes of files. */
export class ContentRequests {
  readonly #core: SessionCore;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  read(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const node = core.nodeOf(request);
    const size = Math.min(request.get(ReadIn.size), reply.bytes.length - OUT_HEADER_SIZE);
    const into = reply.bytes.subarray(OUT_HEADER_SIZE, OUT_HEADER_SIZE + size);
    const length = core.fs.read(node, request.get(ReadIn.offset), into);
    if (!core.readOnly && core.options.accessTime !== 'none') this.noteAccess(node);
    return reply.done(request, length);
  }

  write(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const node = core.nodeOf(request);
    const size = request.get(WriteIn.size);
    core.fs.write(node, request.get(WriteIn.offset), request.data(WriteIn.$size, size));
    if ((request.get(WriteIn.write_flags) & FUSE_WRITE_KILL_SUIDGID) !== 0) this.dropPrivileges(node);
    core.known.noteAccess(node, false);
    core.changed();
    return reply.written(request, size);
  }

  fallocate(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const { fs } = core;
    const node = core.nodeOf(request);
    const mode = request.get(FallocateIn.mode);
    const offset = request.get(FallocateIn.offset);
    const length = request.get(FallocateIn.length);
    if (mode === (PUNCH_HOLE | KEEP_SIZE) && fs.punch !== undefined) fs.punch(node, offset, length);
    else if ((mode === 0 || mode === KEEP_SIZE) && fs.preallocate !== undefined) {
      fs.preallocate(node, offset, length, { keepSize: mode === KEEP_SIZE });
    } else if (mode === 0 && !fs.capabilities.holes) {
      // What a file without holes has, it has on the device.
      const { size } = fs.attributes(node);
      if (offset + length > size) fs.setAttributes(node, { size: offset + length });
    } else throw new FsError('EOPNOTSUPP', { syscall: 'fallocate' });
    this.dropPrivileges(node);
    core.changed();
    return reply.done(request, 0);
  }

  /** SEEK_DATA and SEEK_HOLE; the kernel does the others by itself. */
  lseek(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    if (core.options.writeBack === true && !core.readOnly) return reply.error(request, ENOSYS);
    const node = core.nodeOf(request);
    const offset = request.get(LseekIn.offset);
    const whence = request.get(LseekIn.whence);
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError('EINVAL', { syscall: 'lseek' });
    const { size } = core.fs.attributes(node);
    if (offset >= size) return reply.error(request, ENXIO);
    let found = whence === SEEK_HOLE ? size : -1;
    for (const extent of core.fs.extents(node)) {
      if (extent.offset + extent.length <= offset) continue;
      if ((extent.kind === 'data') !== (whence === SEEK_DATA)) continue;
      found = Math.max(extent.offset, offset);
      break;
    }
    if (found < 0) return reply.error(request, ENXIO);
    reply.set(LseekOut.offset, found);
    return reply.done(request, LseekOut.$size);
  }

  /** Somebody has written who must not hand on set-ID bits and capabilities (FUSE_HANDLE_KILLPRIV_V2). */
  dropPrivileges(node: NodeId): void {
    const { fs } = this.#core;
    if (!fs.capabilities.ownership) return;
    const attributes = fs.attributes(node);
    if (attributes.kind !== 'file') return;
    const mode = withoutSetId(attributes.mode);
    if (mode !== attributes.mode) fs.setAttributes(node, { mode });
    if (fs.capabilities.xattrs && fs.getXattr(node, CAPABILITY) !== undefined)
      fs.removeXattr(node, CAPABILITY);
  }

  /** Sets the access time as the mount's options want it; that changes no other time. */
  noteAccess(node: NodeId): void {
    const core = this.#core;
    const strict = core.options.accessTime === 'strict';
    if (!strict && core.known.isAccessNoted(node)) return;
    const now = core.options.clock();
    const { atime, mtime, ctime } = core.fs.attributes(node);
    const stale = atime.seconds <= mtime.seconds || atime.seconds <= ctime.seconds;
    if (strict || stale || now.seconds - atime.seconds >= DAY) {
      core.fs.setAttributes(node, { atime: now, ctime });
      core.isDirty = true;
    }
    core.known.noteAccess(node, true);
  }
}
