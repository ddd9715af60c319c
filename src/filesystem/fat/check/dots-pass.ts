import { viewOf } from '../../../bytes/struct.ts';
import { type CheckFinding, LEAVE, unasked } from '../../check.ts';
import { DosAttribute } from '../../file-system.ts';
import { DELETED, LONG_NAME_ATTRIBUTES, SLOT_SIZE, ShortEntry } from '../directory-entry.ts';
import { clusterOffset } from '../geometry.ts';
import { choice, type FatCheck } from './context.ts';
import { type CheckedDirectory, joinPath, shortNameOf, slotRuns } from './directory-reader.ts';

const PLACES = ['first', 'second'] as const;
const NAMES = ['.          ', '..         '] as const;

/** The first two slots of every directory but the root are `.` and `..`: Microsoft FAT specification 1.03, section 6.5. */
export function checkDots(check: FatCheck, directory: CheckedDirectory): void {
  const runs = slotRuns(check, directory.startCluster);
  if (runs.length === 0) return;
  const first = new Uint8Array(2 * SLOT_SIZE);
  check.device.read(runs[0]!, first);
  for (let place = 0; place < 2; place++) {
    const raw = first.subarray(place * SLOT_SIZE, (place + 1) * SLOT_SIZE);
    checkDot(check, directory, { place, raw, offset: runs[0]! + place * SLOT_SIZE, runs });
  }
}

interface DotSlot {
  /** 0: `.`; 1: `..`. */
  readonly place: number;
  readonly raw: Uint8Array;
  readonly offset: number;
  readonly runs: readonly number[];
}

function checkDot(check: FatCheck, directory: CheckedDirectory, slot: DotSlot): void {
  const { raw, place } = slot;
  const dot = place === 0 ? '.' : '..';
  const target = targetOf(check, directory, place);
  if (raw[0] === 0 || raw[0] === DELETED) {
    const finding = missing(
      directory,
      slot,
      dot,
      choice(
        [
          ['Create entry', `makes the entry ${dot}`],
          ['Drop parent', ''],
        ],
        0,
        '  Creating.\n',
      ),
    );
    if (check.observer.report(finding) === 0) writeDot(check, slot, target);
    return;
  }
  if (isNamed(raw, place)) {
    checkTarget(check, directory, slot, target);
    return;
  }
  const name = raw[0x0b] === LONG_NAME_ATTRIBUTES ? '' : shortNameOf(raw, check.codePage);
  const chosen = check.observer.report({
    code: 'fat-dot-entry',
    severity: 'damage',
    structure: 'directory entry',
    field: 'DIR_Name',
    offset: slot.offset,
    found: JSON.stringify(name),
    expected: JSON.stringify(dot),
    path: directory.path,
    meaning: `The ${PLACES[place]} entry of ${directory.path} is not ${dot} but "${name}"`,
    toolText: `${joinPath(directory.path, name)}\n  Expected a valid '${dot}' entry in this slot.\n`,
    mend: choice(
      [
        ['Drop entry', `removes the entry "${name}" and makes ${dot} in its place`],
        ['Move entry down', `moves the entry "${name}" to a free slot and makes ${dot} in its place`],
      ],
      1,
      '  Moving entry down.\n',
    ),
  });
  if (chosen === LEAVE) return;
  if (chosen === 1) {
    const free = name === '' ? slot.offset : (findFreeSlot(check, slot.runs) ?? extend(check, directory));
    if (free === undefined) {
      check.observer.tell('No free entry found.\n');
      return;
    }
    check.device.write(free, raw);
  }
  writeDot(check, slot, target);
}

