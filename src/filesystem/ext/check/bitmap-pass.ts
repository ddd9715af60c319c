import { crc32c } from '../../../bytes/crc32c.ts';
import { GroupFlag } from '../group-descriptor.ts';
import type { ExtCheck } from './context.ts';
import { Differences } from './bitmap-differences.ts';
import { checkCounts } from './count-check.ts';
import { hex } from './superblock-pass.ts';

interface Which {
  readonly name: 'block' | 'inode';
  readonly title: 'Block' | 'Inode';
  readonly bits: number;
  /** Blocks or inodes a bit. */
  readonly unit: number;
  readonly bitmapOf: (group: number) => number;
  readonly bitsOf: (group: number) => number;
  /** Copies what should be in use in the group. */
  readonly copy: (group: number, into: Uint8Array) => void;
  readonly isUninitialised: (group: number) => boolean;
  /** Groups whose bitmap did not have its checksum. */
  readonly unsealed: number[];
  /** What to add to a bit of a group, for the number that people see. */
  readonly firstOf: (group: number) => number;
}

/** Pass 5: bitmaps and counts against what was found. Returns how many blocks are in use. */
export function checkSummary(check: ExtCheck): { usedBlocks: number; usedInodes: number } {
  const { geometry, groups } = check;
  const blocks: Which = {
    name: 'block',
    title: 'Block',
    bits: geometry.blocksPerGroup / geometry.blocksPerCluster,
    unit: geometry.blocksPerCluster,
    unsealed: [],
    bitmapOf: (group) => groups.blockBitmap(group),
    bitsOf: (group) => groups.clustersOf(group),
    copy: (group, into) =>
      check.foundBlocks.copy((group * geometry.blocksPerGroup) / geometry.blocksPerCluster, into),
    isUninitialised: (group) => groups.hasFlag(group, 'blocksUninitialised'),
    firstOf: (group) => geometry.firstDataBlock + group * geometry.blocksPerGroup,
  };
  const perGroup = geometry.inodesPerGroup;
  const inodes: Which = {
    name: 'inode',
    title: 'Inode',
    bits: perGroup,
    unit: 1,
    unsealed: [],
    bitmapOf: (group) => groups.inodeBitmap(group),
    bitsOf: () => perGroup,
    copy: (group, into) => copyInodes(check, group, into),
    isUninitialised: (group) => groups.hasFlag(group, 'inodesUninitialised'),
    firstOf: (group) => group * perGroup + 1,
  };
  check.step(5, 0, 2 * groups.count);
  const usedBlocks = compareBitmaps(check, blocks);
  const usedInodes = compareBitmaps(check, inodes);
  const freeBlocks = checkCounts(check, usedBlocks, usedInodes);
  for (const which of [blocks, inodes]) checkSeals(check, which);
  return {
    usedBlocks: geometry.blockCount - geometry.firstDataBlock - freeBlocks,
    usedInodes: sum(usedInodes),
  };
}

/** Reserved inodes are in use, whatever they hold. */
function copyInodes(check: ExtCheck, group: number, into: Uint8Array): void {
  const { inodesPerGroup, firstInode } = check.geometry;
  const first = group * inodesPerGroup + 1;
  // Inode numbers start at 1: bit i is inode first + i.
  if (inodesPerGroup % 8 === 0) {
    const shifted = new Uint8Array(into.length + 1);
    check.usedInodes.copy(first - 1, shifted);
    for (let i = 0; i < into.length; i++) into[i] = (shifted[i]! >> 1) | ((shifted[i + 1]! & 1) << 7);
  } else {
    into.fill(0);
    for (let bit = 0; bit < inodesPerGroup; bit++)
      if (check.usedInodes.get(first + bit)) into[bit >> 3]! |= 1 << (bit & 7);
  }
  const past = into.length * 8 - inodesPerGroup;
  if (past > 0) into[into.length - 1]! &= 0xff >> past;
  for (let number = first; number < firstInode && number < first + inodesPerGroup; number++)
    into[(number - first) >> 3]! |= 1 << ((number - first) & 7);
}

