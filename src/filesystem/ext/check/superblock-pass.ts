import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import type { Finding } from '../../../errors.ts';
import { CheckEnd, type CheckObserver } from '../../check.ts';
import { isSuperblockSealed, sealSuperblock, superblockChecksum } from '../checksum.ts';
import { readFeatures, refuseUnknownFeatures } from '../features.ts';
import { checkSuperblock, readGeometry } from '../geometry.ts';
import { GroupFlag } from '../group-descriptor.ts';
import {
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
  SUPERBLOCK_OFFSET,
} from '../superblock.ts';
import { ask, ExtCheck, type ExtCheckOptions } from './context.ts';
import { CheckedGroups } from './groups.ts';

/** Where copies of the superblock lie in file systems of the usual sizes: block and bytes of a block. */
const COPIES = [
  [8193, 1024],
  [16384, 2048],
  [32768, 4096],
] as const;

/** Finds a superblock that can be believed, checks it and the group descriptors. */
export function openCheck(device: BlockDevice, observer: CheckObserver, options: ExtCheckOptions): ExtCheck {
  const { superblock, block, blockSize, isAdopted } = findSuperblock(device, observer, options);
  const words = readFeatures(superblock);
  refuseUnknownFeatures(words);
  const geometry = readGeometry(superblock, Number.MAX_SAFE_INTEGER);
  const isCopy = block * blockSize !== SUPERBLOCK_OFFSET;
  const first = geometry.firstDataBlock;
  const groups = new CheckedGroups(device, superblock, geometry, words, isCopy ? block : first);
  const check = new ExtCheck({ device, observer, options, superblock, words, geometry, groups });
  if (isCopy && isAdopted) adoptCopy(check);
  checkState(check);
  checkGroups(check);
  return check;
}

interface FoundSuperblock {
  readonly superblock: DataView;
  readonly block: number;
  readonly blockSize: number;
  /** A copy is to take the place of the superblock. */
  readonly isAdopted: boolean;
}

function findSuperblock(
  device: BlockDevice,
  observer: CheckObserver,
  options: ExtCheckOptions,
): FoundSuperblock {
  if (options.superblock !== undefined) {
    const sizes = options.blockSize === undefined ? [1024, 2048, 4096] : [options.blockSize];
    for (const blockSize of sizes) {
      const superblock = readAt(device, options.superblock * blockSize);
      if (superblock !== undefined && faultOf(superblock, device.size) === undefined)
        return { superblock, block: options.superblock, blockSize, isAdopted: true };
    }
    return giveUp(device, observer);
  }
  const superblock = readAt(device, SUPERBLOCK_OFFSET);
  const fault =
    superblock === undefined ? 'it lies behind the end of the device' : faultOf(superblock, device.size);
  if (superblock !== undefined && fault === undefined) {
    checkSeal(device, observer, superblock);
    return { superblock, block: 1, blockSize: 1024, isAdopted: false };
  }
  for (const [block, blockSize] of COPIES) {
    const copy = readAt(device, block * blockSize);
    if (copy === undefined || faultOf(copy, device.size) !== undefined) continue;
    if (1024 << Superblock.s_log_block_size.get(copy, 0) !== blockSize) continue;
    const isAdopted = ask(observer, {
      code: 'ext-superblock',
      structure: 'superblock',
      field: 's_magic',
      offset: SUPERBLOCK_OFFSET,
      found: fault!,
      expected: 'a superblock',
      meaning: `The superblock cannot be believed: ${fault!}. Its copy in block ${block} can`,
      text: '',
      action: `writes the copy in block ${block} over it`,
      safe: true,
    });
    return { superblock: copy, block, blockSize, isAdopted };
  }
  return giveUp(device, observer, fault);
}

function giveUp(device: BlockDevice, observer: CheckObserver, fault = 'no superblock is there'): never {
  ask(observer, {
    code: 'ext-superblock',
    severity: 'fatal',
    structure: 'superblock',
    field: 's_magic',
    offset: SUPERBLOCK_OFFSET,
    found: fault,
    expected: 'a superblock',
    meaning: `The superblock cannot be believed: ${fault}; no copy of it was found on ${device.size} bytes either`,
    text: 'ext2fs_open2: Bad magic number in super-block\n',
  });
  throw new CheckEnd('no superblock');
}

function readAt(device: BlockDevice, offset: number): DataView | undefined {
  return offset + Superblock.$size > device.size
    ? undefined
    : viewOf(readBytes(device, offset, Superblock.$size));
}

function faultOf(superblock: DataView, deviceSize: number): string | undefined {
  const findings = [
    ...checkSuperblock(superblock, deviceSize),
    ...checkClusters(superblock),
    ...checkLimits(superblock),
  ];
  const [first] = findings.filter(({ severity }) => severity === 'refuse');
  return first === undefined ? undefined : `${first.field} is ${first.found}, expected ${first.expected}`;
}

