import fs from 'node:fs';
import { FsError, hasCode } from '../errors.ts';
import { lockFile } from '../host/file-lock.ts';
import { type ProcessIdentity, isAlive, ownIdentity, processNamespace } from '../host/process-identity.ts';
import { unmountDead } from './dead-mount.ts';

/** What is known of a device from the moment its name is taken: `owner.json` in its folder. */
export interface OwnerRecord extends ProcessIdentity {
  readonly processNamespace: string;
  /** It holds a lock of its `owner.json` for as long as it lives, by which those see that it does who do not see its number. */
  readonly isLocked?: boolean;
  /** As in DeviceState. */
  readonly image: string;
  readonly imageDevice: string;
  readonly imageInode: string;
  /** Bytes of the image from which and up to which the device takes it. */
  readonly offset: number;
  readonly end: number;
  readonly readOnly: boolean;
}

export function ownerRecord(use: Omit<OwnerRecord, keyof ProcessIdentity | 'processNamespace'>): OwnerRecord {
  return { ...ownIdentity(), processNamespace: processNamespace(), ...use };
}

/** sun_path of a unix socket has 108 bytes with its zero at the end (unix(7)). */
const SOCKET_PATH_MAX = 107;

/**
 * Takes a name: makes its folder with `owner.json` in it, in one step, so that nobody ever sees a folder that has no owner. False when
 * the name is taken. What a name is taken for does not matter here; who finds a dead owner cleans up first.
 */
export function takeName(runtime: string, name: string, owner: OwnerRecord): boolean {
  const folder = `${runtime}/${name}`;
  const longest = Buffer.byteLength(`${folder}/control`);
  if (longest > SOCKET_PATH_MAX) {
    throw new FsError('ENAMETOOLONG', {
      detail: `the path of a socket would have ${longest} bytes, ${SOCKET_PATH_MAX} are possible; name a shorter folder in USERLOOP_RUNTIME_DIR`,
      path: folder,
    });
  }
  const fresh = `${runtime}/.new-${owner.pid}-${owner.startTime}`;
  makeFolder(fresh);
  const file = fs.openSync(`${fresh}/owner.json`, 'w', 0o600);
  const isLocked = tryLock(file) === 'locked';
  fs.writeSync(file, JSON.stringify({ ...owner, isLocked }));
  // A lock goes with its descriptor.
  if (!isLocked) fs.closeSync(file);
  try {
    // Onto a folder with something in it this fails, and every device's folder has something in it.
    fs.renameSync(fresh, folder);
    return true;
  } catch (error) {
    if (isLocked) fs.closeSync(file);
    if (hasCode(error, 'ENOTEMPTY') || hasCode(error, 'EEXIST')) return false;
    removeFolder(fresh);
    throw error;
  }
}

/** `unknown`: there can be no lock here. */
function tryLock(file: number): 'locked' | 'busy' | 'unknown' {
  try {
    return lockFile(file, { wait: false }) ? 'locked' : 'busy';
  } catch (error) {
    if (error instanceof Error && 'code' in error) return 'unknown';
    throw error;
  }
}

/** Not recursively: then node says of a file system that cannot be written that something does not exist. */
function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
}

/** When no name was to be had. */
export function forgetPreparedFolder(runtime: string, owner: OwnerRecord): void {
  removeFolder(`${runtime}/.new-${owner.pid}-${owner.startTime}`);
}

/** Gives the name back and removes what is in the folder. Nothing may be mounted in it any more. */
export function giveNameBack(runtime: string, name: string): void {
  // First out of the way in one step: whoever takes the name next begins with a folder of its own.
  const away = `${runtime}/.gone-${process.pid}-${name}-${Date.now().toString(36)}`;
  try {
    fs.renameSync(`${runtime}/${name}`, away);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  removeIfIdle(away);
}

/** Removes what processes left that were killed as they took a name or gave it back. */
export function sweep(runtime: string): void {
  for (const name of fs.readdirSync(runtime)) {
    const [, kind, pid, startTime] = /^\.(new|gone)-(\d+)-([^-]*)/.exec(name) ?? [];
    if (kind === undefined) continue;
    const owner = { pid: Number(pid), startTime: kind === 'new' ? startTime! : '' };
    if (isAlive(owner)) continue;
    // It may have been killed, or have found no way to unmount, with its device files still there.
    unmountDead(`${runtime}/${name}/files`);
    removeIfIdle(`${runtime}/${name}`);
  }
}

/** `removeFolder`, unless something is still mounted in it or was put there: no name depends on it any more. */
function removeIfIdle(folder: string): void {
  try {
    removeFolder(folder);
  } catch (error) {
    if (!hasCode(error, 'EBUSY') && !hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EPERM')) throw error;
  }
}

/** The folder and the files in it; an empty folder in it, too, but never what is mounted there. */
function removeFolder(folder: string): void {
  for (const entry of readFolder(folder)) {
    const file = `${folder}/${entry.name}`;
    try {
      if (entry.isDirectory()) fs.rmdirSync(file);
      else fs.unlinkSync(file);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }
  try {
    fs.rmdirSync(folder);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

function readFolder(folder: string): fs.Dirent[] {
  try {
    return fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

export function readOwner(folder: string): OwnerRecord | undefined {
  return readJson<OwnerRecord>(`${folder}/owner.json`);
}

/** Whether somebody lives who has that folder, as far as can be seen from here. */
export function isOwned(folder: string): boolean {
  const owner = readOwner(folder);
  if (owner === undefined) return false;
  if (owner.processNamespace === processNamespace()) return isAlive(owner);
  // The number of a process says nothing where one counts differently: in another container.
  return owner.isLocked !== true || isLocked(`${folder}/owner.json`);
}

/** Also where that cannot be told. */
function isLocked(path: string): boolean {
  let file: number;
  try {
    file = fs.openSync(path, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
  try {
    return tryLock(file) !== 'locked';
  } finally {
    fs.closeSync(file);
  }
}

/** Undefined when it is not there, or is no JSON. */
export function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as T;
  } catch (error) {
    if (error instanceof SyntaxError || hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR'))
      return undefined;
    throw error;
  }
}

/** Whoever reads it sees the old content or the new one. */
export function writeJson(file: string, value: unknown): void {
  fs.writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600 });
  fs.renameSync(`${file}.new`, file);
}
