import { Inode, InodeKind, ReservedInode } from '../inode.ts';
import { QUOTA_FIELDS, QUOTA_KINDS } from '../quota-kind.ts';
import { ReadOnlyCompatibleFeature, Superblock, SUPERBLOCK_OFFSET } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { writeSuperblock } from './superblock-pass.ts';

/** Is it an inode of a quota file, or one that can be nothing else? */
export function isQuotaInode(check: ExtCheck, number: number): boolean {
  return (
    isReserved(number) ||
    check.quota.isFile(number) ||
    number === Superblock.s_prj_quota_inum.get(check.superblock, 0)
  );
}

function isReserved(number: number): boolean {
  return number === ReservedInode.userQuota || number === ReservedInode.groupQuota;
}

/** The numbers of the quota files in the superblock. Returns whether one was given up. */
export function checkQuotaNumbers(check: ExtCheck): boolean {
  const { superblock, words, geometry } = check;
  if ((words.readOnlyCompatible & ReadOnlyCompatibleFeature.quota) === 0) return false;
  let isChanged = false;
  for (const kind of QUOTA_KINDS) {
    const field = QUOTA_FIELDS[kind];
    const number = Superblock[field].get(superblock, 0);
    if (number === 0 || isReserved(number)) continue;
    if (number >= geometry.firstInode && number <= geometry.inodeCount) continue;
    const isMended = check.ask({
      code: 'ext-quota-number',
      structure: 'superblock',
      field,
      offset: SUPERBLOCK_OFFSET + Superblock[field].offset,
      found: `${number}`,
      expected: `0, 3, 4, or an inode from ${geometry.firstInode} to ${geometry.inodeCount}`,
      meaning: `The file of ${kind} quotas should be inode ${number}, which cannot be one`,
      text: `Invalid ${kind} quota inode ${number}.  `,
      question: 'Fix',
      action: `goes without ${kind} quotas`,
      safe: true,
    });
    if (!isMended) continue;
    Superblock[field].set(superblock, 0, 0);
    isChanged = true;
  }
  if (isChanged) writeSuperblock(check);
  return isChanged;
}

/** Returns whether nothing more is to be said of the inode. */
export function checkQuotaInode(check: ExtCheck, number: number, view: DataView, base: number): boolean {
  const mode = Inode.i_mode.get(view, base);
  if (!check.quota.isFile(number)) {
    const isEmpty =
      Inode.i_links_count.get(view, base) === 0 &&
      Inode.i_blocks_lo.get(view, base) === 0 &&
      view.getUint32(base + Inode.i_block.offset, true) === 0;
    if (isEmpty) return false;
    const isMended = check.ask({
      code: 'ext-quota-leftover',
      severity: 'warning',
      structure: 'inode',
      field: 'i_block',
      offset: check.inodeOffset(number) + Inode.i_block.offset,
      found: `${Inode.i_blocks_lo.get(view, base)} sectors of 512 bytes`,
      expected: 'nothing, since the superblock names no such file of quotas',
      meaning: `Inode ${number} is for a file of quotas, and holds one although the volume does not use it`,
      text: 'Quota inode is not in use, but contains data.  ',
      question: 'Clear',
      action:
        number < check.geometry.firstInode
          ? `clears inode ${number}`
          : 'takes its number out of the superblock: the inode may be something else',
      safe: true,
    });
    if (!isMended) return false;
    if (number >= check.geometry.firstInode) giveUp(check, number);
    else clear(check, number);
    return number < check.geometry.firstInode;
  }
  const isPossible = number >= check.geometry.firstInode || isReserved(number);
  if (!isPossible || (mode & 0xf000) === InodeKind.file) return false;
  // An inode without a mode is nothing else.
  const isOwn = isReserved(number) || mode === 0;
  const isMended = check.ask({
    code: 'ext-quota-mode',
    structure: 'inode',
    field: 'i_mode',
    offset: check.inodeOffset(number),
    found: `0${mode.toString(8)}`,
    expected: `0${(InodeKind.file | 0o600).toString(8)}`,
    meaning: `Inode ${number} should be a file of quotas, and is no file`,
    text: 'Quota inode is not a regular file.  ',
    question: 'Clear',
    action: isOwn
      ? `clears inode ${number}, and makes the file anew`
      : 'goes without these quotas: the inode may be something else',
    safe: true,
  });
  if (isMended && !isOwn) giveUp(check, number);
  if (!isOwn) return false;
  if (isMended) clear(check, number);
  check.usedInodes.set(number);
  check.types.set(number, 1);
  return true;
}

/** It stays in use, whatever it holds. */
function clear(check: ExtCheck, number: number): void {
  check.clearInode(number);
  check.usedInodes.set(number);
}

/** An inode that the superblock takes for a quota file stays what it is. */
function giveUp(check: ExtCheck, number: number): void {
  for (const kind of QUOTA_KINDS)
    if (Superblock[QUOTA_FIELDS[kind]].get(check.superblock, 0) === number)
      Superblock[QUOTA_FIELDS[kind]].set(check.superblock, 0, 0);
  writeSuperblock(check);
}
