import { UnsupportedError } from '../../errors.ts';
import type { BlockMap } from './block-map.ts';
import { mapExtent } from './extent-tree.ts';
import { InodeFlag } from './inode.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';
import type { Volume } from './volume.ts';

/** A result that callers own and pass in again, so that walking a file allocates nothing. Counted in blocks. */
export interface MappedRun {
  /** On the device; 0 for a hole. */
  start: number;
  length: number;
}

/** Where a file's blocks lie, by block map or by extent tree. */
export class FileMap {
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #blockMap: BlockMap;

  constructor(volume: Volume, inodes: InodeTable, blockMap: BlockMap) {
    this.#volume = volume;
    this.#inodes = inodes;
    this.#blockMap = blockMap;
  }

  /** Fills `run` with what lies at `block` of the file and in one piece behind it, at most `limit` blocks. */
  map(ref: InodeRef, block: number, limit: number, run: MappedRun): void {
    if (this.#inodes.hasFlag(ref, InodeFlag.extents)) mapExtent(this.#volume, ref, block, limit, run);
    else this.#blockMap.map(ref, block, limit, run);
  }

  /** UnsupportedError for content that only a key, or a decompressor, makes readable. */
  requireReadable(ref: InodeRef): void {
    for (const [flag, feature] of [
      [InodeFlag.encrypted, 'encrypt'],
      [InodeFlag.compressed, 'compression'],
    ] as const) {
      // chattr sets the compression flag on volumes that never compress anything.
      if (!this.#inodes.hasFlag(ref, flag)) continue;
      if (flag === InodeFlag.compressed && (this.#volume.features.incompatible & 1) === 0) continue;
      throw new UnsupportedError(`Inode ${ref.number} cannot be read: unsupported feature ${feature}`, [
        feature,
      ]);
    }
  }
}