/** Used bits of each group as they were found. */
function compareBitmaps(check: ExtCheck, which: Which): Float64Array {
  const { groups, geometry, seed } = check;
  const length = Math.ceil(which.bits / 8);
  // As long as whole words are: they are compared and counted word by word.
  const wanted = new Uint8Array(Math.ceil(length / 4) * 4);
  const wantedPart = wanted.subarray(0, length);
  const wantedWords = new Int32Array(wanted.buffer);
  const stored = new Uint8Array(geometry.blockSize);
  const storedWords = new Int32Array(stored.buffer);
  const counts = new Float64Array(groups.count);
  const differences = new Differences();
  const wrongGroups: number[] = [];
  let isPaddingWrong = false;
  let own: OwnBlocks | undefined;
  for (let group = 0; group < groups.count; group++) {
    check.step(5, (which.name === 'block' ? 0 : groups.count) + group + 1, 2 * groups.count);
    which.copy(group, wantedPart);
    counts[group] = popcount(wantedWords);
    if (which.isUninitialised(group)) {
      // What is not initialised is what the format itself needs, and nothing else.
      stored.fill(0);
      if (which.name === 'block') markOwn(check, (own ??= findOwnBlocks(check)), group, stored);
    } else {
      check.readBlock(which.bitmapOf(group), stored);
      if (seed !== undefined && !isSealed(check, which, group, stored)) which.unsealed.push(group);
    }
    const bits = which.bitsOf(group);
    const isMoved =
      which.name === 'block' && check.movedCount > 0 && settleMoved(check, group, wanted, stored);
    if (isMoved && !differs(wantedWords, storedWords, bits)) {
      writeBitmap(check, which, group, wantedPart);
      continue;
    }
    if (!differs(wantedWords, storedWords, bits)) {
      if (!which.isUninitialised(group) && !isPadded(stored, which.bits === bits ? which.bits : bits)) {
        isPaddingWrong = true;
        wrongGroups.push(group);
      }
      continue;
    }
    wrongGroups.push(group);
    differences.add(wanted, stored, bits, which.firstOf(group), which.unit);
  }
  if (differences.count === 0 && !isPaddingWrong) return counts;
  const isMended = check.ask({
    code: `ext-${which.name}-bitmap`,
    severity: 'warning',
    structure: `${which.name} bitmap`,
    field: 'bits',
    offset: which.bitmapOf(wrongGroups[0]!) * geometry.blockSize,
    found: differences.count === 0 ? 'padding that is not set' : `${differences.count} bits that are wrong`,
    expected: `the bits of what is in use`,
    meaning:
      differences.count === 0
        ? `The bits behind the last ${which.name} are not set`
        : `The ${which.name} bitmaps are wrong about ${differences.count} ${which.name}s: ${differences.unmarked} in use are called free, ${differences.count - differences.unmarked} free ones in use`,
    text:
      differences.count === 0
        ? `Padding at end of ${which.name} bitmap is not set. `
        : `${which.title} bitmap differences: ${differences.text()}\n`,
    question: 'Fix',
    action: 'writes the bitmaps anew',
    safe: true,
  });
  if (isMended) for (const group of wrongGroups) writeBitmap(check, which, group, wantedPart);
  return counts;
}

/** Takes over the bits of blocks that the check has moved itself. Returns whether there are any. */
function settleMoved(check: ExtCheck, group: number, wanted: Uint8Array, stored: Uint8Array): boolean {
  const perGroup = check.geometry.blocksPerGroup / check.geometry.blocksPerCluster;
  const moved = new Uint8Array(Math.ceil(perGroup / 8));
  check.movedBlocks.copy(group * perGroup, moved);
  let isAny = false;
  for (const [at, mask] of moved.entries()) {
    if (mask === 0) continue;
    isAny = true;
    stored[at] = (stored[at]! & ~mask) | (wanted[at]! & mask);
  }
  return isAny;
}

function writeBitmap(check: ExtCheck, which: Which, group: number, buffer: Uint8Array): void {
  const { groups, geometry } = check;
  which.copy(group, buffer);
  const block = new Uint8Array(geometry.blockSize).fill(0xff);
  block.set(buffer);
  const bits = which.bitsOf(group);
  for (let bit = bits; bit < Math.min(block.length * 8, Math.ceil(which.bits / 8) * 8); bit++)
    block[bit >> 3]! |= 1 << (bit & 7);
  check.writeBlock(which.bitmapOf(group), block);
  const flag = which.name === 'block' ? GroupFlag.blocksUninitialised : GroupFlag.inodesUninitialised;
  groups.setFlags(group, groups.flags(group) & ~flag);
  if (check.seed !== undefined) groups.setBitmapChecksum(group, which.name, sealOf(check, which, block));
  groups.save(group);
}

