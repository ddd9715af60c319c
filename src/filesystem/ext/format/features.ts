import { FsError, UnsupportedError } from '../../../errors.ts';
import { CompatibleFeature, IncompatibleFeature, ReadOnlyCompatibleFeature } from '../superblock.ts';

/** The three feature words of a superblock. */
export interface FeatureSet {
  /** `s_feature_compat`. */
  readonly compatible: number;
  /** `s_feature_incompat`. */
  readonly incompatible: number;
  /** `s_feature_ro_compat`. */
  readonly readOnlyCompatible: number;
}

type Word = keyof FeatureSet;

export const NO_FEATURES: FeatureSet = { compatible: 0, incompatible: 0, readOnlyCompatible: 0 };

const C = CompatibleFeature;
const I = IncompatibleFeature;
const R = ReadOnlyCompatibleFeature;

/** Every feature that mke2fs lets a user set: `-O name`. */
const SETTABLE: Readonly<Record<string, readonly [word: Word, mask: number]>> = {
  has_journal: ['compatible', C.has_journal],
  ext_attr: ['compatible', C.ext_attr],
  resize_inode: ['compatible', C.resize_inode],
  dir_index: ['compatible', C.dir_index],
  sparse_super2: ['compatible', C.sparse_super2],
  fast_commit: ['compatible', C.fast_commit],
  stable_inodes: ['compatible', C.stable_inodes],
  orphan_file: ['compatible', C.orphan_file],
  filetype: ['incompatible', I.filetype],
  journal_dev: ['incompatible', I.journal_dev],
  meta_bg: ['incompatible', I.meta_bg],
  extent: ['incompatible', I.extent],
  extents: ['incompatible', I.extent],
  '64bit': ['incompatible', I['64bit']],
  mmp: ['incompatible', I.mmp],
  flex_bg: ['incompatible', I.flex_bg],
  ea_inode: ['incompatible', I.ea_inode],
  metadata_csum_seed: ['incompatible', I.metadata_csum_seed],
  large_dir: ['incompatible', I.large_dir],
  inline_data: ['incompatible', I.inline_data],
  encrypt: ['incompatible', I.encrypt],
  casefold: ['incompatible', I.casefold],
  sparse_super: ['readOnlyCompatible', R.sparse_super],
  large_file: ['readOnlyCompatible', R.large_file],
  huge_file: ['readOnlyCompatible', R.huge_file],
  uninit_bg: ['readOnlyCompatible', R.uninit_bg],
  uninit_groups: ['readOnlyCompatible', R.uninit_bg],
  dir_nlink: ['readOnlyCompatible', R.dir_nlink],
  extra_isize: ['readOnlyCompatible', R.extra_isize],
  quota: ['readOnlyCompatible', R.quota],
  bigalloc: ['readOnlyCompatible', R.bigalloc],
  metadata_csum: ['readOnlyCompatible', R.metadata_csum],
  project: ['readOnlyCompatible', R.project],
  verity: ['readOnlyCompatible', R.verity],
};

/** What this formatter can lay out. */
const SUPPORTED: FeatureSet = {
  compatible: ~0,
  incompatible: ~I.journal_dev,
  readOnlyCompatible: ~0,
};

/** `list` as `-O` takes it: names, `^name` to clear one, `none` to clear all; EINVAL for a name that is unknown. */
export function editFeatures(features: FeatureSet, list: string): FeatureSet {
  let result = { ...features };
  for (const item of list.split(/[ ,]+/)) {
    if (item === '') continue;
    if (item.toLowerCase() === 'none') {
      result = { ...NO_FEATURES };
      continue;
    }
    const clear = /^[-^!]/.test(item);
    const name = item.replace(/^[-^!+]/, '').toLowerCase();
    const known = Object.hasOwn(SETTABLE, name) ? SETTABLE[name] : undefined;
    if (known === undefined)
      throw new FsError('EINVAL', { detail: `Invalid filesystem option set: ${list}` });
    const [word, mask] = known;
    result[word] = clear ? result[word] & ~mask : result[word] | mask;
  }
  return result;
}

/** UnsupportedError with the names of what this formatter cannot make. */
export function refuseUnsupportedFeatures(features: FeatureSet): void {
  const missing: string[] = [];
  const seen = new Set<string>();
  for (const [name, [word, mask]] of Object.entries(SETTABLE)) {
    if ((features[word] & mask & ~SUPPORTED[word]) === 0 || seen.has(`${word} ${mask}`)) continue;
    seen.add(`${word} ${mask}`);
    missing.push(name);
  }
  if (missing.length === 0) return;
  const them = missing.length === 1 ? 'the feature' : 'the features';
  throw new UnsupportedError(`${them} ${missing.join(', ')} cannot be given to a new file system`, missing);
}

export function hasAny(features: FeatureSet): boolean {
  return (features.compatible | features.incompatible | features.readOnlyCompatible) !== 0;
}

export function hasCompatible(features: FeatureSet, name: keyof typeof CompatibleFeature): boolean {
  return (features.compatible & CompatibleFeature[name]) !== 0;
}

export function hasIncompatible(features: FeatureSet, name: keyof typeof IncompatibleFeature): boolean {
  return (features.incompatible & IncompatibleFeature[name]) !== 0;
}

export function hasReadOnlyCompatible(
  features: FeatureSet,
  name: keyof typeof ReadOnlyCompatibleFeature,
): boolean {
  return (features.readOnlyCompatible & ReadOnlyCompatibleFeature[name]) !== 0;
}

/** Have the groups flags, and their descriptors checksums? */
export function hasGroupFlags(features: FeatureSet): boolean {
  return hasReadOnlyCompatible(features, 'uninit_bg') || hasReadOnlyCompatible(features, 'metadata_csum');
}

/** Features of ext4's beginnings: with one of them the volume says how much was written to it. */
export function countsWrites(features: FeatureSet): boolean {
  const { huge_file, uninit_bg, dir_nlink, extra_isize, metadata_csum } = R;
  const words = huge_file | uninit_bg | dir_nlink | extra_isize | metadata_csum;
  return (features.readOnlyCompatible & words) !== 0 || hasIncompatible(features, 'flex_bg');
}
