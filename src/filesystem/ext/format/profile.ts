import { FsError } from '../../../errors.ts';

/**
 * What mke2fs.conf says (mke2fs.conf(5)): values as they are written there, of `[defaults]` and of each type in
 * `[fs_types]`. The file that e2fsprogs 1.47 ships is `SHIPPED_CONFIGURATION`.
 */
export interface ExtConfiguration {
  readonly defaults: Readonly<Record<string, string>>;
  readonly types: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export const SHIPPED_CONFIGURATION: ExtConfiguration = {
  defaults: {
    base_features: 'sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr',
    default_mntopts: 'acl,user_xattr',
    enable_periodic_fsck: '0',
    blocksize: '4096',
    inode_size: '256',
    inode_ratio: '16384',
  },
  types: {
    ext3: { features: 'has_journal' },
    ext4: { features: 'has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize' },
    small: { blocksize: '1024', inode_ratio: '4096' },
    floppy: { blocksize: '1024', inode_ratio: '8192' },
    big: { inode_ratio: '32768' },
    huge: { inode_ratio: '65536' },
    news: { inode_ratio: '4096' },
    largefile: { inode_ratio: '1048576', blocksize: '-1' },
    largefile4: { inode_ratio: '4194304', blocksize: '-1' },
    hurd: { blocksize: '4096', inode_size: '128', warn_y2038_dates: '0' },
  },
};

/** Blocks smaller than this make the volume end at a multiple of it: the machine's page, 4096 here whatever the host's is. */
export const PAGE_SIZE = 4096;

/** What holds where the configuration says nothing. */
const DEFAULTS = {
  blockSize: 4096,
  inodeSize: 128,
  inodeRatio: 8192,
  flexGroups: 16,
  clusterFactor: 16,
  reservedPercent: 5,
} as const;
const BASE_FEATURES = 'sparse_super,large_file,filetype,resize_inode,dir_index';

const MIB = 1 << 20;
const TIB = 2 ** 40;

export interface ResolvedProfile {
  /** The profiles that took part, in order: later ones win. */
  readonly names: readonly string[];
  /** Usage types that are not defined. */
  readonly unknown: readonly string[];
  /** Bytes. */
  readonly blockSize: number;
  /** Bytes; 0 for sixteen blocks. */
  readonly clusterSize: number;
  readonly inodeSize: number;
  /** Bytes of volume an inode. */
  readonly inodeRatio: number;
  readonly reservedPercent: number;
  /** Groups of a flexible group. */
  readonly flexGroups: number;
  /** Lists as `-O` takes them, in the order in which they apply. */
  readonly features: readonly string[];
  /** Added where `-O` says nothing. */
  readonly defaultFeatures: string;
  /** As `tune2fs -o` takes them. */
  readonly mountOptions: string;
  readonly hashAlgorithm: string | undefined;
  readonly errorBehavior: string | undefined;
  /** `-E` options that go before those of the command line. */
  readonly extended: readonly string[];
  readonly lazyInodeTables: boolean | undefined;
  readonly discard: boolean;
  readonly packedMetaBlocks: boolean;
  readonly backupSuperblocks: number;
  /** `inodeSize` is somebody's choice, not the last resort. */
  readonly saysInodeSize: boolean;
  readonly warnOfSmallInodes: boolean;
}

/** The usage type that the size of the volume suggests; `default` for the middle. */
export function usageForSize(size: number): string {
  if (size < 3 * MIB) return 'floppy';
  if (size < 512 * MIB) return 'small';
  if (size < 4 * TIB) return 'default';
  return size < 16 * TIB ? 'big' : 'huge';
}

export interface ProfileChoice {
  readonly type: string;
  /** Undefined chooses by size. */
  readonly usage: readonly string[] | undefined;
  /** Bytes. */
  readonly size: number;
  readonly hurd: boolean;
  readonly configuration?: ExtConfiguration;
}

export function resolveProfile(choice: ProfileChoice): ResolvedProfile {
  const { type, usage, size, hurd, configuration = SHIPPED_CONFIGURATION } = choice;
  const names: string[] = [type];
  const unknown: string[] = [];
  for (const name of usage ?? [usageForSize(size)]) {
    if (Object.hasOwn(configuration.types, name)) names.push(name);
    else if (name !== 'default') unknown.push(name);
  }
  if (hurd) names.push('hurd');
  const text = (key: string): string | undefined => {
    let value = configuration.defaults[key];
    for (const name of names) value = configuration.types[name]?.[key] ?? value;
    return value;
  };
  const number = (key: string, fallback: number): number => {
    const value = Number(text(key) ?? Number.NaN);
    return Number.isNaN(value) ? fallback : value;
  };
  const blockSize = number('blocksize', DEFAULTS.blockSize);
  if (blockSize < -1)
    throw new FsError('EINVAL', {
      detail: `the blocksize ${blockSize} of mke2fs.conf is neither -1 nor positive`,
    });
  const each = (key: string): string[] =>
    names.map((name) => configuration.types[name]?.[key] ?? '').filter((value) => value !== '');
  const flag = (key: string): boolean | undefined => truthOf(text(key));
  return {
    names,
    unknown,
    blockSize: blockSize === -1 ? PAGE_SIZE : blockSize,
    clusterSize: number('cluster_size', 0),
    inodeSize: number('inode_size', DEFAULTS.inodeSize),
    inodeRatio: number('inode_ratio', DEFAULTS.inodeRatio),
    reservedPercent: number('reserved_ratio', DEFAULTS.reservedPercent),
    flexGroups: number('flex_bg_size', DEFAULTS.flexGroups),
    features: [text('base_features') ?? BASE_FEATURES, ...each('features')],
    defaultFeatures: text('default_features') ?? '',
    mountOptions: text('default_mntopts') ?? 'acl,user_xattr',
    hashAlgorithm: text('hash_alg'),
    errorBehavior: text('errors'),
    extended: each('options'),
    lazyInodeTables: flag('lazy_itable_init'),
    discard: flag('discard') ?? true,
    packedMetaBlocks: flag('packed_meta_blocks') ?? false,
    backupSuperblocks: number('num_backup_sb', 2),
    saysInodeSize: text('inode_size') !== undefined,
    warnOfSmallInodes: flag('warn_y2038_dates') ?? true,
  };
}

/** As the profile library reads booleans; undefined for what is none. */
function truthOf(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (/^(y|yes|true|t|1|on)$/i.test(text)) return true;
  return /^(n|no|false|nil|0|off)$/i.test(text) ? false : undefined;
}
