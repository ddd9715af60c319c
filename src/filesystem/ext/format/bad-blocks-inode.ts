import { viewOf } from '../../../bytes/struct.ts';
import { ReservedInode } from '../inode.ts';
import { DIRECT_SLOTS, DOUBLE_INDIRECT_SLOT, INDIRECT_SLOT, inodeRecord, mapRoot } from './inode-record.ts';
import type { NewVolume } from './new-volume.ts';
import { invalid } from './parameters.ts';

/** Inode 1: the file that owns the bad blocks, so that nothing else takes them. It has times even when it owns none. */
export function makeBadBlocksInode(volume: NewVolume): void {
  const { badBlocks, layout } = volume;
  const pointers = layout.blockSize / 4;
  const slots: number[] = badBlocks.slice(0, DIRECT_SLOTS);
  const pointerBlock = (): DataView => {
    const block = volume.allocate(0);
    const bytes = new Uint8Array(layout.blockSize);
    volume.putBlock(block, bytes);
    latest = block;
    return viewOf(bytes);
  };
  let latest = 0;
  const indirect = (from: number): void => {
    const view = pointerBlock();
    for (const [i, block] of badBlocks.slice(from, from + pointers).entries())
      view.setUint32(i * 4, block, true);
  };
  if (badBlocks.length > DIRECT_SLOTS) {
    indirect(DIRECT_SLOTS);
    slots[INDIRECT_SLOT] = latest;
  }
  const inDouble = DIRECT_SLOTS + pointers;
  if (badBlocks.length > inDouble) {
    if (badBlocks.length > inDouble + pointers * pointers)
      throw invalid(`${badBlocks.length} bad blocks are more than two levels of pointers hold`);
    const top = pointerBlock();
    slots[DOUBLE_INDIRECT_SLOT] = latest;
    for (let from = inDouble; from < badBlocks.length; from += pointers) {
      indirect(from);
      top.setUint32(((from - inDouble) / pointers) * 4, latest, true);
    }
  }
  volume.putInode(
    ReservedInode.badBlocks,
    inodeRecord(layout, {
      size: badBlocks.length * layout.blockSize,
      // mke2fs does not count the pointer blocks.
      blockCount: badBlocks.length,
      root: mapRoot(slots),
      extra: false,
    }),
  );
}
