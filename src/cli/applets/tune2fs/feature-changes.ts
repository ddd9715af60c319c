import fs from 'node:fs';
import { crc32c } from '../../../bytes/crc32c.ts';
import type { Timestamp } from '../../../bytes/time.ts';
import { UnsupportedError } from '../../../errors.ts';
import type { FeatureWords } from '../../../filesystem/ext/features.ts';
import type { SuperblockEditor } from '../../../filesystem/ext/superblock-editor.ts';
import {
  CompatibleFeature as C,
  IncompatibleFeature as I,
  ReadOnlyCompatibleFeature as R,
  Superblock,
} from '../../../filesystem/ext/superblock.ts';
import { removeJournal } from '../../../filesystem/ext/tune/journal.ts';
import { removeMultipleMountBlock } from '../../../filesystem/ext/tune/multiple-mount.ts';
import { removeOrphanFile } from '../../../filesystem/ext/tune/orphan-file.ts';
import { Failure } from '../e2fsprogs/failure.ts';

type Word = keyof FeatureWords;

const TABLES: readonly (readonly [Word, Readonly<Record<string, number>>])[] = [
  ['compatible', C],
  ['incompatible', { ...I, extents: I.extent }],
  ['readOnlyCompatible', { ...R, uninit_groups: R.uninit_bg }],
];

/** What the tool lets a user set. */
const SETTABLE: FeatureWords = {
  compatible: C.has_journal | C.dir_index | C.fast_commit | C.stable_inodes | C.orphan_file,
  incompatible:
    I.filetype |
    I.extent |
    I.flex_bg |
    I.ea_inode |
    I.mmp |
    I['64bit'] |
    I.encrypt |
    I.metadata_csum_seed |
    I.large_dir |
    I.casefold,
  readOnlyCompatible:
    R.large_file |
    R.huge_file |
    R.dir_nlink |
    R.extra_isize |
    R.uninit_bg |
    R.sparse_super |
    R.quota |
    R.metadata_csum |
    R['read-only'] |
    R.project |
    R.verity,
};

const CLEARABLE: FeatureWords = {
  compatible: C.has_journal | C.resize_inode | C.dir_index | C.fast_commit | C.orphan_file,
  incompatible: I.filetype | I.flex_bg | I.mmp | I['64bit'] | I.metadata_csum_seed | I.casefold,
  readOnlyCompatible:
    R.large_file |
    R.huge_file |
    R.dir_nlink |
    R.extra_isize |
    R.uninit_bg |
    R.quota |
    R.project |
    R.metadata_csum |
    R['read-only'],
};

/** Changes of these make or rewrite more than the superblock: not done here. */
const REWRITING: FeatureWords = {
  compatible: 0,
  incompatible: I['64bit'] | I.casefold | I.flex_bg,
  readOnlyCompatible: R.uninit_bg | R.quota | R.project,
};

/** AES-256-XTS for content, AES-256-CTS for names. */
const ENCRYPTION_ALGORITHMS = new Uint8Array([1, 4, 0, 0]);
const HALF_MD4 = 1;
/** `s_state`. */
const VALID = 1;
const WITH_ERRORS = 2;

export const PLEASE_CHECK = 'Please run e2fsck -f on the filesystem.\n';

export interface FeatureChange {
  readonly changed: boolean;
  /** The volume has to be checked before it is used. */
  readonly needsCheck: boolean;
  /** For stderr. */
  readonly warning: string;
  /** A journal is to be made. */
  readonly makesJournal: boolean;
  readonly makesOrphanFile: boolean;
  readonly makesMultipleMountBlock: boolean;
  /** All checksums follow from something else now. */
  readonly rewritesChecksums: boolean;
}

