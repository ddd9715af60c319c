import type { Timestamp } from '../../src/bytes/time.ts';
import { utf8Length } from '../../src/bytes/utf8.ts';
import type { Extent } from '../../src/device/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError } from '../../src/errors.ts';
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
} from '../../src/filesystem/file-system.ts';

interface MemoryNode {
  attributes: Attributes;
  content: Uint8Array;
  target: string;
  readonly xattrs: Map<string, Uint8Array>;
  readonly names: Map<string, MemoryNode>;
  parent: MemoryNode;
  retained: number;
}

const BLOCK = 1024;

const POSIX: Capabilities = {
  symlinks: true,
  hardLinks: true,
  specialFiles: true,
  ownership: true,
  xattrs: true,
  holes: true,
  caseSensitive: true,
  dosAttributes: false,
  maxFileSize: 2 ** 41,
  maxNameLength: 255,
  nameUnit: 'byte',
  timeStep: 1,
  timeRange: [-(2 ** 31), 2 ** 34 - 2 ** 31 - 1],
};

/** The contract of src/filesystem/file-system.ts with nothing below it: plain maps and arrays, the rules of Linux. */
export class MemoryFileSystem implements FileSystem {
  readonly type: FileSystemType = 'ext2';
  readonly device = new MemoryDevice(0);
  readonly readOnly: boolean;
  readonly readOnlyReason: string | undefined = undefined;
  readonly capabilities: Capabilities;
  readonly root: NodeId;
  readonly uuid = '00112233-4455-6677-8899-aabbccddeeff';
  readonly features: readonly string[] = [];
  label = '';
  readonly #nodes = new Map<NodeId, MemoryNode>();
  readonly #clock: () => Timestamp;
  readonly #totalBlocks: number;
  #nextId = 3;

  constructor(options: OpenOptions & { capabilities?: Partial<Capabilities>; totalBlocks?: number } = {}) {
    this.readOnly = options.readOnly ?? false;
    this.capabilities = { ...POSIX, ...options.capabilities };
    this.#clock = options.clock ?? (() => ({ seconds: 0, nanoseconds: 0 }));
    this.#totalBlocks = options.totalBlocks ?? 1 << 20;
    this.root = 2 as NodeId;
    const root = this.#make(this.root, { kind: 'directory', mode: 0o755 }, undefined);
    this.#change(root, { linkCount: 2 });
  }

