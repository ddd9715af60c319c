import { FsError } from '../errors.ts';
import type { FileSystem, NodeId } from './file-system.ts';

/** Paths inside an image: absolute, `/` between names, symlinks resolved within the image as if its root were `/`. */

/** Linux follows at most 40 links on the way to a node (MAXSYMLINKS, include/linux/namei.h). */
const MAX_LINKS = 40;

/** The names of a path, without `.` and empty ones; `..` stays. */
export function splitPath(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

export interface ResolveOptions {
  /** Follow a symlink that is the last name of the path. Default true. */
  readonly follow?: boolean;
  /** For error messages. */
  readonly syscall?: string;
}

/** The node that a path names; ENOENT, ENOTDIR and ELOOP as the kernel gives them. */
export function resolvePath(fs: FileSystem, path: string, options: ResolveOptions = {}): NodeId {
  const found = findPath(fs, path, options);
  if (found === undefined) throw new FsError('ENOENT', { ...syscallOf(options), path });
  return found;
}

/** As `resolvePath`, but undefined when the last name, or a directory on the way, is not there. */
export function findPath(fs: FileSystem, path: string, options: ResolveOptions = {}): NodeId | undefined {
  const mustBeDirectory = path.endsWith('/') && splitPath(path).length > 0;
  const node = walk(fs, path, options, mustBeDirectory || (options.follow ?? true));
  if (mustBeDirectory && node !== undefined && fs.attributes(node).kind !== 'directory') {
    throw new FsError('ENOTDIR', { ...syscallOf(options), path });
  }
  return node;
}

export interface ParentAndName {
  readonly directory: NodeId;
  readonly name: string;
}

/** The directory in which a path's last name lives or would live. EINVAL for the root, ENOENT for a missing directory. */
export function resolveParent(fs: FileSystem, path: string, options: ResolveOptions = {}): ParentAndName {
  const names = splitPath(path);
  const name = names.pop();
  if (name === undefined || name === '..') throw new FsError('EINVAL', { ...syscallOf(options), path });
  const directory = walk(fs, names.join('/'), options, true);
  if (directory === undefined) throw new FsError('ENOENT', { ...syscallOf(options), path });
  if (fs.attributes(directory).kind !== 'directory') {
    throw new FsError('ENOTDIR', { ...syscallOf(options), path });
  }
  return { directory, name };
}

function walk(
  fs: FileSystem,
  path: string,
  options: ResolveOptions,
  followLast: boolean,
): NodeId | undefined {
  const pending = splitPath(path).reverse();
  let node = fs.root;
  let links = 0;
  while (pending.length > 0) {
    const name = pending.pop()!;
    if (name === '..') {
      if (fs.attributes(node).kind !== 'directory')
        throw new FsError('ENOTDIR', { ...syscallOf(options), path });
      node = fs.parent(node);
      continue;
    }
    const next = lookupIn(fs, node, name, path, options);
    if (next === undefined) return undefined;
    if (pending.length === 0 && !followLast) return next;
    if (fs.attributes(next).kind !== 'symlink') {
      node = next;
      continue;
    }
    if (++links > MAX_LINKS) throw new FsError('ELOOP', { ...syscallOf(options), path });
    const target = fs.readLink(next);
    if (target.startsWith('/')) node = fs.root;
    pending.push(...splitPath(target).reverse());
  }
  return node;
}

function lookupIn(
  fs: FileSystem,
  node: NodeId,
  name: string,
  path: string,
  options: ResolveOptions,
): NodeId | undefined {
  if (fs.attributes(node).kind !== 'directory') throw new FsError('ENOTDIR', { ...syscallOf(options), path });
  return fs.lookup(node, name);
}

function syscallOf(options: ResolveOptions): { syscall?: string } {
  return options.syscall === undefined ? {} : { syscall: options.syscall };
}
