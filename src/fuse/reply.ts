import type { Field } from '../bytes/struct.ts';
import { viewOf } from '../bytes/struct.ts';
import type { Timestamp } from '../bytes/time.ts';
import { encodeUtf8Into, utf8Length } from '../bytes/utf8.ts';
import {
  Attr,
  ATTR_OUT_ATTR,
  AttrOut,
  Dirent,
  ENTRY_ATTR,
  EntryOut,
  InHeader,
  Kstatfs,
  OpenOut,
  OutHeader,
  WriteOut,
} from './structures.ts';
import type { FuseRequest } from './request.ts';

/** Bytes before the body of a reply. */
export const OUT_HEADER_SIZE = OutHeader.$size;

/** stat(2) of a node. */
export interface FuseAttributes {
  readonly ino: number;
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly atime: Timestamp;
  readonly mtime: Timestamp;
  readonly ctime: Timestamp;
  /** With the bits of the kind. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** As deviceNumber() packs it; 0 for what is no device. */
  readonly rdev: number;
  /** Best size of a read, bytes. */
  readonly blksize: number;
}

/** What a LOOKUP, CREATE, MKNOD … tells: a name leads to this node, and for how many seconds that may be believed. */
export interface FuseEntry {
  readonly nodeId: number;
  readonly generation: number;
  readonly entryValid: number;
  readonly attrValid: number;
  readonly attributes: FuseAttributes;
}

export interface FuseStatfs {
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly bsize: number;
  readonly namelen: number;
  readonly frsize: number;
}

/**
 * The reply that is written into `bytes`, one after the other. Each method writes a whole reply to `request` and returns its length: that
 * many bytes of `bytes` go to /dev/fuse in one write(2). For data, fill `bytes` from OUT_HEADER_SIZE on, then call `done`.
 */
export class FuseReply {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  /** `length`: bytes of the body, which is in place. */
  done(request: FuseRequest, length: number): number {
    return this.#header(request, OUT_HEADER_SIZE + length, 0);
  }

  /** `errno`: positive. */
  error(request: FuseRequest, errno: number): number {
    return this.#header(request, OUT_HEADER_SIZE, -errno);
  }

  /** Sets a field of the structure with which the body begins. */
  set(field: Field<number>, value: number): void {
    field.set(this.view, OUT_HEADER_SIZE, value);
  }

  /** Zeros the first bytes of the body: structures have padding and spare fields. */
  clear(length: number): void {
    this.bytes.fill(0, OUT_HEADER_SIZE, OUT_HEADER_SIZE + length);
  }

  entry(request: FuseRequest, entry: FuseEntry): number {
    writeEntry(this.view, OUT_HEADER_SIZE, entry);
    return this.done(request, EntryOut.$size);
  }

  /** There is no such name; the kernel may believe that for so many seconds. */
  noEntry(request: FuseRequest, validSeconds: number): number {
    this.clear(EntryOut.$size);
    this.set(EntryOut.entry_valid, validSeconds);
    return this.done(request, EntryOut.$size);
  }

  attributes(request: FuseRequest, attributes: FuseAttributes, validSeconds: number): number {
    this.clear(ATTR_OUT_ATTR);
    setSeconds(this.view, OUT_HEADER_SIZE, AttrOut.attr_valid, AttrOut.attr_valid_nsec, validSeconds);
    writeAttributes(this.view, OUT_HEADER_SIZE + ATTR_OUT_ATTR, attributes);
    return this.done(request, AttrOut.$size);
  }

  /** OPEN and OPENDIR; `openFlags`: bits of FOPEN. */
  open(request: FuseRequest, fh: number, openFlags: number): number {
    this.#open(OUT_HEADER_SIZE, fh, openFlags);
    return this.done(request, OpenOut.$size);
  }

  /** CREATE: an entry and an open file in one. */
  create(request: FuseRequest, entry: FuseEntry, fh: number, openFlags: number): number {
    writeEntry(this.view, OUT_HEADER_SIZE, entry);
    this.#open(OUT_HEADER_SIZE + EntryOut.$size, fh, openFlags);
    return this.done(request, EntryOut.$size + OpenOut.$size);
  }

  /** `size`: bytes written. */
  written(request: FuseRequest, size: number): number {
    this.clear(WriteOut.$size);
    this.set(WriteOut.size, size);
    return this.done(request, WriteOut.$size);
  }

  statfs(request: FuseRequest, values: FuseStatfs): number {
    this.clear(Kstatfs.$size);
    this.set(Kstatfs.blocks, values.blocks);
    this.set(Kstatfs.bfree, values.bfree);
    this.set(Kstatfs.bavail, values.bavail);
    this.set(Kstatfs.files, values.files);
    this.set(Kstatfs.ffree, values.ffree);
    this.set(Kstatfs.bsize, values.bsize);
    this.set(Kstatfs.namelen, values.namelen);
    this.set(Kstatfs.frsize, values.frsize);
    return this.done(request, Kstatfs.$size);
  }

  /** Copies `data` into the body. */
  data(request: FuseRequest, data: Uint8Array): number {
    this.bytes.set(data, OUT_HEADER_SIZE);
    return this.done(request, data.length);
  }