/** Applies the list of `-O` to the superblock in memory. Failure and UnsupportedError leave it as it was. */
export function changeFeatures(
  editor: SuperblockEditor,
  list: string,
  random: (into: Uint8Array) => void,
  now: Timestamp,
): FeatureChange {
  const { view } = editor;
  const old = editor.features;
  const words = editedWords(old, list);
  const is = (word: Word, bit: number, from: FeatureWords, to: FeatureWords): boolean =>
    (from[word] & bit) === 0 && (to[word] & bit) !== 0;
  const on = (word: Word, bit: number): boolean => is(word, bit, old, words);
  const off = (word: Word, bit: number): boolean => is(word, bit, words, old);

  // With full checksums of descriptors the weaker ones are never asked for.
  if (on('readOnlyCompatible', R.uninit_bg) && (words.readOnlyCompatible & R.metadata_csum) !== 0) {
    words.readOnlyCompatible &= ~R.uninit_bg;
  }
  refuseRewriting(old, words);
  const hasChecksums = (words.readOnlyCompatible & R.metadata_csum) !== 0;
  if (off('compatible', C.dir_index) && hasChecksums) {
    throw new UnsupportedError(
      'Clearing dir_index with metadata_csum is not supported here: it rewrites directories',
      ['dir_index'],
    );
  }
  let warning = '';
  if (on('incompatible', I.metadata_csum_seed)) {
    if (!hasChecksums) {
      throw new Failure(
        "Setting feature 'metadata_csum_seed' is only supported\n" +
          'on filesystems with the metadata_csum feature enabled.\n',
      );
    }
    if (!fs.existsSync('/sys/fs/ext4/features/metadata_csum_seed')) {
      warning =
        'WARNING: Could not confirm kernel support for metadata_csum_seed.\n  This requires Linux >= v4.4.\n';
    }
  }
  if (on('readOnlyCompatible', R.metadata_csum)) {
    throw new UnsupportedError(
      'Setting metadata_csum is not supported here: directories need room for their checksums',
      ['metadata_csum'],
    );
  }
  const uuidSeed = crc32c(0xffff_ffff, Superblock.s_uuid.get(view, 0));
  const losesSeed = off('incompatible', I.metadata_csum_seed) && editor.checksumSeed !== uuidSeed;
  const losesChecksums = off('readOnlyCompatible', R.metadata_csum);
  if (losesSeed || losesChecksums) requireChecked(view);
  if (losesChecksums) {
    words.readOnlyCompatible |= R.uninit_bg;
    words.incompatible &= ~I.metadata_csum_seed;
    Superblock.s_checksum_type.set(view, 0, 0);
    Superblock.s_checksum_seed.set(view, 0, 0);
  }
  if (on('readOnlyCompatible', R.sparse_super) && (words.incompatible & I.meta_bg) !== 0) {
    throw new Failure(
      "Setting filesystem feature 'sparse_super' not supported\nfor filesystems with the meta_bg feature enabled.\n",
    );
  }

  if (on('compatible', C.dir_index)) {
    if (Superblock.s_def_hash_version.get(view, 0) === 0) {
      Superblock.s_def_hash_version.set(view, 0, HALF_MD4);
    }
    const seed = Superblock.s_hash_seed.get(view, 0);
    if (seed.every((byte) => byte === 0)) random(seed);
  }
  if (on('incompatible', I.metadata_csum_seed)) {
    Superblock.s_checksum_seed.set(view, 0, editor.checksumSeed);
  }
  const makesJournal = on('compatible', C.has_journal);
  const makesOrphanFile = on('compatible', C.orphan_file);
  const makesMultipleMountBlock = on('incompatible', I.mmp);
  if (makesOrphanFile && (words.compatible & C.has_journal) === 0) {
    throw new Failure('orphan_file feature can be set only for filesystems with journal.\n');
  }
  if (off('compatible', C.orphan_file)) removeOrphanFile(editor.content(now), view);
  if (off('incompatible', I.mmp)) removeMultipleMountBlock(editor.content(now), view);
  // They are there once they are made.
  if (makesJournal) words.compatible &= ~C.has_journal;
  if (makesOrphanFile) words.compatible &= ~C.orphan_file;
  if (makesMultipleMountBlock) words.incompatible &= ~I.mmp;
  if (off('compatible', C.has_journal)) {
    if ((words.compatible & C.orphan_file) !== 0) {
      throw new Failure(
        'tune2fs: the orphan file is of no use without a journal: clear orphan_file as well\n',
      );
    }
    if (Superblock.s_journal_inum.get(view, 0) !== 0) removeJournal(editor.content(now), view);
  }
  if (on('incompatible', I.encrypt)) Superblock.s_encrypt_algos.set(view, 0, ENCRYPTION_ALGORITHMS);
  const changed = TABLES.some(([word]) => old[word] !== words[word]);
  if (changed) writeWords(view, words);
  const needsCheck =
    on('readOnlyCompatible', R.sparse_super) ||
    off('readOnlyCompatible', R.huge_file) ||
    off('readOnlyCompatible', R.large_file) ||
    on('incompatible', I.filetype) ||
    off('incompatible', I.filetype) ||
    off('compatible', C.resize_inode);
  return {
    changed,
    needsCheck,
    warning,
    makesJournal,
    makesOrphanFile,
    makesMultipleMountBlock,
    rewritesChecksums: losesSeed || losesChecksums,
  };
}

