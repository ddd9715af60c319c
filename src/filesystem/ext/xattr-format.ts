import { struct, u16le, u32le, u8 } from '../../bytes/struct.ts';
import { decodeUtf8, encodeUtf8 } from '../../bytes/utf8.ts';

/** `struct ext4_xattr_header`, at the start of an attribute block: Linux Documentation/filesystems/ext4/attributes.rst. */
export const XattrHeader = struct('ext4_xattr_header', 32, {
  h_magic: u32le(0x00), // 0xea020000; in an inode this word is the whole header
  h_refcount: u32le(0x04), // inodes that share the block
  h_blocks: u32le(0x08), // 1
  h_hash: u32le(0x0c), // over the entries' hashes
  h_checksum: u32le(0x10),
});

/** `struct ext4_xattr_entry`; the name follows, padded to 4 bytes. A word of zeros ends the list. */
export const XattrEntry = struct('ext4_xattr_entry', 16, {
  e_name_len: u8(0x00),
  e_name_index: u8(0x01),
  e_value_offs: u16le(0x02), // from the first entry in an inode, from the block's start in a block
  e_value_inum: u32le(0x04), // the inode that holds the value; 0: it is here
  e_value_size: u32le(0x08),
  e_hash: u32le(0x0c), // 0 in inodes, for values that are stored there
});

export const XATTR_MAGIC = 0xea02_0000;
export const MAX_XATTR_NAME = 255;

/** `e_name_index`: what the stored name leaves out. */
export const XattrIndex = {
  user: 1,
  aclAccess: 2,
  aclDefault: 3,
  trusted: 4,
  lustre: 5,
  security: 6,
  system: 7,
  richAcl: 8,
} as const;

const PREFIXES: readonly (readonly [index: number, prefix: string])[] = [
  [XattrIndex.user, 'user.'],
  [XattrIndex.trusted, 'trusted.'],
  [XattrIndex.security, 'security.'],
  [XattrIndex.lustre, 'lustre.'],
];
const WHOLE_NAMES: readonly (readonly [index: number, name: string])[] = [
  [XattrIndex.aclAccess, 'system.posix_acl_access'],
  [XattrIndex.aclDefault, 'system.posix_acl_default'],
  [XattrIndex.richAcl, 'system.richacl'],
];

/** One attribute as it is stored. */
export interface StoredXattr {
  readonly index: number;
  /** Without the prefix that `index` stands for. */
  readonly name: string;
  /** In place; empty when `valueInode` holds it. */
  readonly value: Uint8Array;
  /** 0 for a value that is stored here. */
  readonly valueInode: number;
  readonly size: number;
  /** `e_hash` as it is stored: follows from the content only where the value is here. */
  readonly hash: number;
}

/** The full name, or undefined for an index without one. */
export function fullName(index: number, name: string): string | undefined {
  for (const [known, whole] of WHOLE_NAMES) if (known === index && name === '') return whole;
  if (index === XattrIndex.system) return `system.${name}`;
  const prefix = PREFIXES.find(([known]) => known === index)?.[1];
  return prefix === undefined ? undefined : prefix + name;
}

/** Index and stored name for a full name, or undefined when ext has no place for it. */
export function splitName(full: string): { index: number; name: string } | undefined {
  for (const [index, whole] of WHOLE_NAMES) if (full === whole) return { index, name: '' };
  for (const [index, prefix] of PREFIXES) {
    if (full.length > prefix.length && full.startsWith(prefix))
      return { index, name: full.slice(prefix.length) };
  }
  return full.startsWith('system.') && full.length > 7
    ? { index: XattrIndex.system, name: full.slice(7) }
    : undefined;
}

/** What is wrong with a list of entries. */
export interface XattrFault {
  readonly field: string;
  readonly found: string;
  readonly expected: string;
}

/**
 * Reads the entries from `start` on within `region`; offsets of values count from `origin`. The values are views.
 * Returns a fault instead when an entry leaves the region.
 */
