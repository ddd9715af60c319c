import { viewOf } from '../../bytes/struct.ts';
import { EPOCH } from '../../bytes/time.ts';
import { type BlockDevice, type Extent, readBytes } from '../../device/block-device.ts';
import type { ContentCopier, OutsideFile } from '../../device/content-copier.ts';
import { CorruptImageError, FsError, refuseOn } from '../../errors.ts';
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
import { attributesOf, changeAttributes } from './attributes.ts';
import { checkBootSector } from './boot-sector-check.ts';
import { BootSector, ExtendedBpb16, ExtendedBpb32 } from './boot-sector.ts';
import { CODE_PAGES, type CodePage } from './code-page.ts';
import { contentExtents, contentPlacement, fillContent, readContent, writeContent } from './file-content.ts';
import { geometryOf } from './geometry.ts';
import { MAX_NAME_LENGTH } from './long-name.ts';
import { createNode, removeDirectoryNode, renameNode, unlinkNode } from './names.ts';
import type { FatNode } from './node.ts';
import { FIRST_SECOND, LAST_SECOND } from './times.ts';
import { reloadVolume } from './reload.ts';
import { FatVolume, MAX_FILE_SIZE } from './volume.ts';
import { readLabel, writeLabel } from './volume-label.ts';

export interface FatOpenOptions extends OpenOptions {
  /** Character set of the 8.3 names. Default 437, as Linux. */
  readonly codePage?: CodePage['number'];
}

/** FAT12, FAT16 and FAT32 with long names, behind the contract of all file systems. */
export class FatFileSystem implements FileSystem {
  readonly type: FileSystemType;
  readonly device: BlockDevice;
  readonly readOnly: boolean;
  readonly readOnlyReason: string | undefined;
  readonly capabilities: Capabilities;
  readonly root: NodeId;
  readonly uuid: string;
  readonly features: readonly string[] = [];
  readonly #volume: FatVolume;
  #isClosed = false;

  private constructor(volume: FatVolume, uuid: string, readOnlyReason: string | undefined) {
    this.#volume = volume;
    this.type = volume.geometry.type;
    this.device = volume.device;
    this.readOnly = volume.options.readOnly;
    this.readOnlyReason = readOnlyReason;
    this.root = volume.root.id;
    this.uuid = uuid;
    const zone = volume.options.utcOffsetMinutes * 60;
    this.capabilities = {
      symlinks: false,
      hardLinks: false,
      specialFiles: false,
      ownership: false,
      xattrs: false,
      holes: false,
      caseSensitive: false,
      dosAttributes: true,
      maxFileSize: MAX_FILE_SIZE,
      maxNameLength: MAX_NAME_LENGTH,
      nameUnit: 'utf-16',
      timeStep: 2_000_000_000,
      timeRange: [FIRST_SECOND - zone, LAST_SECOND - zone],
    };
  }

  /** Reads the boot sector and FSInfo, nothing else; CorruptImageError when the boot sector does not make sense. */
  static open(device: BlockDevice, options: FatOpenOptions = {}): FatFileSystem {
    if (device.size < BootSector.$size) {
      throw new CorruptImageError({
        structure: 'boot sector',
        field: 'size of the device',
        found: `${device.size} bytes`,
        expected: `at least ${BootSector.$size}`,
      });
    }
    const sector = readBytes(device, 0, BootSector.$size);
    refuseOn(checkBootSector(sector, device.size));
    const volume = new FatVolume(device, geometryOf(sector), sector, {
      readOnly: options.readOnly === true || device.readOnly,
      clock: options.clock ?? (() => EPOCH),
      utcOffsetMinutes: options.utcOffsetMinutes ?? 0,
      codePage: CODE_PAGES[options.codePage ?? 437],
    });
    const reason = options.readOnly !== true && device.readOnly ? 'the device is read-only' : undefined;
    return new FatFileSystem(volume, serialOf(sector), reason);
  }

