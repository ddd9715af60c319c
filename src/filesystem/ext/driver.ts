import type { BlockDevice } from '../../device/block-device.ts';
import { viewOf } from '../../bytes/struct.ts';
import type { FileSystem, FileSystemDriver, OpenOptions } from '../file-system.ts';
import { ExtFileSystem } from './ext-file-system.ts';
import { SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET, Superblock } from './superblock.ts';

/** ext2, ext3 and ext4, for reading and writing. */
export const extDriver: FileSystemDriver = {
  name: 'ext',
  /** The magic alone: what a damaged superblock says besides is for `open` to explain. */
  probe(device: BlockDevice): boolean {
    if (device.size < SUPERBLOCK_OFFSET + Superblock.$size) return false;
    const magic = new Uint8Array(2);
    device.read(SUPERBLOCK_OFFSET + Superblock.s_magic.offset, magic);
    return viewOf(magic).getUint16(0, true) === SUPERBLOCK_MAGIC;
  },
  open(device: BlockDevice, options: OpenOptions = {}): FileSystem {
    return ExtFileSystem.open(device, options);
  },
};
