import type { QuotaKind } from '../../file-system.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { Inode, InodeFlag, InodeKind, ReservedInode } from '../inode.ts';
import { NO_LIMITS, type QuotaRecord, TREE_BLOCK } from '../quota-entry.ts';
import { makeQuotaFile } from '../quota-file.ts';
import { QUOTA_KINDS, quotaOwnerOf } from '../quota-kind.ts';
import { hasReadOnlyCompatible } from './features.ts';
import { fileBlocks } from './file-blocks.ts';
import { inodeRecord } from './inode-record.ts';
import type { NewVolume } from './new-volume.ts';

/** lost+found is the first inode that is nobody's yet. */
const FIRST_INODE = 11;

/** The files that count who uses how much: so far that is root, with the root directory and lost+found. */
export function makeQuotaFiles(volume: NewVolume): void {
  const { options } = volume.layout.parameters;
  const project = hasReadOnlyCompatible(volume.layout.features, 'project');
  const types: readonly QuotaKind[] =
    options.quotaTypes ?? (project ? ['user', 'group', 'project'] : ['user', 'group']);
  for (const type of QUOTA_KINDS) {
    if (!types.includes(type)) continue;
    const inode =
      type === 'user'
        ? ReservedInode.userQuota
        : type === 'group'
          ? ReservedInode.groupQuota
          : volume.allocateInode();
    putQuotaFile(volume, inode, makeQuotaFile(type, usageOf(volume, type)));
    const fields = volume.superblockFields;
    if (type === 'user') fields.userQuotaInode = inode;
    else if (type === 'group') fields.groupQuotaInode = inode;
    else fields.projectQuotaInode = inode;
  }
  volume.countBitmaps();
}

/** By owner, what the root directory and lost+found take. */
function usageOf(volume: NewVolume, kind: QuotaKind): QuotaRecord[] {
  const records = new Map<number, QuotaRecord>();
  for (const number of [ReservedInode.root, FIRST_INODE]) {
    const view = viewOf(volume.inodes.get(number)!);
    const id = quotaOwnerOf(kind, view, 0, view.byteLength);
    const { space, inodes } = records.get(id) ?? { space: 0n, inodes: 0n };
    const added = BigInt(Inode.i_blocks_lo.get(view, 0) * 512);
    records.set(id, { ...NO_LIMITS, id, space: space + added, inodes: inodes + 1n });
  }
  return [...records.values()].sort((a, b) => a.id - b.id);
}

function putQuotaFile(volume: NewVolume, inode: number, content: Uint8Array): void {
  const { blockSize } = volume.layout;
  const blocks = fileBlocks(volume, inode);
  const goal = volume.goalOf(inode);
  const found: number[] = [];
  let next = goal;
  // In the order in which the reference comes to write them: the root of the tree is last.
  const order = [0, 2, 3, 4, 5, 1];
  for (let at = order.length; at < content.length / TREE_BLOCK; at++) order.push(at);
  for (const at of order) {
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
