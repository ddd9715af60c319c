import fs from 'node:fs';
import path from 'node:path';
import { FsError, hasCode, UnsupportedError } from '../errors.ts';
import { descriptorPassing } from './native-descriptor.ts';
import { MountFlag, nativeMountOperations, UnmountFlag } from './native-mount.ts';

/** How a FUSE file system was mounted; it must be unmounted the same way. `direct`: by mount(2). */
export type FuseMountWay = 'direct' | 'fusermount';

export interface FuseMountOptions {
  /** The source in /proc/mounts. */
  readonly fsname: string;
  /** The type in /proc/mounts is `fuse.` and this. */
  readonly subtype: string;
  /** Kind of the root: S_IFDIR, or S_IFREG for a mount on a file. Default: S_IFDIR. */
  readonly rootMode?: number;
  /** Let users in other than the one who mounts. */
  readonly allowOther?: boolean;
  /** The kernel checks owners and permission bits. */
  readonly defaultPermissions?: boolean;
  readonly readOnly?: boolean;
  readonly noExec?: boolean;
  readonly noSuid?: boolean;
  readonly noDev?: boolean;
  readonly accessTime?: 'strict' | 'relative' | 'none';
  /** Only shown: it is the server who keeps access times. */
  readonly directoryAccessTime?: boolean;
  readonly synchronous?: boolean;
  /** Longest READ, bytes; as the max_write of INIT, where pages are larger than 4 KiB. */
  readonly maxRead?: number;
}

export interface FuseMount {
  /** Of /dev/fuse: requests are read from it and answered through it. When the last copy is closed, the connection breaks. */
  readonly fd: number;
  readonly way: FuseMountWay;
}

const DEVICE = '/dev/fuse';
const S_IFDIR = 0o040000;
const S_IFMT = 0o170000;

/**
 * Mounts a FUSE file system at `directory` (or on a file, see `rootMode`): by mount(2) where this process may, which root may, and root of a
 * user namespace; else by fusermount3. The caller must then serve the descriptor.
 *
 * UnsupportedError: there is no FUSE to be had here, and why. FsError: this directory cannot be mounted on.
 */
export async function openFuseMount(directory: string, options: FuseMountOptions): Promise<FuseMount> {
  const native = nativeMountOperations();
  if (native === undefined) {
    throw new UnsupportedError(
      process.platform === 'linux'
        ? 'Mounting needs the optional package koffi, which is not installed (npm install koffi)'
        : `Mounting needs Linux' FUSE, which ${process.platform} does not have`,
      ['FUSE'],
    );
  }
  checkMountPoint(directory, options);
  const fd = openDevice();
  try {
    native.mount({
      source: options.fsname,
      target: directory,
      type: `fuse.${options.subtype}`,
      flags: mountFlags(options),
      data: mountData(fd, options),
    });
    return { fd, way: 'direct' };
  } catch (error) {
    fs.closeSync(fd);
    if (hasCode(error, 'ENODEV')) throw noDevice('The kernel has no FUSE');
    if (!hasCode(error, 'EPERM')) throw error;
  }
  return { fd: await fusermount(directory, options), way: 'fusermount' };
}

/** Why /dev/fuse cannot be opened here, as a sentence without a full stop; undefined when it can. */
export function fuseObstacle(): string | undefined {
  try {
    fs.closeSync(openDevice());
    return undefined;
  } catch (error) {
    if (error instanceof UnsupportedError) return error.message;
    throw error;
  }
}

export interface CloseFuseMountOptions {
  /** Takes it out of the tree now, also when it is in use; it ends when the last user has closed it. */
  readonly lazy?: boolean;
}

/** Unmounts. EBUSY when it is in use. Does nothing when nothing of ours is mounted there any more. Never call it from the thread that serves the mount. */
export async function closeFuseMount(
  directory: string,
  way: FuseMountWay,
  options: CloseFuseMountOptions = {},
): Promise<void> {
  if (way === 'direct') {
    try {
      await nativeMountOperations()!.unmountAside(
        directory,
        UnmountFlag.noFollow | (options.lazy === true ? UnmountFlag.detach : 0),
      );
    } catch (error) {
      // EINVAL: no mount point, so somebody else has unmounted it.
      if (!hasCode(error, 'EINVAL') && !hasCode(error, 'ENOENT')) throw error;
      if (isFuseMountPoint(directory)) throw error;
    }
    return;
  }
  if (!isFuseMountPoint(directory)) return;
  const program = findFusermount();
  if (program === undefined) throw noFusermount();
  const args = ['-u', ...(options.lazy === true ? ['-z'] : []), '--', directory];
  const { status, message } = await runFusermount(program, args);
  if (status === 0 || !isFuseMountPoint(directory)) return;
  throw new FsError(/busy/i.test(message) ? 'EBUSY' : 'EPERM', {
    syscall: 'umount',
    path: directory,
    ...(/busy/i.test(message) ? {} : { detail: message }),
  });
}

