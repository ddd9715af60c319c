import { crc32c } from '../../bytes/crc32c.ts';
import type { BlockContent, BlockSeal } from './block-cache.ts';
import type { Group } from './group-table.ts';
import { requireEqual } from './metadata-seals.ts';
import type { Volume } from './volume.ts';

export type GroupBitmap = 'block' | 'inode';

/** The checksum of a group's bitmap, which lies in its descriptor. */
export class BitmapSeal implements BlockSeal {
  readonly #volume: Volume;
  readonly #group: Group;
  readonly #bitmap: GroupBitmap;

  constructor(volume: Volume, group: Group, bitmap: GroupBitmap) {
    this.#volume = volume;
    this.#group = group;
    this.#bitmap = bitmap;
  }

  seal({ bytes }: BlockContent): void {
    this.#volume.groups.setBitmapChecksum(this.#group, this.#bitmap, this.#checksum(bytes));
  }

  verify({ index, bytes }: BlockContent): void {
    const { groups, geometry } = this.#volume;
    const whole = this.#checksum(bytes);
    requireEqual(
      `${this.#bitmap} bitmap of group ${this.#group.index}`,
      `bg_${this.#bitmap}_bitmap_csum`,
      index * geometry.blockSize,
      groups.bitmapChecksum(this.#group, this.#bitmap),
      geometry.has64bit ? whole : whole & 0xffff,
      geometry.has64bit ? 8 : 4,
    );
  }

  #checksum(bytes: Uint8Array): number {
    const { geometry, seals } = this.#volume;
    const bits =
      this.#bitmap === 'inode'
        ? geometry.inodesPerGroup
        : geometry.blocksPerGroup / geometry.blocksPerCluster;
    return crc32c(seals!.seed, bytes, 0, bits >>> 3);
  }
}
