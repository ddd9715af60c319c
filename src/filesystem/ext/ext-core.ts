import type { Timestamp } from '../../bytes/time.ts';
import { encodeUtf8 } from '../../bytes/utf8.ts';
import type { Extent } from '../../device/block-device.ts';
import { FsError } from '../../errors.ts';
import type { Placement } from '../file-system.ts';
import { BlockAllocator } from './block-allocator.ts';
import { MAX_NAME } from './directory-block.ts';
import { DirectoryStore } from './directory.ts';
import { FileContent } from './file-content.ts';
import { FileMap } from './file-map.ts';
import { hex } from './geometry.ts';
import { InodeAllocator } from './inode-allocator.ts';
import { InlineContent, inlinePlacement, readInline } from './inline-data.ts';
import { Inode, InodeFlag, ReservedInode } from './inode.ts';
import { type InodeRef, InodeTable } from './inode-table.ts';
import { OrphanList } from './orphan-list.ts';
import { RetainedNodes } from './retained-nodes.ts';
import { isFastSymlink } from './symlink.ts';
import { IncompatibleFeature } from './superblock.ts';
import { ChangeTime, ModificationTime } from './timestamp.ts';
import type { Volume } from './volume.ts';
import { XattrStore } from './xattr-store.ts';

/** The parts of an open volume, wired together: what the file system's operations are made of. */
export class ExtCore {
  readonly volume: Volume;
  readonly inodes: InodeTable;
  readonly blocks: BlockAllocator;
  readonly inodeAllocator: InodeAllocator;
  readonly fileMap: FileMap;
  readonly content: FileContent;
  readonly inline: InlineContent;
  readonly directories: DirectoryStore;
  readonly retained: RetainedNodes;
  /** Nodes without a name that are retained. */
  readonly orphans: OrphanList;
  /** How long new files are going to be, where their makers said so. */
  readonly expectedSizes = new Map<number, number>();
  /** The directory in which each directory was last seen. */
  readonly parents = new Map<number, number>();
  /** Operations on names and content so far. */
  changeCount = 0;
  /** The device was written below the file system: a node that is not there may have been. */
  wasReloaded = false;
  readonly xattrs: XattrStore;

  constructor(volume: Volume, retained = new RetainedNodes()) {
    this.volume = volume;
    this.retained = retained;
    this.inodes = new InodeTable(volume);
    this.blocks = new BlockAllocator(volume);
    this.inodeAllocator = new InodeAllocator(volume);
    this.fileMap = new FileMap(volume, this.inodes, this.blocks);
    this.content = new FileContent(volume, this.inodes, this.fileMap, this.blocks);
    this.inline = new InlineContent(this);
    this.directories = new DirectoryStore(this);
    this.xattrs = new XattrStore(this);
    this.orphans = new OrphanList(this);
  }

  /** The inode, which must be in use. */
  node(number: number): InodeRef {
    const ref = this.inodes.load(number);
    if (Inode.i_links_count.get(ref.view, ref.base) === 0 && !this.orphans.has(number)) {
      if (this.wasReloaded)
        throw new FsError('ESTALE', { detail: `inode ${number} is gone from the device` });
      throw this.inodes.corrupt(ref, 'i_links_count', '0', 'at least 1 for an inode with a name');
    }
    if (this.retained.isStale(number)) {
      throw new FsError('ESTALE', { detail: `inode ${number} is another file now` });
    }
    this.#checkMapping(ref);
    return ref;
  }