/** Blocks of the format itself that lie in the group. */
function markOwn(check: ExtCheck, own: OwnBlocks, group: number, bitmap: Uint8Array): void {
  const { groups, geometry } = check;
  const start = geometry.firstDataBlock + group * geometry.blocksPerGroup;
  const end = start + groups.blocksOf(group);
  const firstBit = check.bitOf(start);
  const mark = (first: number, length: number): void => {
    for (let block = Math.max(first, start); block < Math.min(first + length, end); block++) {
      const bit = check.bitOf(block) - firstBit;
      bitmap[bit >> 3]! |= 1 << (bit & 7);
    }
  };
  groups.ownRuns(group, mark);
  const runs = own.get(group) ?? [];
  for (let index = 0; index < runs.length; index += 2) mark(runs[index]!, runs[index + 1]!);
}

/** Of each group, which bitmaps and tables lie in it: block and length in turn. With flexible groups they may be those of any group. */
type OwnBlocks = ReadonlyMap<number, readonly number[]>;

function findOwnBlocks({ groups, geometry }: ExtCheck): OwnBlocks {
  const found = new Map<number, number[]>();
  const add = (block: number, length: number): void => {
    const first = Math.floor((block - geometry.firstDataBlock) / geometry.blocksPerGroup);
    const last = Math.floor((block + length - 1 - geometry.firstDataBlock) / geometry.blocksPerGroup);
    for (let group = first; group <= last; group++) {
      const runs = found.get(group);
      if (runs === undefined) found.set(group, [block, length]);
      else runs.push(block, length);
    }
  };
  for (let group = 0; group < groups.count; group++) {
    add(groups.blockBitmap(group), 1);
    add(groups.inodeBitmap(group), 1);
    add(groups.inodeTable(group), geometry.inodeTableBlocks);
  }
  return found;
}

function differs(wanted: Int32Array, stored: Int32Array, bits: number): boolean {
  const whole = bits >>> 5;
  for (let i = 0; i < whole; i++) if (wanted[i] !== stored[i]) return true;
  const rest = bits & 31;
  return rest !== 0 && ((wanted[whole]! ^ stored[whole]!) & LOW_BITS[rest]!) !== 0;
}

function isPadded(stored: Uint8Array, bits: number): boolean {
  const rest = bits & 7;
  let at = bits >>> 3;
  if (rest !== 0 && (stored[at++]! | ((1 << rest) - 1)) !== 0xff) return false;
  for (; at < stored.length; at++) if (stored[at] !== 0xff) return false;
  return true;
}

/** The lowest bits of a word on disk, as this machine reads it. */
const LOW_BITS = new Int32Array(
  Uint8Array.from({ length: 128 }, (_, at) => (1 << Math.max(0, Math.min(8, (at >> 2) - 8 * (at & 3)))) - 1)
    .buffer,
);

/** The checksums of bitmaps, which are in the descriptors: what was wrong and has not been written since. */
function checkSeals(check: ExtCheck, which: Which): void {
  const { groups, geometry, seed } = check;
  if (seed === undefined) return;
  const bytes = new Uint8Array(geometry.blockSize);
  for (const group of which.unsealed) {
    check.readBlock(which.bitmapOf(group), bytes);
    if (isSealed(check, which, group, bytes)) continue;
    const expected = sealOf(check, which, bytes);
    const found = groups.bitmapChecksum(group, which.name);
    const isMended = check.ask({
      code: `ext-${which.name}-bitmap-checksum`,
      severity: 'warning',
      structure: 'group descriptor',
      field: `bg_${which.name}_bitmap_csum_lo`,
      offset: groups.offsetOf(group) + (which.name === 'block' ? 0x18 : 0x1a),
      found: hex(found),
      expected: hex(expected),
      meaning: `The ${which.name} bitmap of group ${group} does not have its checksum`,
      text: `Group ${group} ${which.name} bitmap does not match checksum.\n`,
      action: 'writes the checksum',
      safe: true,
    });
    if (!isMended) continue;
    groups.setBitmapChecksum(group, which.name, expected);
    groups.save(group);
  }
}

function isSealed(check: ExtCheck, which: Which, group: number, bitmap: Uint8Array): boolean {
  return check.groups.bitmapChecksum(group, which.name) === sealOf(check, which, bitmap);
}

function sealOf({ seed, geometry }: ExtCheck, which: Which, bitmap: Uint8Array): number {
  const whole = crc32c(seed!, bitmap, 0, which.bits >>> 3);
  return geometry.descriptorSize >= 64 ? whole : whole & 0xffff;
}

function popcount(words: Int32Array): number {
  let count = 0;
  for (let i = 0; i < words.length; i++) {
    let word = words[i]!;
    if (word === 0) continue;
    word -= (word >>> 1) & 0x5555_5555;
    word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333);
    word = (word + (word >>> 4)) & 0x0f0f_0f0f;
    count += Math.imul(word, 0x0101_0101) >>> 24;
  }
  return count;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
