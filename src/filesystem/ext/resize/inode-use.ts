import { FsError, UnsupportedError } from '../../../errors.ts';
import { nextClear, nextSet, setBit } from '../bitmap.ts';
import { GroupFlag } from '../group-descriptor.ts';
import { InodeKind } from '../inode.ts';
import type { InodeTable } from '../inode-table.ts';
import { Inode, InodeFlag } from '../inode.ts';
import type { Volume } from '../volume.ts';
import type { Descriptors } from './descriptors.ts';
import type { GroupLayout } from './group-layout.ts';

/** Which inodes are in use, and where those go whose group will be gone. */
export class InodeUse {
  /** New numbers by old ones. */
  readonly moves = new Map<number, number>();
  /** Groups in which inodes were taken. */
  readonly changed = new Set<number>();
  readonly #volume: Volume;
  readonly #bits = new Map<number, Uint8Array>();

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  bits(group: number): Uint8Array {
    let bits = this.#bits.get(group);
    if (bits === undefined) {
      const { groups } = this.#volume;
      bits = groups.inodeBitmap(groups.get(group)).bytes.slice();
      this.#bits.set(group, bits);
    }
    return bits;
  }

  /** The inodes in use of a group as it was, ascending. */
  *used(group: number): Iterable<number> {
    const { groups, geometry } = this.#volume;
    const found = groups.get(group);
    if ((found.flags & GroupFlag.inodesUninitialised) !== 0) return;
    const bits = groups.inodeBitmap(found).bytes.slice();
    const count = geometry.inodesPerGroup;
    for (let bit = nextSet(bits, 0, count); bit < count; bit = nextSet(bits, bit + 1, count)) {
      yield group * count + bit + 1;
    }
  }

  /** Finds a place for every inode of the groups that `layout` does not have. The descriptors learn of it. */
  place(layout: GroupLayout, inodes: InodeTable, descriptors: readonly Descriptors[]): void {
    const { geometry } = this.#volume;
    let group = 0;
    let bit = geometry.firstInode - 1;
    for (let from = layout.geometry.groupCount; from < geometry.groupCount; from++) {
      for (const number of this.used(from)) {
        const ref = inodes.load(number);
        if (inodes.hasFlag(ref, InodeFlag.eaInode) || number < geometry.firstInode) {
          throw new UnsupportedError(
            `Inode ${number}, which would have to move, cannot: ${number < geometry.firstInode ? 'it is reserved' : 'it holds the value of an attribute (ea_inode)'}`,
            ['ea_inode'],
          );
        }
        for (;;) {
          if (group >= layout.geometry.groupCount) {
            throw new FsError('ENOSPC', {
              detail: `no inode is left below ${layout.geometry.inodeCount + 1} for those that have to be moved`,
            });
          }
          bit = nextClear(this.bits(group), bit, geometry.inodesPerGroup);
          if (bit < geometry.inodesPerGroup) break;
          group++;
          bit = 0;
        }
        setBit(this.bits(group), bit);
        this.changed.add(group);
        this.moves.set(number, group * geometry.inodesPerGroup + bit + 1);
        const isDirectory = (Inode.i_mode.get(ref.view, ref.base) & 0xf000) === InodeKind.directory;
        for (const each of descriptors) this.#count(each, group, bit, isDirectory);
      }
      this.#volume.trim();
    }
  }

  #count(descriptors: Descriptors, group: number, bit: number, isDirectory: boolean): void {
    const add = (which: 'free_inodes_count' | 'used_dirs_count', by: number): void =>
      descriptors.setCount(group, which, descriptors.count(group, which) + by);
    add('free_inodes_count', -1);
    if (isDirectory) add('used_dirs_count', 1);
    if (!descriptors.hasFlags) return;
    const { inodesPerGroup } = this.#volume.geometry;
    const unused = Math.min(descriptors.count(group, 'itable_unused'), inodesPerGroup - bit - 1);
    descriptors.setCount(group, 'itable_unused', unused);
    const both = GroupFlag.inodesUninitialised | GroupFlag.blocksUninitialised;
    descriptors.setFlags(group, descriptors.flags(group) & ~both);
  }
}
