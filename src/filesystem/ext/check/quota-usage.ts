import { Inode, ReservedInode } from '../inode.ts';
import { QUOTA_KINDS, type QuotaKind } from '../quota-file.ts';
import { ReadOnlyCompatibleFeature, Superblock } from '../superblock.ts';
import type { FeatureWords } from '../features.ts';
import type { Geometry } from '../geometry.ts';

/** The field of the superblock that names the file of each kind. */
export const QUOTA_FIELDS = {
  user: 's_usr_quota_inum',
  group: 's_grp_quota_inum',
  project: 's_prj_quota_inum',
} as const satisfies Readonly<Record<QuotaKind, keyof typeof Superblock>>;

export interface Usage {
  /** Bytes, in whole blocks. */
  space: number;
  inodes: number;
}

/** The quota file of one kind, and who uses how much as the inodes have it. */
export interface CountedKind {
  readonly kind: QuotaKind;
  readonly inode: number;
  readonly usage: Map<number, Usage>;
}

/** Who uses how much of the volume: filled while the inodes are looked at. */
export class QuotaUsage {
  /** Those that the volume has files for. */
  readonly kinds: readonly CountedKind[];
  readonly #files: ReadonlySet<number>;
  readonly #firstInode: number;
  readonly #inodeSize: number;
  readonly #projectInode: number;

  constructor(superblock: DataView, words: FeatureWords, geometry: Geometry) {
    const hasQuota = (words.readOnlyCompatible & ReadOnlyCompatibleFeature.quota) !== 0;
    const kinds: CountedKind[] = [];
    for (const kind of hasQuota ? QUOTA_KINDS : []) {
      const inode = Superblock[QUOTA_FIELDS[kind]].get(superblock, 0);
      if (inode !== 0) kinds.push({ kind, inode, usage: new Map() });
    }
    this.kinds = kinds;
    this.#files = new Set(kinds.map(({ inode }) => inode));
    this.#firstInode = geometry.firstInode;
    this.#inodeSize = geometry.inodeSize;
    this.#projectInode = Superblock.s_prj_quota_inum.get(superblock, 0);
  }

  /** Does the superblock name the inode as a quota file? */
  isFile(number: number): boolean {
    return this.#files.has(number);
  }

  /** Files with a fixed job are nobody's, but for the root directory. `blocks` and `inodes` with those of attribute values elsewhere. */
  add(number: number, view: DataView, base: number, space: number, inodes: number): void {
    if (number < this.#firstInode && number !== ReservedInode.root) return;
    if (number === this.#projectInode) return;
    for (const { kind, usage } of this.kinds) {
      const id = this.#ownerOf(kind, view, base);
      const found = usage.get(id);
      if (found === undefined) usage.set(id, { space, inodes });
      else {
        found.space += space;
        found.inodes += inodes;
      }
    }
  }

  #ownerOf(kind: QuotaKind, view: DataView, base: number): number {
    switch (kind) {
      case 'user':
        return Inode.i_uid.get(view, base) + Inode.i_uid_high.get(view, base) * 0x10000;
      case 'group':
        return Inode.i_gid.get(view, base) + Inode.i_gid_high.get(view, base) * 0x10000;
      case 'project': {
        if (this.#inodeSize <= 128) return 0;
        const end = 128 + Inode.i_extra_isize.get(view, base);
        return end >= Inode.i_projid.offset + Inode.i_projid.length ? Inode.i_projid.get(view, base) : 0;
      }
    }
  }
}