function checkTarget(check: FatCheck, directory: CheckedDirectory, slot: DotSlot, target: number): void {
  const view = viewOf(slot.raw);
  const dot = slot.place === 0 ? '.' : '..';
  const isFat32 = check.geometry.type === 'fat32';
  const high = isFat32 ? ShortEntry.DIR_FstClusHI.get(view, 0) : 0;
  const start = high * 0x10000 + ShortEntry.DIR_FstClusLO.get(view, 0);
  const attributes = ShortEntry.DIR_Attr.get(view, 0);
  const isDirectory = (attributes & DosAttribute.directory) !== 0;
  if (!isDirectory || start !== target) {
    const chosen = check.observer.report({
      code: 'fat-dot-entry',
      severity: 'damage',
      structure: 'directory entry',
      field: isDirectory ? 'DIR_FstClusLO' : 'DIR_Attr',
      offset: slot.offset + (isDirectory ? 0x1a : 0x0b),
      found: isDirectory ? `${start}` : `0x${attributes.toString(16)}`,
      expected: isDirectory ? `${target}` : 'the attribute of a directory',
      path: directory.path,
      meaning: `The entry ${dot} of ${directory.path} leads to cluster ${start}, expected ${target}`,
      toolText: `${directory.path}\n  Invalid '${dot}' entry in the ${PLACES[slot.place]} slot. Fixing.\n`,
      mend: unasked(`makes ${dot} lead to cluster ${target}`),
    });
    if (chosen !== LEAVE) writeDot(check, slot, target);
    return;
  }
  const flags = ShortEntry.DIR_NTRes.get(view, 0);
  if ((flags & 0x18) === 0) return;
  const chosen = check.observer.report({
    code: 'fat-dot-flags',
    severity: 'warning',
    structure: 'directory entry',
    field: 'DIR_NTRes',
    offset: slot.offset + 0x0c,
    found: `0x${flags.toString(16)}`,
    expected: '0',
    path: directory.path,
    meaning: `The entry ${dot} of ${directory.path} is marked as one in lower case`,
    toolText: `${joinPath(directory.path, dot)}\n  Is a dot with no 8.3 name flag set, clearing.\n`,
    mend: unasked('writes 0'),
  });
  if (chosen !== LEAVE) check.device.write(slot.offset + 0x0c, Uint8Array.of(flags & ~0x18));
}

/** `..` of what lies in the root leads to 0, on FAT32 too. */
function targetOf(check: FatCheck, directory: CheckedDirectory, place: number): number {
  if (place === 0) return directory.startCluster;
  const { parent } = directory;
  return parent === undefined || parent.parent === undefined ? 0 : parent.startCluster;
}

function missing(
  directory: CheckedDirectory,
  slot: DotSlot,
  dot: string,
  mend: NonNullable<CheckFinding['mend']>,
): CheckFinding {
  return {
    code: 'fat-dot-entry',
    severity: 'damage',
    structure: 'directory entry',
    field: 'DIR_Name',
    offset: slot.offset,
    found: 'a free slot',
    expected: JSON.stringify(dot),
    path: directory.path,
    meaning: `The directory ${directory.path} has no entry ${dot}`,
    toolText: `${directory.path}\n  Expected a valid '${dot}' entry in the ${PLACES[slot.place]} slot, found free entry.\n`,
    mend,
  };
}

function isNamed(raw: Uint8Array, place: number): boolean {
  for (let i = 0; i < 11; i++) {
    if (raw[i] !== NAMES[place]!.charCodeAt(i)) return false;
  }
  return true;
}

/** The times stay what they are when the slot was a dot entry before. */
function writeDot(check: FatCheck, slot: DotSlot, target: number): void {
  const raw = isNamed(slot.raw, slot.place) ? slot.raw.slice() : new Uint8Array(SLOT_SIZE);
  const view = viewOf(raw);
  for (let i = 0; i < 11; i++) raw[i] = NAMES[slot.place]!.charCodeAt(i);
  ShortEntry.DIR_Attr.set(view, 0, DosAttribute.directory);
  ShortEntry.DIR_FstClusLO.set(view, 0, target & 0xffff);
  ShortEntry.DIR_FstClusHI.set(view, 0, check.geometry.type === 'fat32' ? target >>> 16 : 0);
  ShortEntry.DIR_FileSize.set(view, 0, 0);
  check.device.write(slot.offset, raw);
}

/** Byte offset of the first free slot behind the first two. */
function findFreeSlot(check: FatCheck, runs: readonly number[]): number | undefined {
  for (let run = 0; run < runs.length; run += 2) {
    const content = new Uint8Array(runs[run + 1]! * SLOT_SIZE);
    check.device.read(runs[run]!, content);
    for (let base = run === 0 ? 2 * SLOT_SIZE : 0; base < content.length; base += SLOT_SIZE) {
      if (content[base] === 0 || content[base] === DELETED) return runs[run]! + base;
    }
  }
  return undefined;
}

/** Gives the directory one more cluster; the byte offset of its first slot, or undefined when there is no free cluster. */
function extend(check: FatCheck, directory: CheckedDirectory): number | undefined {
  const { table, owners, device, geometry } = check;
  let last = directory.startCluster;
  for (let count = 0; table.isLink(table.get(last)) && count < table.lastCluster; count++)
    last = table.get(last);
  const cluster = table.takeFree();
  if (cluster === undefined) return undefined;
  const offset = clusterOffset(geometry, cluster);
  device.write(offset, new Uint8Array(geometry.clusterSize));
  table.set(cluster, table.codec.endMinimum);
  table.set(last, cluster);
  owners.set(cluster, owners.get(directory.startCluster));
  return offset;
}
