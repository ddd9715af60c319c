import fs from 'node:fs';
import path from 'node:path';
import { type Timestamp, millisecondsOf } from '../bytes/time.ts';
import { decodeUtf8 } from '../bytes/utf8.ts';
import type { Extent } from '../device/block-device.ts';
import { MAX_OUTSIDE_PATH } from '../device/content-copier.ts';
import {
  type FileIdentity,
  type TreeAttributes,
  type TreeCapabilities,
  type TreeChild,
  type TreeSource,
  type TreeTarget,
  type Xattr,
  NO_XATTRS,
  compareNames,
} from '../disk/tree/tree.ts';
import { FsError, errnoCode, hasCode } from '../errors.ts';
import type { CreateOptions, NodeKind } from '../filesystem/file-system.ts';
import { type FileStatus, fileStatus } from './file-status.ts';
import { hostText, isWellFormed } from './host-text.ts';
import { type NativeFileOperations, nativeFileOperations } from './native-file.ts';
import { nativeNodeOperations } from './native-node.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = fs.constants;
/** Bounds the memory that measuring a tree takes: some 400 bytes each. */
const KNOWN_MAX = 50_000;

/**
 * The files of the host, for copying from them and to them. A place is a path: absolute, or counted from `cwd`.
 *
 * As a target it never follows a symlink and takes from names one step down only, so that nothing is written outside
 * of the directory that the caller has named, whatever the source calls its files.
 */
export class HostTree implements TreeSource<string>, TreeTarget<string> {
  readonly capabilities: TreeCapabilities = {
    name: 'the host',
    symlinks: true,
    hardLinks: true,
    specialFiles: true,
    ownership: true,
    xattrs: nativeNodeOperations() !== undefined,
    holes: true,
    dosAttributes: false,
    maxFileSize: Number.MAX_SAFE_INTEGER,
  };
  ownersLost = 0;
  readonly #prefix: string;
  readonly #umask = process.umask();
  readonly #isRoot = process.geteuid?.() === 0;
  /** Files of this device are known by their inode number alone. */
  #device: number | undefined;
  readonly #known = new Map<string, TreeAttributes>();
  readonly #knownChildren = new Map<string, readonly TreeChild<string>[]>();
  #remembering = false;
  #readingFd = -1;
  #writingFd = -1;
  #writingPath = '';
  #written = 0;
  /** Bits that the open file has already. */
  #mode = -1;

  constructor(cwd: string) {
    this.#prefix = cwd === process.cwd() ? '' : cwd.endsWith('/') ? cwd : `${cwd}/`;
  }

  describe(place: string, name?: string): string {
    return name === undefined ? place : join(place, name);
  }

