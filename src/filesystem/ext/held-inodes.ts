import { giveInodeBack } from './inode-allocator.ts';
import type { Volume } from './volume.ts';

/**
 * Inodes that were freed on a volume without a journal: nobody is given them before no name on the device leads to them.
 * Their bits stay set in the bitmaps meanwhile.
 */
export class HeldInodes {
  readonly #volume: Volume;
  /** From a number to whether it was a directory. */
  readonly #held = new Map<number, boolean>();

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  get count(): number {
    return this.#held.size;
  }

  has(inode: number): boolean {
    return this.#held.has(inode);
  }

  hold(inode: number, directory: boolean): void {
    this.#held.set(inode, directory);
  }

  /** Frees what waits. */
  apply(): void {
    for (const [inode, directory] of this.#held) giveInodeBack(this.#volume, inode, directory);
    this.clear();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#held.clear();
  }
}
