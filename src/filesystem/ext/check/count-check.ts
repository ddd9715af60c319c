import { Superblock, SUPERBLOCK_OFFSET } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { writeSuperblock } from './superblock-pass.ts';

/** The counts in the superblock and in the descriptors, against what was found: bits of the bitmaps. Returns how many blocks are free. */
export function checkCounts(check: ExtCheck, usedBlocks: Float64Array, usedInodes: Float64Array): number {
  const { groups, geometry, superblock } = check;
  const changed = new Set<number>();
  let freeBlocks = 0;
  let freeInodes = 0;
  const directories = countDirectories(check);
  for (let group = 0; group < groups.count; group++) {
    // The descriptors count clusters, the superblock blocks.
    const blocks = groups.clustersOf(group) - usedBlocks[group]!;
    freeBlocks += blocks * geometry.blocksPerCluster;
    const found = groups.freeBlocks(group);
    // e2fsck compares 16 bits where descriptors have no more.
    if (
      found !== blocks &&
      groupCount(check, group, 'Free blocks', 'bg_free_blocks_count_lo', 0x0c, found, blocks)
    ) {
      groups.setFreeBlocks(group, blocks);
      changed.add(group);
    }
  }
  superCount(check, 'Free blocks', 's_free_blocks_count_lo', freeBlocksOf(check), freeBlocks);
  for (let group = 0; group < groups.count; group++) {
    const inodes = geometry.inodesPerGroup - usedInodes[group]!;
    freeInodes += inodes;
    const found = groups.freeInodes(group);
    if (
      found !== inodes &&
      groupCount(check, group, 'Free inodes', 'bg_free_inodes_count_lo', 0x0e, found, inodes)
    ) {
      groups.setFreeInodes(group, inodes);
      changed.add(group);
    }
    const count = groups.usedDirectories(group);
    if (
      count !== directories[group] &&
      groupCount(check, group, 'Directories', 'bg_used_dirs_count_lo', 0x10, count, directories[group]!)
    ) {
      groups.setUsedDirectories(group, directories[group]!);
      changed.add(group);
    }
  }
  superCount(
    check,
    'Free inodes',
    's_free_inodes_count',
    Superblock.s_free_inodes_count.get(superblock, 0),
    freeInodes,
  );
  for (const group of changed) groups.save(group);
  return freeBlocks;
}

function countDirectories(check: ExtCheck): Float64Array {
  const counts = new Float64Array(check.groups.count);
  check.directories.each((number) => {
    counts[Math.floor((number - 1) / check.geometry.inodesPerGroup)]!++;
  });
  return counts;
}

function freeBlocksOf({ superblock, geometry }: ExtCheck): number {
  const high = geometry.has64bit ? Superblock.s_free_blocks_count_hi.get(superblock, 0) : 0;
  return Superblock.s_free_blocks_count_lo.get(superblock, 0) + high * 0x1_0000_0000;
}

function groupCount(
  check: ExtCheck,
  group: number,
  what: string,
  field: string,
  within: number,
  found: number,
  counted: number,
): boolean {
  return check.ask({
    code: 'ext-group-count',
    severity: 'warning',
    structure: 'group descriptor',
    field,
    offset: check.groups.offsetOf(group) + within,
    found: `${found}`,
    expected: `${counted}`,
    meaning: `Group ${group} counts ${found} ${what.toLowerCase()}, and has ${counted}`,
    text: `${what} count wrong for group #${group} (${found}, counted=${counted}).\n`,
    question: 'Fix',
    action: `writes ${counted}`,
    safe: true,
  });
}

function superCount(
  check: ExtCheck,
  what: 'Free blocks' | 'Free inodes',
  field: 's_free_blocks_count_lo' | 's_free_inodes_count',
  found: number,
  counted: number,
): void {
  if (found === counted) return;
  const isMended = check.ask({
    code: 'ext-count',
    severity: 'warning',
    structure: 'superblock',
    field,
    offset: SUPERBLOCK_OFFSET + Superblock[field].offset,
    found: `${found}`,
    expected: `${counted}`,
    meaning: `The superblock counts ${found} ${what.toLowerCase()}, and there are ${counted}`,
    text: `${what} count wrong (${found}, counted=${counted}).\n`,
    question: 'Fix',
    action: `writes ${counted}`,
    safe: true,
  });
  if (!isMended) return;
  Superblock[field].set(check.superblock, 0, counted % 0x1_0000_0000);
  if (field === 's_free_blocks_count_lo' && check.geometry.has64bit)
    Superblock.s_free_blocks_count_hi.set(check.superblock, 0, Math.floor(counted / 0x1_0000_0000));
  writeSuperblock(check);
}
