import fs from 'node:fs';
import path from 'node:path';
import { ERRNO, type ErrnoCode, FsError, hasCode, hostErrorText } from '../errors.ts';
import { makeFolders } from '../host/make-folders.ts';
import { isAlive } from '../host/process-identity.ts';
import { isOwned, readJson } from './device-folder.ts';
import { deviceNames, splitName, isForeign } from './device-names.ts';
import type { DeviceState } from './device-state.ts';
import type { Environment } from './environment.ts';
import { cleanUpDevice } from './stale-device.ts';

export type { Environment } from './environment.ts';
export { viewPath } from './view-path.ts';

/**
 * What is attached, as a folder of folders: one a device, named after it. In it:
 *
 *     owner.json    who has the name and which image: there from the moment at which the name is taken
 *     state.json    DeviceState: there from the moment at which the device can be opened; replaced as a whole
 *     control, nbd  sockets
 *     files/        where its device files are mounted
 *     log           what went wrong
 *
 * There is no daemon. A folder whose process is gone is cleaned up by whoever comes across it.
 */
export { splitName } from './device-names.ts';

/** Where the folder of this user's devices is, or would be. */
export function runtimePath(env: Environment): string {
  const own = env['USERLOOP_RUNTIME_DIR'] ?? '';
  if (own !== '') return path.resolve(own);
  const session = env['XDG_RUNTIME_DIR'] ?? '';
  if (isOwnFolder(session)) return path.join(session, 'userloop');
  const name = `userloop-${process.getuid?.() ?? 0}`;
  const temporary = env['TMPDIR'] ?? '';
  if (temporary !== '' && canHold(path.resolve(temporary), name))
    return path.join(path.resolve(temporary), name);
  return `/tmp/${name}`;
}

/** Whether the folder has that entry, or one could be made: what is left in TMPDIR of another machine or job may name nothing. */
function canHold(folder: string, name: string): boolean {
  if (fs.existsSync(path.join(folder, name))) return true;
  try {
    fs.accessSync(folder, fs.constants.W_OK | fs.constants.X_OK);
    return fs.statSync(folder).isDirectory();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EROFS'].some((code) => hasCode(error, code))) return false;
    throw error;
  }
}

/**
 * XDG_RUNTIME_DIR counts where it is an absolute path to a folder of this user (XDG Base Directory Specification 0.8): su and sudo can leave
 * that of somebody else in the environment.
 */
function isOwnFolder(folder: string): boolean {
  if (!path.isAbsolute(folder)) return false;
  try {
    const stats = fs.statSync(folder);
    return stats.isDirectory() && stats.uid === (process.getuid?.() ?? stats.uid);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].some((code) => hasCode(error, code))) return false;
    throw error;
  }
}

/** The folder that holds a folder for each attached device of this user; made when it is not there. 0700. */
export function runtimeFolder(env: Environment): string {
  const folder = runtimePath(env);
  try {
    makeFolders(folder, 0o700);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    const code = String(error.code) in ERRNO ? (error.code as ErrnoCode) : 'EIO';
    throw new FsError(code, {
      detail: `the folder of the attached devices, ${folder}, cannot be made: ${hostErrorText(error)}; name another one in USERLOOP_RUNTIME_DIR`,
      syscall: 'mkdir',
      path: folder,
      cause: error,
    });
  }
  checkPrivate(folder);
  return folder;
}

/** In a folder that everybody can write to, somebody else may have made it first. */
function checkPrivate(folder: string): void {
  const stats = fs.lstatSync(folder);
  const uid = process.getuid?.() ?? stats.uid;
  const refuse = (detail: string): never => {
    throw new FsError('EACCES', {
      detail: `${detail}; name another folder in USERLOOP_RUNTIME_DIR`,
      syscall: 'open',
      path: folder,
    });
  };
  if (!stats.isDirectory()) refuse('the folder of the attached devices is not a directory');
  if (stats.uid !== uid) refuse(`the folder of the attached devices belongs to user ${stats.uid}`);
  if ((stats.mode & 0o077) !== 0) {
    refuse(
      `others may look into the folder of the attached devices (mode ${(stats.mode & 0o777).toString(8)}, expected 700)`,
    );
  }
}

/** All devices behind which there is a process of ours, by family and unit. What dead processes left is cleaned up on the way. */
export function listDevices(env: Environment): DeviceState[] {
  const runtime = runtimePath(env);
  const found: DeviceState[] = [];
  for (const name of deviceNames(runtime)) {
    const state = readLiveState(runtime, name);
    if (state !== undefined) found.push(state);
  }
  return found.sort((a, b) => (a.family < b.family ? -1 : a.family > b.family ? 1 : a.unit - b.unit));
}

/** The state of a device that is there; undefined when it is not ready yet, or gone. */
function readLiveState(runtime: string, name: string): DeviceState | undefined {
  const folder = `${runtime}/${name}`;
  const state = readJson<DeviceState>(`${folder}/state.json`);
  if (state !== undefined && isAlive(state)) return state;
  if (!isOwned(folder)) cleanUpDevice(runtime, name);
  return undefined;
}

export interface FoundDevice {
  readonly state: DeviceState;
  readonly view: DeviceState['views'][number];
}

/**
 * The device that a name on a command line means, and the view of it: `loop0`, `/dev/loop0p1`, `/dev/rvnd0c`,
 * a path into the folder of the device files. Undefined when it is none of ours.
 */
export function findDevice(env: Environment, cwd: string, name: string): FoundDevice | undefined {
  const runtime = runtimePath(env);
  const view = viewNameOf(runtime, env, cwd, name);
  const [, base] = /^[rs]?((?:loop|md|vnd)(?:0|[1-9]\d{0,5}))(?:[a-p]|[ps]\d{1,3})?$/.exec(view ?? '') ?? [];
  if (view === undefined || base === undefined || isForeign(runtime)) return undefined;
  for (const start = Date.now(); ;) {
    const state = readLiveState(runtime, base);
    if (state === undefined) return undefined;
    const wanted = state.family === 'vnd' ? openBsdName(view) : view;
    const found = state.views.find((candidate) => candidate.name === wanted);
    if (found !== undefined) return { state, view: found };
    // A program may have written the table a moment ago, by NBD, where nothing waits for the names of the partitions.
    if (Date.now() - start > NAMES_MILLISECONDS) return undefined;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

/** How long the names of a device may be behind its partition table, on a machine that is busy. */
const NAMES_MILLISECONDS = 500;

/** `vnd0` is all of it, and what was `svnd0c` is `vnd0c` today. */
function openBsdName(name: string): string {
  const plain = name.replace(/^s/, '');
  return /\d$/.test(plain) ? `${plain}c` : plain;
}

/** The last part of a name that may be one of a device of ours. */
function viewNameOf(runtime: string, env: Environment, cwd: string, name: string): string | undefined {
  if (!name.includes('/')) return name;
  const file = path.resolve(cwd, name);
  const { dir, base } = path.parse(file);
  if (dir === '/dev' || dir === `${runtime}/dev` || dir === env['USERLOOP_DEV_FOLDER']) return base;
  const [device, files, ...rest] = path.relative(runtime, dir).split('/');
  return device !== undefined && splitName(device) !== undefined && files === 'files' && rest.length === 0
    ? base
    : undefined;
}

/** The devices of ours whose image is that file, by st_dev and st_ino. */
export function findByImage(env: Environment, file: string): DeviceState[] {
  const stats = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return [];
  const device = String(stats.dev);
  const inode = String(stats.ino);
  return listDevices(env).filter((state) => state.imageInode === inode && state.imageDevice === device);
}
