import { viewOf } from '../../../bytes/struct.ts';
import { UnsupportedError } from '../../../errors.ts';
import { WriteRank } from '../block-cache.ts';
import { Inode } from '../inode.ts';
import type { InodeRef } from '../inode-table.ts';
import type { Volume } from '../volume.ts';
import type { BlockMover } from './block-mover.ts';
import type { NewMapping, Relocation } from './extent-relocation.ts';

const DIRECT = 12;

/**
 * Moves the content of an inode with a block map out of the vacated ranges. A block of pointers that changes gets a new place, too, up to
 * the inode, whose one write leads from the old state to the new one. Undefined when nothing of it has to move.
 */
export function relocateMap(
  volume: Volume,
  mover: BlockMover,
  ref: InodeRef,
  relocation: Relocation,
): NewMapping | undefined {
  const { blockSize } = volume.geometry;
  const pointers = blockSize / 4;
  const root = new Uint8Array(60);
  root.set(Inode.i_block.get(ref.view, ref.base));
  const view = viewOf(root);
  let logical = 0;
  let changed = false;
  for (let slot = 0; slot < DIRECT + 3; slot++) {
    const block = view.getUint32(slot * 4, true);
    const target = follow(block, slot < DIRECT ? 0 : slot - DIRECT + 1);
    if (target === block) continue;
    view.setUint32(slot * 4, target, true);
    changed = true;
  }
  return changed ? { root, growth: 0 } : undefined;

  function follow(block: number, level: number): number {
    if (block === 0) {
      logical += pointers ** level;
      return 0;
    }
    volume.checkPointer(block, ref.number, 'i_block');
    return level === 0 ? content(block) : index(block, level);
  }

  function content(block: number): number {
    let target = block;
    if (relocation.all || mover.vacated.has(block)) {
      mover.move(block, 1, true, (start) => {
        target = limited(start);
      });
    }
    relocation.visit?.(logical, block, target, 1);
    logical++;
    return target;
  }

  function index(block: number, level: number): number {
    const old = volume.cache.get(block, WriteRank.mapping).bytes;
    const bytes = old.slice();
    const list = viewOf(bytes);
    let isChanged = mover.vacated.has(block);
    for (let slot = 0; slot < pointers; slot++) {
      const child = list.getUint32(slot * 4, true);
      const target = follow(child, level - 1);
      if (target === child) continue;
      list.setUint32(slot * 4, target, true);
      isChanged = true;
    }
    if (!isChanged) return block;
    const target = limited(mover.put(bytes));
    mover.giveUp(block, 1);
    return target;
  }
}

function limited(block: number): number {
  if (block < 0x1_0000_0000) return block;
  throw new UnsupportedError('A file without extents cannot have blocks from 2^32 on', ['extent']);
}
