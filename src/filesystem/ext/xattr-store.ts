import { encodeUtf8 } from '../../bytes/utf8.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { type CachedBlock, WriteRank } from './block-cache.ts';
import type { ExtCore } from './ext-core.ts';
import { hex } from './geometry.ts';
import { InodeFlag } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { aclFromDisk, aclToDisk } from './posix-acl.ts';
import { CompatibleFeature, Superblock } from './superblock.ts';
import { MAX_VALUE, ValueInodes } from './value-inodes.ts';
import {
  MAX_XATTR_NAME,
  type StoredXattr,
  XATTR_MAGIC,
  XattrHeader,
  XattrIndex,
  compareXattrs,
  fullName,
  parseXattrs,
  splitName,
  writeXattrs,
  xattrsSize,
} from './xattr-format.ts';

/** `EXT4_XATTR_REFCOUNT_MAX`: inodes that share one attribute block. */
const MAX_SHARES = 1024;
/** A value that leaves fewer bytes than these in a block is large: room for a header, one entry and the end. */
const LARGE_LESS = 56;

/** Extended attributes: in the inode behind its fields where there is room, else in one block, which inodes may share. */
export class XattrStore {
  readonly #core: ExtCore;
  /** Attribute blocks written so far, by `h_hash`: inodes with the same attributes share one. */
  readonly #written = new Map<number, number>();

  readonly #values: ValueInodes;

  constructor(core: ExtCore) {
    this.#core = core;
    this.#values = new ValueInodes(core);
  }

