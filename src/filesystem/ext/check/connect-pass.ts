import { viewOf } from '../../../bytes/struct.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { ReadOnlyCompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { directorySeed, hasTail, PathFinder, writeTail } from './directory-blocks.ts';
import { layOutDirectories } from './directory-optimisation.ts';
import { isNameless } from './inode-pass.ts';
import { LostAndFound } from './lost-found.ts';
import { checkValueUses } from './value-check.ts';

/** From so many links on, a directory counts 1 and says no more. */
const MAX_LINKS = 65000;

/** Pass 3: every directory is reached from the root, and its `..` leads to where it is. */
export function checkConnections(check: ExtCheck): void {
  const { directoryList, directories, parents, dotdots } = check;
  if (!checkRoot(check)) return;
  const lost = new LostAndFound(check);
  const paths = new PathFinder(check);
  /** 1: reached from the root; else the number of the walk that came across it. */
  const marks = new Map<number, number>([[ReservedInode.root, 1]]);
  check.step(3, 0, directoryList.length);
  for (let index = 0; index < directoryList.length; index++) {
    check.step(3, index + 1, directoryList.length);
    const directory = directoryList.get(index);
    if (!directories.get(directory)) continue;
    const walk = index + 2;
    const trail: number[] = [];
    let at = directory;
    while (!marks.has(at)) {
      marks.set(at, walk);
      trail.push(at);
      const parent = parents.get(at);
      if (parent === 0 || marks.get(parent) === walk) {
        connect(check, lost, paths, at);
        break;
      }
      at = parent;
    }
    for (const passed of trail) marks.set(passed, 1);
  }
  for (let index = 0; index < directoryList.length; index++) {
    const directory = directoryList.get(index);
    if (!directories.get(directory)) continue;
    const parent = directory === ReservedInode.root ? directory : parents.get(directory);
    if (check.holed.get(directory) === true && parent !== 0) {
      dotdots.set(directory, parent);
      check.counted.set(parent, check.counted.get(parent) + 1);
      continue;
    }
    const dotdot = dotdots.get(directory);
    if (parent !== 0 && dotdot !== parent) checkDotdot(check, paths, directory, dotdot, parent);
  }
  layOutDirectories(check, paths, lost.directory);
}

function checkRoot(check: ExtCheck): boolean {
  if (check.usedInodes.get(ReservedInode.root) && check.types.get(ReservedInode.root) === 2) return true;
  const isUsed = check.usedInodes.get(ReservedInode.root);
  check.ask({
    code: 'ext-root',
    severity: 'damage',
    structure: 'inode',
    field: 'i_mode',
    offset: check.inodeOffset(ReservedInode.root),
    found: isUsed ? 'something else than a directory' : 'an inode that is not in use',
    expected: 'a directory',
    meaning: 'There is no root directory: no file can be reached by a name',
    text: isUsed ? 'Root inode is not a directory.  ' : 'Root inode not allocated.  ',
    question: isUsed ? 'Clear' : 'Allocate',
  });
  return false;
}

function connect(check: ExtCheck, lost: LostAndFound, paths: PathFinder, directory: number): void {
  const dotdot = check.dotdots.get(directory);
  const where = dotdot === 0 || !check.directories.get(dotdot) ? '...' : paths.pathOf(dotdot);
  const isMended = check.ask({
    code: 'ext-unconnected-directory',
    structure: 'inode',
    field: 'i_links_count',
    offset: check.inodeOffset(directory),
    found: 'a directory without a name',
    expected: 'a directory that is reached from the root',
    meaning: `Directory inode ${directory} has no name, so nothing in it can be reached`,
    text: `Unconnected directory inode ${directory} (was in ${where})\n`,
    question: 'Connect to /lost+found',
    action: `gives it the name #${directory} in /lost+found`,
    safe: true,
  });
  if (!isMended) return;
  const parent = lost.connect(directory);
  if (parent === undefined) return;
  // The name that it had was in a circle of directories: what led there is a second name now.
  check.parents.set(directory, parent);
  check.counted.set(directory, check.counted.get(directory) + 1);
}

function checkDotdot(
  check: ExtCheck,
  paths: PathFinder,
  directory: number,
  dotdot: number,
  parent: number,
): void {
  const isMended = check.ask({
    code: 'ext-dotdot',
    structure: 'directory entry',
    field: 'inode',
    found: `${dotdot}`,
    expected: `${parent}`,
    path: paths.pathOf(directory),
    meaning: `The entry .. of directory inode ${directory} leads to inode ${dotdot}, and the directory lies in inode ${parent}`,
    text: `'..' in ${paths.pathOf(directory)} (${directory}) is ${dotdot === 0 ? '<The NULL inode>' : paths.pathOf(dotdot)} (${dotdot}), should be ${paths.pathOf(parent)} (${parent}).\n`,
    question: 'Fix',
    action: `makes it lead to inode ${parent}`,
    safe: true,
  });
  if (!isMended) return;
  const { directoryBlocks, counted } = check;
  for (let index = 0; index < directoryBlocks.runCount; index++) {
    if (directoryBlocks.directoryOf(index) !== directory || directoryBlocks.positionOf(index) !== 0) continue;
    setDotdot(check, directory, directoryBlocks.blockOf(index), parent);
    counted.set(dotdot, Math.max(0, counted.get(dotdot) - 1));
    counted.set(parent, counted.get(parent) + 1);
    check.dotdots.set(directory, parent);
    return;
  }
}

