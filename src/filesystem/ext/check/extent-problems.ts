import { Inode } from '../inode.ts';
import type { ExtCheck, Problem } from './context.ts';

/** What is wrong with an extent, in the words of the tool; `next` and `to` bound its position. */
export function extentFault(
  check: ExtCheck,
  key: number,
  length: number,
  physical: number,
  next: number,
  to: number,
): string | undefined {
  const { blockCount, firstDataBlock } = check.geometry;
  if (length === 0) return 'zero length extent';
  if (physical < firstDataBlock || physical + length > blockCount) return 'an invalid extent';
  if (key < next) return 'out of order extents';
  if (key + length > to) return 'an invalid extent';
  return undefined;
}

interface BadExtent {
  /** The first block of the file that it is for. */
  readonly key: number;
  readonly physical: number;
  readonly length: number;
  readonly offset: number;
}

export function extentProblem(
  check: ExtCheck,
  number: number,
  fault: string,
  { key, physical, length, offset }: BadExtent,
): Problem {
  const kind = fault === 'out of order extents' ? 'invalid logical block' : 'logical block';
  return {
    code: 'ext-extent',
    structure: 'extent',
    field: 'ee_start_lo',
    offset,
    found: `blocks ${physical} to ${physical + length - 1} for block ${key} of the file`,
    expected: `blocks below ${check.geometry.blockCount}, in the order of the file`,
    meaning: `Inode ${number} has ${fault} for its block ${key}: what lies there is lost`,
    text: `Inode ${number} has ${fault}\n\t(${kind} ${key}, physical block ${physical}, len ${length})\n`,
    question: 'Clear',
    action: `removes the extent of ${length} blocks`,
  };
}

interface BadNode {
  readonly child: number;
  readonly key: number;
  readonly depth: number;
  readonly offset: number;
}

export function nodeProblem(
  check: ExtCheck,
  number: number,
  { child, key, depth, offset }: BadNode,
): Problem {
  return {
    code: 'ext-extent-node',
    structure: 'extent index',
    field: 'ei_leaf_lo',
    offset,
    found: `${child}`,
    expected: `a block below ${check.geometry.blockCount}, in the order of the file`,
    meaning: `The extent tree of inode ${number} leads to block ${child} at level ${depth}, where no node can be`,
    text: `Inode ${number} has an invalid extent node (blk ${child}, lblk ${key})\n`,
    question: 'Clear',
    action: `clears inode ${number}`,
  };
}

/** Blocks of an extent that are listed. */
const MAX_LISTED = 1000;

/** Tells of an extent whose blocks are not where their clusters want them, and has it moved as what is in use twice. */
export function reportMisaligned(
  check: ExtCheck,
  number: number,
  key: number,
  physical: number,
  length: number,
): void {
  let text = '';
  for (let index = 0; index < Math.min(length, MAX_LISTED); index++)
    text += `Inode ${number} logical block ${key + index} (physical block ${physical + index}) violates cluster allocation rules.\nWill fix in pass 1B.\n`;
  const ratio = check.geometry.blocksPerCluster;
  check.ask({
    code: 'ext-cluster',
    structure: 'extent',
    field: 'ee_start_lo',
    offset: check.inodeOffset(number) + Inode.i_block.offset,
    found: `block ${physical} for block ${key} of the file`,
    expected: `the block ${key % ratio} of a cluster, in the cluster of its neighbours in the file`,
    meaning: `Inode ${number} has its blocks ${key} to ${key + length - 1} where its clusters of ${ratio} blocks do not allow it`,
    text,
  });
  check.misaligned.add(number);
  for (let bit = check.bitOf(physical); bit <= check.bitOf(physical + length - 1); bit++) check.share(bit);
}
