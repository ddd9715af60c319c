import { CorruptImageError, FsError, UnsupportedError } from '../../errors.ts';
import type { FileSystem, NodeId } from '../../filesystem/file-system.ts';
import { splitPath } from '../../filesystem/path.ts';
import { type GrubDevice, parseDevice } from './device-name.ts';
import { readSectors, SECTOR_SIZE } from './drive.ts';
import { GrubError } from './grub-error.ts';
import type { GrubPartition } from './grub-partition.ts';
import type { GrubSession, MountedFileSystem } from './session.ts';
import type { SectorRun } from './stage2.ts';

/** A file as GRUB sees it: a name in a file system, or a block list (`(hd0)1+19`). */
export interface GrubFile {
  readonly partition: GrubPartition;
  /** Bytes. */
  readonly size: number;
  /** Sectors with content, from the start of the drive, in the order of the file. */
  readonly runs: readonly SectorRun[];
  /** What a block list of this file counts from: the start of its partition. */
  read(offset: number, length: number): Uint8Array;
}

/** GRUB follows this many symbolic links, then it is Error 26. */
const MAX_LINKS = 5;

/** Opens `(hd0,0)/path`, `/path` or a block list; without a device it is on the root device. */
export function openFile(session: GrubSession, name: string): GrubFile {
  const { device, rest } = splitDevice(session, name);
  if (rest.startsWith('/')) {
    const path = firstWord(rest);
    return openPath(session.mount(device), path);
  }
  return openBlockList(session, device, firstWord(rest));
}

/** The device that a file's name begins with, or the root device. */
export function splitDevice(session: GrubSession, name: string): { device: GrubDevice; rest: string } {
  return name.startsWith('(') ? parseDevice(name) : { device: session.root, rest: name };
}

/** GRUB's file names end at the first blank. */
export function firstWord(text: string): string {
  return /^[^ \t]*/.exec(text)![0];
}

function openBlockList(session: GrubSession, device: GrubDevice, list: string): GrubFile {
  // A list is checked before the device is looked at.
  if (!/^[0-9+]/.test(list)) throw new GrubError(1);
  const partition = session.openPartition(device);
  session.forgetFileSystem();
  const runs: GrowingRun[] = [];
  for (const item of list.split(',')) {
    const match = /^([0-9]*)\+([0-9]+)$/.exec(item);
    const count = Number(match?.[2] ?? 0);
    if (match === null || count === 0) throw new GrubError(1);
    const start = Number(match[1]);
    if (start + count > partition.sectorCount) throw new GrubError(24);
    appendRun(runs, partition.startSector + start, count);
  }
  const size = SECTOR_SIZE * runs.reduce((sum, run) => sum + run.sectorCount, 0);
  return {
    partition,
    size,
    runs,
    read: (offset, length) => readRuns(partition, runs, offset, Math.min(length, size - offset)),
  };
}

function readRuns(
  partition: GrubPartition,
  runs: readonly SectorRun[],
  offset: number,
  length: number,
): Uint8Array {
  const result = new Uint8Array(Math.max(0, length));
  let at = 0;
  for (const run of runs) {
    const from = Math.max(offset, at);
    const to = Math.min(offset + length, at + run.sectorCount * SECTOR_SIZE);
    if (from < to) {
      const sector = Math.floor((from - at) / SECTOR_SIZE);
      const end = Math.ceil((to - at) / SECTOR_SIZE);
      const content = readSectors(partition.drive, run.startSector + sector, end - sector);
      const skip = from - at - sector * SECTOR_SIZE;
      result.set(content.subarray(skip, skip + to - from), from - offset);
    }
    at += run.sectorCount * SECTOR_SIZE;
  }
  return result;
}

function openPath(mounted: MountedFileSystem, path: string): GrubFile {
  const { fs, partition } = mounted;
  return translating(() => {
    const node = walk(fs, path);
    const { kind, size } = fs.attributes(node);
    if (kind !== 'file') throw new GrubError(2);
    const runs = sectorRuns(fs, node, size, partition);
    return {
      partition,
      size,
      runs,
      read: (offset, length) =>
        translating(() => {
          const into = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
          return into.subarray(0, fs.read(node, offset, into));
        }),
    };
  });
}

