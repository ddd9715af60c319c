import { FsError } from '../../errors.ts';
import { Inode, InodeFlag } from './inode.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';

/** Project numbers, which tell quotas of directory trees apart: kept, and handed down where a directory says so. */

/** The project that all of a directory must belong to; undefined where it hands none down. */
export function newProjectOf(inodes: InodeTable, directory: InodeRef): number | undefined {
  return inodes.hasFlag(directory, InodeFlag.projectInherit) ? projectOf(inodes, directory) : undefined;
}

/** Gives a new inode its directory's project. */
export function inheritProject(
  inodes: InodeTable,
  directory: InodeRef,
  ref: InodeRef,
  isDirectory: boolean,
): void {
  const project = newProjectOf(inodes, directory);
  if (project === undefined || !hasProject(inodes, ref)) return;
  Inode.i_projid.set(ref.view, ref.base, project);
  if (isDirectory) inodes.setFlag(ref, InodeFlag.projectInherit, true);
  inodes.markDirty(ref);
}

/** EXDEV when the node would come under a directory of another project, as in the kernel. */
export function requireSameProject(
  inodes: InodeTable,
  project: number | undefined,
  ref: InodeRef,
  syscall: string,
): void {
  if (project === undefined || projectOf(inodes, ref) === project) return;
  throw new FsError('EXDEV', {
    syscall,
    detail: `inode ${ref.number} does not belong to project ${project}`,
  });
}

export function projectOf(inodes: InodeTable, ref: InodeRef): number {
  return hasProject(inodes, ref) ? Inode.i_projid.get(ref.view, ref.base) : 0;
}

export function hasProject(inodes: InodeTable, ref: InodeRef): boolean {
  return inodes.extraSize(ref) + 128 >= Inode.i_projid.offset + Inode.i_projid.length;
}
