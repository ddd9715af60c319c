import { hasCode } from '../../../errors.ts';
import { MountFlag } from '../../../host/native-mount.ts';
import { readMountTable } from '../../../host/mount-table.ts';
import { pathStatus } from './path-status.ts';
import { DMESG_HINT, MountFailure } from './mount-failure.ts';

export interface FailedCall {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly flags: number;
}

const PROPAGATION = MountFlag.shared | MountFlag.slave | MountFlag.private | MountFlag.unbindable;

/** What mount(2)'s errno means in mount(8)'s words. */
export function kernelMountFailure(error: unknown, call: FailedCall): MountFailure {
  return new MountFailure(`${call.target}: ${reason(error, call)}`, undefined, [DMESG_HINT], {
    cause: error,
  });
}

function reason(error: unknown, { source, target, type, flags }: FailedCall): string {
  const remount = (flags & MountFlag.remount) !== 0;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const directory = pathStatus(target);
  const node = source === '' ? undefined : pathStatus(source);
  switch (code) {
    case 'EPERM':
      if (process.geteuid?.() !== 0) return 'must be superuser to use mount.';
      return directory !== undefined && !directory.isDirectory()
        ? 'mount point is not a directory.'
        : 'permission denied.';
    case 'EBUSY': {
      if (remount) return 'mount point is busy.';
      const other = readMountTable().find((entry) => entry.source === source);
      return other === undefined
        ? `${source} already mounted or mount point busy.`
        : `${source} already mounted on ${other.directory}.`;
    }
    case 'ENOENT':
      return directory === undefined
        ? 'mount point does not exist.'
        : `special device ${source} does not exist.`;
    case 'ENOTDIR':
      return directory?.isDirectory() === true
        ? `special device ${source} does not exist (a path prefix is not a directory).`
        : 'mount point is not a directory.';
    case 'EINVAL':
      if (remount) return 'mount point not mounted or bad option.';
      if ((flags & PROPAGATION) !== 0) return 'not mount point or bad option.';
      return `wrong fs type, bad option, bad superblock on ${source}, missing codepage or helper program, or other error.`;
    case 'EMFILE':
      return 'mount table full.';
    case 'EIO':
      return `can't read superblock on ${source}.`;
    case 'ENODEV':
      return `unknown filesystem type '${type}'.`;
    case 'ENOTBLK':
      return node?.isFile() === true
        ? `${source} is not a block device; try "-o loop".`
        : `${source} is not a block device.`;
    case 'ENXIO':
      return `${source} is not a valid block device.`;
    case 'EACCES':
    case 'EROFS':
      if ((flags & MountFlag.readOnly) !== 0) return `cannot mount ${source} read-only.`;
      if (remount) return `cannot remount ${source} read-write, is write-protected.`;
      if ((flags & MountFlag.bind) !== 0) return `bind ${source} failed.`;
      return `${source} is write-protected but explicit read-write mode requested.`;
    case 'ENOMEDIUM':
      return `no medium found on ${source}.`;
    case 'EBADMSG':
    case 'EUCLEAN':
      return `cannot mount; probably corrupted filesystem on ${source}.`;
    default:
      return `mount(2) system call failed: ${error instanceof Error ? error.message : String(error)}.`;
  }
}

/** Whether the kernel would take it read-only. */
export function isWriteProtected(error: unknown): boolean {
  return hasCode(error, 'EROFS') || hasCode(error, 'EACCES');
}
