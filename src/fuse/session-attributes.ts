import { encodeUtf8 } from '../bytes/utf8.ts';
import type { Timestamp } from '../bytes/time.ts';
import { FsError } from '../errors.ts';
import type { AttributeChanges, NodeId } from '../filesystem/file-system.ts';
import { withoutSetId } from './presentation.ts';
import { FATTR, InitFlag } from './protocol.ts';
import {
  FUSE_COMPAT_SETXATTR_IN_SIZE,
  GetxattrIn,
  GetxattrOut,
  SetattrIn,
  SetxattrIn,
} from './structures.ts';
import type { Field } from '../bytes/struct.ts';
import { type FuseReply, OUT_HEADER_SIZE } from './reply.ts';
import { type FuseRequest, IN_HEADER_SIZE } from './request.ts';
import type { ContentRequests } from './session-content.ts';
import type { SessionCore } from './session-core.ts';

/** Flags of setxattr(2). */
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

const EOPNOTSUPP = 95;
const ENOSYS = 38;
const ERANGE = 34;
const ENODATA = 61;

/**
 * Access control lists are kept on disk but neither applied nor shown, as with the option noacl: programs that would copy a mode by way of one set
 * the mode then.
 */
const ACCESS_LIST = 'system.';

/** What vfat's chmod takes without EPERM. */
const FAT_VALID_MODE = 0o777;

/** Requests on attributes, plain and extended. */
export class AttributeRequests {
  readonly #core: SessionCore;
  readonly #content: ContentRequests;

  constructor(core: SessionCore, content: ContentRequests) {
    this.#core = core;
    this.#content = content;
  }

  getattr(request: FuseRequest, reply: FuseReply): number {
    return this.#core.attributesReply(request, reply, this.#core.nodeOf(request));
  }

  setattr(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const node = core.nodeOf(request);
    const valid = request.get(SetattrIn.valid);
    const changes = core.fs.capabilities.ownership
      ? this.#changes(request, node, valid)
      : this.#fatChanges(request, node, valid);
    core.fs.setAttributes(node, changes);
    if ((valid & FATTR.KILL_SUIDGID) !== 0) this.#content.dropPrivileges(node);
    core.known.noteAccess(node, false);
    core.changed();
    return core.attributesReply(request, reply, node);
  }

