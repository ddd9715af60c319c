import type { Timestamp } from '../../bytes/time.ts';
import { formatUuid } from '../../bytes/uuid.ts';
import type { BlockDevice, Extent } from '../../device/block-device.ts';
import type { ContentCopier, OutsideFile } from '../../device/content-copier.ts';
import { FsError } from '../../errors.ts';
import type {
  AttributeChanges,
  Attributes,
  Capabilities,
  CreateOptions,
  DirectoryEntry,
  FileSystem,
  FileSystemType,
  NodeFlags,
  NodeId,
  OpenOptions,
  Placement,
  QuotaKind,
  RenameOptions,
  Usage,
} from '../file-system.ts';
import { MAX_NAME } from './directory-block.ts';
import { featureNames, fileSystemType } from './features.ts';
import { ReservedInode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { attributesOf, changeAttributes } from './node-attributes.ts';
import { changeFlags, flagsOf } from './node-flags.ts';
import { removeNode } from './node-removal.ts';
import { OpenVolume } from './open-volume.ts';
import { quotaFilesOf } from './quota-kind.ts';
import { truncateStepwise } from './stepwise-truncation.ts';
import { writeStepwise } from './stepwise-write.ts';
import { IncompatibleFeature, Superblock } from './superblock.ts';
import { readTarget } from './symlink.ts';
import { ChangeTime, LONG_TIME_RANGE, ModificationTime, SHORT_TIME_RANGE } from './timestamp.ts';
import { measureUsage } from './usage.ts';
import { labelOf, setLabel } from './volume-label.ts';

/** An open ext2, ext3 or ext4 volume. */
export class ExtFileSystem implements FileSystem {
  readonly type: FileSystemType;
  readonly device: BlockDevice;
  readonly readOnly: boolean;
  readonly readOnlyReason: string | undefined;
  readonly capabilities: Capabilities;
  readonly root = ReservedInode.root as NodeId;
  readonly uuid: string;
  readonly #open: OpenVolume;

  private constructor(open: OpenVolume) {
    const { volume } = open;
    this.#open = open;
    this.device = volume.device;
    this.type = fileSystemType(volume.features);
    this.readOnly = open.readOnly;
    this.readOnlyReason = open.readOnlyReason;
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
      maxFileSize: open.core.content.maxSize,
      maxNameLength: MAX_NAME,
      nameUnit: 'byte',
      timeStep: long ? 1 : 1_000_000_000,
      timeRange: long ? LONG_TIME_RANGE : SHORT_TIME_RANGE,
    };
  }

  /** CorruptImageError, or UnsupportedError with the names of the features that are missing. */
  static open(device: BlockDevice, options: OpenOptions = {}): ExtFileSystem {
    return new ExtFileSystem(OpenVolume.open(device, options));
  }

  get features(): readonly string[] {
    return featureNames(this.#open.volume.currentFeatures());
  }

  get label(): string {
    return labelOf(this.#open.volume.superblock);
  }

  set label(label: string) {
    this.#open.beginChange('setlabel');
    setLabel(this.#open.volume.superblock, label);
    this.#open.volume.markSuperblockDirty();
  }

  usage(node?: NodeId): Usage {
    const whole = measureUsage(this.#open.core);
    const { quotas } = this.#open.volume;
    return node === undefined || quotas === undefined
      ? whole
      : quotas.usageOf(this.#open.core.node(node), whole);
  }

  lookup(directory: NodeId, name: string): NodeId | undefined {
    this.#open.begin();
    const node = this.#open.names.lookup(directory, name) as NodeId | undefined;
    // Whoever found the number by this name means the file that has it now.
    if (node !== undefined) this.#open.core.retained.found(node);
    return node;
  }

  attributes(node: NodeId): Attributes {
    this.#open.begin();
    return attributesOf(this.#open.core, node);
  }

  setAttributes(node: NodeId, changes: AttributeChanges): void {
    this.#open.beginChange('setattr');
    const core = this.#open.core;
    if (changes.size !== undefined) {
      this.#requireFile(core.node(node), 'truncate');
      this.#resize(node, changes.size);
    }
    this.#open.withSpace(() => changeAttributes(core, node, changes));
  }

  *entries(directory: NodeId): Iterable<DirectoryEntry> {
    this.#open.begin();
    for (const entry of this.#open.names.entries(directory)) {
      this.#open.core.retained.found(entry.node);
      yield entry;
    }
  }

  parent(directory: NodeId): NodeId {
    this.#open.begin();
    return this.#open.names.parent(directory) as NodeId;
  }

  create(directory: NodeId, name: string, options: CreateOptions): NodeId {
    this.#open.beginChange('create');
    return this.#open.withSpace(() => this.#open.names.create(directory, name, options)) as NodeId;
  }

  link(node: NodeId, directory: NodeId, name: string): void {
    this.#open.beginChange('link');
    this.#open.withSpace(() => this.#open.names.link(node, directory, name));
  }

  unlink(directory: NodeId, name: string): NodeId {
    this.#open.beginChange('unlink');
    return this.#open.names.unlink(directory, name) as NodeId;
  }

  removeDirectory(directory: NodeId, name: string): void {
    this.#open.beginChange('rmdir');
    this.#open.names.removeDirectory(directory, name);
  }

  rename(
    directory: NodeId,
    name: string,
    newDirectory: NodeId,
    newName: string,
    options: RenameOptions = {},
  ): void {
    this.#open.beginChange('rename');
    this.#open.withSpace(() => this.#open.names.rename(directory, name, newDirectory, newName, options));
  }

  read(node: NodeId, offset: number, into: Uint8Array): number {
    this.#open.begin();
    const ref = this.#open.core.node(node);
    this.#requireFile(ref, 'read');
    return this.#open.core.read(ref, offset, into);
  }

  write(node: NodeId, offset: number, from: Uint8Array): void {
    this.#open.beginChange('write');
    const core = this.#open.core;
    const ref = core.node(node);
    this.#requireFile(ref, 'write');
    if (!Number.isSafeInteger(offset) || offset < 0) throw new FsError('EINVAL', { syscall: 'write' });
    const expectedSize = core.expectedSizes.get(node) ?? 0;
    const step = this.#open.volume.writableAtOnce;
    if (from.length <= step) {
      this.#open.withSpace(() => core.write(core.node(node), offset, from, expectedSize));
    } else {
      const expected = Math.max(expectedSize, offset + from.length);
      writeStepwise(core, ref, offset, from, expected, (part) => this.#open.withSpace(part));
    }
    // The place has been found; what follows goes on behind it.
    core.expectedSizes.delete(node);
    this.#touch(ref);
  }

  canFill(size: number): boolean {
    // Small files may lie in their inodes, and long ones take several transactions.
    const isStraight = (this.#open.volume.features.incompatible & IncompatibleFeature.inline_data) === 0;
    return isStraight && size > 0 && size <= this.#open.volume.writableAtOnce;
  }

  fill(node: NodeId, file: OutsideFile, copier: ContentCopier): void {
    this.#open.beginChange('write');
    const core = this.#open.core;
    this.#requireFile(core.node(node), 'write');
    this.#open.withSpace(() => core.content.fill(core.node(node), file, copier));
    core.expectedSizes.delete(node);
  }

  *extents(node: NodeId): Iterable<Extent> {
    this.#open.begin();
    const ref = this.#open.core.node(node);
    this.#requireFile(ref, 'extents');
    yield* this.#open.core.extents(ref);
  }

  *placement(node: NodeId): Iterable<Placement> {
    this.#open.begin();
    const ref = this.#open.core.node(node);
    this.#requireFile(ref, 'placement');
    // Whoever asks for places reads them from the device.
    this.#open.volume.data.flush();
    yield* this.#open.core.placement(ref);
  }

  readLink(node: NodeId): string {
    this.#open.begin();
    return readTarget(this.#open.core, this.#open.core.node(node));
  }

  listXattrs(node: NodeId): string[] {
    this.#open.begin();
    return this.#open.core.xattrs.list(this.#open.core.node(node));
  }

  getXattr(node: NodeId, name: string): Uint8Array | undefined {
    this.#open.begin();
    return this.#open.core.xattrs.get(this.#open.core.node(node), name);
  }

  setXattr(node: NodeId, name: string, value: Uint8Array): void {
    this.#open.beginChange('setxattr');
    const ref = this.#open.core.node(node);
    this.#open.withSpace(() => this.#open.core.xattrs.set(this.#open.core.node(node), name, value));
    this.#open.core.inodes.setTime(ref, ChangeTime, this.#open.core.now());
  }

  removeXattr(node: NodeId, name: string): void {
    this.#open.beginChange('removexattr');
    const ref = this.#open.core.node(node);
    this.#open.core.xattrs.remove(ref, name);
    this.#open.core.inodes.setTime(ref, ChangeTime, this.#open.core.now());
  }

  get quotaKinds(): readonly QuotaKind[] {
    return quotaFilesOf(this.#open.volume.superblock, this.#open.volume.currentFeatures()).map(
      ({ kind }) => kind,
    );
  }

  flags(node: NodeId): NodeFlags {
    this.#open.begin();
    return flagsOf(this.#open.core, this.#open.core.node(node));
  }

  setFlags(node: NodeId, changes: Partial<NodeFlags>): void {
    this.#open.beginChange('ioctl');
    this.#open.withSpace(() => changeFlags(this.#open.core, this.#open.core.node(node), changes));
  }

  actAs(user: number): void {
    const { quotas } = this.#open.volume;
    if (quotas !== undefined) quotas.isExempt = user === 0;
  }

  retain(node: NodeId): void {
    this.#open.core.retained.retain(node);
  }

  release(node: NodeId): void {
    const { retained, orphans } = this.#open.core;
    if (retained.release(node) && orphans.has(node)) removeNode(this.#open.core, this.#open.core.node(node));
  }

  punch(node: NodeId, offset: number, length: number): void {
    const ref = this.#rangeOf(node, offset, length);
    this.#open.core.punch(ref, offset, length);
    this.#touch(ref);
  }

  preallocate(node: NodeId, offset: number, length: number, options: { keepSize?: boolean } = {}): void {
    const ref = this.#rangeOf(node, offset, length);
    const core = this.#open.core;
    this.#open.withSpace(() => core.preallocate(core.node(node), offset, length, options.keepSize === true));
    this.#touch(ref);
  }

  trim(start: number, length: number, least: number): number {
    this.#open.beginChange('trim');
    const { blockSize, blockCount, blocksPerGroup } = this.#open.volume.geometry;
    const first = Math.floor(start / blockSize);
    // As the kernel's driver.
    if (first >= blockCount || length < blockSize || Math.floor(least / blockSize) > blocksPerGroup)
      throw new FsError('EINVAL', { syscall: 'trim' });
    // What is free in memory must be so on the device before anything goes.
    this.#open.volume.sync();
    const end = first + Math.floor(length / blockSize);
    return this.#open.volume.discards.trim(first, end, Math.floor(least / blockSize)) * blockSize;
  }

  grow(blockCount: number): void {
    this.#open.grow(blockCount);
  }

  settle(): void {
    this.#open.settle();
  }

  sync(): void {
    this.#open.sync();
  }

  reload(): void {
    this.#open.reload();
  }

  giveSign(): number | undefined {
    return this.#open.giveSign();
  }

  close(): void {
    this.#open.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #requireFile(ref: InodeRef, syscall: string): void {
    const kind = this.#open.core.inodes.kind(ref);
    if (kind === 'file') return;
    throw new FsError(kind === 'directory' ? 'EISDIR' : 'EINVAL', { syscall });
  }

  #resize(node: NodeId, size: number): void {
    if (!Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL', { syscall: 'truncate' });
    const core = this.#open.core;
    const ref = core.node(node);
    if (size < core.inodes.size(ref)) truncateStepwise(core, ref, size);
    this.#open.withSpace(() => core.resize(core.node(node), size));
  }

  /** The file of a call like fallocate(2). */
  #rangeOf(node: NodeId, offset: number, length: number): InodeRef {
    this.#open.beginChange('fallocate');
    const ref = this.#open.core.node(node);
    this.#requireFile(ref, 'fallocate');
    const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (sound && offset >= 0 && length > 0 && Number.isSafeInteger(offset + length)) return ref;
    throw new FsError('EINVAL', { syscall: 'fallocate' });
  }

  #touch(ref: InodeRef): void {
    const now: Timestamp = this.#open.core.now();
    this.#open.core.inodes.setTime(ref, ModificationTime, now);
    this.#open.core.inodes.setTime(ref, ChangeTime, now);
  }
}
