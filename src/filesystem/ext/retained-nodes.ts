import type { ExtCore } from './ext-core.ts';
import { Inode } from './inode.ts';

/** Nodes that somebody holds by their numbers, as open files are: they stay when their last names go. */
export class RetainedNodes {
  /** How often each is retained. */
  readonly #counts = new Map<number, number>();
  /** Of them, those whose files went when the device was written below the file system. */
  readonly #stale = new Set<number>();

  has(node: number): boolean {
    return this.#counts.has(node);
  }

  isStale(node: number): boolean {
    return this.#stale.size > 0 && this.#stale.has(node);
  }

  retain(node: number): void {
    this.#counts.set(node, (this.#counts.get(node) ?? 0) + 1);
  }

  /** True: nobody holds the file any more. */
  release(node: number): boolean {
    const count = this.#counts.get(node);
    if (count === undefined) throw new RangeError(`Node ${node} is not retained`);
    if (count > 1) {
      this.#counts.set(node, count - 1);
      return false;
    }
    this.#counts.delete(node);
    return !this.#stale.delete(node);
  }

  /** Whoever finds the number by a name means the file that has it now. */
  found(node: number): void {
    if (this.#stale.size > 0) this.#stale.delete(node);
  }

  markStale(node: number): void {
    this.#stale.add(node);
  }

  /** Those that are not stale. */
  *[Symbol.iterator](): Iterator<number> {
    for (const node of this.#counts.keys()) if (!this.#stale.has(node)) yield node;
  }
}

/** Kind and generation of the retained nodes, by which a file is told from another of the same number. */
export function identitiesOf(core: ExtCore): Map<number, number> {
  const found = new Map<number, number>();
  for (const node of core.retained) found.set(node, identityOf(core, node));
  return found;
}

function identityOf(core: ExtCore, node: number): number {
  const { view, base } = core.inodes.load(node);
  return Inode.i_generation.get(view, base) + (Inode.i_mode.get(view, base) & 0xf000) * 0x1_0000_0000;
}

/** A retained node after the device was read anew: another file, or an orphan that has got a name or was freed, is none of ours. */
export function recheck(core: ExtCore, node: number, identity: number): void {
  const { retained, orphans, inodes } = core;
  const { view, base } = inodes.load(node);
  if (identityOf(core, node) !== identity) retained.markStale(node);
  // In the list on the device `i_dtime` is the next one's number.
  const isOrphan =
    Inode.i_links_count.get(view, base) === 0 &&
    (core.volume.hasJournal || Inode.i_dtime.get(view, base) === 0);
  if (orphans.has(node) && !(isOrphan && core.inodeAllocator.isUsed(node))) orphans.forget(node);
  else if (retained.isStale(node)) orphans.forget(node);
}
