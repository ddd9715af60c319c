import { FsError, hasCode } from '../../errors.ts';
import type { AttributeChanges, NodeId } from '../file-system.ts';
import {
  type ModeArgument,
  type PathArgument,
  type TimeArgument,
  checkCount,
  modeOf,
  pathOf,
  timeOf,
} from './arguments.ts';
import { constants } from './constants.ts';
import { type Context, existingNode, nodeIfThere } from './context.ts';
import { attempt } from './node-error.ts';
import { BigIntStats, Stats, StatsFs } from './stats.ts';

export interface StatOptions {
  readonly bigint?: boolean | undefined;
}

export interface StatSyncOptions extends StatOptions {
  readonly throwIfNoEntry?: boolean | undefined;
}

type Numbers = { readonly bigint?: false | undefined };
type BigInts = { readonly bigint: true };
type Quiet = { readonly throwIfNoEntry: false };
type Loud = { readonly throwIfNoEntry?: boolean | undefined };

/** The overloads of `statSync` and `lstatSync`. */
export interface StatSyncCall {
  (path: PathArgument, options?: undefined): Stats;
  (path: PathArgument, options?: StatSyncOptions & Numbers & Quiet): Stats | undefined;
  (path: PathArgument, options: StatSyncOptions & BigInts & Quiet): BigIntStats | undefined;
  (path: PathArgument, options?: StatSyncOptions & Numbers): Stats;
  (path: PathArgument, options: StatSyncOptions & BigInts): BigIntStats;
  (path: PathArgument, options: StatSyncOptions & Loud & { readonly bigint: boolean }): Stats | BigIntStats;
  (path: PathArgument, options?: StatSyncOptions): Stats | BigIntStats | undefined;
}

