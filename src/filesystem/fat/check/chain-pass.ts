import { type CheckFinding, counted, LEAVE, unasked } from '../../check.ts';
import { ShortEntry } from '../directory-entry.ts';
import { choice, type FatCheck, giveUp } from './context.ts';
import {
  type CheckedDirectory,
  type CheckedEntry,
  dropEntry,
  setStartCluster,
  startClusterOf,
  writeEntry,
} from './directory-reader.ts';
import type { CheckedFiles } from './files.ts';
import { isDirectory } from './names-pass.ts';
import { skipUnreadable } from './unreadable-clusters.ts';

const MAX_SIZE = 0xffffffff;

/** A file whose chain is checked. The root of FAT32 has no entry. */
interface CheckedFile {
  readonly index: number;
  readonly path: string;
  readonly entry: CheckedEntry | undefined;
  readonly isDirectory: boolean;
}

/** The chain of the root of FAT32. */
export function checkRootChain(check: FatCheck, files: CheckedFiles): void {
  const { geometry, table, observer } = check;
  const { rootCluster } = geometry;
  const index = files.add(-1, 0);
  if (rootCluster === 1 || rootCluster > table.lastCluster) {
    const details =
      rootCluster === 1
        ? '(bad start cluster 1)'
        : `(start cluster beyond limit: ${rootCluster} > ${table.lastCluster})`;
    giveUp(observer, {
      code: 'fat-root-start',
      structure: 'boot sector',
      field: 'BPB_RootClus',
      offset: 0x02c,
      found: `${rootCluster}`,
      expected: `a cluster from 2 to ${table.lastCluster}`,
      path: '/',
      meaning: `The root directory should start at cluster ${rootCluster}, and clusters go from 2 to ${table.lastCluster}`,
      toolText: `Bad FAT32 root directory! ${details}\n`,
    });
  }
  if (check.options.testsClusters === true && skipUnreadable(check, '/', rootCluster) !== rootCluster) {
    giveUp(observer, {
      code: 'fat-root-start',
      structure: 'boot sector',
      field: 'BPB_RootClus',
      offset: 0x02c,
      found: `${rootCluster}`,
      expected: 'a cluster that can be read',
      path: '/',
      meaning: `The root directory starts at cluster ${rootCluster}, which cannot be read`,
      toolText: 'FAT32 root dir starts with a bad cluster!\n',
    });
  }
  claimChain(check, files, { index, path: '/', entry: undefined, isDirectory: true }, rootCluster);
}

/** Everything about one entry that is not its name: where it starts, its chain, its size. */
export function checkChain(
  check: FatCheck,
  files: CheckedFiles,
  directory: CheckedDirectory,
  entry: CheckedEntry,
  path: string,
): void {
  const file: CheckedFile = { index: entry.index, path, entry, isDirectory: isDirectory(entry) };
  if (file.isDirectory && !checkDirectoryStart(check, directory, entry, path)) return;
  let start = startClusterOf(entry, check.geometry);
  if (start === 1 || start > check.table.lastCluster) {
    const chosen = reportStart(check, entry, path, start);
    if (chosen !== LEAVE) {
      setStartCluster(entry, check.geometry, 0);
      writeEntry(check, entry);
    }
    start = 0;
  }
  if (check.options.testsClusters === true && start !== 0) {
    const readable = skipUnreadable(check, path, start);
    if (readable !== start) {
      setStartCluster(entry, check.geometry, readable);
      writeEntry(check, entry);
      start = readable;
    }
  }
  const clusterCount = start === 0 ? 0 : claimChain(check, files, file, start);
  if (!file.isDirectory) checkSize(check, entry, path, clusterCount);
}

