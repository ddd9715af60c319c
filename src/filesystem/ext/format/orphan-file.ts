import { crc32c, crc32cWord } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { inodeSeed } from '../checksum.ts';
import { InodeKind } from '../inode.ts';
import { fileBlocks, fillFile } from './file-blocks.ts';
import { inodeRecord } from './inode-record.ts';
import type { NewVolume } from './new-volume.ts';

/** `ob_magic` at the end of each block: Linux Documentation/filesystems/ext4/orphan.rst. */
const MAGIC = 0x0b10_ca04;
const TAIL = 8;
const FEWEST_BLOCKS = 32;
const MOST_BLOCKS = 512;
/** The file has one block for so many of the volume's. */
const SHARE = 4096;

/** A file with room for the numbers of inodes that are to be deleted. */
export function makeOrphanFile(volume: NewVolume): void {
  const { layout } = volume;
  const { blockSize, blockCount } = layout;
  const asked = layout.parameters.options.orphanFileSize;
  const count =
    asked === undefined
      ? Math.min(Math.max(Math.floor(blockCount / SHARE), FEWEST_BLOCKS), MOST_BLOCKS)
      : Math.ceil(asked / blockSize);
  const inode = volume.allocateInode();
  const blocks = fileBlocks(volume, inode);
  fillFile(volume, blocks, count, volume.goalOf(inode));
  volume.putInode(
    inode,
    inodeRecord(layout, {
      mode: InodeKind.file | 0o600,
      links: 1,
      size: count * blockSize,
      blockCount: blocks.blockCount,
      root: blocks.root(),
      flags: blocks.flags,
    }),
  );
  for (const block of blocks.numbers()) {
    const bytes = new Uint8Array(blockSize);
    const view = viewOf(bytes);
    view.setUint32(blockSize - TAIL, MAGIC, true);
    if (volume.checksumSeed !== undefined) {
      let value = inodeSeed(volume.checksumSeed, inode, 0);
      value = crc32cWord(crc32cWord(value, block >>> 0), Math.floor(block / 0x1_0000_0000));
      view.setUint32(blockSize - 4, crc32c(value, bytes, 0, blockSize - TAIL), true);
    }
    volume.putBlock(block, bytes);
  }
  volume.superblockFields.orphanFileInode = inode;
}
