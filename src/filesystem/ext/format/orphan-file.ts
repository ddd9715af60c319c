import { crc32c, crc32cWord } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { inodeSeed } from '../checksum.ts';
import { InodeKind } from '../inode.ts';
import { fileBlocks, type FileSpace, fillFile } from './file-blocks.ts';
import { inodeRecord, type InodeShape } from './inode-record.ts';

/** `ob_magic` at the end of each block: Linux Documentation/filesystems/ext4/orphan.rst. */
const MAGIC = 0x0b10_ca04;
const TAIL = 8;
const FEWEST_BLOCKS = 32;
const MOST_BLOCKS = 512;
/** The file has one block for so many of the volume's. */
const SHARE = 4096;

/** What the file is made on. */
export interface OrphanSpace extends FileSpace {
  readonly layout: FileSpace['layout'] & InodeShape & { readonly blockCount: number };
  allocateInode(): number;
  /** Where the blocks of this inode are looked for. */
  goalOf(inode: number): number;
  putInode(inode: number, record: Uint8Array): void;
}

/** A file of `asked` blocks, or as many as suit the volume, with room for the numbers of inodes that are to be deleted. Returns its inode. */
export function makeOrphanFile(volume: OrphanSpace, asked?: number): number {
  const { layout } = volume;
  const { blockSize, blockCount } = layout;
  const count = asked ?? Math.min(Math.max(Math.floor(blockCount / SHARE), FEWEST_BLOCKS), MOST_BLOCKS);
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
  return inode;
}