  attributes(place: string): TreeAttributes {
    const known = this.#known.get(place);
    if (known !== undefined) {
      this.#known.delete(place);
      return known;
    }
    const attributes = this.#attributesOf(fileStatus(this.#absolute(place)));
    if (this.#remembering && this.#known.size < KNOWN_MAX) this.#known.set(place, attributes);
    return attributes;
  }

  /** What `attributes` and `children` tell from now on is told a second time without asking the host: one walk to measure, one to copy. */
  remember(remembering: boolean): void {
    this.#remembering = remembering;
  }

  follow(place: string): string {
    return decodeUtf8(fs.realpathSync(this.#path(place), { encoding: 'buffer' }));
  }

  children(directory: string): readonly TreeChild<string>[] {
    const known = this.#knownChildren.get(directory);
    if (known !== undefined) {
      this.#knownChildren.delete(directory);
      return known;
    }
    const children = this.#readChildren(directory);
    if (this.#remembering && this.#known.size < KNOWN_MAX) this.#knownChildren.set(directory, children);
    return children;
  }

  #readChildren(directory: string): TreeChild<string>[] {
    const names = this.#names(directory);
    return names.map((name) => ({ name, place: join(directory, name) })).sort(compareNames);
  }

  readLink(place: string): string {
    return decodeUtf8(fs.readlinkSync(this.#path(place), { encoding: 'buffer' }));
  }

  xattrs(place: string): readonly Xattr[] {
    const native = nativeNodeOperations();
    if (native === undefined) return NO_XATTRS;
    const absolute = this.#absolute(place);
    const names = native.listXattrs(absolute);
    if (names.length === 0) return NO_XATTRS;
    const xattrs: Xattr[] = [];
    for (const name of names) {
      const value = native.getXattr(absolute, name);
      if (value !== undefined) xattrs.push({ name, value });
    }
    return xattrs;
  }

  outsidePath(place: string): string | undefined {
    const absolute = this.#absolute(place);
    // Three bytes a character at most.
    const fits = absolute.length * 3 <= MAX_OUTSIDE_PATH || Buffer.byteLength(absolute) <= MAX_OUTSIDE_PATH;
    return fits && isWellFormed(absolute) ? absolute : undefined;
  }

  openFile(place: string): void {
    this.#readingFd = fs.openSync(this.#path(place), O_RDONLY | O_NOFOLLOW);
  }

  readFile(offset: number, into: Uint8Array): number {
    return fs.readSync(this.#readingFd, into, 0, into.length, offset);
  }

  fileExtents(attributes: TreeAttributes): Iterable<Extent> | undefined {
    const native = nativeFileOperations();
    return native === undefined ? undefined : dataAndHoles(native, this.#readingFd, attributes.size);
  }

  closeFile(): void {
    fs.closeSync(this.#readingFd);
    this.#readingFd = -1;
  }

  find(directory: string, name: string): string | undefined {
    const place = below(directory, name);
    return fs.lstatSync(this.#path(place), { throwIfNoEntry: false }) === undefined ? undefined : place;
  }

  kind(place: string): NodeKind {
    return fileStatus(this.#absolute(place)).kind;
  }

  identity(place: string): FileIdentity {
    return this.#identityOf(fileStatus(this.#absolute(place)));
  }

  entryKey(_place: string, name: string): string {
    return name;
  }

  ancestors(directory: string): FileIdentity[] {
    const found: FileIdentity[] = [];
    for (let place = fs.realpathSync(this.#path(directory)); ; place = path.dirname(place)) {
      found.push(this.identity(place));
      if (path.dirname(place) === place) return found;
    }
  }

  make(directory: string, name: string, node: CreateOptions): string {
    const place = below(directory, name);
    const target = this.#path(place);
    if (node.kind === 'directory') {
      // Whoever fills it must be able to write into it; finishDirectory sets what it shall have.
      fs.mkdirSync(target, ((node.mode ?? 0o777) & 0o777) | 0o700);
      return place;
    }
    if (node.kind === 'symlink') {
      fs.symlinkSync(hostText(node.target!), target);
      this.#own(node, (uid, gid) => fs.lchownSync(target, uid, gid));
    } else {
      const native = nativeNodeOperations();
      if (native === undefined) {
        throw new FsError('EOPNOTSUPP', { detail: 'this needs the package koffi, which is not installed' });
      }
      const mode = node.mode ?? 0o666;
      const device = node.device ?? { major: 0, minor: 0 };
      raise(native.makeNode(this.#absolute(place), node.kind, mode & 0o777, device), 'mknod', place);
      this.#own(node, (uid, gid) => fs.lchownSync(target, uid, gid));
      fs.chmodSync(target, mode);
    }
    this.#setTimes(place, node);
    return place;
  }

  makeFile(directory: string, name: string, node: CreateOptions): string {
    const place = below(directory, name);
    const mode = (node.mode ?? 0o666) & 0o777;
    this.#writingFd = fs.openSync(this.#path(place), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    this.#writingPath = place;
    this.#mode = mode & ~this.#umask;
    this.#written = 0;
    return place;
  }

  reopenFile(place: string): void {
    this.#writingFd = fs.openSync(this.#path(place), O_WRONLY | O_TRUNC | O_NOFOLLOW);
    this.#writingPath = place;
    this.#mode = -1;
    this.#written = 0;
  }

  writeFile(offset: number, from: Uint8Array): void {
    for (let done = 0; done < from.length;) {
      done += fs.writeSync(this.#writingFd, from, done, from.length - done, offset + done);
    }
    this.#written = Math.max(this.#written, offset + from.length);
  }

  endFile(size: number, node: CreateOptions | undefined): void {
    const fd = this.#writingFd;
    this.#writingFd = -1;
    try {
      if (node === undefined) return;
      if (size > this.#written) fs.ftruncateSync(fd, size);
      const owned = this.#own(node, (uid, gid) => fs.fchownSync(fd, uid, gid));
      // A change of the owner clears setuid and setgid.
      if (node.mode !== undefined && (node.mode !== this.#mode || (owned && (node.mode & 0o6000) !== 0))) {
        fs.fchmodSync(fd, node.mode);
      }
      const { atime, mtime } = node;
      if (atime === undefined || mtime === undefined) return;
      const native = nativeNodeOperations();
      if (native === undefined) fs.futimesSync(fd, inSeconds(atime), inSeconds(mtime));
      else raise(native.setOpenTimes(fd, atime, mtime), 'futimens', this.#writingPath);
    } finally {
      fs.closeSync(fd);
    }
  }

  finishDirectory(place: string, node: CreateOptions): void {
    const target = this.#path(place);
    this.#own(node, (uid, gid) => fs.lchownSync(target, uid, gid));
    if (node.mode !== undefined) fs.chmodSync(target, node.mode);
    this.#setTimes(place, node);
  }

  link(existing: string, directory: string, name: string): void {
    fs.linkSync(this.#path(existing), this.#path(below(directory, name)));
  }

  setXattr(place: string, name: string, value: Uint8Array): void {
    const native = nativeNodeOperations();
    if (native === undefined) throw new FsError('EOPNOTSUPP');
    raise(native.setXattr(this.#absolute(place), name, value), 'lsetxattr', place);
  }

  unlink(directory: string, name: string): void {
    fs.unlinkSync(this.#path(below(directory, name)));
  }

  /** Calls `change` with the owner that is wanted, where this process may give it; says whether it did. */
  #own(node: CreateOptions, change: (uid: number, gid: number) => void): boolean {
    if (node.uid === undefined && node.gid === undefined) return false;
    if (!this.#isRoot) {
      if (node.uid !== process.getuid?.() || node.gid !== process.getgid?.()) this.ownersLost++;
      return false;
    }
    try {
      // 4294967295 is chown(2)'s word for "as it is".
      change(node.uid ?? 0xffff_ffff, node.gid ?? 0xffff_ffff);
      return true;
    } catch (error) {
      if (!hasCode(error, 'EPERM') && !hasCode(error, 'EINVAL')) throw error;
      this.ownersLost++;
      return false;
    }
  }

  #setTimes(place: string, { atime, mtime }: CreateOptions): void {
    if (atime === undefined || mtime === undefined) return;
    const native = nativeNodeOperations();
    if (native === undefined) fs.lutimesSync(this.#path(place), inSeconds(atime), inSeconds(mtime));
    else raise(native.setTimes(this.#absolute(place), atime, mtime), 'utimensat', place);
  }

  #names(directory: string): string[] {
    const target = this.#path(directory);
    const names = fs.readdirSync(target);
    // Node puts U+FFFD where a name is not UTF-8: only then are bytes needed.
    if (!names.some((name) => name.includes('\ufffd'))) return names;
    return fs.readdirSync(target, { encoding: 'buffer' }).map((name) => decodeUtf8(name));
  }

  #absolute(place: string): string {
    return this.#prefix === '' || place.startsWith('/') ? place : this.#prefix + place;
  }

  #path(place: string): string | Buffer {
    return hostText(this.#absolute(place));
  }

  #attributesOf(status: FileStatus): TreeAttributes {
    const { kind, size, allocated, mode, uid, gid, atime, mtime } = status;
    return {
      kind,
      identity: this.#identityOf(status),
      size,
      allocated,
      sparse: kind === 'file' && allocated < size,
      mode,
      uid,
      gid,
      linkCount: kind === 'directory' ? 1 : status.linkCount,
      device: status.deviceNumber,
      atime,
      mtime,
      dosAttributes: 0,
    };
  }

  #identityOf({ device, inode }: FileStatus): FileIdentity {
    this.#device ??= device;
    return device === this.#device ? inode : `${device}:${inode}`;
  }

  /** What `excluded` of the copy engine wants; undefined when nothing is there. */
  identityIfThere(place: string): FileIdentity | undefined {
    const target = this.#absolute(place);
    return fs.existsSync(hostText(target))
      ? this.#identityOf(fileStatus(target, { follow: true }))
      : undefined;
  }
}

function* dataAndHoles(native: NativeFileOperations, fd: number, size: number): Iterable<Extent> {
  for (let at = 0; at < size;) {
    const data = Math.min(native.seekData(fd, at) ?? size, size);
    if (data > at) yield { offset: at, length: data - at, kind: 'hole' };
    if (data >= size) return;
    const hole = Math.min(native.seekHole(fd, data) ?? size, size);
    yield { offset: data, length: hole - data, kind: 'data' };
    at = hole;
  }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

/** One step down. EINVAL for what would be none. */
function below(directory: string, name: string): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw new FsError('EINVAL', { detail: 'no file of the host can have this name' });
  }
  return join(directory, name);
}

function inSeconds(time: Timestamp): number {
  return millisecondsOf(time) / 1000;
}

function raise(errno: number, syscall: string, place: string): void {
  if (errno === 0) return;
  const code = errnoCode(errno);
  if (code !== undefined) throw new FsError(code, { syscall, path: place });
  throw new FsError('EIO', { syscall, path: place, detail: `errno ${errno}` });
}
