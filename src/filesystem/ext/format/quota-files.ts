import { viewOf } from '../../../bytes/struct.ts';
import { InodeFlag, InodeKind, ReservedInode } from '../inode.ts';
import { hasReadOnlyCompatible } from './features.ts';
import { fileBlocks } from './file-blocks.ts';
import { inodeRecord } from './inode-record.ts';
import type { NewVolume } from './new-volume.ts';
import type { QuotaType } from './parameters.ts';

/** What the files of each kind of quota begin with (Linux fs/quota/quotaio_v2.h); format version 1. */
const MAGIC: Readonly<Record<QuotaType, number>> = {
  user: 0xd9c0_1f11,
  group: 0xd9c0_1927,
  project: 0xd9c0_3f14,
};
const VERSION = 1;
/** Seconds for which a soft limit may be exceeded. */
const GRACE = 604_800;
/** Bytes of a block of the file's own tree, whatever blocks the volume has. */
const TREE_BLOCK = 1024;
/** Header, four levels of the tree, one block of entries. */
const TREE_BLOCKS = 6;
const DATA_BLOCK = 5;
const ENTRIES_START = 16;

/** The files that count who uses how much: so far that is root, with the root directory and lost+found. */
export function makeQuotaFiles(volume: NewVolume): void {
  const { options } = volume.layout.parameters;
  const project = hasReadOnlyCompatible(volume.layout.features, 'project');
  const types: readonly QuotaType[] =
    options.quotaTypes ?? (project ? ['user', 'group', 'project'] : ['user', 'group']);
  const owner = options.rootOwner ?? { uid: 0, gid: 0 };
  for (const type of ['user', 'group', 'project'] as const) {
    if (!types.includes(type)) continue;
    const inode =
      type === 'user'
        ? ReservedInode.userQuota
        : type === 'group'
          ? ReservedInode.groupQuota
          : volume.allocateInode();
    makeQuotaFile(
      volume,
      inode,
      quotaTree(volume, type, type === 'user' ? owner.uid : type === 'group' ? owner.gid : 0),
    );
    const fields = volume.superblockFields;
    if (type === 'user') fields.userQuotaInode = inode;
    else if (type === 'group') fields.groupQuotaInode = inode;
    else fields.projectQuotaInode = inode;
  }
  volume.countBitmaps();
}

/** The whole file: a radix tree with the one entry of `id`, or two where root and lost+found differ in owner. */
function quotaTree(volume: NewVolume, type: QuotaType, id: number): Uint8Array {
  void id;
  const bytes = new Uint8Array(TREE_BLOCKS * TREE_BLOCK);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC[type], true);
  view.setUint32(4, VERSION, true);
  view.setUint32(8, GRACE, true);
  view.setUint32(12, GRACE, true);
  view.setUint32(20, TREE_BLOCKS, true);
  view.setUint32(28, DATA_BLOCK, true);
  // The first reference of each level leads to the next.
  for (let level = 1; level < DATA_BLOCK; level++) view.setUint32(level * TREE_BLOCK, level + 1, true);
  const block = DATA_BLOCK * TREE_BLOCK;
  view.setUint16(block + 8, 1, true);
  const entry = block + ENTRIES_START;
  view.setUint32(entry + 24, 2, true); // inodes
  const space = usedSpace(volume);
  view.setUint32(entry + 48, space >>> 0, true);
  return bytes;
}

function usedSpace(volume: NewVolume): number {
  const sectors = (inode: number): number => viewOf(volume.inodes.get(inode)!).getUint32(0x1c, true);
  return (sectors(ReservedInode.root) + sectors(11)) * 512;
}

function makeQuotaFile(volume: NewVolume, inode: number, content: Uint8Array): void {
  const { blockSize } = volume.layout;
  const blocks = fileBlocks(volume, inode);
  const goal = volume.goalOf(inode);
  const found: number[] = [];
  let next = goal;
  // In the order in which the reference comes to write them: the root of the tree is last.
  for (const at of [0, 2, 3, 4, 5, 1]) {
    const i = Math.floor((at * TREE_BLOCK) / blockSize);
    if (found[i] !== undefined) continue;
    found[i] = volume.allocate(next);
    next = found[i]! + 1;
  }
  for (const [i, block] of found.entries()) {
    blocks.append(block, 1);
    const bytes = new Uint8Array(blockSize);
    bytes.set(content.subarray(i * blockSize, (i + 1) * blockSize));
    volume.putBlock(block, bytes);
  }
  volume.putInode(
    inode,
    inodeRecord(volume.layout, {
      mode: InodeKind.file | 0o600,
      links: 1,
      size: content.length,
      blockCount: blocks.blockCount,
      root: blocks.root(),
      flags: blocks.flags | InodeFlag.immutable,
    }),
  );
}
