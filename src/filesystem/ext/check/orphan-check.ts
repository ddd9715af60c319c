import { StagingDevice } from '../../../device/staging-device.ts';
import { crc32c, crc32cWord } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { isOwnError } from '../../../errors.ts';
import { inodeSeed } from '../checksum.ts';
import { ExtFileSystem } from '../ext-file-system.ts';
import { Inode, InodeKind } from '../inode.ts';
import { ORPHAN_BLOCK_MAGIC, ORPHAN_TAIL } from '../orphan-file.ts';
import {
  CompatibleFeature,
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
  SUPERBLOCK_OFFSET,
} from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { eachRun } from './file-runs.ts';
import { writeSuperblock } from './superblock-pass.ts';

/** Bytes of a file of orphans that Linux takes. */
const MAX_SIZE = 8 << 20;
/** Inodes of the list that are told of. */
const MAX_LISTED = 1000;

/**
 * Frees what was deleted while it was in use, and truncates what was being truncated, as a mount would: before anything else is looked at, so that
 * it does not look like damage. The driver does it, beside the device; where it cannot, the list is given up. Returns whether anything was written.
 */
export function finishOrphans(check: ExtCheck): boolean {
  const { superblock, words } = check;
  const first = Superblock.s_last_orphan.get(superblock, 0);
  const isFiled = (words.readOnlyCompatible & ReadOnlyCompatibleFeature.orphan_present) !== 0;
  if (first === 0 && !isFiled) return false;
  // What a journal still holds comes first.
  const { needs_recovery } = IncompatibleFeature;
  if ((Superblock.s_feature_incompat.get(superblock, 0) & needs_recovery) !== 0) return false;
  const finished = finish(check);
  if (finished === undefined && first === 0) return false;
  const isMended = check.ask({
    code: 'ext-orphans',
    severity: 'note',
    structure: 'superblock',
    field: first === 0 ? 's_orphan_file_inum' : 's_last_orphan',
    offset: SUPERBLOCK_OFFSET + Superblock.s_last_orphan.offset,
    found: first === 0 ? 'a file of orphans in use' : `inode ${first}`,
    expected: 'nothing that is left to be freed',
    meaning:
      finished === undefined
        ? `The list of deleted inodes that are still to be freed begins with inode ${first}, and cannot be followed`
        : 'Files that were deleted while they were in use, or were being truncated, are still to be freed',
    text: finished === undefined ? `Illegal orphaned inode ${first} in superblock.\n` : listed(check, first),
    action: finished === undefined ? 'gives up the list' : 'frees them',
    safe: true,
  });
  if (!isMended) return false;
  if (finished === undefined) {
    Superblock.s_last_orphan.set(superblock, 0, 0);
    writeSuperblock(check);
  } else finished.apply(check.device);
  return true;
}

/** The device without orphans; undefined when the driver cannot do it. */
function finish({ device }: ExtCheck): StagingDevice | undefined {
  const staged = new StagingDevice(device);
  try {
    const volume = ExtFileSystem.open(staged, { withoutJournal: true });
    if (volume.readOnly) return undefined;
    volume.close();
    return staged;
  } catch (error) {
    if (isOwnError(error)) return undefined;
    throw error;
  }
}

/** In the words of the tool. */
function listed(check: ExtCheck, first: number): string {
  const seen = new Set<number>();
  let text = '';
  for (let number = first; number !== 0 && !seen.has(number) && seen.size < MAX_LISTED;) {
    if (number > check.geometry.inodeCount) break;
    seen.add(number);
    const inode = check.readInode(number);
    const verb = Inode.i_links_count.get(inode, 0) === 0 ? 'Clearing' : 'Truncating';
    const user = Inode.i_uid.get(inode, 0) + Inode.i_uid_high.get(inode, 0) * 0x10000;
    const group = Inode.i_gid.get(inode, 0) + Inode.i_gid_high.get(inode, 0) * 0x10000;
    const size = Inode.i_size_lo.get(inode, 0) + Inode.i_size_high.get(inode, 0) * 0x1_0000_0000;
    const mode = Inode.i_mode.get(inode, 0).toString(8);
    text += `${verb} orphaned inode ${number} (uid=${user}, gid=${group}, mode=0${mode}, size=${size})\n`;
    number = Inode.i_dtime.get(inode, 0);
  }
  return text;
}

/** The file of orphans: a regular file without holes, whose blocks are sealed and hold nothing once the orphans are finished. */
export function checkOrphanFile(check: ExtCheck): void {
  const { superblock, words, geometry } = check;
  if ((words.compatible & CompatibleFeature.orphan_file) === 0) return;
  const number = Superblock.s_orphan_file_inum.get(superblock, 0);
  if (number < 1 || number > geometry.inodeCount || !check.usedInodes.get(number)) {
    giveUp(check, number, 'an inode that is not in use', `Orphan file inode ${number} is not in use.  `);
    return;
  }
  const inode = check.readInode(number);
  if ((Inode.i_mode.get(inode, 0) & 0xf000) !== InodeKind.file) {
    giveUp(check, number, 'something else than a file', `Orphan file inode ${number} is not regular file.  `);
    return;
  }
  const size = Inode.i_size_lo.get(inode, 0) + Inode.i_size_high.get(inode, 0) * 0x1_0000_0000;
  if (size % geometry.blockSize !== 0 || size > MAX_SIZE) {
    const text = `Orphan file (inode ${number}) size is ${size > MAX_SIZE ? 'too big' : 'not multiple of block size'}.\n`;
    giveUp(check, number, `a file of ${size} bytes`, text);
    return;
  }
  const blocks: number[] = [];
  const isSound = eachRun(check, inode, (position, start, length) => {
    if (position !== blocks.length) return;
    const room = size / geometry.blockSize - blocks.length;
    for (let block = start; block < start + Math.min(length, room); block++) blocks.push(block);
  });
  if (!isSound || blocks.length * geometry.blockSize < size) {
    giveUp(check, number, 'a file with holes', `Orphan file (inode ${number}) has a hole.\n`);
    return;
  }
  const generation = Inode.i_generation.get(inode, 0);
  const seed = check.seed === undefined ? undefined : inodeSeed(check.seed, number, generation);
  let isClean = true;
  for (const [position, block] of blocks.entries())
    isClean = checkBlock(check, number, position, block, seed) && isClean;
  if (isClean) checkPresence(check);
}

