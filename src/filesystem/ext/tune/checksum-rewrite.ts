import { crc32c, crc32cWord } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, readBytes, zeroRange } from '../../../device/block-device.ts';
import { CorruptImageError, UnsupportedError } from '../../../errors.ts';
import { testBit } from '../bitmap.ts';
import type { BlockContent, BlockSeal } from '../block-cache.ts';
import { DIRECTORY_TAIL, indexNode, inodeSeed } from '../checksum.ts';
import { entryLength, setEntryLength } from '../directory-block.ts';
import { ExtCore } from '../ext-core.ts';
import { childOf, entryAt, ExtentHeader, EXTENT_MAGIC, MAX_EXTENT_DEPTH } from '../extent-node.ts';
import { readFeatures } from '../features.ts';
import type { MappedRun } from '../file-map.ts';
import { GroupFlag } from '../group-descriptor.ts';
import type { Group } from '../group-table.ts';
import { Inode, InodeFlag, InodeKind } from '../inode.ts';
import type { InodeRef } from '../inode-table.ts';
import { MetadataSeals } from '../metadata-seals.ts';
import { MultipleMountBlock } from '../multiple-mount.ts';
import { ORPHAN_TAIL } from '../orphan-file.ts';
import { Descriptors } from '../resize/descriptors.ts';
import { GroupLayout } from '../resize/group-layout.ts';
import { WriteStage } from '../resize/write-plan.ts';
import {
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  SUPERBLOCK_OFFSET,
  Superblock,
} from '../superblock.ts';
import type { Volume } from '../volume.ts';
import { bytesOf, withErrors } from './volume-edit.ts';

/** Blocks that are written together. */
const BATCH = 2048;

/**
 * Brings every checksum of a volume from what its superblock says now to what a new one says: another seed, or none at all. It goes over everything
 * twice: the first time nothing is written, so that a volume that is not sound is left alone.
 *
 * e2fsck takes a block of inodes whose checksums are wrong for garbage. So meanwhile the superblock says that there are checksums of descriptors alone; they
 * lie behind it, and are written with it. Where a power cut divides the two, e2fsck reads inode tables to their ends: what was never used of them is made
 * zeros first.
 */
export class ChecksumRewrite {
  readonly #volume: Volume;
  readonly #core: ExtCore;
  readonly #superblock: DataView;
  readonly #layout: GroupLayout;
  /** As they will be; undefined: none. */
  readonly #seals: MetadataSeals | undefined;
  /** Attribute blocks that were seen. */
  readonly #attributes = new Set<number>();
  #stage = new WriteStage();
  /** As they will be. */
  #descriptors: Descriptors | undefined;
  /** Undefined while nothing is to be written. */
  #target: BlockDevice | undefined;

  /** UnsupportedError for a volume whose checksums cover what is not known here. `superblock`: as it is to be. */
  constructor(volume: Volume, superblock: DataView) {
    const { incompatible } = volume.features;
    if (volume.geometry.blocksPerCluster > 1) {
      throw new UnsupportedError('Checksums cannot be rewritten here on a volume with clusters (bigalloc)', [
        'bigalloc',
      ]);
    }
    if ((incompatible & IncompatibleFeature.ea_inode) !== 0) {
      throw new UnsupportedError(
        'Hashes of attribute values in inodes of their own (ea_inode) cannot be rewritten here',
        ['ea_inode'],
      );
    }
    this.#volume = volume;
    this.#core = new ExtCore(volume);
    this.#superblock = superblock;
    this.#layout = new GroupLayout(superblock, volume.geometry);
    this.#seals = MetadataSeals.of(superblock, readFeatures(superblock));
  }

