import type { DeviceNumber, NodeKind } from '../../filesystem/file-system.ts';
import type { Timestamp } from '../../bytes/time.ts';
import { CorruptImageError, UnsupportedError } from '../../errors.ts';
import { decodeUtf8 } from '../../bytes/utf8.ts';
import type { Xattr } from './tree.ts';

/** One member of an archive, its extensions taken in. */
export interface TarMember {
  readonly name: string;
  readonly kind: NodeKind | 'link';
  /** Where the content begins in the archive, bytes. */
  readonly offset: number;
  /** Bytes of content. */
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  readonly atime: Timestamp | undefined;
  /** Of a symlink or a hard link. */
  readonly target: string;
  readonly device: DeviceNumber | undefined;
  readonly xattrs: readonly Xattr[];
}

/** Reads bytes of the archive: wholly, or fewer at its end. */
export type TarReader = (offset: number, into: Uint8Array) => number;

const RECORD = 512;
/** More than any name or list of attributes that a file can have, bytes. */
const LONGEST_EXTENSION = 16 << 20;
const XATTR_PREFIX = 'SCHILY.xattr.';

const KINDS: Readonly<Record<string, NodeKind | 'link'>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
};

/** Values of extended headers, names as they are in there; attributes keep their bytes. */
type Extensions = Map<string, Uint8Array>;

/**
 * The members of a tar archive in their order: ustar with the extended headers of POSIX.1-2001 (pax) and GNU's long
 * names. CorruptImageError for what is none, UnsupportedError for GNU's sparse members.
 */
export function* tarMembers(read: TarReader): Generator<TarMember> {
  const header = new Uint8Array(RECORD);
  const global: Extensions = new Map();
  let local: Extensions = new Map();
  let offset = 0;
  for (;;) {
    const got = read(offset, header);
    if (got === 0 || header.every((byte) => byte === 0)) return;
    if (got < RECORD) throw corrupt('record', offset, `${got} bytes`, `${RECORD} bytes`);
    checkSum(header, offset);
    const type = String.fromCharCode(header[156]!);
    let size = numberAt(header, 124, 12);
    const content = offset + RECORD;
    if ('xgLK'.includes(type)) {
      if (size > LONGEST_EXTENSION)
        throw corrupt('size', offset + 124, `${size}`, `at most ${LONGEST_EXTENSION}`);
      const bytes = new Uint8Array(size);
      if (read(content, bytes) < size) throw corrupt('extended header', content, 'the end', `${size} bytes`);
      if (type === 'L') local.set('path', untilZero(bytes));
      else if (type === 'K') local.set('linkpath', untilZero(bytes));
      else readExtensions(bytes, content, type === 'g' ? global : local);
      offset = content + padded(size);
      continue;
    }
    const value = (name: string): string | undefined => {
      const bytes = local.get(name) ?? global.get(name);
      return bytes === undefined ? undefined : decodeUtf8(bytes);
    };
    const sparse = type === 'S' || [...local.keys()].some((name) => name.startsWith('GNU.sparse.'));
    const name = value('path') ?? nameOf(header);
    if (sparse)
      throw new UnsupportedError(`"${name}" is a sparse member of the archive, which is not read`, [
        'GNU.sparse',
      ]);
    const kind = KINDS[type];
    if (kind === undefined)
      throw new UnsupportedError(`"${name}" is a member of the unknown type "${type}"`, [`type ${type}`]);
    size = numberOf(value('size')) ?? size;
    const hasContent = kind === 'file';
    yield {
      name,
      kind: kind === 'file' && name.endsWith('/') ? 'directory' : kind,
      offset: content,
      size: hasContent ? size : 0,
      mode: numberAt(header, 100, 8) & 0o7777,
      uid: numberOf(value('uid')) ?? numberAt(header, 108, 8),
      gid: numberOf(value('gid')) ?? numberAt(header, 116, 8),
      mtime: timeOf(value('mtime')) ?? { seconds: numberAt(header, 136, 12), nanoseconds: 0 },
      atime: timeOf(value('atime')),
      target: value('linkpath') ?? textAt(header, 157, 100),
      device:
        kind === 'character-device' || kind === 'block-device'
          ? { major: numberAt(header, 329, 8), minor: numberAt(header, 337, 8) }
          : undefined,
      xattrs: xattrsOf(global, local),
    };
    local = new Map();
    offset = content + (hasContent ? padded(size) : 0);
  }
}

function padded(size: number): number {
  return Math.ceil(size / RECORD) * RECORD;
}

/** The sum of all bytes, its own field taken for spaces. */
function checkSum(header: Uint8Array, offset: number): void {
  let sum = 8 * 0x20;
  for (let i = 0; i < RECORD; i++) if (i < 148 || i >= 156) sum += header[i]!;
  const found = numberAt(header, 148, 8);
  if (found !== sum) throw corrupt('chksum', offset + 148, `${found}`, `${sum}`);
}

function nameOf(header: Uint8Array): string {
  const name = textAt(header, 0, 100);
  const isUstar = textAt(header, 257, 6) === 'ustar';
  const prefix = isUstar && header[263] === 0x30 ? textAt(header, 345, 155) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Octal digits, or with the first bit set, big-endian binary. */
function numberAt(header: Uint8Array, at: number, length: number): number {
  if ((header[at]! & 0x80) !== 0) {
    // The first byte's other bits tell the sign; none of these numbers is negative but a time may be.
    let value = header[at] === 0xff ? -1 : header[at]! & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + header[at + i]!;
    return value;
  }
  const digits = textAt(header, at, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : 0;
}

function textAt(header: Uint8Array, at: number, length: number): string {
  return decodeUtf8(untilZero(header.subarray(at, at + length)));
}

function untilZero(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** Lines of `LENGTH NAME=VALUE`, the length counting all of the line. */
function readExtensions(bytes: Uint8Array, offset: number, into: Extensions): void {
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(decodeUtf8(bytes.subarray(at, space)));
    const equals = bytes.indexOf(0x3d, space);
    if (!(length > 0) || at + length > bytes.length || equals < 0 || equals >= at + length)
      throw corrupt('extended header', offset + at, 'no length', 'LENGTH NAME=VALUE');
    into.set(decodeUtf8(bytes.subarray(space + 1, equals)), bytes.slice(equals + 1, at + length - 1));
    at += length;
  }
}

function xattrsOf(...lists: readonly Extensions[]): Xattr[] {
  const found = new Map<string, Uint8Array>();
  for (const list of lists)
    for (const [name, value] of list)
      if (name.startsWith(XATTR_PREFIX)) found.set(name.slice(XATTR_PREFIX.length), value);
  return [...found].map(([name, value]) => ({ name, value }));
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
}

/** `1600000000.25`: seconds and a part of one. */
function timeOf(text: string | undefined): Timestamp | undefined {
  const match = /^(-?\d+)(?:\.(\d+))?$/.exec(text ?? '');
  if (match === null) return undefined;
  const nanoseconds = Number((match[2] ?? '').padEnd(9, '0').slice(0, 9));
  const seconds = Number(match[1]);
  // A negative time counts its part down from the second.
  if (match[1]!.startsWith('-') && nanoseconds > 0)
    return { seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
  return { seconds, nanoseconds };
}

function corrupt(field: string, offset: number, found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: 'tar header', field, offset, found, expected });
}
