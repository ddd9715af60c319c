import { FsError } from '../errors.ts';
import type { CreateOptions, DeviceNumber, NodeId, NodeKind } from '../filesystem/file-system.ts';
import { kindOfMode } from './presentation.ts';
import { LinkIn, MkdirIn, MknodIn, Rename2In, RenameIn } from './structures.ts';
import { type FuseReply, majorOf, minorOf } from './reply.ts';
import type { FuseRequest } from './request.ts';
import type { SessionCore } from './session-core.ts';

/** Flags of renameat2(2). */
const RENAME_NOREPLACE = 1;
const SET_GID = 0o2000;

/** Requests that make, move and remove names. */
export class NameRequests {
  readonly #core: SessionCore;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  lookup(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const name = request.name();
    const node = core.fs.lookup(core.nodeOf(request), name);
    if (node === undefined) return reply.noEntry(request, core.negativeValid);
    return core.entryReply(request, reply, node, request.nodeId, name);
  }

  mknod(request: FuseRequest, reply: FuseReply): number {
    const mode = request.get(MknodIn.mode);
    const kind = kindOfMode(mode);
    if (kind === undefined || kind === 'directory' || kind === 'symlink') {
      throw new FsError('EINVAL', { syscall: 'mknod' });
    }
    const name = request.name(MknodIn.$size);
    if (kind !== 'character-device' && kind !== 'block-device')
      return this.#create(request, reply, name, kind, mode & 0o7777, undefined);
    const rdev = request.get(MknodIn.rdev);
    const device = { major: majorOf(rdev), minor: minorOf(rdev) };
    return this.#create(request, reply, name, kind, mode & 0o7777, { device });
  }

  mkdir(request: FuseRequest, reply: FuseReply): number {
    const mode = request.get(MkdirIn.mode) & 0o7777;
    return this.#create(request, reply, request.name(MkdirIn.$size), 'directory', mode, undefined);
  }

  symlink(request: FuseRequest, reply: FuseReply): number {
    const [name, target] = request.names(0);
    return this.#create(request, reply, name, 'symlink', 0o777, { target });
  }

  link(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const node = core.known.toNode(request.get(LinkIn.oldnodeid));
    const name = request.name(LinkIn.$size);
    core.fs.link(node, core.nodeOf(request), name);
    core.namesChanged();
    return core.entryReply(request, reply, node, request.nodeId, name);
  }

  unlink(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const name = request.name();
    const parent = core.nodeOf(request);
    core.known.dropName(core.fs.unlink(parent, name), request.nodeId, name);
    core.namesChanged();
    return reply.done(request, 0);
  }

  rmdir(request: FuseRequest, reply: FuseReply): number {
    const core = this.#core;
    const name = request.name();
    const parent = core.nodeOf(request);
    const node = core.fs.lookup(parent, name);
    core.fs.removeDirectory(parent, name);
    if (node !== undefined) core.known.dropName(node, request.nodeId, name);
    core.namesChanged();
    return reply.done(request, 0);
  }

  rename(request: FuseRequest, reply: FuseReply): number {
    return this.#rename(request, reply, request.get(RenameIn.newdir), RenameIn.$size, 0);
  }

  rename2(request: FuseRequest, reply: FuseReply): number {
    const flags = request.get(Rename2In.flags);
    return this.#rename(request, reply, request.get(Rename2In.newdir), Rename2In.$size, flags);
  }

  #rename(request: FuseRequest, reply: FuseReply, newParent: number, namesAt: number, flags: number): number {
    const core = this.#core;
    const { fs, known } = core;
    // Neither exchanging nor leaving whiteouts: as the kernel's vfat and ext2 of old.
    if ((flags & ~RENAME_NOREPLACE) !== 0) throw new FsError('EINVAL', { syscall: 'rename' });
    const [name, newName] = request.names(namesAt);
    const from = core.nodeOf(request);
    const to = known.toNode(newParent);
    const node = fs.lookup(from, name);
    const replaced = fs.lookup(to, newName);
    fs.rename(from, name, to, newName, { noReplace: (flags & RENAME_NOREPLACE) !== 0 });
    if (node !== undefined && (replaced !== node || name !== newName)) {
      if (replaced !== undefined && replaced !== node) known.dropName(replaced, newParent, newName);
      known.dropName(node, request.nodeId, name);
      known.addName(node, newParent, newName);
    }
    core.namesChanged();
    return reply.done(request, 0);
  }

  #create(
    request: FuseRequest,
    reply: FuseReply,
    name: string,
    kind: NodeKind,
    mode: number,
    more: { readonly device: DeviceNumber } | { readonly target: string } | undefined,
  ): number {
    const core = this.#core;
    const parent = core.nodeOf(request);
    const plain = this.#ownedBy(request, parent, kind, mode);
    const node = core.fs.create(parent, name, more === undefined ? plain : { ...plain, ...more });
    core.namesChanged();
    return core.entryReply(request, reply, node, request.nodeId, name);
  }

  /** The caller's, and the directory's group where that has the set-group-ID bit, which directories hand down. */
  #ownedBy(request: FuseRequest, parent: NodeId, kind: NodeKind, mode: number): CreateOptions {
    const { fs } = this.#core;
    // A new file can be written, whatever its mode, as with Linux' vfat.
    if (!fs.capabilities.ownership)
      return kind === 'directory' || kind === 'file' ? { kind } : { kind, mode };
    const directory = fs.attributes(parent);
    const { uid } = request;
    if (this.#core.options.groupOfDirectory === true) return { kind, mode, uid, gid: directory.gid };
    if ((directory.mode & SET_GID) === 0) return { kind, mode, uid, gid: request.gid };
    return { kind, mode: kind === 'directory' ? mode | SET_GID : mode, uid, gid: directory.gid };
  }
}
