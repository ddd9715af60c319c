import type { FatCheck } from './context.ts';
import { checkChain, checkRootChain } from './chain-pass.ts';
import {
  type CheckedDirectory,
  type CheckedEntry,
  dropEntry,
  joinPath,
  nameOf,
  readDirectory,
  shortNameOf,
  startClusterOf,
} from './directory-reader.ts';
import { checkDots } from './dots-pass.ts';
import { CheckedFiles } from './files.ts';
import { nameOf as shortNameOfSlot } from './named-files.ts';
import { checkNames, isDirectory, isDot } from './names-pass.ts';

/** A directory that is still to be gone through. */
interface Pending {
  readonly directory: CheckedDirectory;
  readonly index: number;
}

/**
 * Goes through all directories, each before those in it and its files before its directories, and gives every cluster to the file that
 * comes first. Without recursion; a directory is entered once, since its clusters are its own. Returns the number of files.
 */
export function checkTree(check: FatCheck): number {
  const files = new CheckedFiles(check.device, check.codePage);
  const { geometry } = check;
  const rootCluster = geometry.type === 'fat32' ? geometry.rootCluster : 0;
  if (rootCluster !== 0) {
    check.options.onFile?.('/');
    checkRootChain(check, files);
  } else files.add(-1, 0);
  const pending: Pending[] = [
    { directory: { path: '/', shortPath: '', startCluster: rootCluster, parent: undefined }, index: 1 },
  ];
  let fileCount = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { directory } = next;
    if (directory.parent !== undefined) checkDots(check, directory);
    const entries = readDirectory(check, directory);
    for (const entry of entries) {
      entry.index = files.add(entry.offset, next.index);
      if (!isDot(directory, entry)) fileCount++;
    }
    checkNames(check, directory, entries);
    const below: Pending[] = [];
    for (const entry of entries) {
      if (entry.isDropped || isDot(directory, entry)) continue;
      const path = joinPath(directory.path, nameOf(entry, check.codePage));
      if (isWanted(check, path)) {
        dropEntry(check, entry);
        check.observer.tell(`Dropping ${path}\n`);
        check.named.markDropped(path);
        continue;
      }
      tellFile(check, entry, path);
      checkChain(check, files, directory, entry, path);
      if (entry.isDropped || !isDirectory(entry)) continue;
      const startCluster = startClusterOf(entry, geometry);
      // A directory that has lost its first cluster to another file has nothing left to go through.
      if (startCluster === 0 || check.owners.get(startCluster) !== entry.index) continue;
      const shortPath = joinShort(directory.shortPath, entry.raw);
      below.push({
        directory: { path, shortPath, startCluster, parent: directory },
        index: entry.index,
      });
    }
    for (const child of below.reverse()) pending.push(child);
  }
  return fileCount;
}

function joinShort(folder: string, raw: Uint8Array): string {
  return folder === '' ? shortNameOfSlot(raw) : `${folder}/${shortNameOfSlot(raw)}`;
}

function tellFile(check: FatCheck, entry: CheckedEntry, path: string): void {
  if (check.options.onFile === undefined) return;
  const alias = entry.longName === undefined ? '' : ` (${shortNameOf(entry.raw, check.codePage)})`;
  check.options.onFile(`${path}${alias}`);
}

function isWanted(check: FatCheck, path: string): boolean {
  return check.options.drop?.some((wanted) => wanted.toUpperCase() === path.toUpperCase()) ?? false;
}