function checkDirectoryStart(
  check: FatCheck,
  directory: CheckedDirectory,
  entry: CheckedEntry,
  path: string,
): boolean {
  const size = ShortEntry.DIR_FileSize.get(entry.view, 0);
  if (size !== 0) {
    const chosen = check.observer.report({
      ...base(entry, 'DIR_FileSize', 0x1c, path),
      code: 'fat-directory-size',
      severity: 'warning',
      found: `${size}`,
      expected: '0',
      meaning: `The directory ${path} has a size of ${size} bytes; directories have none`,
      toolText: `${path}\n  Directory has non-zero size. Fixing it.\n`,
      mend: unasked('sets its size to 0'),
    });
    if (chosen !== LEAVE) {
      ShortEntry.DIR_FileSize.set(entry.view, 0, 0);
      writeEntry(check, entry);
    }
  }
  const start = startClusterOf(entry, check.geometry);
  const parent = directory.startCluster;
  const above = directory.parent?.startCluster;
  let text: string | undefined;
  let where = '';
  if (start === 0) {
    [text, where] = [' Start does point to root directory. Deleting dir. \n', 'the root directory'];
  } else if (start === parent) {
    [text, where] = [
      ' Start does point to containing directory. Deleting entry.\n',
      'the directory that it is in',
    ];
  } else if (start === above) {
    [text, where] = [
      " Start does point to containing directory's parent. Deleting entry.\n",
      'the directory above the one that it is in',
    ];
  }
  if (text === undefined) return true;
  const chosen = check.observer.report({
    ...base(entry, 'DIR_FstClusLO', 0x1a, path),
    code: 'fat-directory-start',
    severity: 'damage',
    found: `${start}`,
    expected: 'a cluster of its own',
    meaning: `The directory ${path} starts at cluster ${start}, which is that of ${where}`,
    toolText: `${path}\n${text}`,
    mend: unasked('removes the entry', false),
  });
  if (chosen !== LEAVE) dropEntry(check, entry);
  return false;
}

function reportStart(check: FatCheck, entry: CheckedEntry, path: string, start: number): number {
  const { lastCluster } = check.table;
  const text =
    start === 1 ? 'Bad start cluster 1.' : `Start cluster beyond limit (${start} > ${lastCluster}).`;
  return check.observer.report({
    ...base(entry, 'DIR_FstClusLO', 0x1a, path),
    code: 'fat-start-out-of-range',
    severity: 'damage',
    found: `${start}`,
    expected: `0, or a cluster from 2 to ${lastCluster}`,
    meaning: `${path} should start at cluster ${start}, and clusters go from 2 to ${lastCluster}: its content cannot be found`,
    toolText: `${path}\n  ${text} Truncating file.\n`,
    mend: unasked('leaves it empty', false),
  });
}

/** Takes the clusters of a file into its possession, as far as they are free to take; returns how many they are. */
function claimChain(check: FatCheck, files: CheckedFiles, file: CheckedFile, start: number): number {
  const { table, owners, observer, geometry } = check;
  const { clusterSize } = geometry;
  const size = file.isDirectory || file.entry === undefined ? undefined : sizeOf(file.entry);
  let count = 0;
  let previous = 0;
  for (let cluster = start; ;) {
    const next = table.get(cluster);
    if (next === 0 || next === table.codec.bad) {
      const kind = next === 0 ? 'free' : 'bad';
      const chosen = observer.report(
        chainFinding(check, file, cluster, {
          code: `fat-${kind}-in-chain`,
          found: `${kind}`,
          expected: 'the next cluster, or the end',
          meaning: `${file.path} uses cluster ${cluster}, which is marked ${kind}: its content ends after ${count * clusterSize} bytes`,
          toolText: `${file.path}\n  Contains a ${kind} cluster (${cluster}). Assuming EOF.\n`,
          mend: unasked(`ends it after ${counted(count, 'cluster')}`, false),
        }),
      );
      if (chosen !== LEAVE) endChain(check, file, previous);
      break;
    }
    const owner = owners.get(cluster);
    if (owner === file.index) {
      const chosen = observer.report(
        chainFinding(check, file, previous, {
          code: 'fat-circular-chain',
          found: `${cluster}`,
          expected: 'the end',
          meaning: `The chain of ${file.path} comes back to cluster ${cluster} after ${counted(count, 'cluster')}`,
          toolText: `${file.path}\n  Circular cluster chain. Truncating to ${counted(count, 'cluster')}.\n`,
          mend: unasked(`ends it after ${counted(count, 'cluster')}`),
        }),
      );
      if (chosen !== LEAVE) table.set(previous, table.codec.endMinimum);
      break;
    }
    if (size !== undefined && size <= count * clusterSize) {
      const length = count * clusterSize;
      const chosen = observer.report(
        chainFinding(check, file, previous, {
          code: 'fat-chain-too-long',
          found: `more than ${length} bytes of clusters`,
          expected: `${size} bytes`,
          meaning: `${file.path} has ${size} bytes, but its clusters go on after ${length} bytes`,
          toolText:
            `${file.path}\n  File size is ${size} bytes, cluster chain length is > ${length} bytes.\n` +
            `  Truncating file to ${size} bytes.\n`,
          mend: unasked(`cuts the clusters after ${counted(count, 'cluster')}`),
        }),
      );
      if (chosen !== LEAVE) endChain(check, file, previous);
      break;
    }
    if (owner !== 0) {
      const chosen = observer.report(crossLink(check, file, files.pathOf(owner), cluster, count, owner));
      if (chosen !== LEAVE) endChain(check, file, previous);
      break;
    }
    owners.set(cluster, file.index);
    count++;
    if (!table.isLink(next)) break;
    previous = cluster;
    cluster = next;
  }
  return count;
}

