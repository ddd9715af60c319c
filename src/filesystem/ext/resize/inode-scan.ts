import { crc32c, crc32cWord } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { readBytes } from '../../../device/block-device.ts';
import { CorruptImageError, UnsupportedError } from '../../../errors.ts';
import { attributeBlockChecksum, inodeSeed } from '../checksum.ts';
import { Inode, InodeFlag, InodeKind, ReservedInode } from '../inode.ts';
import type { InodeRef, InodeTable } from '../inode-table.ts';
import { Superblock } from '../superblock.ts';
import type { Volume } from '../volume.ts';
import type { BlockMover } from './block-mover.ts';
import type { DirectoryReferences } from './directory-references.ts';
import { type NewMapping, type Relocation, relocateExtents } from './extent-relocation.ts';
import type { InodeBytes, InodeEdits } from './inode-edits.ts';
import type { InodeUse } from './inode-use.ts';
import { relocateMap } from './map-relocation.ts';

/** An inode that gets another number. */
export interface MovedInode {
  readonly number: number;
  readonly newNumber: number;
  /** As it will be. */
  readonly record: Uint8Array;
  /** Blocks of the volume that it has. */
  readonly blocks: number;
}

/** Bytes at the end of a block of the orphan file. */
const ORPHAN_TAIL = 8;

/** Goes over all inodes in use: what of them lies in vacated ranges gets a new place, and who has a new number is told apart. */
export class InodeScan {
  readonly moved: MovedInode[] = [];
  /** What has become of the journal's, if anything. */
  journal: NewMapping | undefined;
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #use: InodeUse;
  readonly #mover: BlockMover;
  readonly #edits: InodeEdits;
  readonly #references: DirectoryReferences;
  /** Attribute blocks that moved, which several inodes may share: the new place by the old one. */
  readonly #attributes = new Map<number, number>();
  readonly #orphanFile: number;

  constructor(
    volume: Volume,
    inodes: InodeTable,
    parts: {
      readonly use: InodeUse;
      readonly mover: BlockMover;
      readonly edits: InodeEdits;
      readonly references: DirectoryReferences;
    },
  ) {
    this.#volume = volume;
    this.#inodes = inodes;
    this.#use = parts.use;
    this.#mover = parts.mover;
    this.#edits = parts.edits;
    this.#references = parts.references;
    this.#orphanFile = Superblock.s_orphan_file_inum.get(volume.superblock, 0);
  }

  run(): void {
    for (let group = 0; group < this.#volume.geometry.groupCount; group++) {
      for (const number of this.#use.used(group)) {
        this.#inode(number);
        this.#volume.trim();
      }
    }
  }

