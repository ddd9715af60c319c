import { viewOf } from '../../../bytes/struct.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { type CheckFinding, type CheckObserver, type CheckSeverity, LEAVE } from '../../check.ts';
import { checksumSeed, hasHighChecksum, inodeChecksum } from '../checksum.ts';
import type { FeatureWords } from '../features.ts';
import type { Geometry } from '../geometry.ts';
import { Inode } from '../inode.ts';
import { ReadOnlyCompatibleFeature } from '../superblock.ts';
import type { AttributeTally } from './attribute-check.ts';
import type { BadBlocks } from './bad-blocks.ts';
import { DirectoryBlockList } from './directory-block-list.ts';
import type { CheckedGroups } from './groups.ts';
import { QuotaUsage } from './quota-usage.ts';
import { NumberList, SparseBitmap, SparseNumbers } from './sparse.ts';

export interface ExtCheckOptions {
  /** Where the superblock is read, in blocks of `blockSize`; undefined: the first, or a copy where that is damaged. */
  readonly superblock?: number;
  /** Bytes of a block, for `superblock`. */
  readonly blockSize?: number;
  /** The journal has entries that are not replayed in what is checked. */
  readonly isJournalPending?: boolean;
  readonly progress?: CheckProgress;
  /** Directories that are laid out anew although nothing is wrong with them: all, or those of three blocks and more that have no index. */
  readonly optimise?: 'all' | 'long';
  /** Blocks that are put on the list of bad ones before anything is checked. */
  readonly badBlocks?: BadBlocks;
  /** Seconds since 1970 as the tool shows them. */
  readonly formatTime?: (seconds: number) => string;
  /** Told ranges, in bytes, that were free: they can be written before anything leads to them, and must not be lost when something does. */
  readonly onFresh?: (offset: number, length: number) => void;
}

/** Whoever wants to know how far the check is. */
export interface CheckProgress {
  /** Passes are `1`, `1b` to `1d`, `2`, `3`, `3A`, `4` and `5`; some lie within others. */
  begin(pass: string): void;
  end(pass: string): void;
  /** So many parts of a pass are done: first 0, in the end all. */
  step(pass: number, done: number, total: number): void;
  /** So many directories are laid out anew, this one last. */
  directory(number: number, done: number, total: number): void;
}

/** What e2fsck tells at the end. */
export interface ExtCheckResult {
  readonly usedInodes: number;
  readonly inodeCount: number;
  readonly fragmentedFiles: number;
  readonly fragmentedDirectories: number;
  readonly usedBlocks: number;
  readonly blockCount: number;
  readonly statistics: ExtStatistics;
  /** Something is otherwise where nothing was wrong: directories were laid out anew, bad blocks listed. */
  readonly isRearranged: boolean;
}

export interface ExtStatistics {
  regularFiles: number;
  directories: number;
  characterDevices: number;
  blockDevices: number;
  fifos: number;
  sockets: number;
  symlinks: number;
  fastSymlinks: number;
  /** Names beyond the first of each file. */
  links: number;
  /** Files with more than 2^31 bytes. */
  largeFiles: number;
  singleIndirect: number;
  doubleIndirect: number;
  tripleIndirect: number;
  badBlocks: number;
  /** Files by the depth of their extent tree. */
  readonly extentDepths: number[];
}

/** A departure from the format, before it is known whether anything is done about it. */
export interface Problem {
  readonly code: string;
  readonly severity?: CheckSeverity;
  readonly structure: string;
  readonly field: string;
  readonly offset?: number;
  readonly found: string;
  readonly expected: string;
  readonly path?: string;
  readonly meaning: string;
  /** The reference tool's words up to its question. */
  readonly text: string;
  /** What it says on its standard error before that. */
  readonly errorText?: string;
  /** Its question: `Fix`. */
  readonly question?: string;
  /** For a person; without it nothing can be done. */
  readonly action?: string;
  /** `e2fsck -p` does it. */
  readonly safe?: boolean;
  /** It is told what was found, and no more is said. */
  readonly silent?: boolean;
}