/** Returns whether the block was clean. */
function checkBlock(
  check: ExtCheck,
  number: number,
  position: number,
  block: number,
  seed: number | undefined,
): boolean {
  const bytes = new Uint8Array(check.geometry.blockSize);
  check.readBlock(block, bytes);
  const view = viewOf(bytes);
  const end = bytes.length - ORPHAN_TAIL;
  const magic = view.getUint32(end, true);
  const isEmpty = bytes.subarray(0, end).every((byte) => byte === 0);
  const seal = seed === undefined ? 0 : sealOf(seed, block, bytes);
  const isSealed = view.getUint32(end + 4, true) === seal;
  if (isEmpty && isSealed && magic === ORPHAN_BLOCK_MAGIC) return true;
  const isMended = check.ask({
    code: 'ext-orphan-block',
    structure: 'file of orphans',
    field: magic !== ORPHAN_BLOCK_MAGIC ? 'ob_magic' : isEmpty ? 'ob_checksum' : 'entries',
    offset: block * check.geometry.blockSize,
    found: magic !== ORPHAN_BLOCK_MAGIC ? `0x${magic.toString(16)}` : isEmpty ? 'another' : 'inodes',
    expected: 'an empty block with its magic and checksum',
    meaning: `Block ${position} of inode ${number}, the file of orphans, is not empty, or damaged`,
    text: `Orphan file (inode ${number}) block ${position} is not clean.\n`,
    question: 'Clear',
    action: 'empties it',
    safe: true,
  });
  if (!isMended) return false;
  bytes.fill(0);
  view.setUint32(end, ORPHAN_BLOCK_MAGIC, true);
  if (seed !== undefined) view.setUint32(end + 4, sealOf(seed, block, bytes), true);
  check.writeBlock(block, bytes);
  return true;
}

/** Over the block's number and its entries. */
function sealOf(seed: number, block: number, bytes: Uint8Array): number {
  const sum = crc32cWord(crc32cWord(seed, block >>> 0), Math.floor(block / 0x1_0000_0000));
  return crc32c(sum, bytes, 0, bytes.length - ORPHAN_TAIL);
}

function checkPresence(check: ExtCheck): void {
  const { superblock } = check;
  const features = Superblock.s_feature_ro_compat.get(superblock, 0);
  if ((features & ReadOnlyCompatibleFeature.orphan_present) === 0) return;
  const isMended = check.ask({
    code: 'ext-orphan-present',
    severity: 'warning',
    structure: 'superblock',
    field: 's_feature_ro_compat',
    offset: SUPERBLOCK_OFFSET + Superblock.s_feature_ro_compat.offset,
    found: 'orphan_present',
    expected: 'no such flag, since the file of orphans is empty',
    meaning: 'The superblock says that there are orphans, and the file of orphans is empty',
    text: 'Feature orphan_present is set but orphan file is clean.\n',
    question: 'Clear',
    action: 'takes the flag away',
    safe: true,
  });
  if (!isMended) return;
  Superblock.s_feature_ro_compat.set(superblock, 0, features & ~ReadOnlyCompatibleFeature.orphan_present);
  writeSuperblock(check);
}

/** Without the file, orphans are listed in the superblock again: nothing is lost by it. */
function giveUp(check: ExtCheck, number: number, found: string, text: string): void {
  const { superblock, words } = check;
  const isMended = check.ask({
    code: 'ext-orphan-file',
    structure: 'superblock',
    field: 's_orphan_file_inum',
    offset: SUPERBLOCK_OFFSET + Superblock.s_orphan_file_inum.offset,
    found: `inode ${number}: ${found}`,
    expected: 'a file without holes, in whole blocks',
    meaning: `Inode ${number} should be the file of orphans, and is ${found}`,
    text,
    question: 'Clear',
    action: 'goes without a file of orphans, as older volumes do',
    safe: true,
  });
  if (!isMended) return;
  const { orphan_present } = ReadOnlyCompatibleFeature;
  Superblock.s_feature_compat.set(superblock, 0, words.compatible & ~CompatibleFeature.orphan_file);
  Superblock.s_feature_ro_compat.set(superblock, 0, words.readOnlyCompatible & ~orphan_present);
  Superblock.s_orphan_file_inum.set(superblock, 0, 0);
  writeSuperblock(check);
  const isFile = check.usedInodes.get(number) && check.types.get(number) === 1;
  if (isFile && number >= check.geometry.firstInode && check.counted.get(number) === 0)
    check.clearInode(number);
}
