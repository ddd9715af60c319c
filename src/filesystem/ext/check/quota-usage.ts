import type { QuotaKind } from '../../file-system.ts';
import type { FeatureWords } from '../features.ts';
import type { Geometry } from '../geometry.ts';
import { isCountedInode, quotaFilesOf, quotaOwnerOf } from '../quota-kind.ts';
import { Superblock } from '../superblock.ts';

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
    this.kinds = quotaFilesOf(superblock, words).map((file) => ({ ...file, usage: new Map() }));
    this.#files = new Set(this.kinds.map(({ inode }) => inode));
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
    if (!isCountedInode(number, this.#firstInode, this.#projectInode)) return;
    for (const { kind, usage } of this.kinds) {
      const id = quotaOwnerOf(kind, view, base, this.#inodeSize);
      const found = usage.get(id);
      if (found === undefined) usage.set(id, { space, inodes });
      else {
        found.space += space;
        found.inodes += inodes;
      }
    }
  }
}