  /** CorruptImageError when something does not have the checksum that it should, or is not sound otherwise. */
  verify(): void {
    if (this.#volume.seals !== undefined) this.#scan();
    this.#descriptors = this.#sealedDescriptors(this.#superblock, this.#seals !== undefined);
  }

  /** Writes everything but the superblock as it is in the end, which has the word that errors were found. To be called after `verify`. */
  apply(): void {
    const { device, superblock, seals } = this.#volume;
    this.#writeFront(withErrors(bytesOf(superblock)), undefined);
    if (seals !== undefined) {
      this.#zeroUnused();
      const meanwhile = withoutChecksums(bytesOf(superblock));
      this.#writeFront(meanwhile, this.#sealedDescriptors(viewOf(meanwhile), false));
      this.#target = device;
      this.#attributes.clear();
      this.#scan();
      this.#write();
      device.flush();
    }
    this.#writeFront(withErrors(bytesOf(this.#superblock)), this.#descriptors);
    this.#writeCopies();
  }

  /** The superblock, and descriptors in one piece with it as far as they lie behind it. */
  #writeFront(superblock: Uint8Array, descriptors: Descriptors | undefined): void {
    const { device, geometry } = this.#volume;
    const { blockSize } = geometry;
    const count = descriptors === undefined ? 0 : this.#layout.descriptorBlocks;
    const first = Math.floor(SUPERBLOCK_OFFSET / blockSize);
    let together = 0;
    while (together < count && this.#layout.descriptorBlock(together) === first + 1 + together) together++;
    const front = readBytes(device, first * blockSize, (1 + together) * blockSize);
    const at = SUPERBLOCK_OFFSET - first * blockSize;
    front.set(superblock, at);
    if (descriptors !== undefined) {
      front.set(descriptors.bytes.subarray(0, together * blockSize), blockSize);
      for (let index = together; index < count; index++) {
        device.write(this.#layout.descriptorBlock(index) * blockSize, blockOf(descriptors, index, blockSize));
      }
    }
    // Nothing but the superblock's own bytes where no descriptors come behind it.
    device.write(SUPERBLOCK_OFFSET, together === 0 ? superblock : front.subarray(at));
    device.flush();
  }

  #writeCopies(): void {
    const { device, geometry } = this.#volume;
    for (let index = 0; index < this.#layout.descriptorBlocks; index++) {
      const bytes = blockOf(this.#descriptors!, index, geometry.blockSize);
      for (const at of this.#layout.descriptorCopies(index)) device.write(at * geometry.blockSize, bytes);
    }
    device.flush();
  }

  /** With checksums as this superblock asks for them, those of bitmaps, too, if `bitmaps`. */
  #sealedDescriptors(superblock: DataView, bitmaps: boolean): Descriptors {
    const { groups, device, geometry } = this.#volume;
    const layout = new GroupLayout(superblock, geometry);
    const descriptors = Descriptors.read(device, layout, readFeatures(superblock));
    for (let index = 0; index < geometry.groupCount; index++) {
      const group = groups.get(index);
      if (bitmaps && (group.flags & GroupFlag.blocksUninitialised) === 0) {
        descriptors.sealBitmap(index, 'block', groups.blockBitmap(group).bytes);
      }
      if (bitmaps && (group.flags & GroupFlag.inodesUninitialised) === 0) {
        descriptors.sealBitmap(index, 'inode', groups.inodeBitmap(group).bytes);
      }
      descriptors.seal(index);
      this.#volume.trim();
    }
    return descriptors;
  }

  #zeroUnused(): void {
    const { groups, device, geometry } = this.#volume;
    const { blockSize, inodeSize, inodesPerGroup, inodeTableBlocks } = geometry;
    for (let index = 0; index < geometry.groupCount; index++) {
      const group = groups.get(index);
      if (group.unusedInodes === 0 || (group.flags & GroupFlag.tableZeroed) !== 0) continue;
      const used = Math.ceil(((inodesPerGroup - group.unusedInodes) * inodeSize) / blockSize);
      if (used >= inodeTableBlocks) continue;
      zeroRange(device, (group.inodeTable + used) * blockSize, (inodeTableBlocks - used) * blockSize);
    }
    device.flush();
  }

  #scan(): void {
    const { groups, geometry } = this.#volume;
    for (let index = 0; index < geometry.groupCount; index++) {
      const group = groups.get(index);
      if ((group.flags & GroupFlag.inodesUninitialised) === 0) this.#table(group);
    }
    this.#multipleMountBlock();
  }

