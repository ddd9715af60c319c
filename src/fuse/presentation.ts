import type { Attributes, FileSystem, NodeKind } from '../filesystem/file-system.ts';
import { DosAttribute } from '../filesystem/file-system.ts';
import type { FuseAttributes } from './reply.ts';
import { deviceNumber } from './reply.ts';

/** S_IFMT of stat(2) by kind. */
export const KIND_MODE: Readonly<Record<NodeKind, number>> = {
  fifo: 0x1000,
  'character-device': 0x2000,
  directory: 0x4000,
  'block-device': 0x6000,
  file: 0x8000,
  symlink: 0xa000,
  socket: 0xc000,
};

const KIND_BITS = 0xf000;
const ALL_WRITE = 0o222;
const SET_UID = 0o4000;
const SET_GID = 0o2000;
const GROUP_EXECUTE = 0o010;

/** By the four bits of S_IFMT. */
const KINDS: readonly (NodeKind | undefined)[] = kindsByBits();

export function kindOfMode(mode: number): NodeKind | undefined {
  return KINDS[(mode & KIND_BITS) >>> 12];
}

function kindsByBits(): (NodeKind | undefined)[] {
  const kinds = Array.from<NodeKind | undefined>({ length: 16 });
  for (const [kind, bits] of Object.entries(KIND_MODE)) kinds[bits >>> 12] = kind as NodeKind;
  return kinds;
}

/** The mode after a write or a change of owner by somebody to whom the set-ID bits were not given: as the kernel takes them. */
export function withoutSetId(mode: number): number {
  return mode & ~(SET_UID | ((mode & GROUP_EXECUTE) !== 0 ? SET_GID : 0));
}

export interface PresentationOptions {
  /** Owner and group of everything: FAT has none; elsewhere they replace what the file system holds. */
  readonly uid?: number;
  readonly gid?: number;
  /** Permission bits that are taken away (FAT). Default 0o022. */
  readonly fileMask?: number;
  readonly directoryMask?: number;
  /** FAT: only what ends in .exe, .com or .bat is executable. */
  readonly showExec?: boolean;
  /**
   * Does this ID exist in the user namespace of the mount? Linux makes files of owners that do not read-only for everybody,
   * so those are shown as root's.
   */
  readonly hasUid?: (uid: number) => boolean;
  readonly hasGid?: (gid: number) => boolean;
}

/** How stat(2) shows nodes: FAT as Linux' vfat does, with owners and permissions of the mount's options. */
export class Presentation {
  readonly #fs: FileSystem;
  readonly #options: PresentationOptions;
  readonly #ownership: boolean;
  readonly #blockSize: number;
  readonly fileMask: number;
  readonly directoryMask: number;

  constructor(fs: FileSystem, options: PresentationOptions) {
    this.#fs = fs;
    this.#options = options;
    this.#ownership = fs.capabilities.ownership;
    this.#blockSize = fs.usage().blockSize;
    this.fileMask = options.fileMask ?? 0o022;
    this.directoryMask = options.directoryMask ?? 0o022;
  }

  /** `name` is asked for only with showExec. */
  attributes(from: Attributes, name: string): FuseAttributes {
    const { device } = from;
    return {
      ino: from.node,
      size: from.size,
      blocks: Math.ceil(from.allocated / 512),
      atime: from.atime,
      mtime: from.mtime,
      ctime: from.ctime,
      mode: KIND_MODE[from.kind] | this.permissions(from, name),
      nlink: from.linkCount,
      uid: this.#uid(from.uid),
      gid: this.#gid(from.gid),
      rdev: device === undefined ? 0 : deviceNumber(device.major, device.minor),
      blksize: this.#blockSize,
    };
  }

  permissions(from: Attributes, name: string): number {
    if (this.#ownership) return from.mode;
    if (from.kind === 'directory') return 0o777 & ~this.directoryMask;
    const full = this.#options.showExec === true && !isProgram(name) ? 0o666 : 0o777;
    const readOnly = (from.dosAttributes & DosAttribute.readOnly) !== 0;
    return (readOnly ? full & ~ALL_WRITE : full) & ~this.fileMask;
  }

  /** Does `mode` differ from what the node has only in the write bits, and in all or none of those that the mask leaves? As vfat's fat_sanitize_mode. */
  canHoldMode(from: Attributes, name: string, mode: number): boolean {
    const mask = from.kind === 'directory' ? this.directoryMask : this.fileMask;
    const wanted = mode & 0o777 & ~mask;
    const allWrite = ALL_WRITE & ~mask;
    if ((wanted & ~ALL_WRITE) !== (this.permissions(from, name) & ~ALL_WRITE)) return false;
    if ((wanted & ALL_WRITE) === allWrite) return true;
    return from.kind !== 'directory' && (wanted & ALL_WRITE) === 0;
  }

  /** May a chown of something to this owner be taken as done? */
  isOwner(uid: number | undefined, gid: number | undefined): boolean {
    return (uid ?? this.#uid(0)) === this.#uid(0) && (gid ?? this.#gid(0)) === this.#gid(0);
  }

  #uid(uid: number): number {
    if (this.#options.uid !== undefined) return this.#options.uid;
    return this.#options.hasUid?.(uid) === false ? 0 : uid;
  }

  #gid(gid: number): number {
    if (this.#options.gid !== undefined) return this.#options.gid;
    return this.#options.hasGid?.(gid) === false ? 0 : gid;
  }

  get type(): string {
    return this.#fs.type;
  }
}

function isProgram(name: string): boolean {
  const end = name.slice(-4).toLowerCase();
  return end === '.exe' || end === '.com' || end === '.bat';
}
