import { counted, type CheckFinding, LEAVE, type Mend, unasked } from '../../check.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { DELETED, LONG_NAME_ATTRIBUTES, ShortEntry, SLOT_SIZE } from '../directory-entry.ts';
import type { FatCheck } from './context.ts';
import { slotRuns } from './directory-reader.ts';

const MAX_SIZE = 0xffffffff;

/** Clusters that are in use but belong to no file: freed, or with `salvage` made files of in the root directory. Returns how many files. */
export function reclaimLost(check: FatCheck): number {
  const { table, owners, observer, options, geometry } = check;
  const { lastCluster, codec } = table;
  let count = 0;
  for (let cluster = 2; cluster <= lastCluster; cluster++) {
    const value = table.get(cluster);
    if (value !== 0 && value !== codec.bad && owners.get(cluster) === 0) count++;
  }
  if (options.verbose === true)
    observer.tell(
      options.salvage === true ? 'Reclaiming unconnected clusters.\n' : 'Checking for unused clusters.\n',
    );
  if (count === 0) return 0;
  const bytes = count * geometry.clusterSize;
  const heads = options.salvage === true ? cutIntoChains(check) : [];
  const what = `Reclaimed ${counted(count, 'unused cluster')} (${bytes} bytes)`;
  const finding: CheckFinding = {
    code: 'fat-lost-clusters',
    severity: 'warning',
    structure: 'FAT',
    field: 'entries in use',
    found: counted(count, 'cluster') + ' of no file',
    expected: 'none',
    meaning: `${counted(count, 'cluster')} (${bytes} bytes) are in use but belong to no file: space that is lost, or files whose entries are`,
    toolText: options.salvage === true ? `${what} in ${counted(heads.length, 'chain')}.\n` : `${what}.\n`,
    mend: mendFor(heads.length, options.salvage === true),
  };
  if (observer.report(finding) === LEAVE) return 0;
  if (options.salvage === true) return salvage(check, heads);
  free(check);
  return 0;
}

function mendFor(chainCount: number, isSalvaged: boolean): Mend {
  return isSalvaged
    ? unasked(`makes ${counted(chainCount, 'file')} FSCKnnnn.REC of them in the root directory`)
    : unasked('frees them', false);
}

function free(check: FatCheck): void {
  const { table, owners } = check;
  for (let cluster = 2; cluster <= table.lastCluster; cluster++) {
    const value = table.get(cluster);
    if (value !== 0 && value !== table.codec.bad && owners.get(cluster) === 0) table.set(cluster, 0);
  }
}

/** First clusters of chains that have every lost cluster once: what runs into another chain or a file is cut, so are circles. */
function cutIntoChains(check: FatCheck): number[] {
  const { table, owners } = check;
  const { lastCluster, codec } = table;
  const isLost = (cluster: number): boolean => {
    const value = table.get(cluster);
    return value !== 0 && value !== codec.bad && owners.get(cluster) === 0;
  };
  const isFollowed = new Uint8Array(Math.ceil((lastCluster + 1) / 8));
  for (let cluster = 2; cluster <= lastCluster; cluster++) {
    if (!isLost(cluster)) continue;
    const next = table.get(cluster);
    if (!table.isLink(next)) continue;
    const mask = 1 << (next & 7);
    // Into a file, into what is free, or the second to lead there: this chain ends here.
    if (!isLost(next) || (isFollowed[next >> 3]! & mask) !== 0) table.set(cluster, codec.endMinimum);
    else isFollowed[next >> 3]! |= mask;
  }
  const heads: number[] = [];
  const isReached = new Uint8Array(isFollowed.length);
  const follow = (head: number): void => {
    heads.push(head);
    let previous = 0;
    for (let cluster = head; table.isLink(cluster); cluster = table.get(cluster)) {
      if ((isReached[cluster >> 3]! & (1 << (cluster & 7))) !== 0) {
        table.set(previous, codec.endMinimum);
        break;
      }
      isReached[cluster >> 3]! |= 1 << (cluster & 7);
      previous = cluster;
    }
  };
  for (let cluster = 2; cluster <= lastCluster; cluster++) {
    if (isLost(cluster) && (isFollowed[cluster >> 3]! & (1 << (cluster & 7))) === 0) follow(cluster);
  }
  for (let cluster = 2; cluster <= lastCluster; cluster++) {
    if (isLost(cluster) && (isReached[cluster >> 3]! & (1 << (cluster & 7))) === 0) follow(cluster);
  }
  return heads;
}

function salvage(check: FatCheck, heads: readonly number[]): number {
  const { geometry, table, device, observer } = check;
  const runs = slotRuns(check, geometry.type === 'fat32' ? geometry.rootCluster : 0);
  const slots = freeSlots(check, runs);
  const taken = takenNumbers(check, runs);
  let number = 0;
  let made = 0;
  for (const head of heads) {
    const offset = slots.next();
    if (offset.done === true) {
      observer.tell('Root directory is full.\n');
      return made;
    }
    while (taken.has(number)) number++;
    const raw = new Uint8Array(SLOT_SIZE);
    const view = viewOf(raw);
    const name = `FSCK${`${number++}`.padStart(4, '0')}REC`;
    for (let i = 0; i < 11; i++) raw[i] = name.charCodeAt(i);
    let count = 0;
    for (let cluster = head; table.isLink(cluster); cluster = table.get(cluster)) {
      check.owners.set(cluster, 0xffffffff);
      count++;
    }
    ShortEntry.DIR_FstClusLO.set(view, 0, head & 0xffff);
    ShortEntry.DIR_FstClusHI.set(view, 0, head >>> 16);
    ShortEntry.DIR_FileSize.set(view, 0, Math.min(MAX_SIZE, count * geometry.clusterSize));
    device.write(offset.value, raw);
    made++;
  }
  return made;
}

/** Slots that are free: those that are left of long names, which the tool passes over, when there are no others. */
function* freeSlots(check: FatCheck, runs: readonly number[]): Generator<number> {
  const slot = new Uint8Array(SLOT_SIZE);
  const left: number[] = [];
  for (let run = 0; run < runs.length; run += 2) {
    for (let index = 0; index < runs[run + 1]!; index++) {
      const offset = runs[run]! + index * SLOT_SIZE;
      check.device.read(offset, slot);
      if (slot[0] !== 0 && slot[0] !== DELETED) continue;
      if (slot[ShortEntry.DIR_Attr.offset] === LONG_NAME_ATTRIBUTES) left.push(offset);
      else yield offset;
    }
  }
  yield* left;
}

/** The numbers of files FSCKnnnn.REC that are there from earlier. */
function takenNumbers(check: FatCheck, runs: readonly number[]): Set<number> {
  const taken = new Set<number>();
  const name = new Uint8Array(11);
  for (let run = 0; run < runs.length; run += 2) {
    for (let slot = 0; slot < runs[run + 1]!; slot++) {
      check.device.read(runs[run]! + slot * SLOT_SIZE, name);
      const match = /^FSCK(\d{4})REC$/.exec(String.fromCharCode(...name));
      if (match !== null) taken.add(Number(match[1]));
    }
  }
  return taken;
}
