import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { CompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import type { PathFinder } from './directory-blocks.ts';
import { DirectoryRepack } from './directory-repack.ts';
import { renameDuplicates } from './duplicate-names.ts';

/** From so many blocks on, a directory should have an index. */
const LONG = 3;

/**
 * Pass 3A: directories with names that are there twice, those whose index is wrong, and those that are to be optimised. One with a wrong index that cannot
 * have another goes without: then the next round gives its blocks the checksums of leaves.
 */
export function layOutDirectories(check: ExtCheck, paths: PathFinder, lostAndFound: number): void {
  const { duplicates, badIndexes, directories } = check;
  const wanted = new Set(duplicates);
  badIndexes.each((directory) => wanted.add(directory));
  for (const directory of check.holed.keys()) wanted.add(directory);
  const { all, listed } = optimisable(check, lostAndFound);
  for (const directory of all) wanted.add(directory);
  if (wanted.size === 0 && !listed) return;
  if (wanted.size > 0) check.begin('3A', 'Optimizing directories');
  else check.progress?.begin('3A');
  const repack = new DirectoryRepack(check, new Set([ReservedInode.root, lostAndFound]));
  const sorted = [...wanted].filter((directory) => directories.get(directory)).sort((a, b) => a - b);
  for (const [index, directory] of sorted.entries()) {
    const isRenamed = duplicates.has(directory) && renameDuplicates(check, directory, paths);
    const inode = check.readInode(directory);
    const flags = Inode.i_flags.get(inode, 0);
    // Other names belong into other leaves.
    const isWrong = badIndexes.get(directory) || (isRenamed && (flags & InodeFlag.index) !== 0);
    if (check.holed.has(directory)) repack.fillHoles(directory, inode);
    else if (isWrong || all.has(directory)) {
      if (repack.repack(directory, inode)) check.isRearranged ||= !isWrong;
      else if (isWrong) {
        Inode.i_flags.set(inode, 0, flags & ~InodeFlag.index);
        check.writeInode(directory, inode);
      }
    }
    check.progress?.directory(directory, index + 1, sorted.length);
  }
  check.end('3A');
}

/** Directories to optimise. `listed` tells whether the tool would have any on its list: for it, that is the pass. */
function optimisable(check: ExtCheck, lostAndFound: number): { all: ReadonlySet<number>; listed: boolean } {
  const { optimise } = check.options;
  const { directoryList, directoryTraits, directories, words } = check;
  const all = new Set<number>();
  if (optimise === undefined) return { all, listed: false };
  const hasIndexes = (words.compatible & CompatibleFeature.dir_index) !== 0;
  const counts = optimise === 'long' && hasIndexes ? countBlocks(check) : undefined;
  let listed = false;
  for (let index = 0; index < directoryList.length; index++) {
    const directory = directoryList.get(index);
    const flags = directoryTraits.get(2 * index);
    const isLong = (flags & InodeFlag.index) === 0 && (counts?.get(directory) ?? 0) >= LONG;
    if (!directories.get(directory) || (optimise === 'long' && !isLong)) continue;
    listed = true;
    if (directory !== lostAndFound || directory === ReservedInode.root) all.add(directory);
  }
  return { all, listed };
}

function countBlocks({ directoryBlocks }: ExtCheck): Map<number, number> {
  const counts = new Map<number, number>();
  for (let index = 0; index < directoryBlocks.runCount; index++) {
    const { directory, position, length } = directoryBlocks.run(index);
    if (position + length >= LONG) counts.set(directory, LONG);
  }
  return counts;
}
