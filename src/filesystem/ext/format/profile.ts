/** What mke2fs.conf as shipped with e2fsprogs 1.47 says of a file-system type or a usage type (mke2fs.conf(5)). */
export interface Profile {
  /** Bytes; `page` takes the machine's page, which is 4096 here whatever the host's is. */
  readonly blockSize?: number | 'page';
  /** Bytes. */
  readonly inodeSize?: number;
  /** Bytes of volume an inode. */
  readonly inodeRatio?: number;
  /** Features on top of the base features, as `-O` takes them. */
  readonly features?: string;
}

export const BASE_FEATURES = 'sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr';

/** Blocks smaller than this make the volume end at a multiple of it. */
export const PAGE_SIZE = 4096;

const DEFAULTS = { blockSize: 4096, inodeSize: 256, inodeRatio: 16384 } as const;

const PROFILES: Readonly<Record<string, Profile>> = {
  ext3: { features: 'has_journal' },
  ext4: { features: 'has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize' },
  small: { blockSize: 1024, inodeRatio: 4096 },
  floppy: { blockSize: 1024, inodeRatio: 8192 },
  big: { inodeRatio: 32768 },
  huge: { inodeRatio: 65536 },
  news: { inodeRatio: 4096 },
  largefile: { inodeRatio: 1048576, blockSize: 'page' },
  largefile4: { inodeRatio: 4194304, blockSize: 'page' },
  hurd: { blockSize: 4096, inodeSize: 128 },
};

const MIB = 1 << 20;
const TIB = 2 ** 40;

export interface ResolvedProfile {
  /** The profiles that took part, in order: later ones win. */
  readonly names: readonly string[];
  /** Usage types that are not defined. */
  readonly unknown: readonly string[];
  /** Bytes. */
  readonly blockSize: number;
  readonly inodeSize: number;
  readonly inodeRatio: number;
  /** Lists as `-O` takes them, in the order in which they apply. */
  readonly features: readonly string[];
}

/** The usage type that the size of the volume suggests; undefined for the middle, where the defaults hold. */
export function usageForSize(size: number): string | undefined {
  if (size < 3 * MIB) return 'floppy';
  if (size < 512 * MIB) return 'small';
  if (size < 4 * TIB) return undefined;
  return size < 16 * TIB ? 'big' : 'huge';
}

/** `usage` undefined chooses by size. */
export function resolveProfile(
  type: string,
  usage: readonly string[] | undefined,
  size: number,
  hurd: boolean,
): ResolvedProfile {
  const bySize = usageForSize(size);
  const wanted = usage ?? (bySize === undefined ? [] : [bySize]);
  const names: string[] = [type];
  const unknown: string[] = [];
  for (const name of wanted) {
    if (Object.hasOwn(PROFILES, name)) names.push(name);
    else if (name !== 'default') unknown.push(name);
  }
  if (hurd) names.push('hurd');
  let blockSize: number = DEFAULTS.blockSize;
  let inodeSize: number = DEFAULTS.inodeSize;
  let inodeRatio: number = DEFAULTS.inodeRatio;
  const features = [BASE_FEATURES];
  for (const name of names) {
    const profile = PROFILES[name];
    if (profile === undefined) continue;
    if (profile.blockSize !== undefined)
      blockSize = profile.blockSize === 'page' ? PAGE_SIZE : profile.blockSize;
    inodeSize = profile.inodeSize ?? inodeSize;
    inodeRatio = profile.inodeRatio ?? inodeRatio;
    if (profile.features !== undefined) features.push(profile.features);
  }
  return { names, unknown, blockSize, inodeSize, inodeRatio, features };
}
