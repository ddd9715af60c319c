import { viewOf } from '../../../bytes/struct.ts';
import type { Timestamp } from '../../../bytes/time.ts';
import { Inode } from '../inode.ts';

/** Bytes past the first 128 that new inodes use, where inodes are larger. */
export const EXTRA_INODE_SIZE = 32;

/** Slots of `i_block`. */
export const DIRECT_SLOTS = 12;
export const INDIRECT_SLOT = 12;
export const DOUBLE_INDIRECT_SLOT = 13;

/** What the bytes of an inode depend on besides its content. */
export interface InodeShape {
  /** Bytes. */
  readonly blockSize: number;
  /** Bytes. */
  readonly inodeSize: number;
  readonly parameters: { readonly options: { readonly now: Timestamp } };
}

export interface InodeContent {
  readonly mode?: number;
  readonly links?: number;
  /** Bytes. */
  readonly size?: number;
  /** Blocks of the volume, pointer blocks included. */
  readonly blockCount?: number;
  /** The 60 bytes of `i_block`. */
  readonly root?: Uint8Array;
  /** `i_flags`. */
  readonly flags?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** False for the inode of bad blocks, which has neither a birth time nor extra fields. */
  readonly extra?: boolean;
}

/** The bytes of an inode that was made, changed and read now. */
export function inodeRecord(layout: InodeShape, content: InodeContent): Uint8Array {
  const record = new Uint8Array(layout.inodeSize);
  const view = viewOf(record);
  const seconds = layout.parameters.options.now.seconds;
  const { uid = 0, gid = 0, size = 0 } = content;
  Inode.i_mode.set(view, 0, content.mode ?? 0);
  Inode.i_uid.set(view, 0, uid & 0xffff);
  Inode.i_uid_high.set(view, 0, uid >>> 16);
  Inode.i_gid.set(view, 0, gid & 0xffff);
  Inode.i_gid_high.set(view, 0, gid >>> 16);
  Inode.i_size_lo.set(view, 0, size >>> 0);
  Inode.i_size_high.set(view, 0, Math.floor(size / 0x1_0000_0000));
  Inode.i_atime.set(view, 0, seconds);
  Inode.i_ctime.set(view, 0, seconds);
  Inode.i_mtime.set(view, 0, seconds);
  Inode.i_links_count.set(view, 0, content.links ?? 0);
  const sectors = ((content.blockCount ?? 0) * layout.blockSize) / 512;
  Inode.i_blocks_lo.set(view, 0, sectors >>> 0);
  Inode.i_blocks_high.set(view, 0, Math.floor(sectors / 0x1_0000_0000));
  Inode.i_flags.set(view, 0, content.flags ?? 0);
  if (content.root !== undefined) Inode.i_block.set(view, 0, content.root);
  if (content.extra !== false && layout.inodeSize > 128) {
    Inode.i_extra_isize.set(view, 0, EXTRA_INODE_SIZE);
    Inode.i_crtime.set(view, 0, seconds);
  }
  return record;
}

/** `i_block` with these slots. */
export function mapRoot(slots: readonly number[]): Uint8Array {
  const root = new Uint8Array(60);
  const view = viewOf(root);
  for (let slot = 0; slot < slots.length; slot++) view.setUint32(slot * 4, slots[slot]!, true);
  return root;
}
