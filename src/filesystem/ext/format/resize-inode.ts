import { viewOf } from '../../../bytes/struct.ts';
import { InodeKind, ReservedInode } from '../inode.ts';
import type { BlockAllocation } from './block-allocation.ts';
import type { FirstContent } from './first-content.ts';
import { DOUBLE_INDIRECT_SLOT, inodeRecord } from './inode-record.ts';
import { backupGroupsOf, type ExtLayout, resizeInodeSize } from './layout.ts';

/**
 * The file that owns the blocks reserved for descriptors, so that nothing else takes them. Its double-indirect block
 * lists the reserved blocks of the first group, each at the index of the descriptor block that it may become; each of
 * those is at the same time an indirect block that lists its own copies in the groups with backups.
 */
export function makeResizeInode(layout: ExtLayout, allocation: BlockAllocation, content: FirstContent): void {
  const { blockSize, descriptorBlocks, reservedDescriptorBlocks } = layout;
  const pointers = blockSize / 4;
  const goal =
    layout.firstDataBlock + 2 + descriptorBlocks + reservedDescriptorBlocks + layout.inodeTableBlocks;
  const doubleIndirect = allocation.allocate(goal);
  const slots = Array.from({ length: DOUBLE_INDIRECT_SLOT + 1 }, () => 0);
  slots[DOUBLE_INDIRECT_SLOT] = doubleIndirect;
  const backups = [...backupGroupsOf(layout)].map((group) => group * layout.blocksPerGroup);
  const top = new Uint8Array(blockSize);
  const topView = viewOf(top);
  const lists = new Uint8Array(reservedDescriptorBlocks * blockSize);
  const listsView = viewOf(lists);
  const firstReserved = layout.firstDataBlock + 1 + descriptorBlocks;
  for (let i = 0; i < reservedDescriptorBlocks; i++) {
    const block = firstReserved + i;
    topView.setUint32(((descriptorBlocks + i) % pointers) * 4, block, true);
    for (let j = 0; j < backups.length; j++)
      listsView.setUint32(i * blockSize + j * 4, block + backups[j]!, true);
  }
  content.blocks.set(doubleIndirect, top);
  // The reserved blocks are neighbours: one entry, one write.
  if (reservedDescriptorBlocks > 0) content.blocks.set(firstReserved, lists);
  const blockCount = 1 + reservedDescriptorBlocks * (1 + backups.length);
  content.inodes.set(
    ReservedInode.resize,
    inodeRecord(layout, {
      mode: InodeKind.file | 0o600,
      links: 1,
      size: resizeInodeSize(blockSize),
      blockCount,
      blocks: slots,
    }),
  );
}
