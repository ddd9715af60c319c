import { EPOCH, type Timestamp } from '../../bytes/time.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { type AttributeChanges, type Attributes, DosAttribute } from '../file-system.ts';
import { ShortEntry } from './directory-entry.ts';
import { resizeContent } from './file-content.ts';
import type { FatNode } from './node.ts';
import { decodeTime, encodeTime } from './times.ts';
import type { FatVolume } from './volume.ts';

/** Bits that a caller may set; whether it is a directory or a label is no attribute. */
export const SETTABLE_ATTRIBUTES =
  DosAttribute.readOnly | DosAttribute.hidden | DosAttribute.system | DosAttribute.archive;
const OWNER_WRITE = 0o200;

export function attributesOf(volume: FatVolume, node: FatNode): Attributes {
  const { entryView: view, entryBase: base, isDirectory } = node;
  const zone = volume.options.utcOffsetMinutes;
  const mtime = decodeTime(
    ShortEntry.DIR_WrtDate.get(view, base),
    ShortEntry.DIR_WrtTime.get(view, base),
    0,
    zone,
  );
  const createdOn = ShortEntry.DIR_CrtDate.get(view, base);
  const accessedOn = ShortEntry.DIR_LstAccDate.get(view, base);
  const dosAttributes = ShortEntry.DIR_Attr.get(view, base);
  const allocated = allocatedSize(volume, node);
  return {
    node: node.id,
    kind: isDirectory ? 'directory' : 'file',
    size: isDirectory ? allocated : node.size,
    allocated,
    mode: modeOf(dosAttributes),
    uid: 0,
    gid: 0,
    // One, as other file systems without a count of subdirectories say it.
    linkCount: node.parent === undefined && node !== volume.root ? 0 : 1,
    device: undefined,
    atime: accessedOn === 0 ? EPOCH : decodeTime(accessedOn, 0, 0, zone),
    mtime,
    ctime: mtime,
    birthtime:
      createdOn === 0
        ? undefined
        : decodeTime(
            createdOn,
            ShortEntry.DIR_CrtTime.get(view, base),
            ShortEntry.DIR_CrtTimeTenth.get(view, base),
            zone,
          ),
    dosAttributes,
  };
}

/** Of a file that was not read yet, what its size needs: its chain is not walked for that. */
function allocatedSize(volume: FatVolume, node: FatNode): number {
  const { clusterSize, rootSize } = volume.geometry;
  if (node === volume.root && rootSize > 0) return rootSize;
  if (node.chain !== undefined) return node.chain.count * clusterSize;
  if (node.isDirectory) return directoryClusters(volume, node) * clusterSize;
  return Math.ceil(node.size / clusterSize) * clusterSize;
}

/** Who asks for attributes wants to see a damaged directory as well; what is wrong is told to who enters it. */
function directoryClusters(volume: FatVolume, node: FatNode): number {
  try {
    return volume.chainOf(node).count;
  } catch (error) {
    if (error instanceof CorruptImageError) return 1;
    throw error;
  }
}

/** As Linux' vfat: read-only means nothing on a directory. */
export function modeOf(dosAttributes: number): number {
  if ((dosAttributes & DosAttribute.directory) !== 0) return 0o755;
  return (dosAttributes & DosAttribute.readOnly) !== 0 ? 0o444 : 0o644;
}

export function changeAttributes(volume: FatVolume, node: FatNode, changes: AttributeChanges): void {
  checkOwnership(node, changes);
  if (changes.size !== undefined) {
    if (node.isDirectory) throw new FsError('EISDIR', { syscall: 'truncate', path: node.name });
    resizeContent(volume, node, changes.size);
  }
  // The root has no entry that could hold any of the following.
  if (node === volume.root) return;
  const { entryView: view, entryBase: base } = node;
  let dos = ShortEntry.DIR_Attr.get(view, base);
  if (changes.dosAttributes !== undefined)
    dos = (dos & ~SETTABLE_ATTRIBUTES) | (changes.dosAttributes & SETTABLE_ATTRIBUTES);
  if (changes.mode !== undefined && !node.isDirectory) dos = withMode(dos, changes.mode);
  ShortEntry.DIR_Attr.set(view, base, dos);
  writeTimes(view, base, changes, volume.options.utcOffsetMinutes);
  node.touch();
  volume.writeBack.changed();
}

/** Everybody's files belong to 0:0; Linux, too, refuses to say otherwise. */
function checkOwnership(node: FatNode, changes: AttributeChanges): void {
  if ((changes.uid ?? 0) === 0 && (changes.gid ?? 0) === 0) return;
  throw new FsError('EPERM', { syscall: 'chown', path: node.name, detail: 'FAT has no owners' });
}

export function withMode(dosAttributes: number, mode: number): number {
  return (mode & OWNER_WRITE) === 0
    ? dosAttributes | DosAttribute.readOnly
    : dosAttributes & ~DosAttribute.readOnly;
}

export interface EntryTimes {
  readonly atime?: Timestamp;
  readonly mtime?: Timestamp;
  readonly birthtime?: Timestamp;
}

/** Times left out stay as they are. */
export function writeTimes(view: DataView, base: number, times: EntryTimes, utcOffsetMinutes: number): void {
  if (times.mtime !== undefined) {
    const { date, time } = encodeTime(times.mtime, utcOffsetMinutes);
    ShortEntry.DIR_WrtDate.set(view, base, date);
    ShortEntry.DIR_WrtTime.set(view, base, time);
  }
  if (times.atime !== undefined) {
    ShortEntry.DIR_LstAccDate.set(view, base, encodeTime(times.atime, utcOffsetMinutes).date);
  }
  if (times.birthtime !== undefined) {
    const { date, time, hundredths } = encodeTime(times.birthtime, utcOffsetMinutes);
    ShortEntry.DIR_CrtDate.set(view, base, date);
    ShortEntry.DIR_CrtTime.set(view, base, time);
    ShortEntry.DIR_CrtTimeTenth.set(view, base, hundredths);
  }
}
