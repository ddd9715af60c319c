import { viewOf } from '../../../bytes/struct.ts';
import { Inode, InodeFlag } from '../inode.ts';
import type { ExtCheck } from './context.ts';
import { childOf, ExtentHeader, lengthOf, startOf } from '../extent-node.ts';

/** Blocks of one inode that are listed. */
const MAX_LISTED = 100;

/** Pass 1B to 1D: which inodes have blocks that are in use twice. All but the first of each block have to go. */
export function checkShared(check: ExtCheck): void {
  if (check.sharedCount === 0) return;
  check.observer.tell(
    '\nRunning additional passes to resolve blocks claimed by more than one inode...\nPass 1B: Rescanning for multiply-claimed blocks\n',
  );
  const first = check.geometry.firstDataBlock;
  const owners = new Map<number, number>();
  check.usedInodes.each((number) => {
    const shared: number[] = [];
    eachBlock(check, number, (start, length) => {
      for (let block = start; block < start + length; block++) {
        if (check.sharedBlocks.get(block - first)) shared.push(block);
      }
    });
    if (shared.length === 0) return;
    const isFirst = shared.every((block) => !owners.has(block));
    for (const block of shared) if (!owners.has(block)) owners.set(block, number);
    const list = shared
      .slice(0, MAX_LISTED)
      .map((block) => ` ${block}`)
      .join('');
    const others = isFirst ? 'other structures' : `inode ${owners.get(shared[0]!)!} or others`;
    const isMended = check.ask({
      code: 'ext-shared-blocks',
      structure: 'inode',
      field: 'i_block',
      offset: check.inodeOffset(number) + Inode.i_block.offset,
      found: `${shared.length} blocks that are in use twice, the first ${shared[0]!}`,
      expected: 'blocks of its own',
      meaning: `Inode ${number} shares ${shared.length} blocks with ${others}: at least one of them has lost content`,
      text: `Multiply-claimed block(s) in inode ${number}:${list}\n`,
      // The first keeps them, unless they belong to the format itself.
      ...((!isFirst || ownedByFormat(check, shared)) && {
        question: 'Delete file',
        action: `gives up inode ${number}; whoever came first keeps the blocks`,
      }),
    });
    if (isMended && number >= check.geometry.firstInode) check.clearInode(number);
  });
}

function ownedByFormat(check: ExtCheck, blocks: readonly number[]): boolean {
  const { groups, geometry } = check;
  let isOwned = false;
  const wanted = new Set(blocks);
  const mark = (start: number, length: number): void => {
    for (let block = start; block < start + length && !isOwned; block++) isOwned = wanted.has(block);
  };
  for (let group = 0; group < groups.count && !isOwned; group++) {
    groups.ownRuns(group, mark);
    mark(groups.blockBitmap(group), 1);
    mark(groups.inodeBitmap(group), 1);
    mark(groups.inodeTable(group), geometry.inodeTableBlocks);
  }
  return isOwned;
}

/** Every run of blocks of an inode, those of its map with them; a node is entered once. */
function eachBlock(check: ExtCheck, number: number, visit: (start: number, length: number) => void): void {
  const inode = check.readInode(number);
  const flags = Inode.i_flags.get(inode, 0);
  const type = check.types.get(number);
  const size = Inode.i_size_lo.get(inode, 0);
  if ((flags & InodeFlag.inlineData) !== 0) return;
  if (type > 2 && (type !== 7 || ((flags & InodeFlag.extents) === 0 && size < 60))) return;
  const entered = new Set<number>();
  if ((flags & InodeFlag.extents) !== 0) eachExtent(check, inode, Inode.i_block.offset, visit, entered);
  else eachPointer(check, inode, visit, entered, number === 7);
}

function eachExtent(
  check: ExtCheck,
  root: DataView,
  start: number,
  visit: (start: number, length: number) => void,
  entered: Set<number>,
): void {
  const pending: { view: DataView; start: number }[] = [{ view: root, start }];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const { view } = node;
    const depth = ExtentHeader.eh_depth.get(view, node.start);
    const room = Math.floor((view.byteLength - node.start) / 12) - 1;
    const count = Math.min(ExtentHeader.eh_entries.get(view, node.start), room);
    for (let index = 0; index < count; index++) {
      const at = node.start + 12 * (index + 1);
      if (depth === 0) {
        const physical = startOf(view, at);
        const length = lengthOf(view, at);
        if (check.isDataBlock(physical) && check.isDataBlock(physical + length - 1)) visit(physical, length);
        continue;
      }
      const child = childOf(view, at);
      if (!check.isDataBlock(child)) continue;
      visit(child, 1);
      if (entered.has(child) || depth > 5) continue;
      entered.add(child);
      const bytes = new Uint8Array(check.geometry.blockSize);
      check.readBlock(child, bytes);
      const below = viewOf(bytes);
      if (ExtentHeader.eh_magic.get(below, 0) === 0xf30a && ExtentHeader.eh_depth.get(below, 0) === depth - 1)
        pending.push({ view: below, start: 0 });
    }
  }
}

function eachPointer(
  check: ExtCheck,
  inode: DataView,
  visit: (start: number, length: number) => void,
  entered: Set<number>,
  isResize: boolean,
): void {
  const pending: { block: number; level: number }[] = [];
  const take = (block: number, level: number): void => {
    if (block === 0 || !check.isDataBlock(block)) return;
    // What the resize inode leads to belongs to the descriptors.
    if (!isResize || level === 2) visit(block, 1);
    if (level > 0 && !entered.has(block)) {
      entered.add(block);
      pending.push({ block, level });
    }
  };
  for (let slot = 0; slot < 15; slot++)
    take(inode.getUint32(Inode.i_block.offset + 4 * slot, true), slot < 12 ? 0 : slot - 11);
  const bytes = new Uint8Array(check.geometry.blockSize);
  const view = viewOf(bytes);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    check.readBlock(next.block, bytes);
    for (let at = 0; at < bytes.length; at += 4) take(view.getUint32(at, true), next.level - 1);
  }
}