/** What the passes share. */
export class ExtCheck {
  readonly device: BlockDevice;
  readonly observer: CheckObserver;
  readonly options: ExtCheckOptions;
  /** None while something is gone over again. */
  progress: CheckProgress | undefined;
  readonly superblock: DataView;
  readonly words: FeatureWords;
  readonly geometry: Geometry;
  readonly groups: CheckedGroups;
  /** Of checksums; undefined without `metadata_csum`. */
  readonly seed: number | undefined;

  /** Clusters in use as the inodes have it, by `bitOf`: a cluster is a block without `bigalloc`. */
  readonly foundBlocks = new SparseBitmap();
  /** Those that are in use twice. */
  readonly sharedBlocks = new SparseBitmap();
  sharedCount = 0;
  /** Inodes with blocks that are not where their clusters want them: clusters of those count as in use twice. */
  readonly misaligned = new Set<number>();
  readonly usedInodes = new SparseBitmap();
  readonly directories = new SparseBitmap();
  /** Type in the terms of a directory entry, of each used inode; 0 for modes that cannot be. */
  readonly types = new SparseNumbers();
  /** `i_links_count`. */
  readonly links = new SparseNumbers();
  /** Names that were come across. */
  readonly counted = new SparseNumbers();
  /** Directories in the order of their numbers. */
  readonly directoryList = new NumberList();
  /** `i_flags` and `i_generation` of each of them. */
  readonly directoryTraits = new NumberList();
  readonly directoryBlocks = new DirectoryBlockList();
  /** The directory in which each directory has its name, and the one that its `..` names. */
  readonly parents = new SparseNumbers();
  readonly dotdots = new SparseNumbers();
  /** Directories in which a name was come across twice. */
  readonly duplicates = new Set<number>();
  /** Directories that lack blocks, which they are to do without; and whether the first is among them. */
  readonly holed = new Map<number, boolean>();
  /** Directories whose index is wrong. */
  readonly badIndexes = new SparseBitmap();
  isRearranged = false;
  /** Clusters that the check has given away or taken itself. */
  movedBlocks = new SparseBitmap();
  movedCount = 0;
  /** How often an attribute block is used, and in `attributeBlocks` which those are. */
  readonly attributeUses = new Map<number, number>();
  /** What each inode with such a block is charged for values that are elsewhere. */
  readonly attributeCharges = new Map<number, AttributeTally>();
  /** How many attributes have their value in an inode. */
  readonly valueUses = new Map<number, number>();
  /** Who uses how much, where the volume counts it. */
  readonly quota: QuotaUsage;
  fragmentedFiles = 0;
  fragmentedDirectories = 0;
  readonly statistics: ExtStatistics = {
    regularFiles: 0,
    directories: 0,
    characterDevices: 0,
    blockDevices: 0,
    fifos: 0,
    sockets: 0,
    symlinks: 0,
    fastSymlinks: 0,
    links: 0,
    largeFiles: 0,
    singleIndirect: 0,
    doubleIndirect: 0,
    tripleIndirect: 0,
    badBlocks: 0,
    extentDepths: [],
  };

  constructor(
    parts: Pick<ExtCheck, 'device' | 'observer' | 'options' | 'superblock' | 'words' | 'geometry' | 'groups'>,
  ) {
    this.device = parts.device;
    this.observer = parts.observer;
    this.options = parts.options;
    this.superblock = parts.superblock;
    this.words = parts.words;
    this.geometry = parts.geometry;
    this.groups = parts.groups;
    this.quota = new QuotaUsage(this.superblock, this.words, this.geometry);
    const hasChecksums = (this.words.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) !== 0;
    this.seed = hasChecksums ? checksumSeed(this.superblock, this.words) : undefined;
  }

  /** Tells a problem; returns whether it is to be mended. */
  ask(problem: Problem): boolean {
    return ask(this.observer, problem);
  }

  /** Begins a pass, in the tool's words. */
  begin(pass: string, title: string): void {
    this.observer.tell(`Pass ${pass.toUpperCase()}: ${title}\n`);
    this.progress?.begin(pass);
  }

  end(pass: string): void {
    this.progress?.end(pass);
  }

  step(pass: number, done: number, total: number): void {
    this.progress?.step(pass, done, total);
  }

  isDataBlock(block: number): boolean {
    return block >= this.geometry.firstDataBlock && block < this.geometry.blockCount;
  }