  usage(): Usage {
    let used = 0;
    for (const node of this.#nodes.values()) used += Math.ceil(node.content.length / BLOCK);
    const free = this.#totalBlocks - used;
    return {
      blockSize: BLOCK,
      totalBlocks: this.#totalBlocks,
      freeBlocks: free,
      availableBlocks: free,
      totalNodes: 1 << 16,
      freeNodes: (1 << 16) - this.#nodes.size,
    };
  }

  lookup(directory: NodeId, name: string): NodeId | undefined {
    return this.#directory(directory).names.get(name)?.attributes.node;
  }

  attributes(node: NodeId): Attributes {
    return this.#node(node).attributes;
  }

  setAttributes(id: NodeId, changes: AttributeChanges): void {
    this.#checkWritable();
    const node = this.#node(id);
    if (changes.size !== undefined) this.#resize(node, changes.size);
    const { size: _size, ...others } = changes;
    const now = this.#clock();
    this.#change(node, { ctime: now, ...(changes.size === undefined ? {} : { mtime: now }), ...others });
  }

  *entries(directory: NodeId): Iterable<DirectoryEntry> {
    // A map may change while it is walked, as the contract asks of a directory.
    for (const [name, node] of this.#directory(directory).names) {
      yield { name, node: node.attributes.node, kind: node.attributes.kind };
    }
  }

  parent(directory: NodeId): NodeId {
    return this.#directory(directory).parent.attributes.node;
  }

  create(directory: NodeId, name: string, options: CreateOptions): NodeId {
    this.#checkWritable();
    const parent = this.#directory(directory);
    this.#checkNewName(parent, name);
    if (options.kind === 'symlink' && !this.capabilities.symlinks) throw new FsError('EPERM');
    const id = this.#nextId++ as NodeId;
    const node = this.#make(id, options, parent);
    parent.names.set(name, node);
    this.#touch(parent);
    if (options.kind === 'directory') {
      this.#change(node, { linkCount: 2 });
      this.#change(parent, { linkCount: parent.attributes.linkCount + 1 });
    }
    return id;
  }

  link(id: NodeId, directory: NodeId, name: string): void {
    this.#checkWritable();
    const node = this.#node(id);
    const parent = this.#directory(directory);
    if (node.attributes.kind === 'directory' || !this.capabilities.hardLinks) throw new FsError('EPERM');
    this.#checkNewName(parent, name);
    parent.names.set(name, node);
    this.#change(node, { linkCount: node.attributes.linkCount + 1, ctime: this.#clock() });
    this.#touch(parent);
  }

  unlink(directory: NodeId, name: string): NodeId {
    this.#checkWritable();
    const parent = this.#directory(directory);
    const node = this.#child(parent, name);
    if (node.attributes.kind === 'directory') throw new FsError('EISDIR');
    parent.names.delete(name);
    this.#touch(parent);
    this.#dropName(node);
    return node.attributes.node;
  }

  removeDirectory(directory: NodeId, name: string): void {
    this.#checkWritable();
    const parent = this.#directory(directory);
    const node = this.#child(parent, name);
    if (node.attributes.kind !== 'directory') throw new FsError('ENOTDIR');
    if (node.names.size > 0) throw new FsError('ENOTEMPTY');
    parent.names.delete(name);
    this.#change(parent, { linkCount: parent.attributes.linkCount - 1 });
    this.#touch(parent);
    this.#change(node, { linkCount: 0 });
    this.#forget(node);
  }

  rename(
    directory: NodeId,
    name: string,
    newDirectory: NodeId,
    newName: string,
    options: RenameOptions = {},
  ): void {
    this.#checkWritable();
    const from = this.#directory(directory);
    const to = this.#directory(newDirectory);
    const node = this.#child(from, name);
    const isDirectory = node.attributes.kind === 'directory';
    for (let above = to; isDirectory; above = above.parent) {
      if (above === node) throw new FsError('EINVAL');
      if (above.parent === above) break;
    }
    const target = to.names.get(newName);
    if (target === node) return;
    if (target === undefined) this.#checkNewName(to, newName);
    else if (options.noReplace === true) throw new FsError('EEXIST');
    else if (target.attributes.kind === 'directory') {
      if (!isDirectory) throw new FsError('EISDIR');
      this.removeDirectory(newDirectory, newName);
    } else {
      if (isDirectory) throw new FsError('ENOTDIR');
      this.unlink(newDirectory, newName);
    }
    from.names.delete(name);
    to.names.set(newName, node);
    if (isDirectory && from !== to) {
      node.parent = to;
      this.#change(from, { linkCount: from.attributes.linkCount - 1 });
      this.#change(to, { linkCount: to.attributes.linkCount + 1 });
    }
    this.#touch(from);
    this.#touch(to);
    this.#change(node, { ctime: this.#clock() });
  }

  read(id: NodeId, offset: number, into: Uint8Array): number {
    const node = this.#file(id);
    const part = node.content.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  write(id: NodeId, offset: number, from: Uint8Array): void {
    this.#checkWritable();
    const node = this.#file(id);
    if (offset + from.length > node.content.length) this.#resize(node, offset + from.length);
    node.content.set(from, offset);
    const now = this.#clock();
    this.#change(node, { mtime: now, ctime: now });
  }

  extents(id: NodeId): Iterable<Extent> {
    const { length } = this.#file(id).content;
    return length === 0 ? [] : [{ offset: 0, length, kind: 'data' }];
  }

  placement(_node: NodeId): Iterable<Placement> {
    return [];
  }

  readLink(id: NodeId): string {
    const node = this.#node(id);
    if (node.attributes.kind !== 'symlink') throw new FsError('EINVAL');
    return node.target;
  }

  listXattrs(id: NodeId): string[] {
    return [...this.#node(id).xattrs.keys()].sort();
  }

  getXattr(id: NodeId, name: string): Uint8Array | undefined {
    return this.#node(id).xattrs.get(name);
  }

  setXattr(id: NodeId, name: string, value: Uint8Array): void {
    this.#checkWritable();
    if (!this.capabilities.xattrs) throw new FsError('EOPNOTSUPP');
    this.#node(id).xattrs.set(name, value.slice());
  }

  removeXattr(id: NodeId, name: string): void {
    this.#checkWritable();
    if (!this.#node(id).xattrs.delete(name)) throw new FsError('ENODATA');
  }

  retain(id: NodeId): void {
    this.#node(id).retained++;
  }

  release(id: NodeId): void {
    const node = this.#node(id);
    node.retained--;
    this.#forget(node);
  }

  /** How many nodes are alive, the root among them: for tests that look for leaks. */
  get nodeCount(): number {
    return this.#nodes.size;
  }

  settle(): void {}

  sync(): void {}

  reload(): void {}

  close(): void {}

  [Symbol.dispose](): void {
    this.close();
  }

  #make(id: NodeId, options: CreateOptions, parent: MemoryNode | undefined): MemoryNode {
    const now = this.#clock();
    const node = {
      attributes: {
        node: id,
        kind: options.kind,
        size: 0,
        allocated: 0,
        mode:
          options.mode ?? (options.kind === 'directory' ? 0o755 : options.kind === 'symlink' ? 0o777 : 0o644),
        uid: options.uid ?? 0,
        gid: options.gid ?? 0,
        linkCount: 1,
        device: options.device,
        atime: options.atime ?? now,
        mtime: options.mtime ?? now,
        ctime: options.ctime ?? now,
        birthtime: options.birthtime ?? now,
        dosAttributes: options.dosAttributes ?? 0,
      },
      content: new Uint8Array(0),
      target: options.target ?? '',
      xattrs: new Map<string, Uint8Array>(),
      names: new Map<string, MemoryNode>(),
      retained: 0,
    } as unknown as MemoryNode;
    node.parent = parent ?? node;
    if (options.kind === 'symlink') this.#change(node, { size: utf8Length(node.target) });
    this.#nodes.set(id, node);
    return node;
  }

  #change(node: MemoryNode, changes: Partial<Attributes>): void {
    node.attributes = { ...node.attributes, ...changes };
  }

  #touch(directory: MemoryNode): void {
    const now = this.#clock();
    this.#change(directory, { mtime: now, ctime: now });
  }

  #resize(node: MemoryNode, size: number): void {
    if (node.attributes.kind === 'directory') throw new FsError('EISDIR');
    if (node.attributes.kind !== 'file' || size < 0) throw new FsError('EINVAL');
    if (size > this.capabilities.maxFileSize) throw new FsError('EFBIG');
    const more = Math.ceil(size / BLOCK) - Math.ceil(node.content.length / BLOCK);
    if (more > this.usage().freeBlocks) throw new FsError('ENOSPC');
    const content = new Uint8Array(size);
    content.set(node.content.subarray(0, size));
    node.content = content;
    this.#change(node, { size, allocated: Math.ceil(size / BLOCK) * BLOCK });
  }