/** Without bigalloc blocks are clusters; the kernel and the tools of old mind fields that say otherwise. */
function checkClusters(superblock: DataView): Finding[] {
  if ((Superblock.s_feature_ro_compat.get(superblock, 0) & ReadOnlyCompatibleFeature.bigalloc) !== 0)
    return [];
  const pairs = [
    ['s_log_cluster_size', 's_log_block_size'],
    ['s_clusters_per_group', 's_blocks_per_group'],
  ] as const;
  return pairs
    .map(
      ([field, same]) =>
        [field, Superblock[field].get(superblock, 0), Superblock[same].get(superblock, 0)] as const,
    )
    .filter(([, found, expected]) => found !== expected)
    .map(([field, found, expected]) => ({
      severity: 'refuse',
      structure: 'superblock',
      field,
      offset: SUPERBLOCK_OFFSET + Superblock[field].offset,
      found: `${found}`,
      expected: `${expected}`,
    }));
}

/** Of a volume, half can be reserved; and it is of revision 0 or 1. */
function checkLimits(superblock: DataView): Finding[] {
  const revision = Superblock.s_rev_level.get(superblock, 0);
  if (revision > 1) {
    return [
      {
        severity: 'refuse',
        structure: 'superblock',
        field: 's_rev_level',
        offset: SUPERBLOCK_OFFSET + Superblock.s_rev_level.offset,
        found: `${revision}`,
        expected: '0 or 1',
      },
    ];
  }
  const { s_r_blocks_count_lo, s_r_blocks_count_hi, s_blocks_count_lo, s_blocks_count_hi } = Superblock;
  const high =
    (Superblock.s_feature_incompat.get(superblock, 0) & IncompatibleFeature['64bit']) !== 0
      ? 0x1_0000_0000
      : 0;
  const reserved = s_r_blocks_count_lo.get(superblock, 0) + s_r_blocks_count_hi.get(superblock, 0) * high;
  const all = s_blocks_count_lo.get(superblock, 0) + s_blocks_count_hi.get(superblock, 0) * high;
  if (reserved <= all / 2) return [];
  return [
    {
      severity: 'refuse',
      structure: 'superblock',
      field: 's_r_blocks_count_lo',
      offset: SUPERBLOCK_OFFSET + s_r_blocks_count_lo.offset,
      found: `${reserved}`,
      expected: `at most ${Math.floor(all / 2)}`,
    },
  ];
}

function checkSeal(device: BlockDevice, observer: CheckObserver, superblock: DataView): void {
  if (isSuperblockSealed(superblock)) return;
  const bytes = new Uint8Array(superblock.buffer, superblock.byteOffset, Superblock.$size);
  const expected = superblockChecksum(bytes);
  const isMended = ask(observer, {
    code: 'ext-superblock-checksum',
    structure: 'superblock',
    field: 's_checksum',
    offset: SUPERBLOCK_OFFSET + Superblock.s_checksum.offset,
    found: hex(Superblock.s_checksum.get(superblock, 0)),
    expected: hex(expected),
    meaning: 'The superblock does not have its checksum: a field of it may be wrong',
    text: 'ext2fs_open2: Superblock checksum does not match superblock\n',
    action: 'writes the checksum',
    safe: false,
  });
  if (!isMended) return;
  Superblock.s_checksum.set(superblock, 0, expected);
  device.write(SUPERBLOCK_OFFSET, bytes);
}

/** The copy takes the place of the superblock; so do the descriptors behind it. */
function adoptCopy(check: ExtCheck): void {
  const { superblock, groups } = check;
  Superblock.s_block_group_nr.set(superblock, 0, 0);
  writeSuperblock(check);
  groups.saveAll();
}

/** Writes the superblock with its checksum. */
export function writeSuperblock({ device, superblock, words }: ExtCheck): void {
  sealSuperblock(superblock, words);
  device.write(SUPERBLOCK_OFFSET, new Uint8Array(superblock.buffer, superblock.byteOffset, Superblock.$size));
}

export const SKIPPED_JOURNAL =
  'Warning: skipping journal recovery because doing a read-only filesystem check.\n';

function checkState(check: ExtCheck): void {
  const { superblock, words } = check;
  const state = Superblock.s_state.get(superblock, 0);
  if ((state & 2) !== 0) {
    check.ask({
      code: 'ext-errors-noted',
      severity: 'note',
      structure: 'superblock',
      field: 's_state',
      offset: SUPERBLOCK_OFFSET + Superblock.s_state.offset,
      found: `${state}`,
      expected: '1',
      meaning: 'The kernel has come across errors in this file system',
      text: '',
    });
  }
  if (
    (words.incompatible & IncompatibleFeature.needs_recovery) !== 0 &&
    check.options.isJournalPending === true
  ) {
    check.observer.tell(SKIPPED_JOURNAL);
    check.ask({
      code: 'ext-journal-pending',
      severity: 'note',
      structure: 'superblock',
      field: 's_feature_incompat',
      offset: SUPERBLOCK_OFFSET + Superblock.s_feature_incompat.offset,
      found: 'needs_recovery',
      expected: 'a journal that was replayed',
      meaning:
        'The journal has transactions that were not replayed: what follows is about the state without them',
      text: '',
    });
  }
}

