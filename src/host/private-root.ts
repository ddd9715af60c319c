import fs from 'node:fs';
import { FsError } from '../errors.ts';
import { readMountTable } from './mount-table.ts';
import { loadLibC } from './native-file.ts';
import { MountFlag, type NativeMountOperations, nativeMountOperations, UnmountFlag } from './native-mount.ts';
import { bindEntry } from './private-folder.ts';

/**
 * Mounts of the host that are not to be seen in our mount namespace. Root unmounts them there. In a user namespace nothing that came
 * with it can be unmounted, since that would show what is below; but a new root can be put together without them.
 */

/** Takes away the mounts whose source is such. Those that cannot be left out stay. */
export function hideMounts(isHidden: (source: string) => boolean, staging: string): void {
  const mounts = nativeMountOperations();
  if (mounts === undefined) return;
  const find = (): string[] =>
    readMountTable()
      .filter(({ source }) => isHidden(source))
      .map(({ directory }) => directory);
  // The last one first: one may lie in another.
  for (const directory of find().reverse()) unmountIfPossible(mounts, directory);
  const left = [...new Set(find())].filter((directory) => canBeLeftOut(directory));
  if (left.length > 0) changeRoot(mounts, left, staging);
}

function unmountIfPossible(mounts: NativeMountOperations, directory: string): void {
  try {
    mounts.unmount(directory, UnmountFlag.detach);
  } catch (error) {
    // It came with the namespace, or lies where we may not look: then it stays.
    if (!(error instanceof Error && 'syscall' in error)) throw error;
  }
}

/**
 * The folders above it are not those of the host any more: that must make no difference, so we may not be able to make entries in them.
 */
function canBeLeftOut(directory: string): boolean {
  for (let at = directory; at !== '/' && at !== '';) {
    at = at.slice(0, at.lastIndexOf('/'));
    if (mayWrite(at === '' ? '/' : at)) return false;
  }
  return directory !== '/';
}

function mayWrite(folder: string): boolean {
  try {
    fs.accessSync(folder, fs.constants.W_OK);
    return true;
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return false;
    throw error;
  }
}

function changeRoot(mounts: NativeMountOperations, without: readonly string[], staging: string): void {
  mounts.mount({
    source: 'userloop',
    target: staging,
    type: 'tmpfs',
    flags: MountFlag.noSuid,
    data: 'mode=755',
  });
  fill(mounts, '', staging, without);
  mounts.mount({
    source: '',
    target: staging,
    type: '',
    flags: MountFlag.remount | MountFlag.bind | MountFlag.readOnly | MountFlag.noSuid,
  });
  // As switch_root(8): what the new root lies on can be reached by nobody.
  const chroot = loadLibC()!.func('chroot', 'int', ['str']);
  process.chdir(staging);
  mounts.mount({ source: staging, target: '/', type: '', flags: MountFlag.move });
  if (chroot('.') !== 0) throw new FsError('EPERM', { syscall: 'chroot', path: '/' });
  process.chdir('/');
  // The folder that it was put together in lies below one of those that it shows.
  unmountIfPossible(mounts, staging);
}

/** `from` without a slash at its end: '' is the root. */
function fill(mounts: NativeMountOperations, from: string, to: string, without: readonly string[]): void {
  for (const entry of fs.readdirSync(from === '' ? '/' : from, { withFileTypes: true })) {
    const [source, target] = [`${from}/${entry.name}`, `${to}/${entry.name}`];
    if (without.includes(source)) {
      if (entry.isDirectory()) fs.mkdirSync(target);
      else fs.writeFileSync(target, '');
    } else if (without.some((directory) => directory.startsWith(`${source}/`))) {
      fs.mkdirSync(target);
      fill(mounts, source, target, without);
    } else bindEntry(mounts, entry, from, to);
  }
}