  get label(): string {
    return readLabel(this.#volume);
  }

  set label(label: string) {
    this.#checkWritable('setlabel');
    writeLabel(this.#volume, label);
  }

  usage(): Usage {
    const { geometry, state, writeBack } = this.#volume;
    const freeBlocks = state.freeClusters() + writeBack.pendingClusters;
    return {
      blockSize: geometry.clusterSize,
      totalBlocks: geometry.clusterCount,
      freeBlocks,
      availableBlocks: freeBlocks,
      totalNodes: 0,
      freeNodes: 0,
    };
  }

  lookup(directory: NodeId, name: string): NodeId | undefined {
    return this.#volume.directory(directory, 'lookup').lookup(name)?.id;
  }

  attributes(node: NodeId): Attributes {
    return attributesOf(this.#volume, this.#volume.nodes.get(node, 'stat'));
  }

  setAttributes(node: NodeId, changes: AttributeChanges): void {
    this.#checkWritable('setattr');
    changeAttributes(this.#volume, this.#volume.nodes.get(node, 'setattr'), changes);
  }

  *entries(directory: NodeId): Iterable<DirectoryEntry> {
    const children = this.#volume.directory(directory, 'readdir');
    for (let slot = 0; ;) {
      const child = children.nextChild(slot);
      if (child === undefined) return;
      slot = child.slot + 1;
      const { id, name, shortName } = child;
      const kind = child.isDirectory ? 'directory' : 'file';
      yield name === shortName ? { name, node: id, kind } : { name, node: id, kind, shortName };
    }
  }

  parent(directory: NodeId): NodeId {
    const { node } = this.#volume.directory(directory, 'stat');
    return (node.parent?.node ?? this.#volume.root).id;
  }

  create(directory: NodeId, name: string, options: CreateOptions): NodeId {
    this.#checkWritable(options.kind === 'directory' ? 'mkdir' : 'open');
    return createNode(this.#volume, directory, name, options).id;
  }

  link(_node: NodeId, _directory: NodeId, name: string): void {
    this.#checkWritable('link');
    throw new FsError('EPERM', { syscall: 'link', path: name, detail: 'FAT has no hard links' });
  }

  unlink(directory: NodeId, name: string): NodeId {
    this.#checkWritable('unlink');
    return unlinkNode(this.#volume, directory, name);
  }

  removeDirectory(directory: NodeId, name: string): void {
    this.#checkWritable('rmdir');
    removeDirectoryNode(this.#volume, directory, name);
  }

  rename(
    directory: NodeId,
    name: string,
    newDirectory: NodeId,
    newName: string,
    options: RenameOptions = {},
  ): void {
    this.#checkWritable('rename');
    renameNode(this.#volume, directory, name, newDirectory, newName, options);
  }

  read(node: NodeId, offset: number, into: Uint8Array): number {
    return readContent(this.#volume, this.#file(node, 'read'), offset, into);
  }

  write(node: NodeId, offset: number, from: Uint8Array): void {
    this.#checkWritable('write');
    writeContent(this.#volume, this.#file(node, 'write'), offset, from);
  }

  canFill(size: number): boolean {
    return size > 0;
  }

  fill(node: NodeId, file: OutsideFile, copier: ContentCopier): void {
    this.#checkWritable('write');
    fillContent(this.#volume, this.#file(node, 'write'), file, copier);
  }

  extents(node: NodeId): Iterable<Extent> {
    return contentExtents(this.#volume, this.#file(node, 'read'));
  }

  placement(node: NodeId): Iterable<Placement> {
    return contentPlacement(this.#volume, this.#file(node, 'read'));
  }

  readLink(node: NodeId): string {
    const { name } = this.#volume.nodes.get(node, 'readlink');
    throw new FsError('EINVAL', { syscall: 'readlink', path: name });
  }

  listXattrs(node: NodeId): string[] {
    this.#volume.nodes.get(node, 'listxattr');
    return [];
  }

  getXattr(node: NodeId, _name: string): undefined {
    this.#volume.nodes.get(node, 'getxattr');
  }

  setXattr(node: NodeId, _name: string, _value: Uint8Array): void {
    this.#checkWritable('setxattr');
    const { name } = this.#volume.nodes.get(node, 'setxattr');
    throw noXattrs('setxattr', name);
  }

  removeXattr(node: NodeId, _name: string): void {
    this.#checkWritable('removexattr');
    const { name } = this.#volume.nodes.get(node, 'removexattr');
    throw noXattrs('removexattr', name);
  }

  retain(node: NodeId): void {
    this.#volume.nodes.get(node, 'open').retained++;
  }

  release(id: NodeId): void {
    const node = this.#volume.nodes.any(id, 'close');
    if (node.retained === 0) throw new RangeError(`Node ${id} is released more often than retained`);
    node.retained--;
    if (node.retained > 0 || !this.#isUnlinked(node)) return;
    if (node.isStale || this.#volume.isReplaced) {
      this.#volume.nodes.remove(node);
      return;
    }
    this.#volume.forget(node);
    this.#volume.writeBack.changed();
  }

  settle(): void {
    if (!this.readOnly && !this.#volume.isReplaced) this.#volume.writeBack.commit();
  }

  sync(): void {
    if (this.readOnly || this.#volume.isReplaced) return;
    this.settle();
    this.device.flush();
  }

  reload(): void {
    if (this.#isClosed)
      throw new FsError('EBADF', { syscall: 'reload', detail: 'the file system is closed' });
    reloadVolume(this.#volume);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const volume = this.#volume;
    if (!this.readOnly && !volume.isReplaced) {
      // First, so that an orphan that cannot be freed costs nothing else.
      volume.writeBack.commit();
      for (const node of volume.nodes.all()) {
        if (this.#isUnlinked(node) && !node.isStale) volume.forget(node);
      }
      volume.writeBack.commit();
      if (volume.writeBack.hasEverChanged) this.device.flush();
      volume.state.markClean();
      // Looking at a volume shall not make the host write anything out.
      if (volume.writeBack.hasEverChanged) this.device.flush();
    }
    volume.nodes.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #isUnlinked(node: FatNode): boolean {
    return node.parent === undefined && node !== this.#volume.root;
  }

  #file(id: NodeId, syscall: string): FatNode {
    const node = this.#volume.nodes.get(id, syscall);
    if (node.isDirectory) throw new FsError('EISDIR', { syscall, path: node.name });
    return node;
  }

  #checkWritable(syscall: string): void {
    if (this.#isClosed) throw new FsError('EBADF', { syscall, detail: 'the file system is closed' });
    if (this.readOnly) throw new FsError('EROFS', { syscall });
  }
}

function noXattrs(syscall: string, path: string): FsError {
  return new FsError('EOPNOTSUPP', { syscall, path, detail: 'FAT has no extended attributes' });
}

/** The serial as blkid prints it; empty where the boot sector has none. */
function serialOf(sector: Uint8Array): string {
  const view = viewOf(sector);
  const extended = BootSector.BPB_FATSz16.get(view, 0) === 0 ? ExtendedBpb32 : ExtendedBpb16;
  const signature = extended.BS_BootSig.get(view, 0);
  if (signature !== 0x29 && signature !== 0x28) return '';
  const digits = extended.BS_VolID.get(view, 0).toString(16).toUpperCase().padStart(8, '0');
  return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}
