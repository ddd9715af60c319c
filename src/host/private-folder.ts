import fs from 'node:fs';
import { FsError, hasCode } from '../errors.ts';
import { MountFlag, nativeMountOperations, UnmountFlag, type NativeMountOperations } from './native-mount.ts';

/** A folder that looks as before, but is ours: in a mount namespace of our own, new entries are seen there and nowhere else. */
export interface PrivateFolderOptions {
  /** Must exist, and be empty: the new folder is put together there, where nobody sees it unfinished. */
  readonly staging: string;
  /** Which of its entries come along. Default: all. */
  readonly keep?: (name: string) => boolean;
  /** Makes further entries in the staging folder before it takes its place. */
  readonly furnish?: (folder: string) => void;
}

/** What an entry of the old folder may answer when nobody may look at it; it is then left out. */
const NOT_OURS = ['EACCES', 'EPERM', 'ENOENT', 'ELOOP', 'EIO', 'ENODEV', 'ENOTCONN', 'EINVAL', 'ESTALE'];

/** Puts a tmpfs in the place of `folder`, with every entry of it bound to where it was: symlinks are copied. */
export function makeFolderPrivate(folder: string, options: PrivateFolderOptions): void {
  const mounts = requireMounts();
  const { staging, keep = () => true, furnish } = options;
  const entries = fs.readdirSync(folder, { withFileTypes: true }).filter(({ name }) => keep(name));
  // Not a folder that everybody may write to with a sticky bit: there the kernel keeps root from opening others' files with O_CREAT.
  mounts.mount({
    source: 'userloop',
    target: staging,
    type: 'tmpfs',
    flags: MountFlag.noSuid,
    data: 'mode=755',
  });
  try {
    for (const entry of entries) bindEntry(mounts, entry, folder, staging);
    furnish?.(staging);
    mounts.mount({ source: staging, target: folder, type: '', flags: MountFlag.move });
  } catch (error) {
    mounts.unmount(staging, UnmountFlag.detach);
    throw error;
  }
}

/** Shows an entry of one folder in another one, where it is not yet. What nobody may look at is left out. */
export function bindEntry(mounts: NativeMountOperations, entry: fs.Dirent, from: string, to: string): void {
  const [source, target] = [`${from}/${entry.name}`, `${to}/${entry.name}`];
  try {
    if (entry.isSymbolicLink()) {
      fs.symlinkSync(fs.readlinkSync(source), target);
      return;
    }
    if (entry.isDirectory()) fs.mkdirSync(target);
    else fs.writeFileSync(target, '');
    // Recursive also for files: of a tree that belongs to another user namespace no part can be left out.
    mounts.mount({ source, target, type: '', flags: MountFlag.bind | MountFlag.recursive });
  } catch (error) {
    if (!NOT_OURS.some((code) => hasCode(error, code))) throw error;
    // Not a recursive removal: what is bound there is not ours to remove.
    if (entry.isDirectory()) fs.rmdirSync(target);
    else fs.unlinkSync(target);
  }
}

/** Puts a file in the place of another one, for all who are in this mount namespace. */
export function bindFile(source: string, target: string): void {
  requireMounts().mount({ source, target, type: '', flags: MountFlag.bind });
}

/** Shows a folder with everything mounted in it at a second place. */
export function bindTree(source: string, target: string): void {
  requireMounts().mount({ source, target, type: '', flags: MountFlag.bind | MountFlag.recursive });
}

function requireMounts(): NativeMountOperations {
  const mounts = nativeMountOperations();
  if (mounts === undefined) throw new FsError('ENOSYS', { syscall: 'mount' });
  return mounts;
}
