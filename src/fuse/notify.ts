import { viewOf } from '../bytes/struct.ts';
import { encodeUtf8Into, utf8Length } from '../bytes/utf8.ts';
import { Notify } from './protocol.ts';
import {
  NotifyDeleteOut,
  NotifyInvalEntryOut,
  NotifyInvalInodeOut,
  NotifyStoreOut,
  OutHeader,
} from './structures.ts';

/**
 * What a server tells the kernel unasked. Each function gives the bytes for one write(2) to /dev/fuse; that fails with ENOENT when the kernel
 * does not know the node or name, which is no error to anybody. The kernel takes locks on the way that a request under way may hold
 * (fs/fuse/dev.c, fuse_notify): INVAL_INODE of a range waits for pages that are being read or written, INVAL_ENTRY and DELETE for the
 * directory. Never write one from the only thread that answers requests while a request for that node is not answered.
 */

const BODY = OutHeader.$size;

/** Drops cached pages of a node in a range, and its attributes. No `length`: to the end; `offset` below 0: the attributes only. */
export function notifyInvalInode(nodeId: number, offset = 0, length = 0): Uint8Array {
  const { bytes, view } = start(Notify.INVAL_INODE, NotifyInvalInodeOut.$size);
  NotifyInvalInodeOut.ino.set(view, BODY, nodeId);
  NotifyInvalInodeOut.off.set(view, BODY, offset);
  NotifyInvalInodeOut.len.set(view, BODY, length);
  return bytes;
}

/** Forgets what a name leads to. `flags`: FUSE_EXPIRE_ONLY asks again instead, where it was negotiated. */
export function notifyInvalEntry(parent: number, name: string, flags = 0): Uint8Array {
  const length = utf8Length(name);
  const { bytes, view } = start(Notify.INVAL_ENTRY, NotifyInvalEntryOut.$size + length + 1);
  NotifyInvalEntryOut.parent.set(view, BODY, parent);
  NotifyInvalEntryOut.namelen.set(view, BODY, length);
  NotifyInvalEntryOut.flags.set(view, BODY, flags);
  encodeUtf8Into(name, bytes, BODY + NotifyInvalEntryOut.$size);
  return bytes;
}

/** All names have to be asked for again: for a kernel of version 7.44 or later. */
export function notifyIncEpoch(): Uint8Array {
  return start(Notify.INC_EPOCH, 0).bytes;
}

/** A name is gone: as INVAL_ENTRY when it led to `child`, and watchers of the directory are told of a deletion. */
export function notifyDelete(parent: number, child: number, name: string): Uint8Array {
  const length = utf8Length(name);
  const { bytes, view } = start(Notify.DELETE, NotifyDeleteOut.$size + length + 1);
  NotifyDeleteOut.parent.set(view, BODY, parent);
  NotifyDeleteOut.child.set(view, BODY, child);
  NotifyDeleteOut.namelen.set(view, BODY, length);
  encodeUtf8Into(name, bytes, BODY + NotifyDeleteOut.$size);
  return bytes;
}

/** Puts data into the kernel's cache of a node; extends its size when it ends past that. */
export function notifyStore(nodeId: number, offset: number, data: Uint8Array): Uint8Array {
  const { bytes, view } = start(Notify.STORE, NotifyStoreOut.$size + data.length);
  NotifyStoreOut.nodeid.set(view, BODY, nodeId);
  NotifyStoreOut.offset.set(view, BODY, offset);
  NotifyStoreOut.size.set(view, BODY, data.length);
  bytes.set(data, BODY + NotifyStoreOut.$size);
  return bytes;
}

function start(code: number, length: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(BODY + length);
  const view = viewOf(bytes);
  OutHeader.len.set(view, 0, bytes.length);
  OutHeader.error.set(view, 0, code);
  return { bytes, view };
}
