import { MountFlag } from '../../../host/native-mount.ts';

/** What an option of that name does to the flags: bits that it sets, bits that it takes away. */
export interface FlagChange {
  readonly set: number;
  readonly clear: number;
}

const set = (bits: number): FlagChange => ({ set: bits, clear: 0 });
const clear = (bits: number): FlagChange => ({ set: 0, clear: bits });
const F = MountFlag;

/** The options that are the same for every file system (mount(8), "filesystem-independent mount options"). */
export const FLAG_OPTIONS: Readonly<Record<string, FlagChange | undefined>> = {
  ro: set(F.readOnly),
  rw: clear(F.readOnly),
  exec: clear(F.noExec),
  noexec: set(F.noExec),
  suid: clear(F.noSuid),
  nosuid: set(F.noSuid),
  dev: clear(F.noDev),
  nodev: set(F.noDev),
  sync: set(F.synchronous),
  async: clear(F.synchronous),
  dirsync: set(F.directorySync),
  mand: set(F.mandatoryLocks),
  nomand: clear(F.mandatoryLocks),
  atime: clear(F.noAtime),
  noatime: set(F.noAtime),
  diratime: clear(F.noDirectoryAtime),
  nodiratime: set(F.noDirectoryAtime),
  relatime: set(F.relativeAtime),
  norelatime: clear(F.relativeAtime),
  strictatime: set(F.strictAtime),
  nostrictatime: clear(F.strictAtime),
  lazytime: set(F.lazyTime),
  nolazytime: clear(F.lazyTime),
  symfollow: clear(F.noSymlinkFollow),
  nosymfollow: set(F.noSymlinkFollow),
  silent: set(F.silent),
  loud: clear(F.silent),
  iversion: set(F.inodeVersion),
  noiversion: clear(F.inodeVersion),
};

/** Options that ask for another operation than a mount of a file system. */
export const OPERATION_OPTIONS: Readonly<Record<string, number | undefined>> = {
  remount: F.remount,
  bind: F.bind,
  rbind: F.bind | F.recursive,
  move: F.move,
};

/** Whether what is mounted on a directory is shared with other namespaces; r: with everything below. */
export const PROPAGATION_OPTIONS: Readonly<Record<string, number | undefined>> = {
  shared: F.shared,
  slave: F.slave,
  private: F.private,
  unbindable: F.unbindable,
  rshared: F.shared | F.recursive,
  rslave: F.slave | F.recursive,
  rprivate: F.private | F.recursive,
  runbindable: F.unbindable | F.recursive,
};
