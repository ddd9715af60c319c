import { viewOf } from '../../../bytes/struct.ts';
import type { CodePage } from '../code-page.ts';
import { DELETED, LONG_NAME_ATTRIBUTES, SLOT_SIZE, ShortEntry, deletedSlot } from '../directory-entry.ts';
import { clusterOffset, type FatGeometry } from '../geometry.ts';
import { decodeShortName } from '../short-name.ts';
import type { FatCheck } from './context.ts';
import { refuseDirectory, restoreChain } from './undeletion.ts';
import { type LongName, LongNameCheck } from './long-name-check.ts';

/** Slots that are looked at in one directory: four times what the specification allows. */
const MAX_READ_SLOTS = 1 << 18;

/** An entry of a directory under check. Its bytes may be changed, and are written by `writeEntry`. */
export interface CheckedEntry {
  /** Byte offset of its slot; -1 for the root directory, which has none. */
  readonly offset: number;
  /** The slot, 32 bytes. */
  readonly raw: Uint8Array;
  readonly view: DataView;
  longName: LongName | undefined;
  /** Its number among all files of the volume, from 1. */
  index: number;
  isDropped: boolean;
}

/** A directory: the numbers of its first cluster and those above it are what `..` must name. */
export interface CheckedDirectory {
  readonly path: string;
  /** The short names from the root on, as `NamedFiles` has them; the root's is empty. */
  readonly shortPath: string;
  /** 0 for a root directory of fixed size. */
  readonly startCluster: number;
  /** Of the directory above; undefined for the root. */
  readonly parent: CheckedDirectory | undefined;
}

/** Byte offsets of the slots of a directory, in runs: start, slot count. Bounded by `MAX_READ_SLOTS`. */
export function slotRuns(check: FatCheck, startCluster: number): number[] {
  const { geometry, table } = check;
  if (startCluster === 0) return [geometry.rootOffset, Math.floor(geometry.rootSize / SLOT_SIZE)];
  const runs: number[] = [];
  const slotsPerCluster = geometry.clusterSize / SLOT_SIZE;
  let left = Math.min(table.lastCluster, MAX_READ_SLOTS / slotsPerCluster);
  for (let cluster = startCluster; table.isLink(cluster) && left > 0; cluster = table.get(cluster), left--) {
    runs.push(clusterOffset(geometry, cluster), slotsPerCluster);
  }
  return runs;
}

/** Reads all slots, those behind the end mark too, as Linux and dosfstools do; tells what is wrong with long names. */
export function readDirectory(check: FatCheck, directory: CheckedDirectory): CheckedEntry[] {
  const entries: CheckedEntry[] = [];
  const names = new LongNameCheck(check, directory.path);
  const runs = slotRuns(check, directory.startCluster);
  for (let run = 0; run < runs.length; run += 2) {
    const start = runs[run]!;
    const content = new Uint8Array(runs[run + 1]! * SLOT_SIZE);
    check.device.read(start, content);
    const view = viewOf(content);
    for (let base = 0; base < content.length; base += SLOT_SIZE) {
      const isLong = content[base + 0x0b] === LONG_NAME_ATTRIBUTES;
      if (!isLong) applyWish(check, directory, content.subarray(base, base + SLOT_SIZE), start + base);
      const first = content[base]!;
      if (first === 0 || first === DELETED) names.end();
      else if (isLong) names.addSlot(view, base, start + base);
      else entries.push(takeEntry(check, names, content.slice(base, base + SLOT_SIZE), start + base));
    }
  }
  names.end();
  return entries;
}

/** Drops a file that is to be dropped and brings back one that is to be undeleted, before the entry is looked at. */
function applyWish(check: FatCheck, { shortPath }: CheckedDirectory, raw: Uint8Array, offset: number): void {
  const { named, observer, device, codePage } = check;
  if (raw[0] === DELETED) {
    const first = named.firstByte(shortPath, raw);
    if (first === undefined) return;
    refuseDirectory(check, raw);
    raw[0] = first;
    observer.tell(`Undeleting ${shortNameOf(raw, codePage)}\n`);
    restoreChain(check, raw);
  } else if (raw[0] !== 0 && named.drops(shortPath, raw)) {
    observer.tell(`Dropping ${shortNameOf(raw, codePage)}\n`);
    raw[0] = DELETED;
  } else return;
  device.write(offset, raw);
}

function takeEntry(check: FatCheck, names: LongNameCheck, raw: Uint8Array, offset: number): CheckedEntry {
  const view = viewOf(raw);
  const longName = names.take(view, 0, shortNameOf(raw, check.codePage));
  return { offset, raw, view, longName, index: 0, isDropped: false };
}

/** As the tool shows it, in the case in which it is on disk. */
export function shortNameOf(raw: Uint8Array, codePage: CodePage): string {
  return decodeShortName(raw.subarray(0, 11), codePage);
}

/** Takes an entry and its long name out of the directory. Its clusters belong to nobody then. */
export function dropEntry(check: FatCheck, entry: CheckedEntry): void {
  removeLongName(check, entry);
  entry.raw[0] = DELETED;
  entry.isDropped = true;
  writeEntry(check, entry);
}

export function removeLongName(check: FatCheck, entry: CheckedEntry): void {
  for (const offset of entry.longName?.offsets ?? []) check.device.write(offset, deletedSlot());
  entry.longName = undefined;
}

/** The name by which people know the entry. */
export function nameOf(entry: CheckedEntry, codePage: CodePage): string {
  return entry.longName?.name ?? shortNameOf(entry.raw, codePage);
}

export function startClusterOf(entry: CheckedEntry, geometry: FatGeometry): number {
  const low = ShortEntry.DIR_FstClusLO.get(entry.view, 0);
  if (geometry.type !== 'fat32') return low;
  return low + ShortEntry.DIR_FstClusHI.get(entry.view, 0) * 0x10000;
}

export function setStartCluster(entry: CheckedEntry, geometry: FatGeometry, cluster: number): void {
  ShortEntry.DIR_FstClusLO.set(entry.view, 0, cluster & 0xffff);
  if (geometry.type === 'fat32') ShortEntry.DIR_FstClusHI.set(entry.view, 0, cluster >>> 16);
}

export function writeEntry(check: FatCheck, entry: CheckedEntry): void {
  check.device.write(entry.offset, entry.raw);
}

export function joinPath(folder: string, name: string): string {
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`;
}