  list(ref: InodeRef): string[] {
    const names: string[] = [];
    for (const entry of [...this.#inInode(ref), ...this.#inBlock(ref)]) {
      const name = this.#isInlineData(ref, entry) ? undefined : fullName(entry.index, entry.name);
      if (name !== undefined) names.push(name);
    }
    return names.sort();
  }

  get(ref: InodeRef, full: string): Uint8Array | undefined {
    if (this.#hasNone(ref)) return undefined;
    const wanted = splitName(full);
    if (wanted === undefined) return undefined;
    const entry = this.find(ref, wanted.index, wanted.name);
    if (entry === undefined || this.#isInlineData(ref, entry)) return undefined;
    const value = entry.valueInode === 0 ? entry.value.slice() : this.#values.read(ref, entry);
    if (!isAcl(wanted.index)) return value;
    const acl = aclFromDisk(value);
    if (acl !== undefined) return acl;
    throw this.#corrupt(ref, full, 'other bytes', 'an access control list of version 1');
  }

  /** The entry as it is stored, in place. */
  find(ref: InodeRef, index: number, name: string): StoredXattr | undefined {
    const isIt = (entry: StoredXattr): boolean => entry.index === index && entry.name === name;
    return this.#inInode(ref).find(isIt) ?? this.#inBlock(ref).find(isIt);
  }

  set(ref: InodeRef, full: string, value: Uint8Array): void {
    const { index, name } = this.#requireName(full, 'setxattr');
    const stored = isAcl(index) ? aclToDisk(value) : value;
    if (stored === undefined) {
      throw new FsError('EINVAL', {
        syscall: 'setxattr',
        detail: `the value of ${full} is no access control list`,
      });
    }
    const isOther = (entry: StoredXattr): boolean => entry.index !== index || entry.name !== name;
    const inInode = this.#inInode(ref).filter(isOther);
    const inBlock = this.#inBlock(ref).filter(isOther);
    const added = { index, name, value: stored, valueInode: 0, size: stored.length, hash: 0 };
    // As the kernel: what would not leave room for much else in a block lies elsewhere; the rest does when nothing else helps.
    const isLarge = stored.length + 3 > this.#core.volume.geometry.blockSize - LARGE_LESS;
    const values = this.#values;
    let place = values.isEnabled && isLarge ? undefined : this.#placeFor(ref, inInode, inBlock, added);
    if (place === undefined && values.isEnabled && stored.length > 0 && stored.length <= MAX_VALUE) {
      const { blocksPerCluster } = this.#core.volume.geometry;
      const away = { ...added, value: new Uint8Array(0) };
      // e2fsck tells a short symlink by i_blocks, which counts values elsewhere, unless it has an attribute block.
      const isLink = this.#core.inodes.kind(ref) === 'symlink';
      place = this.#placeFor(ref, isLink ? undefined : inInode, inBlock, away);
      if (place !== undefined) {
        const block = place === inBlock && this.#needsBlock(ref) ? blocksPerCluster : 0;
        this.#core.volume.requireBlocks(values.blocksFor(stored.length) + block, 'setxattr');
        this.#requireQuota(ref, values.charge([{ ...away, valueInode: 1 }]) + block, 1);
        this.#core.inodeAllocator.require('setxattr');
        place.push(values.place(ref, index, name, encodeUtf8(name), stored));
        this.#store(ref, inInode, inBlock);
        return;
      }
    }
    if (place === undefined) {
      const room = this.#core.volume.geometry.blockSize - XattrHeader.$size;
      throw new FsError('ENOSPC', {
        syscall: 'setxattr',
        detail: `no space left on device: the attributes would take ${xattrsSize([...inBlock, added])} bytes, a block has room for ${room}`,
      });
    }
    if (place === inBlock && this.#needsBlock(ref)) {
      this.#core.volume.requireBlocks(1, 'setxattr');
      const { blocksPerCluster } = this.#core.volume.geometry;
      if (this.#core.inodes.attributeBlock(ref) === 0) this.#requireQuota(ref, blocksPerCluster, 0);
    }
    place.push(added);
    this.#store(ref, inInode, inBlock);
  }

  remove(ref: InodeRef, full: string): void {
    const { index, name } = this.#requireName(full, 'removexattr');
    if (this.find(ref, index, name) === undefined) {
      throw new FsError('ENODATA', { syscall: 'removexattr', detail: `there is no attribute ${full}` });
    }
    const isOther = (entry: StoredXattr): boolean => entry.index !== index || entry.name !== name;
    this.#store(ref, this.#inInode(ref).filter(isOther), this.#inBlock(ref).filter(isOther));
  }

  /** Bytes that the content of a small file can have in the inode, past `i_block`; undefined where there is no room. */
  inlineRoom(ref: InodeRef): number | undefined {
    const region = this.#inodeRegion(ref);
    if (region === undefined) return undefined;
    const others = this.#inInode(ref).filter((entry) => !isContent(entry));
    const room = region.length - 4 - xattrsSize([...others, contentEntry(new Uint8Array(0))]);
    return room < 0 ? undefined : room;
  }

  /** Keeps the content of a small file past `i_block`, which has room there; undefined takes it out. */
  setInlineValue(ref: InodeRef, value: Uint8Array | undefined): void {
    const inner = this.#inInode(ref).filter((entry) => !isContent(entry));
    if (value !== undefined) inner.unshift(contentEntry(value));
    this.#storeInInode(ref, inner.map(keep));
  }

  /** CorruptImageError when the attribute block is none. */
  requireSound(ref: InodeRef): void {
    if (this.#hasNone(ref)) return;
    for (const { valueInode } of [...this.#inInode(ref), ...this.#inBlock(ref)]) {
      if (valueInode === 0) continue;
      this.#core.fileMap.requireFreeable(this.#values.holder(ref, valueInode), 0);
      this.#core.inodeAllocator.requireUsed(valueInode);
    }
    const number = this.#core.inodes.attributeBlock(ref);
    if (number === 0) return;
    this.#block(ref, number);
    this.#core.blocks.requireUsed([{ start: number, length: 1 }], ref.number);
  }

  /** Values that lie in inodes of their own, each counted as often as an entry leads to it. */
  valueCount(ref: InodeRef): number {
    return countValues(this.#inInode(ref)) + countValues(this.#inBlock(ref));
  }

  /** Gives the attribute block of a node that goes away back, or this node's share of it. */
  removeAll(ref: InodeRef): void {
    if (this.#hasNone(ref)) return;
    const removed = [...this.#inInode(ref)];
    const number = this.#core.inodes.attributeBlock(ref);
    if (number !== 0) removed.push(...this.#release(ref, this.#block(ref, number)));
    this.#values.count(ref, [], removed);
  }

  /** The list that has room for one more entry, or undefined. */
  #placeFor(
    ref: InodeRef,
    inInode: StoredXattr[] | undefined,
    inBlock: StoredXattr[],
    added: StoredXattr,
  ): StoredXattr[] | undefined {
    const region = inInode === undefined ? undefined : this.#inodeRegion(ref);
    if (region !== undefined && xattrsSize([...inInode!, added]) <= region.length - 4) return inInode;
    const room = this.#core.volume.geometry.blockSize - XattrHeader.$size;
    return xattrsSize([...inBlock, added]) <= room ? inBlock : undefined;
  }

  #requireName(full: string, syscall: string): { index: number; name: string } {
    const split = splitName(full);
    // The kernel keeps system.* for lists of access control, and system.data for the content of small files.
    if (split === undefined || split.index === XattrIndex.system) {
      throw new FsError('EOPNOTSUPP', {
        syscall,
        detail: `ext has no place for an attribute named "${full}"`,
      });
    }
    if (encodeUtf8(split.name).length > MAX_XATTR_NAME) {
      throw new FsError('ERANGE', {
        syscall,
        detail: `the name of an attribute has at most ${MAX_XATTR_NAME} bytes`,
      });
    }
    return split;
  }

  /** As nearly every file. */
  #hasNone(ref: InodeRef): boolean {
    const { inodes, volume } = this.#core;
    if (inodes.attributeBlock(ref) !== 0) return false;
    const start = 128 + inodes.extraSize(ref);
    if (start === 128 || start + 8 > volume.geometry.inodeSize) return true;
    return ref.view.getUint32(ref.base + start, true) !== XATTR_MAGIC;
  }

  /** The bytes of the inode behind its fields, with the magic word, or undefined where there are none. */
  #inodeRegion(ref: InodeRef): Uint8Array | undefined {
    const { inodeSize } = this.#core.volume.geometry;
    const extra = this.#core.inodes.extraSize(ref);
    if (extra === 0 || 128 + extra + 8 > inodeSize) return undefined;
    return ref.block.bytes.subarray(ref.base + 128 + extra, ref.base + inodeSize);
  }

  #inInode(ref: InodeRef): readonly StoredXattr[] {
    const region = this.#inodeRegion(ref);
    if (region === undefined) return [];
    const view = new DataView(region.buffer, region.byteOffset, region.length);
    if (view.getUint32(0, true) !== XATTR_MAGIC) return [];
    return this.#parse(ref, region, 4, 4);
  }

  #inBlock(ref: InodeRef): readonly StoredXattr[] {
    const number = this.#core.inodes.attributeBlock(ref);
    if (number === 0) return [];
    return this.#parse(ref, this.#block(ref, number).bytes, XattrHeader.$size, 0);
  }

  #parse(ref: InodeRef, region: Uint8Array, start: number, origin: number): readonly StoredXattr[] {
    const parsed = parseXattrs(region, start, origin);
    if (Array.isArray(parsed)) return parsed as readonly StoredXattr[];
    const { field, found, expected } = parsed as Exclude<typeof parsed, readonly StoredXattr[]>;
    throw this.#corrupt(ref, field, found, expected);
  }

  #block(ref: InodeRef, number: number): CachedBlock {
    const { volume } = this.#core;
    volume.checkPointer(number, ref.number, 'i_file_acl');
    const block = volume.cache.get(number, WriteRank.mapping, volume.seals?.attributes);
    const magic = XattrHeader.h_magic.get(block.view, 0);
    if (magic !== XATTR_MAGIC) throw this.#corrupt(ref, 'h_magic', hex(magic, 8), hex(XATTR_MAGIC, 8));
    return block;
  }

  #isInlineData(ref: InodeRef, entry: StoredXattr): boolean {
    return isContent(entry) && this.#core.inodes.hasFlag(ref, InodeFlag.inlineData);
  }

  /** Would storing attributes in a block take a new one? */
  #needsBlock(ref: InodeRef): boolean {
    const number = this.#core.inodes.attributeBlock(ref);
    return number === 0 || XattrHeader.h_refcount.get(this.#block(ref, number).view, 0) > 1;
  }

  #requireQuota(ref: InodeRef, blocks: number, values: number): void {
    const { quotas } = this.#core.volume;
    if (quotas?.isBinding !== true) return;
    quotas.requireBlocks(ref, blocks, 'setxattr');
    if (values > 0) quotas.requireInodes(quotas.ownersOf(ref), values, 'setxattr');
  }