/** May this process ask for `allowOther`? Root may, others where /etc/fuse.conf says so. */
export function mayAllowOther(): boolean {
  if (process.getuid!() === 0) return true;
  try {
    return /^user_allow_other\s*$/m.test(fs.readFileSync('/etc/fuse.conf', 'latin1'));
  } catch {
    return false;
  }
}

/** Is something of type fuse mounted exactly there? Asks nobody who serves it. */
export function isFuseMountPoint(directory: string): boolean {
  const wanted = escapeMountPath(path.resolve(directory));
  return fs
    .readFileSync('/proc/self/mounts', 'latin1')
    .split('\n')
    .some((line) => {
      const [, target, type] = line.split(' ');
      return target === wanted && type !== undefined && /^fuse(\.|$)/.test(type);
    });
}

/** As /proc/mounts writes names: seq_path() with " \t\n\\" in octal. */
function escapeMountPath(name: string): string {
  return Buffer.from(name)
    .toString('latin1')
    .replaceAll(/[ \t\n\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function checkMountPoint(directory: string, options: FuseMountOptions): void {
  const status = fs.statSync(directory, { throwIfNoEntry: false });
  if (status === undefined) throw new FsError('ENOENT', { syscall: 'mount', path: directory });
  const wantsDirectory = ((options.rootMode ?? S_IFDIR) & S_IFMT) === S_IFDIR;
  if (wantsDirectory && !status.isDirectory())
    throw new FsError('ENOTDIR', { syscall: 'mount', path: directory });
  if (!wantsDirectory && status.isDirectory())
    throw new FsError('EISDIR', { syscall: 'mount', path: directory });
}

function openDevice(): number {
  try {
    return fs.openSync(DEVICE, fs.constants.O_RDWR);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) throw noDevice(`${DEVICE} is not there`);
    if (hasCode(error, 'ENXIO') || hasCode(error, 'ENODEV')) throw noDevice('The kernel has no FUSE');
    if (!hasCode(error, 'EACCES') && !hasCode(error, 'EPERM')) throw error;
    const mode = (fs.statSync(DEVICE).mode & 0o777).toString(8).padStart(4, '0');
    throw new UnsupportedError(
      mode === '0666'
        ? `${DEVICE} may not be opened here: the container or sandbox must be started with that device allowed (--device ${DEVICE})`
        : `${DEVICE} has mode ${mode} and may not be opened by this user: as root, run chmod 0666 ${DEVICE}`,
      ['FUSE'],
      { cause: error },
    );
  }
}

function noDevice(what: string): UnsupportedError {
  return new UnsupportedError(
    `${what}: load the module (as root, modprobe fuse); a container must be started with --device ${DEVICE}`,
    ['FUSE'],
  );
}

function noFusermount(): UnsupportedError {
  return new UnsupportedError(
    'This user may not mount, and there is no fusermount3 to do it: install the package fuse3, or run inside of a user namespace (unshare -Urm, userloop shell)',
    ['FUSE'],
  );
}

/** Some systems let only the members of a group run it. */
function forbiddenFusermount(program: string, cause: unknown): UnsupportedError {
  return new UnsupportedError(
    `This user may not mount, and may not run ${program} either: as root, run chmod 4755 ${program}, or put the user into its group; or run inside of a user namespace (unshare -Urm, userloop shell)`,
    ['FUSE'],
    { cause },
  );
}

function mountFlags(options: FuseMountOptions): number {
  let flags = 0;
  if (options.readOnly === true) flags |= MountFlag.readOnly;
  if (options.noSuid === true) flags |= MountFlag.noSuid;
  if (options.noDev === true) flags |= MountFlag.noDev;
  if (options.noExec === true) flags |= MountFlag.noExec;
  if (options.synchronous === true) flags |= MountFlag.synchronous;
  if (options.accessTime === 'none') flags |= MountFlag.noAtime;
  if (options.accessTime === 'strict') flags |= MountFlag.strictAtime;
  if (options.directoryAccessTime === false) flags |= MountFlag.noDirectoryAtime;
  return flags;
}

/** Documentation/filesystems/fuse.rst, "Mount options". */
function mountData(fd: number, options: FuseMountOptions): string {
  const rootMode = (options.rootMode ?? S_IFDIR) & S_IFMT;
  const parts = [
    `fd=${fd}`,
    `rootmode=${rootMode.toString(8)}`,
    `user_id=${process.getuid!()}`,
    `group_id=${process.getgid!()}`,
  ];
  if (options.allowOther === true) parts.push('allow_other');
  if (options.defaultPermissions === true) parts.push('default_permissions');
  if (options.maxRead !== undefined) parts.push(`max_read=${options.maxRead}`);
  return parts.join(',');
}

/** fusermount3 mounts in our stead and passes the descriptor over the socket that _FUSE_COMMFD names (libfuse, util/fusermount.c). */
async function fusermount(directory: string, options: FuseMountOptions): Promise<number> {
  const program = findFusermount();
  if (program === undefined) throw noFusermount();
  const passing = descriptorPassing()!;
  const [ours, theirs] = passing.socketPair();
  try {
    const args = ['-o', fusermountOptions(options), '--', directory];
    const { status, message } = await runFusermount(program, args, theirs);
    if (status !== 0) throw fusermountError(program, directory, options, message);
    const fd = passing.receiveDescriptor(ours);
    if (fd === undefined)
      throw new Error(`${program} has mounted ${directory} but passed no descriptor: ${message}`);
    return fd;
  } finally {
    fs.closeSync(ours);
    fs.closeSync(theirs);
  }
}

function fusermountOptions(options: FuseMountOptions): string {
  const escape = (text: string): string => text.replaceAll(/[\\,]/g, '\\$&');
  const parts = [`fsname=${escape(options.fsname)}`, `subtype=${escape(options.subtype)}`];
  parts.push(options.readOnly === true ? 'ro' : 'rw');
  // nosuid and nodev it sets for all who are not root.
  if (options.noExec === true) parts.push('noexec');
  if (options.synchronous === true) parts.push('sync');
  if (options.accessTime === 'none') parts.push('noatime');
  if (options.allowOther === true) parts.push('allow_other');
  if (options.defaultPermissions === true) parts.push('default_permissions');
  if (options.maxRead !== undefined) parts.push(`max_read=${options.maxRead}`);
  return parts.join(',');
}

function findFusermount(): string | undefined {
  const folders = `${process.env['PATH'] ?? ''}:/usr/bin:/bin:/usr/local/bin`.split(':');
  for (const name of ['fusermount3', 'fusermount']) {
    for (const folder of folders) {
      if (folder !== '' && fs.existsSync(`${folder}/${name}`)) return `${folder}/${name}`;
    }
  }
  return undefined;
}

function runFusermount(
  program: string,
  args: readonly string[],
  socket?: number,
): Promise<{ readonly status: number; readonly message: string }> {
  return new Promise((resolve, reject) => {
    const child = process.getBuiltinModule('node:child_process').spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(socket === undefined ? [] : [socket])],
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', _FUSE_COMMFD: socket === undefined ? undefined : '3' },
    });
    let message = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (message += text));
    child.on('error', (error) =>
      reject(hasCode(error, 'EACCES') ? forbiddenFusermount(program, error) : error),
    );
    child.on('close', (code) => resolve({ status: code ?? 128, message: message.trim() }));
  });
}

