import type { BlockDevice } from '../../device/block-device.ts';
import type { CachedBlock } from './block-cache.ts';
import type { Geometry } from './geometry.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { InodeBlockSeal } from './metadata-seals.ts';

interface Leaving {
  /** Names that are still on the device. */
  names: number;
  /** The inode is free from now on. */
  isFree: boolean;
}

/**
 * Inodes that lose a name, on a volume without a journal: until that name is gone from the device they go out with a count that
 * has it, or, when it was the last, as they are there.
 */
export class LeavingInodes {
  readonly #device: BlockDevice;
  readonly #geometry: Geometry;
  readonly #isActive: boolean;
  /** By block of the inode tables, then by byte in that. */
  readonly #blocks = new Map<number, Map<number, Leaving>>();

  constructor(device: BlockDevice, geometry: Geometry, isActive: boolean) {
    this.#device = device;
    this.#geometry = geometry;
    this.#isActive = isActive;
  }

  /** One of its names is about to go, and others stay. */
  lower(ref: InodeRef): void {
    if (this.#isActive) this.#of(ref).names++;
  }

  /** It is free. */
  free(ref: InodeRef): void {
    if (this.#isActive) this.#of(ref).isFree = true;
  }

  /** Has the block of an inode table such inodes? */
  isIn(index: number): boolean {
    return this.#blocks.has(index);
  }

  /** The block as it is to be while their names are on the device. */
  formerOf({ index, bytes, seal }: CachedBlock): Uint8Array {
    const { blockSize, inodeSize } = this.#geometry;
    const former = bytes.slice();
    const view = new DataView(former.buffer);
    const device = new Uint8Array(blockSize);
    this.#device.read(index * blockSize, device);
    for (const [at, { names, isFree }] of this.#blocks.get(index)!) {
      if (isFree) {
        former.set(device.subarray(at, at + inodeSize), at);
        continue;
      }
      const links = Inode.i_links_count.get(view, at);
      Inode.i_links_count.set(view, at, Math.min(0xffff, links + names));
      if (seal instanceof InodeBlockSeal) seal.sealInode(former, view, at);
    }
    return former;
  }

  /** Their names are gone. */
  clear(): void {
    this.#blocks.clear();
  }

  #of({ block, base }: InodeRef): Leaving {
    let inodes = this.#blocks.get(block.index);
    if (inodes === undefined) this.#blocks.set(block.index, (inodes = new Map()));
    let leaving = inodes.get(base);
    if (leaving === undefined) inodes.set(base, (leaving = { names: 0, isFree: false }));
    return leaving;
  }
}