  #store(ref: InodeRef, inInode: readonly StoredXattr[], inBlock: readonly StoredXattr[]): void {
    const inner = inInode.map(keep);
    const outer = inBlock.map(keep).sort(compareXattrs);
    const added = [...inner];
    const removed = this.#inInode(ref).map(keep);
    const { inodes, volume } = this.#core;
    const before = this.#values.charge([...removed, ...this.#inBlock(ref)]);
    const countBefore = volume.quotas === undefined ? 0 : this.valueCount(ref);
    this.#storeBlock(ref, outer, added, removed);
    this.#storeInInode(ref, inner);
    const more = this.#values.charge([...inner, ...outer]) - before;
    if (more !== 0) inodes.addBlocks(ref, more);
    if (volume.quotas !== undefined) {
      const moreValues = countValues(inner) + countValues(outer) - countBefore;
      if (moreValues !== 0) volume.quotas.addInodes(ref, moreValues);
    }
    this.#values.count(ref, added, removed);
  }

  #storeInInode(ref: InodeRef, list: readonly StoredXattr[]): void {
    const region = this.#inodeRegion(ref);
    if (region === undefined) return;
    if (list.length === 0) region.fill(0);
    else {
      new DataView(region.buffer, region.byteOffset).setUint32(0, XATTR_MAGIC, true);
      writeXattrs(region, 4, 4, list, false);
    }
    this.#core.inodes.markDirty(ref);
  }

  /** Notes the entries of blocks that have come in `added`, and of those that are gone in `removed`. */
  #storeBlock(
    ref: InodeRef,
    list: readonly StoredXattr[],
    added: StoredXattr[],
    removed: StoredXattr[],
  ): void {
    const { inodes, volume, blocks, inodeAllocator } = this.#core;
    const { cache, geometry } = volume;
    const number = inodes.attributeBlock(ref);
    const old = number === 0 ? undefined : this.#block(ref, number);
    if (list.length === 0) {
      if (old !== undefined) removed.push(...this.#release(ref, old));
      return;
    }
    const bytes = new Uint8Array(geometry.blockSize);
    const view = new DataView(bytes.buffer);
    const hash = writeXattrs(bytes, XattrHeader.$size, 0, list, true);
    XattrHeader.h_magic.set(view, 0, XATTR_MAGIC);
    XattrHeader.h_refcount.set(view, 0, 1);
    XattrHeader.h_blocks.set(view, 0, 1);
    XattrHeader.h_hash.set(view, 0, hash);

    const twin = this.#twin(hash, bytes);
    if (twin !== undefined && twin.index === number) return;
    if (twin !== undefined) {
      if (old !== undefined) removed.push(...this.#release(ref, old));
      XattrHeader.h_refcount.set(twin.view, 0, XattrHeader.h_refcount.get(twin.view, 0) + 1);
      cache.markDirty(twin);
      this.#attach(ref, twin.index);
      return;
    }
    let target = old;
    if (target === undefined || XattrHeader.h_refcount.get(target.view, 0) > 1) {
      const goal = blocks.goalInGroup(inodeAllocator.groupOf(ref.number));
      const taken = blocks.allocateSingles(goal, 1)[0]!;
      if (target !== undefined) removed.push(...this.#release(ref, target));
      target = cache.create(taken, WriteRank.newMapping, volume.seals?.attributes);
      this.#attach(ref, taken);
    } else {
      removed.push(...this.#parse(ref, target.bytes, XattrHeader.$size, 0).map(keep));
      this.#forget(target);
    }
    added.push(...list);
    target.bytes.set(bytes);
    cache.markDirty(target);
    this.#written.set(hash, target.index);
  }

  /** A block with the same content that takes one more inode. */
  #twin(hash: number, bytes: Uint8Array): CachedBlock | undefined {
    const number = this.#written.get(hash);
    if (number === undefined) return undefined;
    const { volume } = this.#core;
    const block = volume.cache.get(number, WriteRank.mapping, volume.seals?.attributes);
    if (XattrHeader.h_refcount.get(block.view, 0) >= MAX_SHARES) return undefined;
    const { h_blocks, h_checksum } = XattrHeader;
    for (let at = h_blocks.offset; at < bytes.length; at++) {
      // The checksum is another in every block.
      if (at === h_checksum.offset) at += h_checksum.length;
      if (block.bytes[at] !== bytes[at]) return undefined;
    }
    return block;
  }

  #attach(ref: InodeRef, number: number): void {
    const { inodes, volume } = this.#core;
    inodes.setAttributeBlock(ref, number);
    inodes.addBlocks(ref, volume.geometry.blocksPerCluster);
    const { superblock } = volume;
    const features = Superblock.s_feature_compat.get(superblock, 0);
    if ((features & CompatibleFeature.ext_attr) !== 0 || Superblock.s_rev_level.get(superblock, 0) === 0)
      return;
    Superblock.s_feature_compat.set(superblock, 0, features | CompatibleFeature.ext_attr);
    volume.markSuperblockDirty();
  }

  /** Gives up a share of a block; returns the entries that are gone with it. */
  #release(ref: InodeRef, block: CachedBlock): readonly StoredXattr[] {
    const { inodes, volume, blocks } = this.#core;
    const shares = XattrHeader.h_refcount.get(block.view, 0);
    let gone: readonly StoredXattr[] = [];
    if (shares > 1) {
      XattrHeader.h_refcount.set(block.view, 0, shares - 1);
      volume.cache.markDirty(block);
    } else {
      gone = this.#parse(ref, block.bytes, XattrHeader.$size, 0).map(keep);
      this.#forget(block);
      blocks.free(block.index, 1);
    }
    inodes.setAttributeBlock(ref, 0);
    inodes.addBlocks(ref, -volume.geometry.blocksPerCluster);
    return gone;
  }

  #forget(block: CachedBlock): void {
    const hash = XattrHeader.h_hash.get(block.view, 0);
    if (this.#written.get(hash) === block.index) this.#written.delete(hash);
  }

  #corrupt(ref: InodeRef, field: string, found: string, expected: string): CorruptImageError {
    return new CorruptImageError({ structure: `attributes of inode ${ref.number}`, field, found, expected });
  }
}

function isAcl(index: number): boolean {
  return index === XattrIndex.aclAccess || index === XattrIndex.aclDefault;
}

/** Is this the attribute `system.data`, which holds the content of a small file? */
function isContent(entry: StoredXattr): boolean {
  return entry.index === XattrIndex.system && entry.name === 'data';
}

function countValues(entries: readonly StoredXattr[]): number {
  let count = 0;
  for (const { valueInode } of entries) if (valueInode !== 0) count++;
  return count;
}

function contentEntry(value: Uint8Array): StoredXattr {
  return { index: XattrIndex.system, name: 'data', value, valueInode: 0, size: value.length, hash: 0 };
}

/** The entry with a value of its own: stored values are views of what is about to be overwritten. */
function keep(entry: StoredXattr): StoredXattr {
  return { ...entry, value: entry.value.slice() };
}
