import type { QuotaKind } from '../file-system.ts';
import { Inode, ReservedInode } from './inode.ts';
import type { FeatureWords } from './features.ts';
import { ReadOnlyCompatibleFeature, Superblock } from './superblock.ts';

/** Whose use of the volume a quota file counts; in the order in which e2fsprogs numbers them. */
export const QUOTA_KINDS = ['user', 'group', 'project'] as const satisfies readonly QuotaKind[];

/** The field of the superblock that names the file of each kind. */
export const QUOTA_FIELDS = {
  user: 's_usr_quota_inum',
  group: 's_grp_quota_inum',
  project: 's_prj_quota_inum',
} as const satisfies Readonly<Record<QuotaKind, keyof typeof Superblock>>;

/** The files of quotas that a volume with the feature has. */
export function quotaFilesOf(
  superblock: DataView,
  words: FeatureWords,
): readonly { readonly kind: QuotaKind; readonly inode: number }[] {
  if ((words.readOnlyCompatible & ReadOnlyCompatibleFeature.quota) === 0) return [];
  return QUOTA_KINDS.map((kind) => ({
    kind,
    inode: Superblock[QUOTA_FIELDS[kind]].get(superblock, 0),
  })).filter(({ inode }) => inode !== 0);
}

/** Is the inode counted for its owners? Those with a fixed job are nobody's, but for the root directory. `projectInode` is the file of project quotas. */
export function isCountedInode(number: number, firstInode: number, projectInode: number): boolean {
  if (number < firstInode) return number === ReservedInode.root;
  return number !== projectInode;
}

/** Whose the inode is. */
export function quotaOwnerOf(kind: QuotaKind, view: DataView, base: number, inodeSize: number): number {
  switch (kind) {
    case 'user':
      return Inode.i_uid.get(view, base) + Inode.i_uid_high.get(view, base) * 0x10000;
    case 'group':
      return Inode.i_gid.get(view, base) + Inode.i_gid_high.get(view, base) * 0x10000;
    case 'project': {
      if (inodeSize <= 128) return 0;
      const end = 128 + Inode.i_extra_isize.get(view, base);
      return end >= Inode.i_projid.offset + Inode.i_projid.length ? Inode.i_projid.get(view, base) : 0;
    }
  }
}