/** Bitmaps and tables where they can be, checksums, counts of unused inodes. */
function checkGroups(check: ExtCheck): void {
  const { groups, geometry, words } = check;
  const isFlexible = (words.incompatible & IncompatibleFeature.flex_bg) !== 0;
  let hasBadChecksum = false;
  for (let group = 0; group < groups.count; group++) {
    const first = geometry.firstDataBlock + group * geometry.blocksPerGroup;
    const start = isFlexible ? geometry.firstDataBlock : first;
    const end = isFlexible ? geometry.blockCount : first + groups.blocksOf(group);
    placed(check, group, 'block bitmap', groups.blockBitmap(group), 1, start, end);
    placed(check, group, 'inode bitmap', groups.inodeBitmap(group), 1, start, end);
    placed(check, group, 'inode table', groups.inodeTable(group), geometry.inodeTableBlocks, start, end);
    const expected = groups.checksum(group);
    const stored = groups.storedChecksum(group);
    if (expected !== undefined && stored !== expected) {
      hasBadChecksum = true;
      const isMended = check.ask({
        code: 'ext-group-checksum',
        structure: 'group descriptor',
        field: 'bg_checksum',
        offset: groups.offsetOf(group) + 0x1e,
        found: hex(stored, 4),
        expected: hex(expected, 4),
        meaning: `The descriptor of group ${group} does not have its checksum: what it says cannot be relied on`,
        text: `Group descriptor ${group} checksum is ${hex(stored, 4)}, should be ${hex(expected, 4)}.  `,
        question: 'Fix',
        action: 'takes nothing in the group for unused, and writes the checksum',
        safe: true,
      });
      // What was called unused may be in use: everything is looked at.
      groups.setFlags(
        group,
        groups.flags(group) & ~(GroupFlag.inodesUninitialised | GroupFlag.blocksUninitialised),
      );
      groups.setUnusedInodes(group, 0);
      if (isMended) groups.save(group);
    }
    if (groups.hasUndueFlags(group)) {
      const isMended = check.ask({
        code: 'ext-group-flags',
        structure: 'group descriptor',
        field: 'bg_flags',
        offset: groups.offsetOf(group) + 0x12,
        found: 'parts of the group that were never written',
        expected: 'none, since the volume has no such groups',
        meaning: `The descriptor of group ${group} says that parts of it were never written, and the volume does not have that feature`,
        text: `Group descriptor ${group} marked uninitialized without feature set.\n`,
        question: 'Fix',
        action: 'takes that away',
        safe: true,
      });
      if (isMended) groups.clearUndueFlags(group);
    }
    if (groups.unusedInodes(group) > geometry.inodesPerGroup) {
      const found = groups.unusedInodes(group);
      const isMended = check.ask({
        code: 'ext-unused-inodes',
        structure: 'group descriptor',
        field: 'bg_itable_unused_lo',
        offset: groups.offsetOf(group) + 0x1c,
        found: `${found}`,
        expected: `at most ${geometry.inodesPerGroup}`,
        meaning: `Group ${group} should have ${found} unused inodes, and has ${geometry.inodesPerGroup} in all`,
        text: `Group descriptor ${group} has invalid unused inodes count ${found}.  `,
        question: 'Fix',
        action: 'takes none for unused',
        safe: true,
      });
      groups.setUnusedInodes(group, 0);
      if (isMended) groups.save(group);
    }
  }
  if (hasBadChecksum) check.observer.tell('One or more block group descriptor checksums are invalid.  \n');
}

function placed(
  check: ExtCheck,
  group: number,
  what: 'block bitmap' | 'inode bitmap' | 'inode table',
  block: number,
  length: number,
  start: number,
  end: number,
): void {
  if (block >= start && block + length <= end) return;
  const field = {
    'block bitmap': 'bg_block_bitmap_lo',
    'inode bitmap': 'bg_inode_bitmap_lo',
    'inode table': 'bg_inode_table_lo',
  }[what];
  check.ask({
    code: 'ext-group-place',
    severity: 'fatal',
    structure: 'group descriptor',
    field,
    offset: check.groups.offsetOf(group),
    found: `${block}`,
    expected: `a block from ${start} to ${end - length}`,
    meaning: `The ${what} of group ${group} should lie in block ${block}, which is not in the group: -b with a copy of the superblock may help`,
    text: `${what[0]!.toUpperCase()}${what.slice(1)} for group ${group} is not in group.  (block ${block})\n`,
    question: 'Relocate',
  });
  throw new CheckEnd(`the ${what} of group ${group} is misplaced`);
}

export function hex(value: number, digits = 8): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