  getxattr(request: FuseRequest, reply: FuseReply): number {
    const { fs } = this.#core;
    if (!fs.capabilities.xattrs) return reply.error(request, ENOSYS);
    const name = request.name(GetxattrIn.$size);
    if (name.startsWith(ACCESS_LIST)) return reply.error(request, EOPNOTSUPP);
    const value = fs.getXattr(this.#core.nodeOf(request), name);
    if (value === undefined) return reply.error(request, ENODATA);
    return this.#sized(request, reply, value);
  }

  listxattr(request: FuseRequest, reply: FuseReply): number {
    const { fs } = this.#core;
    if (!fs.capabilities.xattrs) return reply.error(request, ENOSYS);
    const names = fs
      .listXattrs(this.#core.nodeOf(request))
      // The kernel gives trusted.* only to root.
      .filter((name) => !name.startsWith(ACCESS_LIST) && (request.uid === 0 || !name.startsWith('trusted.')));
    return this.#sized(request, reply, encodeUtf8(names.map((name) => `${name}\0`).join('')));
  }

  setxattr(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    if (!core.fs.capabilities.xattrs) return reply.error(request, ENOSYS);
    const node = core.nodeOf(request);
    const extended = ((core.agreement?.flags ?? 0) & InitFlag.SETXATTR_EXT) !== 0;
    const at = extended ? SetxattrIn.$size : FUSE_COMPAT_SETXATTR_IN_SIZE;
    const name = request.name(at);
    if (name.startsWith(ACCESS_LIST)) return reply.error(request, EOPNOTSUPP);
    const flags = request.get(SetxattrIn.flags);
    if (flags !== 0) {
      const exists = core.fs.getXattr(node, name) !== undefined;
      if (exists && (flags & XATTR_CREATE) !== 0) throw new FsError('EEXIST', { syscall: 'setxattr' });
      if (!exists && (flags & XATTR_REPLACE) !== 0) throw new FsError('ENODATA', { syscall: 'setxattr' });
    }
    const value = request.data(request.textEnd(at) + 1 - IN_HEADER_SIZE, request.get(SetxattrIn.size));
    core.fs.setXattr(node, name, value.slice());
    core.changed();
    return reply.done(request, 0);
  }

  removexattr(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    if (!core.fs.capabilities.xattrs) return reply.error(request, ENOSYS);
    const name = request.name();
    if (name.startsWith(ACCESS_LIST)) return reply.error(request, EOPNOTSUPP);
    core.fs.removeXattr(core.nodeOf(request), name);
    core.changed();
    return reply.done(request, 0);
  }

  #sized(request: FuseRequest, reply: FuseReply, value: Uint8Array): number {
    const size = request.get(GetxattrIn.size);
    if (size === 0) {
      reply.clear(GetxattrOut.$size);
      reply.set(GetxattrOut.size, value.length);
      return reply.done(request, GetxattrOut.$size);
    }
    if (value.length > size) return reply.error(request, ERANGE);
    reply.bytes.set(value, OUT_HEADER_SIZE);
    return reply.done(request, value.length);
  }

  #changes(request: FuseRequest, node: NodeId, valid: number): AttributeChanges {
    const size = this.#size(request, valid);
    let mode = (valid & FATTR.MODE) === 0 ? undefined : request.get(SetattrIn.mode) & 0o7777;
    const uid = (valid & FATTR.UID) === 0 ? undefined : request.get(SetattrIn.uid);
    const gid = (valid & FATTR.GID) === 0 ? undefined : request.get(SetattrIn.gid);
    if ((uid !== undefined || gid !== undefined) && mode === undefined) {
      const now = this.#core.fs.attributes(node);
      // A change of owner takes the set-ID bits of files away, also root's.
      if (now.kind === 'file' && withoutSetId(now.mode) !== now.mode) mode = withoutSetId(now.mode);
    }
    return {
      ...(size === undefined ? {} : { size }),
      ...(mode === undefined ? {} : { mode }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...this.#times(request, valid),
    };
  }

  /** By the rules of Linux' fat_setattr. */
  #fatChanges(request: FuseRequest, node: NodeId, valid: number): AttributeChanges {
    const { fs, options, presentation, known } = this.#core;
    const uid = (valid & FATTR.UID) === 0 ? undefined : request.get(SetattrIn.uid);
    const gid = (valid & FATTR.GID) === 0 ? undefined : request.get(SetattrIn.gid);
    const mode = (valid & FATTR.MODE) === 0 ? undefined : request.get(SetattrIn.mode) & 0o7777;
    const impossible =
      !presentation.isOwner(uid, gid) || (mode !== undefined && (mode & ~FAT_VALID_MODE) !== 0);
    if (impossible) {
      if (options.quiet === true) return {};
      throw new FsError('EPERM', { syscall: 'setattr' });
    }
    const size = this.#size(request, valid);
    const held =
      mode !== undefined && presentation.canHoldMode(fs.attributes(node), known.nameOf(node), mode)
        ? mode
        : undefined;
    return {
      ...(size === undefined ? {} : { size }),
      ...(held === undefined ? {} : { mode: held }),
      ...this.#times(request, valid),
    };
  }

  #size(request: FuseRequest, valid: number): number | undefined {
    return (valid & FATTR.SIZE) === 0 ? undefined : request.get(SetattrIn.size);
  }

  #times(request: FuseRequest, valid: number): AttributeChanges {
    const now = this.#core.options.clock;
    const atime =
      (valid & FATTR.ATIME) === 0
        ? undefined
        : (valid & FATTR.ATIME_NOW) !== 0
          ? now()
          : time(request, SetattrIn.atime, SetattrIn.atimensec);
    const mtime =
      (valid & FATTR.MTIME) === 0
        ? undefined
        : (valid & FATTR.MTIME_NOW) !== 0
          ? now()
          : time(request, SetattrIn.mtime, SetattrIn.mtimensec);
    const ctime =
      (valid & FATTR.CTIME) === 0 ? undefined : time(request, SetattrIn.ctime, SetattrIn.ctimensec);
    return {
      ...(atime === undefined ? {} : { atime }),
      ...(mtime === undefined ? {} : { mtime }),
      ...(ctime === undefined ? {} : { ctime }),
    };
  }
}

/** Seconds are signed there: before 1970 they are below 0. */
function time(request: FuseRequest, seconds: Field<number>, nanoseconds: Field<number>): Timestamp {
  const at = IN_HEADER_SIZE + seconds.offset;
  return {
    seconds: request.view.getUint32(at, true) + request.view.getInt32(at + 4, true) * 0x1_0000_0000,
    nanoseconds: request.get(nanoseconds),
  };
}