  /** The bit of a block in a map of clusters, counted over all groups. */
  bitOf(block: number): number {
    const { firstDataBlock, blocksPerCluster } = this.geometry;
    return blocksPerCluster === 1
      ? block - firstDataBlock
      : Math.floor((block - firstDataBlock) / blocksPerCluster);
  }

  /** The first block of the cluster with this bit. */
  blockOf(bit: number): number {
    return this.geometry.firstDataBlock + bit * this.geometry.blocksPerCluster;
  }

  isUsed(block: number): boolean {
    return this.foundBlocks.get(this.bitOf(block));
  }

  isShared(block: number): boolean {
    return this.sharedBlocks.get(this.bitOf(block));
  }

  /** Marks the cluster of a block as used; returns whether it was before. */
  claim(block: number): boolean {
    const index = this.bitOf(block);
    if (!this.foundBlocks.set(index)) return false;
    this.share(index);
    return true;
  }

  claimRange(block: number, length: number): void {
    const first = this.bitOf(block);
    this.foundBlocks.setRange(first, this.bitOf(block + length - 1) + 1 - first, this.#share);
  }

  share(index: number): void {
    if (!this.sharedBlocks.set(index)) this.sharedCount++;
  }

  readonly #share = (index: number): void => this.share(index);

  /** A directory has its content in other blocks now, in this order. */
  relistDirectory(directory: number, blocks: readonly number[]): void {
    const { directoryBlocks } = this;
    directoryBlocks.forget(directory);
    for (const [position, block] of blocks.entries()) directoryBlocks.add(directory, position, block);
  }

  readBlock(block: number, into: Uint8Array): void {
    this.device.read(block * this.geometry.blockSize, into);
  }

  writeBlock(block: number, from: Uint8Array): void {
    this.device.write(block * this.geometry.blockSize, from);
  }

  /** Byte offset of an inode. */
  inodeOffset(number: number): number {
    const { inodesPerGroup, inodeSize, blockSize } = this.geometry;
    const group = Math.floor((number - 1) / inodesPerGroup);
    return this.groups.inodeTable(group) * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
  }

  /** A copy of an inode, as long as inodes are here. */
  readInode(number: number): DataView {
    const bytes = new Uint8Array(Math.max(160, this.geometry.inodeSize));
    this.device.read(this.inodeOffset(number), bytes.subarray(0, this.geometry.inodeSize));
    return viewOf(bytes);
  }

  /** Writes an inode, with its checksum. */
  writeInode(number: number, view: DataView): void {
    const { inodeSize } = this.geometry;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, inodeSize);
    if (this.seed !== undefined) {
      const checksum = inodeChecksum(this.seed, number, bytes, 0, inodeSize);
      Inode.i_checksum_lo.set(view, 0, checksum & 0xffff);
      if (hasHighChecksum(bytes, 0, inodeSize)) Inode.i_checksum_hi.set(view, 0, checksum >>> 16);
    }
    this.device.write(this.inodeOffset(number), bytes);
  }

  /** Takes over what was moved before the file system was opened anew. */
  inheritMoves({ movedBlocks, movedCount, isRearranged }: ExtCheck): void {
    this.movedBlocks = movedBlocks;
    this.movedCount = movedCount;
    this.isRearranged = isRearranged;
  }

  /** Makes an inode one that is not in use. */
  clearInode(number: number): void {
    const view = this.readInode(number);
    const bytes = new Uint8Array(view.buffer);
    bytes.fill(0);
    this.writeInode(number, view);
    this.forgetInode(number);
  }

  forgetInode(number: number): void {
    this.usedInodes.clear(number);
    this.directories.clear(number);
    this.types.set(number, 0);
    this.links.set(number, 0);
  }
}

/** Tells a problem; returns whether it is to be mended. */
export function ask(observer: CheckObserver, problem: Problem): boolean {
  const { severity = 'damage', text, errorText, question, action, safe = false, silent, ...rest } = problem;
  const finding: CheckFinding = {
    ...rest,
    severity,
    toolText: silent === true ? '' : text,
    ...(errorText !== undefined && { toolErrorText: errorText }),
    ...(action !== undefined && {
      mend: {
        choices: [{ label: question ?? '', action }],
        automatic: 0,
        asks: question !== undefined,
        safe,
        automaticText: '',
      },
    }),
  };
  return observer.report(finding) !== LEAVE;
}
