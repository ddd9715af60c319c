import { crc32c, crc32cWord } from '../../bytes/crc32c.ts';
import { type BlockSeal, type CachedBlock, WriteRank } from './block-cache.ts';
import { inodeSeed } from './checksum.ts';
import type { ExtCore } from './ext-core.ts';
import type { MappedRun } from './file-map.ts';
import { hex } from './geometry.ts';
import { Inode } from './inode.ts';
import { CorruptImageError } from '../../errors.ts';
import { ReadOnlyCompatibleFeature, Superblock } from './superblock.ts';

export const ORPHAN_BLOCK_MAGIC = 0x0b10_ca04;
/** Magic and checksum at the end of each block: `struct ext4_orphan_block_tail`, Linux Documentation/filesystems/ext4/orphan.rst. */
export const ORPHAN_TAIL = 8;

/** An inode number in the file of orphans, and where it is. */
export interface OrphanEntry {
  readonly inode: number;
  /** Block of the volume. */
  readonly block: number;
  readonly at: number;
  readonly seal: BlockSeal | undefined;
}

/** The entries in use of the file of orphans: empty unless the volume says that there are some. CorruptImageError when it is damaged. */
export function readOrphanFile(core: ExtCore): OrphanEntry[] {
  const { volume, inodes, fileMap } = core;
  const { superblock, geometry } = volume;
  if (!hasOrphans(superblock)) return [];
  const number = Superblock.s_orphan_file_inum.get(superblock, 0);
  if (number < 1 || number > geometry.inodeCount) {
    throw corrupt('s_orphan_file_inum', `${number}`, `1 to ${geometry.inodeCount}`);
  }
  const ref = inodes.load(number);
  const generation = Inode.i_generation.get(ref.view, ref.base);
  const seed = volume.seals === undefined ? undefined : inodeSeed(volume.seals.seed, number, generation);
  const seal = seed === undefined ? undefined : new OrphanBlockSeal(seed);
  const count = Math.floor(inodes.size(ref) / geometry.blockSize);
  const entries: OrphanEntry[] = [];
  const run: MappedRun = { start: 0, length: 0 };
  for (let index = 0; index < count; index++) {
    fileMap.map(ref, index, 1, run);
    if (run.start === 0) throw corrupt('i_block', `a hole at block ${index}`, 'no holes');
    const block = volume.cache.get(run.start, WriteRank.mapping, seal);
    const end = geometry.blockSize - ORPHAN_TAIL;
    const magic = block.view.getUint32(end, true);
    if (magic !== ORPHAN_BLOCK_MAGIC) throw corrupt('ob_magic', hex(magic, 8), hex(ORPHAN_BLOCK_MAGIC, 8));
    for (let at = 0; at < end; at += 4) {
      const inode = block.view.getUint32(at, true);
      if (inode !== 0) entries.push({ inode, block: run.start, at, seal });
    }
  }
  return entries;
}

/** Takes an entry out. */
export function clearOrphanEntry(core: ExtCore, { block, at, seal }: OrphanEntry): void {
  const { cache } = core.volume;
  const cached = cache.get(block, WriteRank.mapping, seal);
  cached.view.setUint32(at, 0, true);
  cache.markDirty(cached);
}

/** Says that no entry is in use. */
export function clearOrphansPresent(core: ExtCore): void {
  const { superblock } = core.volume;
  if (!hasOrphans(superblock)) return;
  const features = Superblock.s_feature_ro_compat.get(superblock, 0);
  Superblock.s_feature_ro_compat.set(superblock, 0, features & ~ReadOnlyCompatibleFeature.orphan_present);
  core.volume.markSuperblockDirty();
}

function hasOrphans(superblock: DataView): boolean {
  const features = Superblock.s_feature_ro_compat.get(superblock, 0);
  return (features & ReadOnlyCompatibleFeature.orphan_present) !== 0;
}

class OrphanBlockSeal implements BlockSeal {
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  seal(block: CachedBlock): void {
    block.view.setUint32(block.bytes.length - 4, this.#checksum(block), true);
  }

  verify(block: CachedBlock): void {
    const found = block.view.getUint32(block.bytes.length - 4, true);
    const expected = this.#checksum(block);
    if (found !== expected) throw corrupt('ob_checksum', hex(found, 8), hex(expected, 8));
  }

  /** Over the block's number and its entries. */
  #checksum(block: CachedBlock): number {
    const low = crc32cWord(this.#seed, block.index >>> 0);
    const sum = crc32cWord(low, Math.floor(block.index / 0x1_0000_0000));
    return crc32c(sum, block.bytes, 0, block.bytes.length - ORPHAN_TAIL);
  }
}

function corrupt(field: string, found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: 'file of orphans', field, found, expected });
}
