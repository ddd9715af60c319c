import type { RandomSource } from '../../bytes/uuid.ts';
import { FsError } from '../../errors.ts';
import type { FileSystem, NodeId } from '../file-system.ts';
import { type ParentAndName, findPath, resolveParent, resolvePath } from '../path.ts';
import type { Codec } from './codec.ts';
import type { OpenFileTable } from './open-file-table.ts';

export interface NodeFsOptions {
  /** Owner of what is created. Default 0, the superuser: images are mostly made for machines, not for the user who makes them. */
  readonly uid?: number;
  readonly gid?: number;
  /** Permission bits that new files and directories do not get. Default 0o022. */
  readonly umask?: number;
  /** For the names that mkdtemp draws; without one it counts up. */
  readonly random?: RandomSource;
}

/** What all calls of one face share. */
export interface Context<B extends Uint8Array> {
  readonly fileSystem: FileSystem;
  readonly files: OpenFileTable;
  readonly codec: Codec<B>;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  readonly random: RandomSource | undefined;
}

/** Linux follows at most 40 links on the way to a node. */
export const MAX_LINKS = 40;

/** The node a path names; an empty path names nothing, as with Linux. */
export function existingNode(fileSystem: FileSystem, path: string, follow = true): NodeId {
  if (path === '') throw new FsError('ENOENT');
  return resolvePath(fileSystem, path, { follow });
}

/** As `existingNode`, but undefined when it is not there. */
export function nodeIfThere(fileSystem: FileSystem, path: string, follow = true): NodeId | undefined {
  return path === '' ? undefined : findPath(fileSystem, path, { follow });
}

/**
 * Directory and name of a path whose last name is to be made, removed or renamed. `special` is the code for paths that
 * end in `.`, `..` or are the root: the kernel answers differently for each call.
 */
export function parentAndName(
  fileSystem: FileSystem,
  path: string,
  special: 'EEXIST' | 'EBUSY' | 'EISDIR',
): ParentAndName {
  if (path === '') throw new FsError('ENOENT');
  const last = /([^/]*)\/*$/.exec(path)![1]!;
  if (last === '' || last === '.' || last === '..') {
    existingNode(fileSystem, path);
    throw new FsError(special);
  }
  return resolveParent(fileSystem, path);
}

/** Where a file that is opened for creation comes into being: links that point nowhere are followed to their target. */
export function creationPlace(fileSystem: FileSystem, path: string): ParentAndName {
  let current = path;
  for (let links = 0; links <= MAX_LINKS; links++) {
    if (current.endsWith('/')) throw new FsError('EISDIR');
    const place = parentAndName(fileSystem, current, 'EISDIR');
    const node = fileSystem.lookup(place.directory, place.name);
    if (node === undefined || fileSystem.attributes(node).kind !== 'symlink') return place;
    const target = fileSystem.readLink(node);
    current = target.startsWith('/') ? target : `${current.slice(0, current.lastIndexOf('/') + 1)}${target}`;
  }
  throw new FsError('ELOOP');
}