function editedWords(old: FeatureWords, list: string): Record<Word, number> {
  const words: Record<Word, number> = { ...old };
  for (const item of list.split(/[ ,]+/)) {
    if (item === '') continue;
    if (/^(none|clear)$/i.test(item)) {
      throw new UnsupportedError('Clearing every feature is not supported here', [item]);
    }
    const clear = /^[-^]/.test(item);
    const name = item.replace(/^[-^+]/, '').toLowerCase();
    const found = findFeature(name);
    if (found === undefined) throw new Failure(`Invalid filesystem option set: ${list}\n`);
    const [word, bit, canonical] = found;
    if (((clear ? CLEARABLE : SETTABLE)[word] & bit) === 0) {
      throw new Failure(
        `${clear ? 'Clearing' : 'Setting'} filesystem feature '${canonical}' not supported.\n`,
      );
    }
    words[word] = (clear ? words[word] & ~bit : words[word] | bit) >>> 0;
  }
  return words;
}

function findFeature(name: string): readonly [word: Word, bit: number, canonical: string] | undefined {
  for (const [word, table] of TABLES) {
    const bit = Object.hasOwn(table, name) ? table[name]! : undefined;
    if (bit === undefined || name === 'btree_dir') continue;
    return [word, bit, Object.keys(table).find((key) => table[key] === bit)!];
  }
  const numbered = /^feature_([cir])(\d+)$/.exec(name);
  if (numbered === null || Number(numbered[2]) > 31) return undefined;
  const [word, table] = TABLES['cir'.indexOf(numbered[1]!)]!;
  const bit = (1 << Number(numbered[2])) >>> 0;
  return [word, bit, Object.keys(table).find((key) => table[key] === bit) ?? name.toUpperCase()];
}

function refuseRewriting(old: FeatureWords, words: FeatureWords): void {
  const names: string[] = [];
  for (const [word, table] of TABLES) {
    const changed = (old[word] ^ words[word]) & REWRITING[word];
    for (const [name, bit] of Object.entries(table)) {
      if ((changed & bit) === 0 || name === 'extents' || name === 'uninit_groups') continue;
      names.push(`${(words[word] & bit) === 0 ? 'clearing' : 'setting'} ${name}`);
    }
  }
  if (names.length === 0) return;
  throw new UnsupportedError(
    `Not supported here, because more than the superblock changes: ${names.join(', ')}`,
    names,
  );
}

function writeWords(view: DataView, words: FeatureWords): void {
  if (Superblock.s_rev_level.get(view, 0) === 0) {
    Superblock.s_rev_level.set(view, 0, 1);
    Superblock.s_first_ino.set(view, 0, 11);
    Superblock.s_inode_size.set(view, 0, 128);
  }
  Superblock.s_feature_compat.set(view, 0, words.compatible);
  Superblock.s_feature_incompat.set(view, 0, words.incompatible);
  Superblock.s_feature_ro_compat.set(view, 0, words.readOnlyCompatible);
}

/** Failure with the tool's words unless e2fsck has found the volume clean since it was last mounted. */
export function requireChecked(view: DataView): void {
  const isClean = (Superblock.s_state.get(view, 0) & (VALID | WITH_ERRORS)) === VALID;
  if (isClean && Superblock.s_lastcheck.get(view, 0) >= Superblock.s_mtime.get(view, 0)) return;
  throw new Failure(`\nThis operation requires a freshly checked filesystem.\n\n${PLEASE_CHECK}\n`, 'stdout');
}