export function parseXattrs(
  region: Uint8Array,
  start: number,
  origin: number,
): readonly StoredXattr[] | XattrFault {
  const view = new DataView(region.buffer, region.byteOffset, region.length);
  const result: StoredXattr[] = [];
  let at = start;
  for (;;) {
    if (at + 4 > region.length) return fault('e_name_len', 'a list without an end', 'a word of zeros');
    if (view.getUint32(at, true) === 0) return result;
    const nameLength = XattrEntry.e_name_len.get(view, at);
    if (at + 16 + nameLength > region.length) {
      return fault('e_name_len', `${nameLength}`, `at most ${Math.max(0, region.length - at - 16)}`);
    }
    const size = XattrEntry.e_value_size.get(view, at);
    const valueInode = XattrEntry.e_value_inum.get(view, at);
    const from = origin + XattrEntry.e_value_offs.get(view, at);
    const here = valueInode === 0 && size > 0;
    if (here && from + size > region.length) {
      return fault('e_value_size', `${size}`, `at most ${Math.max(0, region.length - from)}`);
    }
    result.push({
      index: XattrEntry.e_name_index.get(view, at),
      name: decodeUtf8(region, at + 16, at + 16 + nameLength),
      value: here ? region.subarray(from, from + size) : new Uint8Array(0),
      valueInode,
      size,
      hash: XattrEntry.e_hash.get(view, at),
    });
    at += (16 + nameLength + 3) & ~3;
  }
}

/** Bytes that the entries take with their end mark, without any header. */
export function xattrsSize(list: readonly StoredXattr[]): number {
  let size = 4;
  for (const entry of list) {
    size += ((16 + encodeUtf8(entry.name).length + 3) & ~3) + ((entry.value.length + 3) & ~3);
  }
  return size;
}

/**
 * Writes the entries upwards from `start` and the values downwards from the end, as the kernel lays them out; they must
 * fit. Hashes are only kept in blocks, and of values that lie elsewhere. Returns the hash over all entries.
 */
export function writeXattrs(
  region: Uint8Array,
  start: number,
  origin: number,
  list: readonly StoredXattr[],
  hashed: boolean,
): number {
  const view = new DataView(region.buffer, region.byteOffset, region.length);
  region.fill(0, start);
  let at = start;
  let end = region.length;
  let blockHash = 0;
  for (const entry of list) {
    const name = encodeUtf8(entry.name);
    XattrEntry.e_name_len.set(view, at, name.length);
    XattrEntry.e_name_index.set(view, at, entry.index);
    XattrEntry.e_value_size.set(view, at, entry.size);
    XattrEntry.e_value_inum.set(view, at, entry.valueInode);
    region.set(name, at + 16);
    if (entry.value.length > 0) {
      end -= (entry.value.length + 3) & ~3;
      region.set(entry.value, end);
      XattrEntry.e_value_offs.set(view, at, end - origin);
    }
    const isElsewhere = entry.valueInode !== 0;
    if (hashed || isElsewhere) {
      const hash = isElsewhere ? entry.hash : entryHash(name, entry.value);
      XattrEntry.e_hash.set(view, at, hash);
      blockHash = (((blockHash << 16) | (blockHash >>> 16)) ^ hash) >>> 0;
    }
    at += (16 + name.length + 3) & ~3;
  }
  return blockHash;
}

/** In blocks entries are sorted by index, then by length of the name, then by its bytes. */
export function compareXattrs(a: StoredXattr, b: StoredXattr): number {
  if (a.index !== b.index) return a.index - b.index;
  const x = encodeUtf8(a.name);
  const y = encodeUtf8(b.name);
  if (x.length !== y.length) return x.length - y.length;
  const at = x.findIndex((byte, i) => byte !== y[i]);
  return at < 0 ? 0 : x[at]! - y[at]!;
}

/** `e_hash`: the name's bytes, then the value's words, rotated in by 5 and by 16 bits. */
export function entryHash(name: Uint8Array, value: Uint8Array): number {
  let hash = 0;
  for (const byte of name) hash = (hash << 5) ^ (hash >>> 27) ^ byte;
  for (let at = 0; at < value.length; at += 4) {
    const word =
      value[at]! | ((value[at + 1] ?? 0) << 8) | ((value[at + 2] ?? 0) << 16) | ((value[at + 3] ?? 0) << 24);
    hash = (hash << 16) ^ (hash >>> 16) ^ word;
  }
  return hash >>> 0;
}

function fault(field: string, found: string, expected: string): XattrFault {
  return { field, found, expected };
}