function setDotdot(check: ExtCheck, directory: number, block: number, parent: number): void {
  if (block === 0) {
    const inode = check.readInode(directory);
    inode.setUint32(Inode.i_block.offset, parent, true);
    check.writeInode(directory, inode);
    return;
  }
  const bytes = new Uint8Array(check.geometry.blockSize);
  check.readBlock(block, bytes);
  const view = viewOf(bytes);
  const at = view.getUint16(4, true);
  if (at + 12 > bytes.length) return;
  view.setUint32(at, parent, true);
  if (check.seed !== undefined && hasTail(view)) writeTail(directorySeed(check, directory), bytes);
  check.writeBlock(block, bytes);
}

/** Pass 4: every inode has as many names as it counts. */
export function checkLinks(check: ExtCheck): void {
  const lost = new LostAndFound(check);
  const hasOverflow = (check.words.readOnlyCompatible & ReadOnlyCompatibleFeature.dir_nlink) !== 0;
  const { inodesPerGroup } = check.geometry;
  const groupCount = check.groups.count;
  check.step(4, 0, groupCount);
  let group = 0;
  const stepTo = (end: number): void => {
    while (group < end) check.step(4, ++group, groupCount);
  };
  check.usedInodes.each((number) => {
    stepTo(Math.floor((number - 1) / inodesPerGroup));
    const named = check.counted.get(number);
    if (named !== 0 && named === check.links.get(number)) return;
    if (number === 0 || isNameless(check, number)) return;
    const isDirectory = check.directories.get(number);
    let count = named;
    const links = check.links.get(number);
    const inode = count === 0 ? check.readInode(number) : undefined;
    if (inode !== undefined && (Inode.i_flags.get(inode, 0) & InodeFlag.eaInode) !== 0) {
      // It needs no name, and counts one.
      if (checkValueUses(check, number, inode)) count = 1;
    }
    if (count === 0 && !isDirectory) {
      count = unattached(check, lost, number, inode!);
      if (count === 0) return;
    }
    if (isDirectory && hasOverflow && count > MAX_LINKS) count = 1;
    if (links === count) return;
    const isMended = check.ask({
      code: 'ext-link-count',
      severity: 'warning',
      structure: 'inode',
      field: 'i_links_count',
      offset: check.inodeOffset(number) + Inode.i_links_count.offset,
      found: `${links}`,
      expected: `${count}`,
      meaning: `Inode ${number} counts ${links} names, and has ${count}`,
      text: `Inode ${number} ref count is ${links}, should be ${count}.  `,
      question: 'Fix',
      action: `writes ${count}`,
      safe: true,
    });
    if (!isMended) return;
    const view = check.readInode(number);
    Inode.i_links_count.set(view, 0, count);
    check.writeInode(number, view);
  });
  stepTo(groupCount);
}

/** A file without a name. Returns how many it has then. */
function unattached(check: ExtCheck, lost: LostAndFound, number: number, inode: DataView): number {
  const isEmpty = Inode.i_size_lo.get(inode, 0) === 0 && Inode.i_blocks_lo.get(inode, 0) === 0;
  const isMended = check.ask({
    code: 'ext-unattached-inode',
    structure: 'inode',
    field: 'i_links_count',
    offset: check.inodeOffset(number) + Inode.i_links_count.offset,
    found: 'no name',
    expected: 'a name in a directory',
    meaning: `Inode ${number} is in use but has no name${isEmpty ? ', and it is empty' : ', so its content cannot be reached'}`,
    text: isEmpty ? `Unattached zero-length inode ${number}.  ` : `Unattached inode ${number}\n`,
    question: isEmpty ? 'Clear' : 'Connect to /lost+found',
    action: isEmpty ? 'clears it' : `gives it the name #${number} in /lost+found`,
    safe: true,
  });
  if (!isMended) return 0;
  if (isEmpty) {
    check.clearInode(number);
    return 0;
  }
  if (lost.connect(number) === undefined) return 0;
  const flags = Inode.i_flags.get(inode, 0);
  if ((flags & InodeFlag.eaInode) !== 0) {
    // The value of an attribute that is gone: with a name it is an ordinary file.
    Inode.i_flags.set(inode, 0, flags & ~InodeFlag.eaInode);
    check.writeInode(number, inode);
  }
  return 1;
}