  #inode(number: number): void {
    const ref = this.#inodes.load(number);
    // The resize inode is built anew; what the others of those below 11 have is content like any.
    if (number === ReservedInode.resize || Inode.i_mode.get(ref.view, ref.base) === 0) {
      if (number === ReservedInode.badBlocks) this.#refuseBadBlocks(ref);
      return;
    }
    const newNumber = this.#use.moves.get(number) ?? number;
    const mapping = this.#relocate(ref, newNumber);
    if (number === ReservedInode.journal) this.journal = mapping;
    const attribute = this.#relocateAttribute(ref);
    if (newNumber !== number) {
      const { inodeSize, sectorsPerBlock } = this.#volume.geometry;
      const record = ref.block.bytes.slice(ref.base, ref.base + inodeSize);
      this.#change({ number, view: viewOf(record), bytes: record, base: 0 }, mapping, attribute);
      const blocks = Math.ceil(Inode.i_blocks_lo.get(viewOf(record), 0) / sectorsPerBlock);
      this.moved.push({ number, newNumber, record, blocks });
    } else if (mapping !== undefined || attribute !== undefined) {
      this.#change(this.#edits.edit(number), mapping, attribute);
    }
  }

  #refuseBadBlocks(ref: InodeRef): void {
    if (Inode.i_blocks_lo.get(ref.view, ref.base) === 0) return;
    throw new UnsupportedError('To move blocks of a file system with bad blocks is not supported', [
      'bad blocks',
    ]);
  }

  #relocate(ref: InodeRef, newNumber: number): NewMapping | undefined {
    const mode = Inode.i_mode.get(ref.view, ref.base) & 0xf000;
    const isDirectory = mode === InodeKind.directory;
    if (mode !== InodeKind.file && !isDirectory && mode !== InodeKind.symlink) return undefined;
    if (this.#inodes.hasFlag(ref, InodeFlag.inlineData)) {
      if (isDirectory) this.#references.addInline(ref);
      return undefined;
    }
    if (isDirectory) {
      const sectors = Inode.i_blocks_lo.get(ref.view, ref.base);
      const blocks = Math.floor(sectors / this.#volume.geometry.sectorsPerBlock);
      this.#references.blockCount += blocks - (this.#inodes.attributeBlock(ref) === 0 ? 0 : 1);
    }
    const hasExtents = this.#inodes.hasFlag(ref, InodeFlag.extents);
    // A target that is not in a block lies in i_block itself.
    if (mode === InodeKind.symlink && !hasExtents && this.#inodes.size(ref) < 60) return undefined;
    const generation = Inode.i_generation.get(ref.view, ref.base);
    const isMoving = newNumber !== ref.number;
    const relocation: Relocation = {
      all: isMoving && isDirectory,
      rebuild: isMoving && this.#volume.seals !== undefined,
      seal: this.#volume.seals?.extents(newNumber, generation),
      visit: (_, from, to, count) => {
        if (isDirectory) this.#references.add(ref, newNumber, from, to, count);
        else if (ref.number === this.#orphanFile) this.#sealOrphans(ref, newNumber, from, to, count);
      },
    };
    return hasExtents
      ? relocateExtents(this.#volume, this.#mover, ref, relocation)
      : relocateMap(this.#volume, this.#mover, ref, relocation);
  }

  /** A block of the orphan file has a checksum over its number; its inode's, too. */
  #sealOrphans(ref: InodeRef, newNumber: number, from: number, to: number, count: number): void {
    const { seals, device, geometry } = this.#volume;
    if (seals === undefined || (from === to && newNumber === ref.number)) return;
    const seed = inodeSeed(seals.seed, newNumber, Inode.i_generation.get(ref.view, ref.base));
    for (let i = 0; i < count; i++) {
      const bytes = readBytes(device, (from + i) * geometry.blockSize, geometry.blockSize);
      const low = crc32cWord(seed, (to + i) >>> 0);
      const sum = crc32cWord(low, Math.floor((to + i) / 0x1_0000_0000));
      const end = bytes.length - ORPHAN_TAIL;
      viewOf(bytes).setUint32(bytes.length - 4, crc32c(sum, bytes, 0, end), true);
      this.#mover.put(bytes, to + i);
    }
  }

  /** The new place of the attribute block; undefined when it stays. */
  #relocateAttribute(ref: InodeRef): number | undefined {
    const block = this.#inodes.attributeBlock(ref);
    if (block === 0 || !this.#mover.vacated.has(block)) return undefined;
    const known = this.#attributes.get(block);
    if (known !== undefined) return known;
    const { device, geometry, seals } = this.#volume;
    this.#volume.checkPointer(block, ref.number, 'i_file_acl');
    const bytes = readBytes(device, block * geometry.blockSize, geometry.blockSize);
    const target = this.#mover.take();
    if (seals !== undefined) {
      viewOf(bytes).setUint32(0x10, attributeBlockChecksum(seals.seed, target, bytes), true);
    }
    this.#mover.put(bytes, target);
    this.#mover.giveUp(block, 1);
    this.#attributes.set(block, target);
    return target;
  }

  #change(inode: InodeBytes, mapping: NewMapping | undefined, attribute: number | undefined): void {
    const { view, base } = inode;
    if (mapping !== undefined) {
      Inode.i_block.set(view, base, mapping.root);
      this.#addBlocks(inode, mapping.growth);
    }
    if (attribute !== undefined) {
      Inode.i_file_acl_lo.set(view, base, attribute % 0x1_0000_0000);
      if (this.#volume.geometry.has64bit) {
        Inode.i_file_acl_high.set(view, base, Math.floor(attribute / 0x1_0000_0000));
      }
    }
  }

  #addBlocks({ number, view, base }: InodeBytes, count: number): void {
    if (count === 0) return;
    const isHuge = (Inode.i_flags.get(view, base) & InodeFlag.hugeFile) !== 0;
    const unit = isHuge ? 1 : this.#volume.geometry.sectorsPerBlock;
    const high = this.#inodes.countsHugeFiles ? Inode.i_blocks_high.get(view, base) : 0;
    const blocks = Inode.i_blocks_lo.get(view, base) + high * 0x1_0000_0000 + count * unit;
    if (blocks < 0) {
      throw new CorruptImageError({
        structure: `inode ${number}`,
        field: 'i_blocks',
        found: `${blocks - count * unit}`,
        expected: `at least ${-count * unit}, which its extent tree has`,
      });
    }
    Inode.i_blocks_lo.set(view, base, blocks % 0x1_0000_0000);
    if (this.#inodes.countsHugeFiles) {
      Inode.i_blocks_high.set(view, base, Math.floor(blocks / 0x1_0000_0000));
    }
  }
}
