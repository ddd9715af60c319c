import { viewOf } from '../../../bytes/struct.ts';
import { InodeKind, ReservedInode } from '../inode.ts';
import { DOUBLE_INDIRECT_SLOT, inodeRecord, mapRoot } from './inode-record.ts';
import { backupGroupsOf, resizeInodeSize, superblockShift } from './layout.ts';
import type { NewVolume } from './new-volume.ts';

/**
 * The file that owns the blocks reserved for descriptors, so that nothing else takes them. Its double-indirect block
 * lists the reserved blocks of the first group, each at the index of the descriptor block that it may become; each of
 * those is at the same time an indirect block that lists its own copies in the groups with backups.
 */
export function makeResizeInode(volume: NewVolume): void {
  const { layout } = volume;
  const { blockSize, descriptorBlocks, reservedDescriptorBlocks } = layout;
  const pointers = blockSize / 4;
  const goal =
    layout.firstDataBlock + 2 + descriptorBlocks + reservedDescriptorBlocks + layout.inodeTableBlocks;
  volume.readInode(ReservedInode.resize);
  const doubleIndirect = volume.allocate(goal);
  const slots = Array.from({ length: DOUBLE_INDIRECT_SLOT + 1 }, () => 0);
  slots[DOUBLE_INDIRECT_SLOT] = doubleIndirect;
  const backups = [...backupGroupsOf(layout)].map((group) => group * layout.blocksPerGroup);
  const top = new Uint8Array(blockSize);
  const topView = viewOf(top);
  const lists = new Uint8Array(reservedDescriptorBlocks * blockSize);
  const listsView = viewOf(lists);
  const firstReserved = layout.firstDataBlock + superblockShift(layout, 0) + 1 + descriptorBlocks;
  for (let i = 0; i < reservedDescriptorBlocks; i++) {
    const block = firstReserved + i;
    topView.setUint32(((descriptorBlocks + i) % pointers) * 4, block, true);
    for (let j = 0; j < backups.length; j++)
      listsView.setUint32(i * blockSize + j * 4, block + backups[j]!, true);
  }
  // The reserved blocks are neighbours: one entry, one write.
  if (reservedDescriptorBlocks > 0) volume.blocks.set(firstReserved, lists);
  for (let i = 0; i < reservedDescriptorBlocks; i++) volume.counter.write(firstReserved + i);
  volume.putBlock(doubleIndirect, top);
  // With clusters, each counts as a cluster.
  const blockCount = (1 + reservedDescriptorBlocks * (1 + backups.length)) * layout.clusterBlocks;
  volume.putInode(
    ReservedInode.resize,
    inodeRecord(layout, {
      mode: InodeKind.file | 0o600,
      links: 1,
      size: resizeInodeSize(blockSize),
      blockCount,
      root: mapRoot(slots),
    }),
  );
}
