import { EPOCH, type Timestamp } from '../../bytes/time.ts';
import { formatUuid } from '../../bytes/uuid.ts';
import type { BlockDevice, Extent } from '../../device/block-device.ts';
import type { ContentCopier, OutsideFile } from '../../device/content-copier.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import type {
  AttributeChanges,
  Attributes,
  Capabilities,
  CreateOptions,
  DirectoryEntry,
  FileSystem,
  FileSystemType,
  NodeId,
  OpenOptions,
  Placement,
  RenameOptions,
  Usage,
} from '../file-system.ts';
import { MAX_NAME } from './directory-block.ts';
import { ExtCore } from './ext-core.ts';
import { featureNames, fileSystemType, readOnlyReason } from './features.ts';
import { ReservedInode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { recover } from './journal/recovery.ts';
import { mayGrow } from './growth.ts';
import { Namespace } from './namespace.ts';
import { attributesOf, changeAttributes } from './node-attributes.ts';
import { removeNode } from './node-removal.ts';
import type { QuotaKind } from './quota-kind.ts';
import { Quotas } from './quotas.ts';
import { identitiesOf, recheck } from './retained-nodes.ts';
import { planResize } from './resize/passes.ts';
import { truncateStepwise } from './stepwise-truncation.ts';
import { writeStepwise } from './stepwise-write.ts';
import { IncompatibleFeature, Superblock } from './superblock.ts';
import { readTarget } from './symlink.ts';
import { ChangeTime, LONG_TIME_RANGE, ModificationTime, SHORT_TIME_RANGE } from './timestamp.ts';
import { measureUsage } from './usage.ts';
import { labelOf, setLabel } from './volume-label.ts';
import { Volume } from './volume.ts';

interface Loss {
  readonly code: 'ESTALE' | 'EIO';
  readonly detail: string;
}

/** An open ext2, ext3 or ext4 volume. */
export class ExtFileSystem implements FileSystem {
  readonly type: FileSystemType;
  readonly device: BlockDevice;
  readonly readOnly: boolean;
  readonly readOnlyReason: string | undefined;
  readonly capabilities: Capabilities;
  readonly root = ReservedInode.root as NodeId;
  readonly uuid: string;
  readonly #options: OpenOptions;
  #volume: Volume;
  #core: ExtCore;
  #names: Namespace;
  readonly #quotaLimits: readonly QuotaKind[];
  /** The device was written below the file system, and its quota files are not sound since. */
  #quotaFault: CorruptImageError | undefined;
  #closed = false;
  /** Why nothing can be had of it any more. */
  #loss: Loss | undefined;

  private constructor(volume: Volume, options: OpenOptions, problem: string | undefined) {
    this.#options = options;
    this.#volume = volume;
    this.device = volume.device;
    this.type = fileSystemType(volume.features);
    let reason = problem ?? readOnlyReason(volume.superblock, volume.features);
    if (reason === undefined && options.readOnly !== true && !volume.device.readOnly) {
      reason = volume.multipleMount?.holder();
    }
    this.readOnly = options.readOnly === true || volume.device.readOnly || reason !== undefined;
    this.readOnlyReason = options.readOnly === true ? undefined : this.#reasonOf(reason);
    this.#core = new ExtCore(volume);
    this.#names = new Namespace(this.#core);
    this.#quotaLimits = options.quotaLimits ?? [];
    this.uuid = formatUuid(Superblock.s_uuid.get(volume.superblock, 0));
    const long = volume.geometry.inodeSize > 128;
    this.capabilities = {
      symlinks: true,
      hardLinks: true,
      specialFiles: true,
      ownership: true,
      xattrs: true,
      holes: true,
      caseSensitive: true,
      dosAttributes: false,
      maxFileSize: this.#core.content.maxSize,
      maxNameLength: MAX_NAME,
      nameUnit: 'byte',
      timeStep: long ? 1 : 1_000_000_000,
      timeRange: long ? LONG_TIME_RANGE : SHORT_TIME_RANGE,
    };
  }

  /** CorruptImageError, or UnsupportedError with the names of the features that are missing. */
  static open(device: BlockDevice, options: OpenOptions = {}): ExtFileSystem {
    const mode = options.withoutReplay === true ? 'ignore' : 'read';
    const isWritable = mode === 'read' && options.readOnly !== true && !device.readOnly;
    const {
      device: source,
      problem,
      journal,
      wasDirty,
    } = recover(device, isWritable ? useOf(options) : mode);
    const volume = Volume.open(source, options.clock ?? (() => EPOCH), journal);
    const fs = new ExtFileSystem(volume, options, problem);
    fs.#core.directory(fs.root, 'open');
    if (fs.readOnly) return fs;
    volume.discards.isActive = options.discard === true;
    // With a journal the counts in the superblock are brought up to date at unmount only.
    if (wasDirty || !volume.wasClean) volume.recount();
    let lacking = 'use of space cannot be counted';
    try {
      volume.quotas = Quotas.open(fs.#core, fs.#quotaLimits);
      lacking = 'deleted files cannot be freed';
      fs.#core.orphans.recover();
    } catch (error) {
      if (!(error instanceof CorruptImageError)) throw error;
      // Nothing of it is on the device.
      const reason = `${lacking}: ${error.message}. Run e2fsck first`;
      return new ExtFileSystem(Volume.open(source, volume.clock), options, reason);
    }
    return fs;
  }

  get features(): readonly string[] {
    return featureNames(this.#volume.currentFeatures());
  }

  get label(): string {
    return labelOf(this.#volume.superblock);
  }

  set label(label: string) {
    this.#beginChange('setlabel');
    setLabel(this.#volume.superblock, label);
    this.#volume.markSuperblockDirty();
  }

  usage(): Usage {
    return measureUsage(this.#volume);
  }

  lookup(directory: NodeId, name: string): NodeId | undefined {
    this.#begin();
    const node = this.#names.lookup(directory, name) as NodeId | undefined;
    // Whoever found the number by this name means the file that has it now.
    if (node !== undefined) this.#core.retained.found(node);
    return node;
  }

  attributes(node: NodeId): Attributes {
    this.#begin();
    return attributesOf(this.#core, node);
  }

  setAttributes(node: NodeId, changes: AttributeChanges): void {
    this.#beginChange('setattr');
    const core = this.#core;
    if (changes.size !== undefined) {
      this.#requireFile(core.node(node), 'truncate');
      this.#resize(node, changes.size);
    }
    this.#withSpace(() => changeAttributes(core, node, changes));
  }

  *entries(directory: NodeId): Iterable<DirectoryEntry> {
    this.#begin();
    for (const entry of this.#names.entries(directory)) {
      this.#core.retained.found(entry.node);
      yield entry;
    }
  }

  parent(directory: NodeId): NodeId {
    this.#begin();
    return this.#names.parent(directory) as NodeId;
  }

  create(directory: NodeId, name: string, options: CreateOptions): NodeId {
    this.#beginChange('create');
    return this.#withSpace(() => this.#names.create(directory, name, options)) as NodeId;
  }

  link(node: NodeId, directory: NodeId, name: string): void {
    this.#beginChange('link');
    this.#withSpace(() => this.#names.link(node, directory, name));
  }

  unlink(directory: NodeId, name: string): void {
    this.#beginChange('unlink');
    this.#names.unlink(directory, name);
  }

  removeDirectory(directory: NodeId, name: string): void {
    this.#beginChange('rmdir');
    this.#names.removeDirectory(directory, name);
  }

  rename(
    directory: NodeId,
    name: string,
    newDirectory: NodeId,
    newName: string,
    options: RenameOptions = {},
  ): void {
    this.#beginChange('rename');
    this.#withSpace(() => this.#names.rename(directory, name, newDirectory, newName, options));
  }

  read(node: NodeId, offset: number, into: Uint8Array): number {
    this.#begin();
    const ref = this.#core.node(node);
    this.#requireFile(ref, 'read');
    return this.#core.read(ref, offset, into);
  }

  write(node: NodeId, offset: number, from: Uint8Array): void {
    this.#beginChange('write');
    const core = this.#core;
    const ref = core.node(node);
    this.#requireFile(ref, 'write');
    if (!Number.isSafeInteger(offset) || offset < 0) throw new FsError('EINVAL', { syscall: 'write' });
    const expectedSize = core.expectedSizes.get(node) ?? 0;
    const step = this.#volume.writableAtOnce;
    if (from.length <= step) {
      this.#withSpace(() => core.write(core.node(node), offset, from, expectedSize));
    } else {
      const expected = Math.max(expectedSize, offset + from.length);
      writeStepwise(core, ref, offset, from, expected, (part) => this.#withSpace(part));
    }
    // The place has been found; what follows goes on behind it.
    core.expectedSizes.delete(node);
    this.#touch(ref);
  }

  canFill(size: number): boolean {
    // Small files may lie in their inodes, and long ones take several transactions.
    const isStraight = (this.#volume.features.incompatible & IncompatibleFeature.inline_data) === 0;
    return isStraight && size > 0 && size <= this.#volume.writableAtOnce;
  }

  fill(node: NodeId, file: OutsideFile, copier: ContentCopier): void {
    this.#beginChange('write');
    const core = this.#core;
    this.#requireFile(core.node(node), 'write');
    this.#withSpace(() => core.content.fill(core.node(node), file, copier));
    core.expectedSizes.delete(node);
  }

  *extents(node: NodeId): Iterable<Extent> {
    this.#begin();
    const ref = this.#core.node(node);
    this.#requireFile(ref, 'extents');
    yield* this.#core.extents(ref);
  }

  *placement(node: NodeId): Iterable<Placement> {
    this.#begin();
    const ref = this.#core.node(node);
    this.#requireFile(ref, 'placement');
    // Whoever asks for places reads them from the device.
    this.#volume.data.flush();
    yield* this.#core.placement(ref);
  }

  readLink(node: NodeId): string {
    this.#begin();
    return readTarget(this.#core, this.#core.node(node));
  }

  listXattrs(node: NodeId): string[] {
    this.#begin();
    return this.#core.xattrs.list(this.#core.node(node));
  }

  getXattr(node: NodeId, name: string): Uint8Array | undefined {
    this.#begin();
    return this.#core.xattrs.get(this.#core.node(node), name);
  }

  setXattr(node: NodeId, name: string, value: Uint8Array): void {
    this.#beginChange('setxattr');
    const ref = this.#core.node(node);
    this.#withSpace(() => this.#core.xattrs.set(this.#core.node(node), name, value));
    this.#core.inodes.setTime(ref, ChangeTime, this.#core.now());
  }

  removeXattr(node: NodeId, name: string): void {
    this.#beginChange('removexattr');
    const ref = this.#core.node(node);
    this.#core.xattrs.remove(ref, name);
    this.#core.inodes.setTime(ref, ChangeTime, this.#core.now());
  }

  actAs(user: number): void {
    const { quotas } = this.#volume;
    if (quotas !== undefined) quotas.isExempt = user === 0;
  }

  retain(node: NodeId): void {
    this.#core.retained.retain(node);
  }

  release(node: NodeId): void {
    const { retained, orphans } = this.#core;
    if (retained.release(node) && orphans.has(node)) removeNode(this.#core, this.#core.node(node));
  }

  punch(node: NodeId, offset: number, length: number): void {
    const ref = this.#rangeOf(node, offset, length);
    this.#core.punch(ref, offset, length);
    this.#touch(ref);
  }

  preallocate(node: NodeId, offset: number, length: number, options: { keepSize?: boolean } = {}): void {
    const ref = this.#rangeOf(node, offset, length);
    const core = this.#core;
    this.#withSpace(() => core.preallocate(core.node(node), offset, length, options.keepSize === true));
    this.#touch(ref);
  }

  trim(start: number, length: number, least: number): number {
    this.#beginChange('trim');
    const { blockSize, blockCount, blocksPerGroup } = this.#volume.geometry;
    const first = Math.floor(start / blockSize);
    // As the kernel's driver.
    if (first >= blockCount || length < blockSize || Math.floor(least / blockSize) > blocksPerGroup)
      throw new FsError('EINVAL', { syscall: 'trim' });
    // What is free in memory must be so on the device before anything goes.
    this.#volume.sync();
    const end = first + Math.floor(length / blockSize);
    return this.#volume.discards.trim(first, end, Math.floor(least / blockSize)) * blockSize;
  }

  grow(blockCount: number): void {
    this.#beginChange('resize');
    const volume = this.#volume;
    if (!mayGrow(this.#core, blockCount)) return;
    // The size is changed as of a volume that nobody uses; then what is in memory begins anew.
    volume.close();
    this.#loss = { code: 'EIO', detail: 'what is on the device after a change of its size cannot be read' };
    try {
      planResize(this.device, { blockCount, clock: volume.clock }).apply();
    } finally {
      this.#reopen();
      this.#loss = undefined;
    }
  }

  settle(): void {
    if (!this.readOnly && this.#loss === undefined) this.#volume.settle();
  }

  sync(): void {
    if (!this.readOnly && this.#loss === undefined) this.#volume.sync();
  }

  reload(): void {
    if (this.#closed) throw new TypeError('The file system is closed');
    const before = identitiesOf(this.#core);
    this.#core.wasReloaded = true;
    this.#core.changeCount++;
    if (!this.#volume.reload()) {
      this.#loss = { code: 'ESTALE', detail: 'another file system was written over this one' };
      return;
    }
    const { directories, parents, expectedSizes } = this.#core;
    directories.forgetAll();
    parents.clear();
    expectedSizes.clear();
    for (const [node, identity] of before) recheck(this.#core, node, identity);
    if (!this.readOnly) this.#reopenQuotas();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.readOnly || this.#loss !== undefined) return;
    // Nobody can ask for them any more.
    for (const orphan of this.#core.orphans) {
      removeNode(this.#core, this.#core.node(orphan));
      this.#volume.trim();
    }
    this.#volume.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #reopen(): void {
    const before = this.#core;
    const { journal, problem } = recover(this.device, useOf(this.#options));
    if (problem !== undefined) throw new FsError('EIO', { detail: problem });
    const volume = Volume.open(this.device, this.#volume.clock, journal);
    volume.discards.isActive = this.#options.discard === true;
    this.#volume = volume;
    this.#core = new ExtCore(volume, before.retained);
    this.#core.changeCount = before.changeCount;
    this.#core.wasReloaded = before.wasReloaded;
    for (const [node, size] of before.expectedSizes) this.#core.expectedSizes.set(node, size);
    this.#names = new Namespace(this.#core);
    this.#reopenQuotas();
  }

  #reasonOf(reason: string | undefined): string | undefined {
    if (reason !== undefined) return reason;
    return this.#volume.device.readOnly ? 'the device is read-only' : undefined;
  }

  /** Every operation begins here: between two of them the cache may shrink. */
  #begin(): void {
    if (this.#closed) throw new TypeError('The file system is closed');
    if (this.#loss !== undefined) throw new FsError(this.#loss.code, { detail: this.#loss.detail });
    this.#volume.trim();
  }

  #beginChange(syscall: string): void {
    this.#begin();
    this.#core.changeCount++;
    if (this.#quotaFault !== undefined) throw this.#quotaFault;
    if (!this.readOnly) {
      this.#volume.multipleMount?.take(this.#volume.clock().seconds);
      return;
    }
    throw new FsError('EROFS', {
      syscall,
      ...(this.readOnlyReason === undefined
        ? {}
        : { detail: `read-only file system: ${this.readOnlyReason}` }),
    });
  }

  #reopenQuotas(): void {
    this.#quotaFault = undefined;
    this.#volume.quotas = undefined;
    try {
      this.#volume.quotas = Quotas.open(this.#core, this.#quotaLimits);
    } catch (error) {
      if (!(error instanceof CorruptImageError)) throw error;
      this.#quotaFault = error;
    }
  }

  #requireFile(ref: InodeRef, syscall: string): void {
    const kind = this.#core.inodes.kind(ref);
    if (kind === 'file') return;
    throw new FsError(kind === 'directory' ? 'EISDIR' : 'EINVAL', { syscall });
  }

  /** Runs a change; once more after a commit, when space that waits for one may be what it lacked. */
  #withSpace<T>(change: () => T): T {
    if (this.#volume.held.count + this.#volume.heldInodes.count === 0) return change();
    try {
      return change();
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
    }
    this.#volume.sync();
    return change();
  }

  #resize(node: NodeId, size: number): void {
    if (!Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL', { syscall: 'truncate' });
    const core = this.#core;
    const ref = core.node(node);
    if (size < core.inodes.size(ref)) truncateStepwise(core, ref, size);
    this.#withSpace(() => core.resize(core.node(node), size));
  }

  /** The file of a call like fallocate(2). */
  #rangeOf(node: NodeId, offset: number, length: number): InodeRef {
    this.#beginChange('fallocate');
    const ref = this.#core.node(node);
    this.#requireFile(ref, 'fallocate');
    const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (sound && offset >= 0 && length > 0 && Number.isSafeInteger(offset + length)) return ref;
    throw new FsError('EINVAL', { syscall: 'fallocate' });
  }

  #touch(ref: InodeRef): void {
    const now: Timestamp = this.#core.now();
    this.#core.inodes.setTime(ref, ModificationTime, now);
    this.#core.inodes.setTime(ref, ChangeTime, now);
  }
}

/** How the journal of a volume is used that is written to. */
function useOf(options: OpenOptions): 'bypass' | 'write' {
  return options.withoutJournal === true ? 'bypass' : 'write';
}