/** Errors of our drivers in GRUB's numbers. */
function translating<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof CorruptImageError) throw new GrubError(16, { cause: error });
    if (error instanceof UnsupportedError) throw new GrubError(17, { cause: error });
    if (error instanceof FsError) throw new GrubError(25, { cause: error });
    throw error;
  }
}

/**
 * GRUB's own rules for names: a slash at the end asks for a file without a name, what is not a directory has no
 * entries (Error 2), and a FAT name is written as its long name or as its alias in lower case.
 */
function walk(fs: FileSystem, path: string): NodeId {
  if (path.endsWith('/')) {
    const names = splitPath(path);
    if (names.length > 0) walkTo(fs, names, 'directory');
    throw new GrubError(15);
  }
  return walkTo(fs, splitPath(path), 'any');
}

function walkTo(fs: FileSystem, names: readonly string[], last: 'directory' | 'any'): NodeId {
  const pending = [...names].reverse();
  let node = fs.root;
  let links = 0;
  while (pending.length > 0) {
    const name = pending.pop()!;
    if (fs.attributes(node).kind !== 'directory') throw new GrubError(2);
    if (name === '..') {
      node = fs.parent(node);
      // On FAT the entry that leads back to the root names no cluster, and GRUB finds nothing through it.
      if (pending.length > 0 && node === fs.root && !fs.capabilities.caseSensitive) throw new GrubError(15);
      continue;
    }
    const next = lookup(fs, node, name);
    if (next === undefined) throw new GrubError(15);
    if (fs.attributes(next).kind !== 'symlink') {
      node = next;
      continue;
    }
    if (++links > MAX_LINKS) throw new GrubError(26);
    const target = fs.readLink(next);
    if (target.startsWith('/')) node = fs.root;
    pending.push(...splitPath(target).reverse());
  }
  if (last === 'directory' && fs.attributes(node).kind !== 'directory') throw new GrubError(2);
  return node;
}

function lookup(fs: FileSystem, directory: NodeId, name: string): NodeId | undefined {
  if (fs.capabilities.caseSensitive) return fs.lookup(directory, name);
  for (const entry of fs.entries(directory)) {
    const alias = (entry.shortName ?? entry.name).toLowerCase();
    if (name === alias || (entry.shortName !== undefined && name === entry.name)) return entry.node;
  }
  return undefined;
}

/** Where the content lies, from the start of the drive; the last sector counts whole. */
function sectorRuns(fs: FileSystem, node: NodeId, size: number, partition: GrubPartition): SectorRun[] {
  const runs: GrowingRun[] = [];
  for (const { fileOffset, deviceOffset, length } of fs.placement(node)) {
    const used = Math.min(length, size - fileOffset);
    if (used <= 0) continue;
    const startSector = partition.startSector + deviceOffset / SECTOR_SIZE;
    const sectorCount = Math.ceil(used / SECTOR_SIZE);
    if (!Number.isInteger(startSector)) throw new GrubError(31);
    if (startSector + sectorCount > partition.drive.geometry.totalSectors) throw new GrubError(18);
    appendRun(runs, startSector, sectorCount);
  }
  return runs;
}

type GrowingRun = { -readonly [K in keyof SectorRun]: SectorRun[K] };

/** Runs that touch are one. */
function appendRun(runs: GrowingRun[], startSector: number, sectorCount: number): void {
  const previous = runs.at(-1);
  if (previous !== undefined && previous.startSector + previous.sectorCount === startSector) {
    previous.sectorCount += sectorCount;
  } else runs.push({ startSector, sectorCount });
}

/** GRUB's notation of a file's place: `(hd0,0)1214+24,1240+210`, counted from the start of its partition. */
export function formatRuns(file: GrubFile): string {
  return file.runs
    .map((run) => `${run.startSector - file.partition.startSector}+${run.sectorCount}`)
    .join(',');
}