  #table(group: Group): void {
    const { groups, geometry, device } = this.#volume;
    const { blockSize, inodeSize, inodesPerGroup } = geometry;
    const bitmap = groups.inodeBitmap(group).bytes.slice();
    const used = inodesPerGroup - group.unusedInodes;
    const perBlock = blockSize / inodeSize;
    for (let first = 0; first < used; first += perBlock) {
      const index = group.inodeTable + first / perBlock;
      const bytes = readBytes(device, index * blockSize, blockSize);
      const number = group.index * inodesPerGroup + first + 1;
      const seal = this.#seals?.inodes(number, geometry);
      let changed = false;
      for (let slot = 0; slot < perBlock && first + slot < used; slot++) {
        const at = slot * inodeSize;
        if (testBit(bitmap, first + slot)) {
          this.#inode(this.#core.inodes.load(number + slot));
          seal?.sealInode(bytes, viewOf(bytes), at);
          changed ||= seal !== undefined;
        } else if (bytes.subarray(at, at + inodeSize).some((byte) => byte !== 0)) {
          // As the real tool does with what is left of files that are gone.
          bytes.fill(0, at, at + inodeSize);
          seal?.sealInode(bytes, viewOf(bytes), at);
          changed = true;
        }
      }
      if (changed) this.#put(index, bytes);
      this.#volume.trim();
    }
  }

  #inode(ref: InodeRef): void {
    const { inodes } = this.#core;
    const kind = Inode.i_mode.get(ref.view, ref.base) & 0xf000;
    if (kind === 0) return;
    this.#attributeBlock(inodes.attributeBlock(ref));
    if (inodes.hasFlag(ref, InodeFlag.inlineData)) return;
    if (kind === InodeKind.directory) this.#directory(ref);
    else if (ref.number === Superblock.s_orphan_file_inum.get(this.#superblock, 0)) this.#orphanFile(ref);
    if (inodes.hasFlag(ref, InodeFlag.extents)) {
      const root = viewOf(
        ref.block.bytes.subarray(ref.base + Inode.i_block.offset, ref.base + Inode.i_block.offset + 60),
      );
      this.#extents(ref, root, MAX_EXTENT_DEPTH);
    }
  }

  #attributeBlock(block: number): void {
    if (block === 0 || this.#attributes.has(block)) return;
    this.#attributes.add(block);
    this.#volume.checkPointer(block, 0, 'i_file_acl');
    this.#reseal(block, this.#volume.seals?.attributes, this.#seals?.attributes);
  }

  #directory(ref: InodeRef): void {
    const generation = Inode.i_generation.get(ref.view, ref.base);
    const before = this.#volume.seals?.directory(ref.number, generation);
    const after = this.#seals?.directory(ref.number, generation) ?? WITHOUT_TAIL;
    for (const block of this.#blocksOf(ref)) this.#reseal(block, before, after);
  }

  #orphanFile(ref: InodeRef): void {
    if (this.#seals === undefined) return;
    const seed = inodeSeed(this.#seals.seed, ref.number, Inode.i_generation.get(ref.view, ref.base));
    for (const block of this.#blocksOf(ref)) {
      const bytes = this.#read(block);
      const place = crc32cWord(crc32cWord(seed, block >>> 0), Math.floor(block / 0x1_0000_0000));
      viewOf(bytes).setUint32(bytes.length - 4, crc32c(place, bytes, 0, bytes.length - ORPHAN_TAIL), true);
      this.#put(block, bytes);
    }
  }

  *#blocksOf(ref: InodeRef): Iterable<number> {
    const { blockSize } = this.#volume.geometry;
    const count = Math.ceil(this.#core.inodes.size(ref) / blockSize);
    const run: MappedRun = { start: 0, length: 0 };
    for (let at = 0; at < count; at += run.length) {
      this.#core.fileMap.map(ref, at, count - at, run);
      if (run.start === 0) continue;
      for (let i = 0; i < run.length; i++) yield run.start + i;
    }
  }

  /** All nodes below this one; `levels` more at most. */
  #extents(ref: InodeRef, node: DataView, levels: number): void {
    const depth = ExtentHeader.eh_depth.get(node, 0);
    if (ExtentHeader.eh_magic.get(node, 0) !== EXTENT_MAGIC || depth > levels) {
      throw new CorruptImageError({
        structure: `inode ${ref.number}`,
        field: 'eh_depth',
        found: `${depth}`,
        expected: `at most ${levels}`,
      });
    }
    if (depth === 0) return;
    const generation = Inode.i_generation.get(ref.view, ref.base);
    const before = this.#volume.seals?.extents(ref.number, generation);
    const after = this.#seals?.extents(ref.number, generation);
    const entries = Math.min(ExtentHeader.eh_entries.get(node, 0), Math.floor((node.byteLength - 12) / 12));
    for (let index = 0; index < entries; index++) {
      const block = childOf(node, entryAt(0, index));
      this.#volume.checkPointer(block, ref.number, 'ei_leaf_lo');
      this.#extents(ref, viewOf(this.#reseal(block, before, after)), depth - 1);
    }
  }

  #multipleMountBlock(): void {
    if (this.#seals === undefined || this.#volume.multipleMount === undefined) return;
    const block = Number(Superblock.s_mmp_block.get(this.#superblock, 0));
    this.#volume.checkPointer(block, 0, 's_mmp_block');
    const bytes = this.#read(block);
    const { mmp_checksum } = MultipleMountBlock;
    mmp_checksum.set(viewOf(bytes), 0, crc32c(this.#seals.seed, bytes, 0, mmp_checksum.offset));
    this.#put(block, bytes);
  }

  #reseal(index: number, before: BlockSeal | undefined, after: BlockSeal | undefined): Uint8Array {
    const bytes = this.#read(index);
    const content: BlockContent = { index, bytes, view: viewOf(bytes) };
    // What is written already in this pass does not have its old checksum any more; it had it in the first.
    if (this.#target === undefined) before?.verify(content);
    if (after === undefined) return bytes;
    after.seal(content);
    this.#put(index, bytes);
    return bytes;
  }

  #read(block: number): Uint8Array {
    const { device, geometry } = this.#volume;
    return readBytes(device, block * geometry.blockSize, geometry.blockSize);
  }

  #put(block: number, bytes: Uint8Array): void {
    if (this.#target === undefined) return;
    this.#stage.blocks.set(block, bytes);
    if (this.#stage.blocks.size >= BATCH) this.#write();
  }

  #write(): void {
    this.#stage.write(this.#target!, this.#volume.geometry.blockSize);
    this.#stage = new WriteStage();
  }
}

/** Gives the room of the checksum to the last entry, which then ends with the block. */
const WITHOUT_TAIL: BlockSeal = {
  verify() {
    return;
  },
  seal({ view }) {
    if (indexNode(view) !== 0) return;
    const size = view.byteLength;
    const end = size - DIRECTORY_TAIL;
    for (let at = 0; at < end;) {
      const length = entryLength(view, at, size);
      if (length < 8) return;
      if (at + length === end) {
        setEntryLength(view, at, size - at);
        return;
      }
      at += length;
    }
  },
};

function blockOf(descriptors: Descriptors, index: number, blockSize: number): Uint8Array {
  return descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
}

/** The superblock while checksums are rewritten: those of descriptors are all that it asks for. */
function withoutChecksums(superblock: Uint8Array): Uint8Array {
  const bytes = superblock.slice();
  const view = viewOf(bytes);
  const { s_feature_ro_compat, s_feature_incompat, s_checksum_type } = Superblock;
  const readOnly = s_feature_ro_compat.get(view, 0) & ~ReadOnlyCompatibleFeature.metadata_csum;
  s_feature_ro_compat.set(view, 0, (readOnly | ReadOnlyCompatibleFeature.uninit_bg) >>> 0);
  const incompatible = s_feature_incompat.get(view, 0) & ~IncompatibleFeature.metadata_csum_seed;
  s_feature_incompat.set(view, 0, incompatible >>> 0);
  s_checksum_type.set(view, 0, 0);
  return withErrors(bytes);
}