function crossLink(
  check: FatCheck,
  file: CheckedFile,
  first: string,
  cluster: number,
  count: number,
  owner: number,
): CheckFinding {
  const length = count * check.geometry.clusterSize;
  const because = owner === 1 && check.geometry.type === 'fat32' ? ' because first is FAT32 root dir' : '';
  return chainFinding(check, file, cluster, {
    code: 'fat-cross-link',
    found: `a cluster of ${first}`,
    expected: 'a cluster of its own',
    meaning: `${first} and ${file.path} share cluster ${cluster}: at least one of them has lost content`,
    toolText: `${first}  and\n${file.path}\n  share clusters.\n`,
    mend: choice(
      [[`Truncate second to ${length} bytes`, `cuts ${file.path} to ${length} bytes`]],
      0,
      `  Truncating second to ${length} bytes${because}.\n`,
      false,
    ),
  });
}

type ChainDetails = Pick<CheckFinding, 'code' | 'found' | 'expected' | 'meaning' | 'toolText' | 'mend'>;

function chainFinding(
  check: FatCheck,
  file: CheckedFile,
  cluster: number,
  details: ChainDetails,
): CheckFinding {
  return {
    severity: 'damage',
    structure: 'FAT',
    field: `FAT[${cluster}]`,
    offset: check.geometry.fatOffset + Math.floor((cluster * check.table.codec.bits) / 8),
    path: file.path,
    ...details,
  };
}

/** `previous` becomes the last cluster; 0 leaves the file empty. */
function endChain(check: FatCheck, file: CheckedFile, previous: number): void {
  if (previous !== 0) check.table.set(previous, check.table.codec.endMinimum);
  else if (file.entry === undefined) {
    giveUp(check.observer, {
      code: 'fat-root-start',
      structure: 'FAT',
      field: `FAT[${check.geometry.rootCluster}]`,
      found: 'a free or bad cluster',
      expected: 'a cluster of the root directory',
      path: '/',
      meaning: `The root directory starts at cluster ${check.geometry.rootCluster}, which is marked free or bad`,
      toolText: 'FAT32 root dir starts with a bad cluster!\n',
    });
  } else {
    setStartCluster(file.entry, check.geometry, 0);
    writeEntry(check, file.entry);
  }
}

function checkSize(check: FatCheck, entry: CheckedEntry, path: string, clusterCount: number): void {
  const size = sizeOf(entry);
  const length = clusterCount * check.geometry.clusterSize;
  if (size <= length) return;
  const chosen = check.observer.report({
    ...base(entry, 'DIR_FileSize', 0x1c, path),
    code: 'fat-chain-too-short',
    severity: 'damage',
    found: `${size}`,
    expected: `at most ${length}`,
    meaning: `${path} should have ${size} bytes, but its clusters hold only ${length}: the rest is lost`,
    toolText:
      `${path}\n  File size is ${size} bytes, cluster chain length is ${length} bytes.\n` +
      `  Truncating file to ${length} bytes.\n`,
    mend: unasked(`sets its size to ${length}`, false),
  });
  if (chosen === LEAVE) return;
  ShortEntry.DIR_FileSize.set(entry.view, 0, Math.min(length, MAX_SIZE));
  writeEntry(check, entry);
}

function sizeOf(entry: CheckedEntry): number {
  return ShortEntry.DIR_FileSize.get(entry.view, 0);
}

function base(
  entry: CheckedEntry,
  field: string,
  within: number,
  path: string,
): Pick<CheckFinding, 'structure' | 'field' | 'offset' | 'path'> {
  return { structure: 'directory entry', field, offset: entry.offset + within, path };
}
