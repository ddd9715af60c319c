import { crc32c } from '../../bytes/crc32c.ts';
import { CorruptImageError } from '../../errors.ts';
import { checksumSeed } from './checksum.ts';
import type { ExtCore } from './ext-core.ts';
import { Inode, InodeFlag, InodeKind } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { removeNode } from './node-removal.ts';
import { IncompatibleFeature } from './superblock.ts';
import { BirthTime, ModificationTime } from './timestamp.ts';
import { type StoredXattr, entryHash } from './xattr-format.ts';

/** Longest value that an inode of its own may hold: XATTR_SIZE_MAX of Linux. */
export const MAX_VALUE = 1 << 16;

/**
 * Values of extended attributes that lie in inodes of their own (feature ea_inode). Such an inode has no name; its
 * `i_version` and `i_ctime` count the entries that lead to it, and `i_atime` holds a checksum of the value. Entries with the
 * same value share one, as far as it was written by this open volume.
 */
export class ValueInodes {
  readonly #core: ExtCore;
  /** What a value's checksum begins with. */
  readonly #seed: number;
  readonly isEnabled: boolean;
  /** Inodes written so far, by the checksum of their values. */
  readonly #written = new Map<number, number>();

  constructor(core: ExtCore) {
    const { features, superblock } = core.volume;
    this.#core = core;
    this.isEnabled = (features.incompatible & IncompatibleFeature.ea_inode) !== 0;
    this.#seed = this.isEnabled ? checksumSeed(superblock, features) : 0;
  }

  /** The value of an entry of `ref`; CorruptImageError when there is none of its size. */
  read(ref: InodeRef, entry: StoredXattr): Uint8Array {
    const value = new Uint8Array(entry.size > MAX_VALUE ? 0 : entry.size);
    const holder = this.holder(ref, entry.valueInode);
    if (this.#core.content.read(holder, 0, value) === entry.size) return value;
    throw corrupt(ref, 'e_value_size', `${entry.size}`, 'the size of the inode that holds the value');
  }

  /** The inode that holds a value. */
  holder(ref: InodeRef, number: number): InodeRef {
    const { inodes, volume } = this.#core;
    const { firstInode, inodeCount } = volume.geometry;
    if (number >= firstInode && number <= inodeCount) {
      const holder = inodes.load(number);
      if (inodes.hasFlag(holder, InodeFlag.eaInode)) return holder;
    }
    throw corrupt(ref, 'e_value_inum', `${number}`, 'an inode that holds a value');
  }

  /** Blocks that a value takes at most. */
  blocksFor(size: number): number {
    const { blockSize, blocksPerCluster } = this.#core.volume.geometry;
    return (Math.ceil(size / blockSize / blocksPerCluster) + 1) * blocksPerCluster;
  }

  /** An entry of `ref` whose value lies elsewhere; there must be space. What is new is counted once the entry is stored. */
  place(ref: InodeRef, index: number, name: string, nameBytes: Uint8Array, value: Uint8Array): StoredXattr {
    const checksum = crc32c(this.#seed, value, 0, value.length);
    const valueInode = this.#twin(checksum, value) ?? this.#create(ref, checksum, value);
    const word = new Uint8Array(4);
    new DataView(word.buffer).setUint32(0, checksum, true);
    const hash = entryHash(nameBytes, word);
    return { index, name, value: new Uint8Array(0), valueInode, size: value.length, hash };
  }

  /** Blocks that `i_blocks` of an inode counts for its values elsewhere, whoever shares them. */
  charge(entries: readonly StoredXattr[]): number {
    const { blockSize, blocksPerCluster } = this.#core.volume.geometry;
    let clusters = 0;
    for (const { valueInode, size } of entries)
      if (valueInode !== 0) clusters += Math.ceil(size / blockSize / blocksPerCluster);
    return clusters * blocksPerCluster;
  }

  /** Counts entries that have come, and those that are gone; a value without any goes, too. */
  count(ref: InodeRef, added: readonly StoredXattr[], removed: readonly StoredXattr[]): void {
    for (const { valueInode } of added) if (valueInode !== 0) this.#change(ref, valueInode, 1);
    for (const { valueInode } of removed) if (valueInode !== 0) this.#change(ref, valueInode, -1);
  }

  #change(ref: InodeRef, number: number, by: 1 | -1): void {
    const { inodes } = this.#core;
    const holder = this.holder(ref, number);
    const { view, base } = holder;
    // 64 bits, the high half in the change time.
    const low = Inode.i_version.get(view, base) + by;
    const high = Inode.i_ctime.get(view, base) + Math.floor(low / 0x1_0000_0000);
    Inode.i_version.set(view, base, low >>> 0);
    Inode.i_ctime.set(view, base, high >>> 0);
    inodes.markDirty(holder);
    if (low > 0 || high > 0) return;
    Inode.i_links_count.set(view, base, 0);
    const checksum = Inode.i_atime.get(view, base);
    if (this.#written.get(checksum) === number) this.#written.delete(checksum);
    removeNode(this.#core, holder);
  }

  #twin(checksum: number, value: Uint8Array): number | undefined {
    const { inodes, content } = this.#core;
    const number = this.#written.get(checksum);
    if (number === undefined) return undefined;
    const holder = inodes.load(number);
    if (inodes.size(holder) !== value.length) return undefined;
    const known = new Uint8Array(value.length);
    content.read(holder, 0, known);
    return known.every((byte, at) => byte === value[at]) ? number : undefined;
  }

  #create(ref: InodeRef, checksum: number, value: Uint8Array): number {
    const { inodes, inodeAllocator, fileMap, content } = this.#core;
    const number = inodeAllocator.allocate(ref.number, false);
    const holder = inodes.load(number);
    inodes.reset(holder);
    const { view, base } = holder;
    Inode.i_mode.set(view, base, InodeKind.file | 0o600);
    Inode.i_links_count.set(view, base, 1);
    inodes.setOwner(holder, inodes.uid(ref), inodes.gid(ref));
    const now = this.#core.now();
    inodes.setTime(holder, ModificationTime, now);
    inodes.setTime(holder, BirthTime, now);
    fileMap.plant(holder);
    inodes.setFlag(holder, InodeFlag.eaInode, true);
    content.write(holder, 0, value, value.length);
    Inode.i_atime.set(view, base, checksum);
    inodes.markDirty(holder);
    this.#written.set(checksum, number);
    return number;
  }
}

function corrupt(ref: InodeRef, field: string, found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: `attributes of inode ${ref.number}`, field, found, expected });
}