/** The calls on attributes: stat, access, chmod, chown, utimes, statfs and their kin. */
export function attributeCalls<B extends Uint8Array>(context: Context<B>) {
  const { fileSystem, files } = context;

  function statPath(
    syscall: 'stat' | 'lstat',
    path: PathArgument,
    options: StatSyncOptions | undefined,
  ): Stats | BigIntStats | undefined {
    const name = pathOf(path);
    try {
      return attempt({ syscall, path: name }, () =>
        statsOf(existingNode(fileSystem, name, syscall === 'stat'), options?.bigint),
      );
    } catch (error) {
      // Below a file there is no entry either: so says node since 24, before it threw ENOTDIR.
      const absent = hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR');
      if (absent && options?.throwIfNoEntry === false) return undefined;
      throw error;
    }
  }

  const statSync = ((path: PathArgument, options?: StatSyncOptions) =>
    statPath('stat', path, options)) as StatSyncCall;
  const lstatSync = ((path: PathArgument, options?: StatSyncOptions) =>
    statPath('lstat', path, options)) as StatSyncCall;

  function fstatSync(fd: number, options?: StatOptions & Numbers): Stats;
  function fstatSync(fd: number, options: StatOptions & BigInts): BigIntStats;
  function fstatSync(fd: number, options?: StatOptions): Stats | BigIntStats;
  function fstatSync(fd: number, options?: StatOptions): Stats | BigIntStats {
    return attempt({ syscall: 'fstat' }, () => statsOf(openNode(fd), options?.bigint));
  }

  // usage() may have to count what is free: once is enough for a number that never changes.
  let blockSize: number | undefined;

  function statsOf(node: NodeId, bigint: boolean | undefined): Stats | BigIntStats {
    blockSize ??= fileSystem.usage().blockSize;
    const attributes = fileSystem.attributes(node);
    return bigint === true ? new BigIntStats(attributes, blockSize) : new Stats(attributes, blockSize);
  }

  function statfsSync(path: PathArgument, options?: StatOptions & Numbers): StatsFs<number>;
  function statfsSync(path: PathArgument, options: StatOptions & BigInts): StatsFs<bigint>;
  function statfsSync(path: PathArgument, options?: StatOptions): StatsFs<number> | StatsFs<bigint>;
  function statfsSync(path: PathArgument, options?: StatOptions): StatsFs<number> | StatsFs<bigint> {
    const name = pathOf(path);
    return attempt({ syscall: 'statfs', path: name }, () => {
      existingNode(fileSystem, name);
      return options?.bigint === true
        ? new StatsFs(fileSystem, BigInt)
        : new StatsFs(fileSystem, (value) => value);
    });
  }

  function existsSync(path: PathArgument): boolean {
    try {
      return nodeIfThere(fileSystem, pathOf(path)) !== undefined;
    } catch (error) {
      // As node has it: whatever stands in the way, the answer is no.
      if (error instanceof Error) return false;
      throw error;
    }
  }

  /** As the superuser's access(2): only a read-only file system and a file that nobody may execute say no. */
  function accessSync(path: PathArgument, mode?: number): void {
    const name = pathOf(path);
    attempt({ syscall: 'access', path: name }, () => {
      const { kind, mode: permissions } = fileSystem.attributes(existingNode(fileSystem, name));
      const wanted = mode ?? constants.F_OK;
      if ((wanted & constants.W_OK) !== 0 && fileSystem.readOnly) throw new FsError('EROFS');
      const executable = kind === 'directory' || (permissions & 0o111) !== 0;
      if ((wanted & constants.X_OK) !== 0 && !executable) throw new FsError('EACCES');
    });
  }

  function chmodSync(path: PathArgument, mode: ModeArgument): void {
    changePath('chmod', path, true, { mode: modeOf(mode, 0) & 0o7777 });
  }

  function fchmodSync(fd: number, mode: ModeArgument): void {
    changeOpen('fchmod', fd, { mode: modeOf(mode, 0) & 0o7777 });
  }

  function chownSync(path: PathArgument, uid: number, gid: number): void {
    changePath('chown', path, true, ownership(uid, gid));
  }

  function lchownSync(path: PathArgument, uid: number, gid: number): void {
    changePath('lchown', path, false, ownership(uid, gid));
  }

  function fchownSync(fd: number, uid: number, gid: number): void {
    changeOpen('fchown', fd, ownership(uid, gid));
  }

  function utimesSync(path: PathArgument, atime: TimeArgument, mtime: TimeArgument): void {
    changePath('utime', path, true, times(atime, mtime));
  }

  function lutimesSync(path: PathArgument, atime: TimeArgument, mtime: TimeArgument): void {
    changePath('lutime', path, false, times(atime, mtime));
  }

  function futimesSync(fd: number, atime: TimeArgument, mtime: TimeArgument): void {
    changeOpen('futime', fd, times(atime, mtime));
  }

  function changePath(syscall: string, path: PathArgument, follow: boolean, changes: AttributeChanges): void {
    const name = pathOf(path);
    attempt({ syscall, path: name }, () =>
      fileSystem.setAttributes(existingNode(fileSystem, name, follow), changes),
    );
  }

  function changeOpen(syscall: string, fd: number, changes: AttributeChanges): void {
    attempt({ syscall }, () => fileSystem.setAttributes(openNode(fd), changes));
  }

  function openNode(fd: number): NodeId {
    return files.get(checkCount(fd, 'fd')).node;
  }

  return {
    statSync,
    lstatSync,
    fstatSync,
    statfsSync,
    existsSync,
    accessSync,
    chmodSync,
    fchmodSync,
    chownSync,
    lchownSync,
    fchownSync,
    utimesSync,
    lutimesSync,
    futimesSync,
  };
}

/** -1 leaves an owner as it is, as chown(2) has it. */
function ownership(uid: number, gid: number): AttributeChanges {
  return {
    ...(uid === -1 ? {} : { uid: checkCount(uid, 'uid') }),
    ...(gid === -1 ? {} : { gid: checkCount(gid, 'gid') }),
  };
}

function times(atime: TimeArgument, mtime: TimeArgument): AttributeChanges {
  return { atime: timeOf(atime, 'atime'), mtime: timeOf(mtime, 'mtime') };
}