  #dropName(node: MemoryNode): void {
    this.#change(node, { linkCount: node.attributes.linkCount - 1, ctime: this.#clock() });
    this.#forget(node);
  }

  #forget(node: MemoryNode): void {
    if (node.attributes.linkCount === 0 && node.retained === 0) this.#nodes.delete(node.attributes.node);
  }

  #checkWritable(): void {
    if (this.readOnly) throw new FsError('EROFS');
  }

  #checkNewName(parent: MemoryNode, name: string): void {
    if (name === '' || name === '.' || name === '..' || name.includes('/')) throw new FsError('EINVAL');
    if (utf8Length(name) > this.capabilities.maxNameLength) throw new FsError('ENAMETOOLONG');
    if (parent.names.has(name)) throw new FsError('EEXIST');
    if (parent.attributes.linkCount === 0) throw new FsError('ENOENT');
  }

  #node(id: NodeId): MemoryNode {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Error(`Node ${id} is gone`);
    return node;
  }

  #directory(id: NodeId): MemoryNode {
    const node = this.#node(id);
    if (node.attributes.kind !== 'directory') throw new FsError('ENOTDIR');
    return node;
  }

  #file(id: NodeId): MemoryNode {
    const node = this.#node(id);
    if (node.attributes.kind === 'directory') throw new FsError('EISDIR');
    if (node.attributes.kind !== 'file') throw new FsError('EINVAL');
    return node;
  }

  #child(parent: MemoryNode, name: string): MemoryNode {
    const node = parent.names.get(name);
    if (node === undefined) throw new FsError('ENOENT');
    return node;
  }
}
