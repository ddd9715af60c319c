import { viewOf } from '../../../bytes/struct.ts';
import { readBytes } from '../../../device/block-device.ts';
import { hasHighChecksum, inodeChecksum } from '../checksum.ts';
import { Inode } from '../inode.ts';
import type { Volume } from '../volume.ts';
import type { Descriptors } from './descriptors.ts';

/** The bytes of an inode within its block of the table. */
export interface InodeBytes {
  readonly number: number;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly base: number;
}

interface TableBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Numbers of the inodes whose checksums are to be computed anew. */
  readonly touched: Set<number>;
}

/** Blocks of inode tables that change, in memory, where they lie in the end. */
export class InodeEdits {
  readonly #volume: Volume;
  readonly #descriptors: Descriptors;
  /** By number of the block. */
  readonly #blocks = new Map<number, TableBlock>();

  /** `descriptors` say where tables will lie; they are read where they lie now. */
  constructor(volume: Volume, descriptors: Descriptors) {
    this.#volume = volume;
    this.#descriptors = descriptors;
  }

  /** Gives the inode to be changed. It is sealed when its block is written. */
  edit(number: number): InodeBytes {
    const { geometry } = this.#volume;
    const group = Math.floor((number - 1) / geometry.inodesPerGroup);
    const offset = ((number - 1) % geometry.inodesPerGroup) * geometry.inodeSize;
    const base = offset % geometry.blockSize;
    const within = (offset - base) / geometry.blockSize;
    const at = this.#descriptors.location(group, 'inode_table') + within;
    let block = this.#blocks.get(at);
    if (block === undefined) {
      const bytes = this.#readTable(group, within);
      block = { bytes, view: viewOf(bytes), touched: new Set() };
      this.#blocks.set(at, block);
    }
    block.touched.add(number);
    return { number, view: block.view, bytes: block.bytes, base };
  }

  /** What was changed since the last call, sealed. */
  take(): Map<number, Uint8Array> {
    const result = new Map<number, Uint8Array>();
    const { geometry, seals } = this.#volume;
    for (const [at, block] of this.#blocks) {
      if (block.touched.size === 0) continue;
      for (const number of block.touched) {
        if (seals === undefined) break;
        const base = (((number - 1) % geometry.inodesPerGroup) * geometry.inodeSize) % geometry.blockSize;
        const sum = inodeChecksum(seals.seed, number, block.bytes, base, geometry.inodeSize);
        Inode.i_checksum_lo.set(block.view, base, sum & 0xffff);
        if (hasHighChecksum(block.bytes, base, geometry.inodeSize)) {
          Inode.i_checksum_hi.set(block.view, base, sum >>> 16);
        }
      }
      block.touched.clear();
      result.set(at, block.bytes.slice());
    }
    return result;
  }

  /** Blocks of inodes that were never used hold anything: they count as zeros. */
  #readTable(group: number, within: number): Uint8Array {
    const { geometry, device, groups } = this.#volume;
    const { blockSize } = geometry;
    const found = groups.get(group);
    const block = found.inodeTable + within;
    if (groups.isTableBlockUnused(found, block)) return new Uint8Array(blockSize);
    return readBytes(device, block * blockSize, blockSize);
  }
}