/** What fusermount3 says, with what to do about it. */
function fusermountError(
  program: string,
  directory: string,
  options: FuseMountOptions,
  message: string,
): Error {
  const name = path.basename(program);
  const text = message.replaceAll(new RegExp(`^${name}: `, 'gm'), '').replaceAll('\n', '; ');
  if (text.includes('user_allow_other') && options.allowOther === true) {
    return new UnsupportedError(
      'Other users can be let in (allow_other) only when /etc/fuse.conf has a line user_allow_other: as root, add it',
      ['allow_other'],
    );
  }
  if (/no write access to mountpoint|not owned by user|sticky/.test(text)) {
    return new FsError('EACCES', {
      syscall: 'mount',
      path: directory,
      detail: `${name} mounts only on directories that belong to the user and can be written (uid ${process.getuid!()})`,
    });
  }
  if (/failed to (access|open|chdir to) mountpoint|bad mount point/.test(text))
    return new FsError('EACCES', { syscall: 'mount', path: directory, detail: `${name}: ${text}` });
  if (text.includes('too many FUSE filesystems')) {
    return new UnsupportedError(
      'Too many FUSE file systems are mounted: as root, raise mount_max in /etc/fuse.conf',
      ['FUSE'],
    );
  }
  const isSetuid = (fs.statSync(program).mode & 0o4000) !== 0;
  if (/Operation not permitted/.test(text) && !isSetuid) {
    return new UnsupportedError(
      `${program} is not setuid root, so that it may not mount: as root, run chmod u+s ${program}; or run inside of a user namespace (unshare -Urm, userloop shell)`,
      ['FUSE'],
    );
  }
  if (/Operation not permitted|No such device|Permission denied/.test(text))
    return new UnsupportedError(`FUSE may not be mounted here: ${name}: ${text}`, ['FUSE']);
  return new FsError('EINVAL', { syscall: 'mount', path: directory, detail: `${name}: ${text}` });
}