  /** An inode that claims a mapping which the volume does not have. */
  #checkMapping(ref: InodeRef): void {
    const flags = Inode.i_flags.get(ref.view, ref.base);
    const { incompatible } = this.volume.features;
    const strange =
      ((flags & InodeFlag.extents) !== 0 && (incompatible & IncompatibleFeature.extent) === 0) ||
      ((flags & InodeFlag.inlineData) !== 0 && (incompatible & IncompatibleFeature.inline_data) === 0);
    if (!strange) return;
    const expected = 'no extents or inline data on a volume without these features';
    throw this.inodes.corrupt(ref, 'i_flags', hex(flags, 8), expected);
  }

  /** The directory with this number; ENOTDIR when it is something else, ENOENT when it was removed. */
  directory(number: number, syscall: string): InodeRef {
    const ref = this.node(number);
    if (this.inodes.kind(ref) !== 'directory') throw new FsError('ENOTDIR', { syscall });
    return ref;
  }

  /** Inodes below the first ordinary one have fixed jobs: only the root may have a name. */
  isNameable(number: number): boolean {
    const { firstInode, inodeCount } = this.volume.geometry;
    return number === ReservedInode.root || (number >= firstInode && number <= inodeCount);
  }

  /** Does `i_block` hold block numbers, and not a device number or a short target? */
  hasBlocks(ref: InodeRef): boolean {
    if (this.isInline(ref)) return false;
    const kind = this.inodes.kind(ref);
    return kind === 'file' || kind === 'directory' || (kind === 'symlink' && !isFastSymlink(this, ref));
  }

  read(ref: InodeRef, offset: number, into: Uint8Array): number {
    this.fileMap.requireReadable(ref);
    if (this.isInline(ref)) return readInline(this, ref, offset, into);
    return this.content.read(ref, offset, into);
  }

  /** `expectedSize` is how long the file is going to be. */
  write(ref: InodeRef, offset: number, from: Uint8Array, expectedSize: number): void {
    this.fileMap.requireWritable(ref);
    if (from.length === 0) return;
    const end = offset + from.length;
    const isInline = this.isInline(ref);
    if (this.inline.takes(ref, isInline ? end : Math.max(end, expectedSize))) {
      this.inline.write(ref, offset, from);
      return;
    }
    if (isInline) this.inline.moveOut(ref, Math.max(end, expectedSize));
    this.content.write(ref, offset, from, expectedSize);
  }

  /** Truncates, or extends with zeros. */
  resize(ref: InodeRef, size: number): void {
    this.fileMap.requireWritable(ref);
    if (this.isInline(ref)) {
      if (this.inline.takes(ref, size)) {
        this.inline.resize(ref, size);
        return;
      }
      this.inline.moveOut(ref, size);
    }
    this.content.resize(ref, size);
  }

  punch(ref: InodeRef, offset: number, length: number): void {
    this.fileMap.requireWritable(ref);
    if (this.isInline(ref)) this.inline.zero(ref, offset, length);
    else this.content.punch(ref, offset, length);
  }

  preallocate(ref: InodeRef, offset: number, length: number, keepSize: boolean): void {
    this.fileMap.requireWritable(ref);
    if (this.isInline(ref)) this.inline.moveOut(ref, offset + length);
    this.content.preallocate(ref, offset, length, keepSize);
  }

  extents(ref: InodeRef): Iterable<Extent> {
    this.fileMap.requireReadable(ref);
    if (!this.isInline(ref)) return this.content.extents(ref);
    const length = this.inodes.size(ref);
    return length === 0 ? [] : [{ offset: 0, length, kind: 'data' }];
  }

  placement(ref: InodeRef): Iterable<Placement> {
    this.fileMap.requireReadable(ref);
    return this.isInline(ref) ? inlinePlacement(this, ref) : this.content.placement(ref);
  }

  isInline(ref: InodeRef): boolean {
    return this.inodes.hasFlag(ref, InodeFlag.inlineData);
  }

  now(): Timestamp {
    return this.volume.clock();
  }

  /** A directory's content changed. */
  touchDirectory(ref: InodeRef, now: Timestamp): void {
    this.inodes.setTime(ref, ModificationTime, now);
    this.inodes.setTime(ref, ChangeTime, now);
  }
}

const SLASH = 0x2f;

/** The bytes of a name for a new entry; EINVAL and ENAMETOOLONG for what cannot be one. */
export function nameBytes(name: string, syscall: string): Uint8Array {
  const bytes = encodeUtf8(name);
  if (name === '' || name === '.' || name === '..' || bytes.includes(SLASH) || bytes.includes(0)) {
    throw new FsError('EINVAL', { syscall, path: name });
  }
  if (bytes.length > MAX_NAME) throw new FsError('ENAMETOOLONG', { syscall, path: name });
  return bytes;
}
