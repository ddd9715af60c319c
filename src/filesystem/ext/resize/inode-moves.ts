import { viewOf } from '../../../bytes/struct.ts';
import type { DirectoryReferences, NamingBlock } from './directory-references.ts';
import type { InodeEdits } from './inode-edits.ts';
import type { MovedInode } from './inode-scan.ts';
import { WriteStage } from './write-plan.ts';

/**
 * Gives inodes their new numbers, some at a time: the directories among them get their content, then the inodes come to life, then every entry is
 * led to them, then the old ones go. In between both exist with the same blocks, which e2fsck copies for one of them; `mostBlocks` is what
 * there is room for.
 */
export function planInodeMoves(
  moved: readonly MovedInode[],
  references: DirectoryReferences,
  edits: { readonly kept: InodeEdits; readonly old: InodeEdits },
  mostBlocks: number,
): WriteStage[] {
  const stages: WriteStage[] = [];
  const switched = new Set<number>();
  const records = new Map(moved.map((inode) => [inode.number, inode]));
  let before = new WriteStage();
  for (let first = 0; first < moved.length;) {
    let end = first;
    let blocks = 0;
    while (end < moved.length && (end === first || blocks + moved[end]!.blocks <= mostBlocks)) {
      blocks += moved[end++]!.blocks;
    }
    const part = moved.slice(first, end);
    const changed = new Set<NamingBlock>();
    for (const { number, newNumber } of part) {
      switched.add(number);
      for (const { block, at } of references.places.get(number) ?? []) {
        viewOf(block.bytes).setUint32(at, newNumber, true);
        changed.add(block);
      }
    }
    // Of those that come to life now or later, what is to be written already says so.
    const inInodes = part.flatMap(({ number, newNumber }) =>
      (references.inodePlaces.get(number) ?? []).map((place) => ({ ...place, newNumber })),
    );
    for (const { directory, at, newNumber } of inInodes) {
      const record = records.get(directory)?.record;
      if (record !== undefined) viewOf(record).setUint32(at, newNumber, true);
    }
    for (const { number, newNumber } of part) {
      for (const block of references.ofMoved.get(number) ?? []) {
        references.seal(block, newNumber);
        before.blocks.set(block.newBlock, block.bytes.slice());
        changed.delete(block);
      }
    }
    const alive = new WriteStage();
    for (const { newNumber, record } of part) {
      const { bytes, base } = edits.kept.edit(newNumber);
      bytes.set(record, base);
    }
    for (const [block, bytes] of edits.kept.take()) alive.blocks.set(block, bytes);
    const entries = new WriteStage();
    for (const block of changed) {
      const isSwitched = block.newDirectory === block.directory || switched.has(block.directory);
      references.seal(block, isSwitched ? block.newDirectory : block.directory);
      entries.blocks.set(isSwitched ? block.newBlock : block.oldBlock, block.bytes.slice());
    }
    for (const { directory, at, newNumber } of inInodes) {
      const inode = records.get(directory);
      const { view, base } =
        inode === undefined
          ? edits.kept.edit(directory)
          : switched.has(directory)
            ? edits.kept.edit(inode.newNumber)
            : edits.old.edit(directory);
      view.setUint32(base + at, newNumber, true);
    }
    for (const [block, bytes] of edits.kept.take()) entries.blocks.set(block, bytes);
    for (const [block, bytes] of edits.old.take()) entries.blocks.set(block, bytes);
    stages.push(before, alive, entries);
    before = new WriteStage();
    for (const { number, record } of part) {
      const { bytes, base } = edits.old.edit(number);
      bytes.fill(0, base, base + record.length);
    }
    for (const [block, bytes] of edits.old.take()) before.blocks.set(block, bytes);
    first = end;
  }
  stages.push(before);
  return stages;
}
