import { UnsupportedError } from '../../errors.ts';
import type { FileSystemType } from '../file-system.ts';
import {
  CompatibleFeature,
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
} from './superblock.ts';

/** The three feature words of a superblock; all zero on revision 0, which has none. */
export interface FeatureWords {
  readonly compatible: number;
  readonly incompatible: number;
  readonly readOnlyCompatible: number;
}

/** Features without which a volume cannot even be read. `encrypt` and `casefold` are refused inode by inode. */
const READABLE =
  IncompatibleFeature.filetype |
  IncompatibleFeature.needs_recovery |
  IncompatibleFeature.meta_bg |
  IncompatibleFeature.extent |
  IncompatibleFeature['64bit'] |
  IncompatibleFeature.mmp |
  IncompatibleFeature.flex_bg |
  IncompatibleFeature.ea_inode |
  IncompatibleFeature.metadata_csum_seed |
  IncompatibleFeature.large_dir |
  IncompatibleFeature.inline_data |
  IncompatibleFeature.encrypt |
  IncompatibleFeature.casefold;

/** `encrypt`, `casefold` and `verity` are refused inode by inode. */
const WRITABLE_INCOMPATIBLE =
  IncompatibleFeature.needs_recovery |
  IncompatibleFeature.filetype |
  IncompatibleFeature.meta_bg |
  IncompatibleFeature.extent |
  IncompatibleFeature['64bit'] |
  IncompatibleFeature.flex_bg |
  IncompatibleFeature.mmp |
  IncompatibleFeature.ea_inode |
  IncompatibleFeature.metadata_csum_seed |
  IncompatibleFeature.inline_data |
  IncompatibleFeature.large_dir |
  IncompatibleFeature.encrypt |
  IncompatibleFeature.casefold;

const WRITABLE_READ_ONLY_COMPATIBLE =
  ReadOnlyCompatibleFeature.orphan_present |
  ReadOnlyCompatibleFeature.sparse_super |
  ReadOnlyCompatibleFeature.large_file |
  ReadOnlyCompatibleFeature.huge_file |
  ReadOnlyCompatibleFeature.bigalloc |
  ReadOnlyCompatibleFeature.uninit_bg |
  ReadOnlyCompatibleFeature.dir_nlink |
  ReadOnlyCompatibleFeature.extra_isize |
  ReadOnlyCompatibleFeature.metadata_csum |
  ReadOnlyCompatibleFeature.quota |
  ReadOnlyCompatibleFeature.project |
  ReadOnlyCompatibleFeature.verity;

const EXT3_INCOMPATIBLE =
  IncompatibleFeature.filetype | IncompatibleFeature.needs_recovery | IncompatibleFeature.meta_bg;

const EXT3_READ_ONLY_COMPATIBLE =
  ReadOnlyCompatibleFeature.sparse_super |
  ReadOnlyCompatibleFeature.large_file |
  ReadOnlyCompatibleFeature.btree_dir;

export function readFeatures(view: DataView): FeatureWords {
  if (Superblock.s_rev_level.get(view, 0) === 0) {
    return { compatible: 0, incompatible: 0, readOnlyCompatible: 0 };
  }
  return {
    compatible: Superblock.s_feature_compat.get(view, 0),
    incompatible: Superblock.s_feature_incompat.get(view, 0),
    readOnlyCompatible: Superblock.s_feature_ro_compat.get(view, 0),
  };
}

/** As dumpe2fs lists them; a bit without a name is `FEATURE_C17`, `FEATURE_I17` or `FEATURE_R17`. */
export function featureNames(words: FeatureWords): string[] {
  return [
    ...namesOf(words.compatible, CompatibleFeature, 'C'),
    ...namesOf(words.incompatible, IncompatibleFeature, 'I'),
    ...namesOf(words.readOnlyCompatible, ReadOnlyCompatibleFeature, 'R'),
  ];
}

/** The generation a volume belongs to, by the features that each kernel driver knows: blkid's rule. */
export function fileSystemType(words: FeatureWords): FileSystemType {
  if (
    (words.incompatible & ~EXT3_INCOMPATIBLE) !== 0 ||
    (words.readOnlyCompatible & ~EXT3_READ_ONLY_COMPATIBLE) !== 0
  ) {
    return 'ext4';
  }
  return (words.compatible & CompatibleFeature.has_journal) !== 0 ? 'ext3' : 'ext2';
}

/** Are the descriptors of groups checksummed, and do their flags and their counts of unused inodes mean something? */
export function hasGroupFlags(words: FeatureWords): boolean {
  const either = ReadOnlyCompatibleFeature.uninit_bg | ReadOnlyCompatibleFeature.metadata_csum;
  return (words.readOnlyCompatible & either) !== 0;
}

/** UnsupportedError with the names of the features that keep the volume from being read. */
export function refuseUnknownFeatures(words: FeatureWords): void {
  const unknown = namesOf(words.incompatible & ~READABLE, IncompatibleFeature, 'I');
  if (unknown.length === 0) return;
  throw new UnsupportedError(
    `The file system cannot be read: unsupported features ${unknown.join(', ')}`,
    unknown,
  );
}

/** Why this volume is not written to, in a person's words; undefined when it can be. */
export function readOnlyReason(view: DataView, words: FeatureWords): string | undefined {
  const missing: string[] = [];
  if (
    (words.incompatible & IncompatibleFeature.extent) === 0 &&
    (words.incompatible & IncompatibleFeature['64bit']) !== 0 &&
    Superblock.s_blocks_count_hi.get(view, 0) > 0
  ) {
    missing.push('more than 2^32 blocks without extents');
  }
  if (
    (words.incompatible & IncompatibleFeature.extent) === 0 &&
    (words.readOnlyCompatible & ReadOnlyCompatibleFeature.bigalloc) !== 0
  ) {
    missing.push('clusters (bigalloc) without extents');
  }
  for (const name of [
    ...namesOf(words.incompatible & ~WRITABLE_INCOMPATIBLE, IncompatibleFeature, 'I'),
    ...namesOf(words.readOnlyCompatible & ~WRITABLE_READ_ONLY_COMPATIBLE, ReadOnlyCompatibleFeature, 'R'),
  ]) {
    missing.push(name);
  }
  if (missing.length > 0) {
    return `${fileSystemType(words)} is read-only here: writing does not support ${missing.join(', ')}`;
  }
  const revision = Superblock.s_rev_level.get(view, 0);
  if (revision > 1) return `revision ${revision} of the format is newer than revision 1`;
  return undefined;
}

function namesOf(word: number, table: Readonly<Record<string, number>>, letter: string): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    const value = (1 << bit) >>> 0;
    if ((word & value) === 0) continue;
    names.push(Object.keys(table).find((name) => table[name] === value) ?? `FEATURE_${letter}${bit}`);
  }
  return names;
}
