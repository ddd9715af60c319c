import { viewOf } from '../../bytes/struct.ts';

/**
 * POSIX access control lists have two forms: as an attribute's value (`linux/posix_acl_xattr.h`: version 2, 8 bytes an
 * entry) and on disk (version 1, in which only the entries of named users and groups carry an id).
 */
const XATTR_VERSION = 2;
const DISK_VERSION = 1;

/** `e_tag` of entries with an id. */
const NAMED_USER = 0x02;
const NAMED_GROUP = 0x08;
const NO_ID = 0xffff_ffff;

/** Undefined when the value is no ACL. */
export function aclToDisk(value: Uint8Array): Uint8Array | undefined {
  if (value.length < 4 || (value.length - 4) % 8 !== 0) return undefined;
  const view = viewOf(value);
  if (view.getUint32(0, true) !== XATTR_VERSION) return undefined;
  const result = new Uint8Array(value.length);
  const out = viewOf(result);
  out.setUint32(0, DISK_VERSION, true);
  let end = 4;
  for (let at = 4; at < value.length; at += 8) {
    const tag = view.getUint16(at, true);
    out.setUint32(end, view.getUint32(at, true), true);
    end += 4;
    if (!hasId(tag)) continue;
    out.setUint32(end, view.getUint32(at + 4, true), true);
    end += 4;
  }
  return result.slice(0, end);
}

/** Undefined when the bytes are no ACL. */
export function aclFromDisk(disk: Uint8Array): Uint8Array | undefined {
  if (disk.length < 4) return undefined;
  const view = viewOf(disk);
  if (view.getUint32(0, true) !== DISK_VERSION) return undefined;
  const result = new Uint8Array(4 + 2 * (disk.length - 4));
  const out = viewOf(result);
  out.setUint32(0, XATTR_VERSION, true);
  let end = 4;
  for (let at = 4; at < disk.length; end += 8) {
    if (at + 4 > disk.length) return undefined;
    const named = hasId(view.getUint16(at, true));
    if (named && at + 8 > disk.length) return undefined;
    out.setUint32(end, view.getUint32(at, true), true);
    out.setUint32(end + 4, named ? view.getUint32(at + 4, true) : NO_ID, true);
    at += named ? 8 : 4;
  }
  return result.slice(0, end);
}

function hasId(tag: number): boolean {
  return tag === NAMED_USER || tag === NAMED_GROUP;
}