  #open(base: number, fh: number, openFlags: number): void {
    OpenOut.fh.set(this.view, base, fh);
    OpenOut.open_flags.set(this.view, base, openFlags);
    OpenOut.backing_id.set(this.view, base, 0);
  }

  #header(request: FuseRequest, length: number, error: number): number {
    OutHeader.len.set(this.view, 0, length);
    OutHeader.error.set(this.view, 0, error);
    // As it is: a number would round what is above 2^53.
    const { offset } = InHeader.unique;
    this.view.setUint32(8, request.view.getUint32(offset, true), true);
    this.view.setUint32(12, request.view.getUint32(offset + 4, true), true);
    return length;
  }
}

/** The entries of a READDIR or READDIRPLUS reply, in the body of `reply`. */
export class DirentWriter {
  readonly #reply: FuseReply;
  #at = OUT_HEADER_SIZE;
  #end = OUT_HEADER_SIZE;

  constructor(reply: FuseReply) {
    this.#reply = reply;
  }

  /** `size`: as the request has it. */
  start(size: number): void {
    this.#at = OUT_HEADER_SIZE;
    this.#end = Math.min(OUT_HEADER_SIZE + size, this.#reply.bytes.length);
  }

  /** Bytes of the body so far. */
  get length(): number {
    return this.#at - OUT_HEADER_SIZE;
  }

  /**
   * False: it does not fit, and the reply ends before it. `next` is the offset with which the kernel goes on after this entry, not 0;
   * `mode` needs only the bits of the kind.
   */
  add(name: string, ino: number, mode: number, next: number): boolean {
    return this.#dirent(this.#at, name, ino, mode, next);
  }

  /** For READDIRPLUS. Each entry but `.` and `..` counts as a lookup; a node ID of 0 leaves the kernel to look it up. */
  addPlus(name: string, entry: FuseEntry, next: number): boolean {
    const at = this.#at;
    const { ino, mode } = entry.attributes;
    if (!this.#dirent(at + EntryOut.$size, name, ino, mode, next)) return false;
    writeEntry(this.#reply.view, at, entry);
    return true;
  }

  #dirent(at: number, name: string, ino: number, mode: number, next: number): boolean {
    const length = utf8Length(name);
    const start = at + Dirent.$size;
    const end = start + length;
    const padded = OUT_HEADER_SIZE + align8(end - OUT_HEADER_SIZE);
    if (padded > this.#end) return false;
    const { bytes, view } = this.#reply;
    Dirent.ino.set(view, at, ino);
    Dirent.off.set(view, at, next);
    Dirent.namelen.set(view, at, length);
    Dirent.type.set(view, at, (mode >>> 12) & 0o17);
    encodeUtf8Into(name, bytes, start);
    bytes.fill(0, end, padded);
    this.#at = padded;
    return true;
  }
}

/** A reply to the request of that `unique`, for whoever does not have it in a buffer any more. `errno`: positive, 0 for success. */
export function errorMessage(uniqueLow: number, uniqueHigh: number, errno: number): Uint8Array {
  const bytes = new Uint8Array(OUT_HEADER_SIZE);
  const view = viewOf(bytes);
  OutHeader.len.set(view, 0, OUT_HEADER_SIZE);
  OutHeader.error.set(view, 0, -errno);
  view.setUint32(OutHeader.unique.offset, uniqueLow, true);
  view.setUint32(OutHeader.unique.offset + 4, uniqueHigh, true);
  return bytes;
}

/** The kernel's new_encode_dev(): 12 bits of major and 20 of minor. */
export function deviceNumber(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function majorOf(rdev: number): number {
  return (rdev >>> 8) & 0xfff;
}

export function minorOf(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
}

export function writeEntry(view: DataView, base: number, entry: FuseEntry): void {
  EntryOut.nodeid.set(view, base, entry.nodeId);
  EntryOut.generation.set(view, base, entry.generation);
  setSeconds(view, base, EntryOut.entry_valid, EntryOut.entry_valid_nsec, entry.entryValid);
  setSeconds(view, base, EntryOut.attr_valid, EntryOut.attr_valid_nsec, entry.attrValid);
  writeAttributes(view, base + ENTRY_ATTR, entry.attributes);
}

export function writeAttributes(view: DataView, base: number, attributes: FuseAttributes): void {
  Attr.ino.set(view, base, attributes.ino);
  Attr.size.set(view, base, attributes.size);
  Attr.blocks.set(view, base, attributes.blocks);
  Attr.atime.set(view, base, attributes.atime.seconds);
  Attr.mtime.set(view, base, attributes.mtime.seconds);
  Attr.ctime.set(view, base, attributes.ctime.seconds);
  Attr.atimensec.set(view, base, attributes.atime.nanoseconds);
  Attr.mtimensec.set(view, base, attributes.mtime.nanoseconds);
  Attr.ctimensec.set(view, base, attributes.ctime.nanoseconds);
  Attr.mode.set(view, base, attributes.mode);
  Attr.nlink.set(view, base, attributes.nlink);
  Attr.uid.set(view, base, attributes.uid);
  Attr.gid.set(view, base, attributes.gid);
  Attr.rdev.set(view, base, attributes.rdev);
  Attr.blksize.set(view, base, attributes.blksize);
  Attr.flags.set(view, base, 0);
}

/** Seconds with a fraction. */
function setSeconds(
  view: DataView,
  base: number,
  whole: Field<number>,
  rest: Field<number>,
  seconds: number,
): void {
  const floor = Math.floor(seconds);
  whole.set(view, base, floor);
  rest.set(view, base, Math.floor((seconds - floor) * 1e9));
}

function align8(length: number): number {
  return (length + 7) & ~7;
}
