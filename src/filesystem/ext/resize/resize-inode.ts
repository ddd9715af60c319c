import { viewOf } from '../../../bytes/struct.ts';
import { readBytes } from '../../../device/block-device.ts';
import { Inode, ReservedInode } from '../inode.ts';
import type { InodeTable } from '../inode-table.ts';
import { CompatibleFeature, Superblock } from '../superblock.ts';
import type { Volume } from '../volume.ts';
import type { GroupLayout } from './group-layout.ts';
import type { InodeEdits } from './inode-edits.ts';
import type { WriteStage } from './write-plan.ts';

const DOUBLE_INDIRECT = Inode.i_block.offset + 13 * 4;

export function hasResizeInode(superblock: DataView): boolean {
  return (Superblock.s_feature_compat.get(superblock, 0) & CompatibleFeature.resize_inode) !== 0;
}

/** The block that lists the reserved blocks; 0 for none. */
export function doubleIndirectOf(inodes: InodeTable): number {
  const ref = inodes.load(ReservedInode.resize);
  return ref.view.getUint32(ref.base + DOUBLE_INDIRECT, true);
}

/**
 * Has the resize inode own what is reserved in the new layout: its double-indirect block lists the reserved blocks of the first group, each of which
 * lists its copies in the groups with backups. `mapBlock` tells where the double-indirect block goes.
 */
export function rebuildResizeInode(
  volume: Volume,
  layout: GroupLayout,
  edits: InodeEdits,
  doubleIndirect: number,
  stage: WriteStage,
): void {
  const { blockSize, sectorsPerBlock } = layout.geometry;
  const pointers = blockSize / 4;
  const top = new Uint8Array(blockSize);
  const topView = viewOf(top);
  const backups = [...layout.backupGroups()].map((group) => group * layout.geometry.blocksPerGroup);
  const first = layout.firstReserved(0);
  for (let index = 0; index < layout.reservedDescriptorBlocks; index++) {
    const block = first + index;
    topView.setUint32(((layout.descriptorBlocks + index) % pointers) * 4, block, true);
    const list = new Uint8Array(blockSize);
    const view = viewOf(list);
    for (const [slot, distance] of backups.entries()) view.setUint32(slot * 4, block + distance, true);
    putChanged(volume, stage, block, list);
  }
  stage.blocks.set(doubleIndirect, top);
  const blocks = 1 + layout.reservedDescriptorBlocks * (1 + backups.length);
  const { view, base } = edits.edit(ReservedInode.resize);
  view.setUint32(base + DOUBLE_INDIRECT, doubleIndirect, true);
  Inode.i_blocks_lo.set(view, base, (blocks * sectorsPerBlock) % 0x1_0000_0000);
}

function putChanged(volume: Volume, stage: WriteStage, block: number, bytes: Uint8Array): void {
  const { blockSize } = volume.geometry;
  const offset = block * blockSize;
  if (offset + blockSize <= volume.device.size) {
    const there = readBytes(volume.device, offset, blockSize);
    if (there.every((byte, index) => byte === bytes[index])) return;
  }
  stage.blocks.set(block, bytes);
}
