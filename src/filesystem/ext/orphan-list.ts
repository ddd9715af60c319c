import { CorruptImageError } from '../../errors.ts';
import type { ExtCore } from './ext-core.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { removeNode } from './node-removal.ts';
import { clearOrphanEntry, clearOrphansPresent, readOrphanFile } from './orphan-file.ts';
import { Superblock } from './superblock.ts';

interface Neighbours {
  /** Inode numbers; 0: none. */
  newer: number;
  older: number;
}

/**
 * Inodes in use without a name. On a volume with a journal the list is kept on the device, too, so that after a crash they are freed:
 * `s_last_orphan` is the newest one, `i_dtime` of each the next older.
 */
export class OrphanList {
  readonly #core: ExtCore;
  readonly #members = new Map<number, Neighbours>();
  #newest = 0;

  constructor(core: ExtCore) {
    this.#core = core;
  }

  has(number: number): boolean {
    return this.#members.has(number);
  }

  [Symbol.iterator](): Iterator<number> {
    return this.#members.keys();
  }

  add(ref: InodeRef): void {
    const { number } = ref;
    if (this.#members.has(number)) return;
    const older = this.#newest;
    this.#members.set(number, { newer: 0, older });
    if (older !== 0) this.#members.get(older)!.newer = number;
    this.#newest = number;
    if (!this.#core.volume.hasJournal) return;
    Inode.i_dtime.set(ref.view, ref.base, older);
    this.#core.inodes.markDirty(ref);
    this.#setHead(number);
  }

  /** Takes an inode out of the list, if it is in it; `i_dtime` is zero then. */
  delete(ref: InodeRef): void {
    const neighbours = this.#unlink(ref.number);
    if (neighbours === undefined || !this.#core.volume.hasJournal) return;
    const { newer, older } = neighbours;
    if (newer === 0) this.#setHead(older);
    else {
      const other = this.#core.inodes.load(newer);
      Inode.i_dtime.set(other.view, other.base, older);
      this.#core.inodes.markDirty(other);
    }
    Inode.i_dtime.set(ref.view, ref.base, 0);
    this.#core.inodes.markDirty(ref);
  }

  /** Takes it out of the list in memory only: whoever wrote the device has done with it. */
  forget(number: number): void {
    this.#unlink(number);
  }

  /**
   * Finishes what a crash interrupted: inodes of the list, or of the file of orphans, without a name are freed, those with one lose what is
   * behind their end. CorruptImageError, before any change, when the list is not one.
   */
  recover(): void {
    const { volume, inodes } = this.#core;
    const listed = this.#read();
    const filed = readOrphanFile(this.#core);
    for (const entry of filed) this.#requireOrphan(entry.inode);
    if (listed.length > 0 || filed.length > 0) volume.multipleMount?.take(volume.clock().seconds);
    for (const number of listed) {
      const ref = inodes.load(number);
      this.#setHead(Inode.i_dtime.get(ref.view, ref.base));
      this.#finish(ref);
    }
    for (const entry of filed) {
      clearOrphanEntry(this.#core, entry);
      // A damaged file could name one twice.
      if (this.#core.inodeAllocator.isUsed(entry.inode)) this.#finish(inodes.load(entry.inode));
    }
    clearOrphansPresent(this.#core);
  }

  #finish(ref: InodeRef): void {
    const { volume, inodes, content } = this.#core;
    if (Inode.i_links_count.get(ref.view, ref.base) === 0) {
      Inode.i_dtime.set(ref.view, ref.base, 0);
      inodes.markDirty(ref);
      removeNode(this.#core, ref);
    } else if (this.#core.hasBlocks(ref)) {
      Inode.i_dtime.set(ref.view, ref.base, 0);
      content.releaseBeyondEnd(ref);
      inodes.markDirty(ref);
    }
    if (volume.hasJournal) volume.trim();
  }

  #read(): number[] {
    const { volume, inodes } = this.#core;
    const found = new Set<number>();
    let number = Superblock.s_last_orphan.get(volume.superblock, 0);
    while (number !== 0) {
      if (found.has(number)) throw corrupt(`inode ${number} twice`, 'each once');
      this.#requireOrphan(number);
      found.add(number);
      const ref = inodes.load(number);
      number = Inode.i_dtime.get(ref.view, ref.base);
    }
    return [...found];
  }

  #requireOrphan(number: number): void {
    const { volume, inodes, inodeAllocator } = this.#core;
    const { firstInode, inodeCount } = volume.geometry;
    if (number < firstInode || number > inodeCount) {
      throw corrupt(`inode ${number}`, `an inode from ${firstInode} to ${inodeCount}`);
    }
    if (!inodeAllocator.isUsed(number)) throw corrupt(`inode ${number}, which is free`, 'one in use');
    if (inodes.kindIfKnown(inodes.load(number)) === undefined)
      throw corrupt(`inode ${number} without a kind`, 'a file');
  }

  #unlink(number: number): Neighbours | undefined {
    const neighbours = this.#members.get(number);
    if (neighbours === undefined) return undefined;
    const { newer, older } = neighbours;
    if (newer === 0) this.#newest = older;
    else this.#members.get(newer)!.older = older;
    if (older !== 0) this.#members.get(older)!.newer = newer;
    this.#members.delete(number);
    return neighbours;
  }

  #setHead(number: number): void {
    Superblock.s_last_orphan.set(this.#core.volume.superblock, 0, number);
    this.#core.volume.markSuperblockDirty();
  }
}

function corrupt(found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: 'list of orphans', field: 's_last_orphan', found, expected });
}
