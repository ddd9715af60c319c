import { FsError } from '../../errors.ts';
import type { NodeFlags } from '../file-system.ts';
import type { ExtCore } from './ext-core.ts';
import { Inode, InodeFlag } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { hasProject, projectOf } from './project.ts';
import { ReadOnlyCompatibleFeature } from './superblock.ts';
import { ChangeTime } from './timestamp.ts';

/** `EXT4_FL_USER_VISIBLE`: bits of `i_flags` that programs get to see. */
const VISIBLE = 0x725b_dfff;

export function flagsOf(core: ExtCore, ref: InodeRef): NodeFlags {
  return {
    bits: (Inode.i_flags.get(ref.view, ref.base) & VISIBLE) >>> 0,
    project: projectOf(core.inodes, ref),
  };
}

/** Of the bits only the one that hands a directory's project down is changed; the others mean what this driver does not do. */
export function changeFlags(core: ExtCore, ref: InodeRef, { bits, project }: Partial<NodeFlags>): void {
  const { inodes, volume } = core;
  const former = flagsOf(core, ref);
  const changed = ((bits ?? former.bits) ^ former.bits) >>> 0;
  const isDirectory = inodes.kind(ref) === 'directory';
  if (changed !== 0 && (changed !== InodeFlag.projectInherit || !isDirectory))
    throw unsupported(`the bits 0x${changed.toString(16)} of inode ${ref.number} cannot be changed`);
  if (project !== undefined && project !== former.project) {
    if (project >>> 0 !== project)
      throw new FsError('EINVAL', { syscall: 'ioctl', detail: `no project has the number ${project}` });
    const hasFeature = (volume.features.readOnlyCompatible & ReadOnlyCompatibleFeature.project) !== 0;
    if (!hasFeature) throw unsupported('the volume does not have the feature project');
    if (!hasProject(inodes, ref)) throw unsupported(`inode ${ref.number} has no room for a project`);
    volume.quotas?.transfer(ref, { project }, 'ioctl');
    Inode.i_projid.set(ref.view, ref.base, project);
  } else if (changed === 0) return;
  if (changed !== 0) inodes.setFlag(ref, InodeFlag.projectInherit, (bits! & InodeFlag.projectInherit) !== 0);
  inodes.setTime(ref, ChangeTime, core.now());
}

function unsupported(detail: string): FsError {
  return new FsError('EOPNOTSUPP', { syscall: 'ioctl', detail });
}
