import type { Extent } from '../../device/block-device.ts';
import type { ContentCopier, OutsideFile } from '../../device/content-copier.ts';
import type {
  Attributes,
  CreateOptions,
  FileSystem,
  NodeId,
  NodeKind,
} from '../../filesystem/file-system.ts';
import { resolvePath } from '../../filesystem/path.ts';
import {
  type TreeAttributes,
  type TreeCapabilities,
  type TreeChild,
  type TreeSource,
  type TreeTarget,
  type Xattr,
  NO_XATTRS,
  compareNames,
} from './tree.ts';

/** A file of an image: its node, and the path by which it was reached. */
export interface ImagePlace {
  readonly node: NodeId;
  readonly path: string;
}

/** The files of one file system in an image, for copying from it and into it. */
export class ImageTree implements TreeSource<ImagePlace>, TreeTarget<ImagePlace> {
  readonly fileSystem: FileSystem;
  readonly capabilities: TreeCapabilities;
  readonly ownersLost = 0;
  /** Turns a path into what messages show: `disk.img:1:/path`. */
  readonly #show: (path: string) => string;
  #reading: NodeId | undefined;
  #writing: NodeId | undefined;
  /** End of what was written to the open file, bytes. */
  #written = 0;
  /** The open file was made by us and has its attributes, as long as nothing was written. */
  #fresh = false;
  /** The open file has all of its content, and its attributes. */
  #taken = false;
  #copier: ContentCopier | undefined;

  constructor(fileSystem: FileSystem, show: (path: string) => string) {
    this.fileSystem = fileSystem;
    this.#show = show;
    this.capabilities = {
      ...fileSystem.capabilities,
      name: fileSystem.type.replace(/^fat(\d+)$/, 'FAT$1'),
    };
  }

  place(path: string, options: { readonly follow?: boolean } = {}): ImagePlace {
    return { node: resolvePath(this.fileSystem, path, options), path };
  }

  describe(place: ImagePlace, name?: string): string {
    return this.#show(name === undefined ? place.path : join(place.path, name));
  }

  attributes(place: ImagePlace): TreeAttributes {
    return treeAttributes(this.fileSystem.attributes(place.node));
  }

  follow(place: ImagePlace): ImagePlace {
    return { node: resolvePath(this.fileSystem, place.path), path: place.path };
  }

  children(directory: ImagePlace): TreeChild<ImagePlace>[] {
    const children: TreeChild<ImagePlace>[] = [];
    for (const { name, node } of this.fileSystem.entries(directory.node)) {
      children.push({ name, place: { node, path: join(directory.path, name) } });
    }
    return children.sort(compareNames);
  }

  readLink(place: ImagePlace): string {
    return this.fileSystem.readLink(place.node);
  }

  xattrs(place: ImagePlace): readonly Xattr[] {
    if (!this.capabilities.xattrs) return NO_XATTRS;
    const { node } = place;
    const names = this.fileSystem.listXattrs(node);
    if (names.length === 0) return NO_XATTRS;
    return names.map((name) => ({ name, value: this.fileSystem.getXattr(node, name) ?? new Uint8Array(0) }));
  }

  openFile(place: ImagePlace): void {
    this.#reading = place.node;
  }

  readFile(offset: number, into: Uint8Array): number {
    return this.fileSystem.read(this.#reading!, offset, into);
  }

  fileExtents(attributes: TreeAttributes): Iterable<Extent> | undefined {
    return attributes.sparse ? this.fileSystem.extents(this.#reading!) : undefined;
  }

  closeFile(): void {
    this.#reading = undefined;
  }

  find(directory: ImagePlace, name: string): ImagePlace | undefined {
    const node = this.fileSystem.lookup(directory.node, name);
    return node === undefined ? undefined : { node, path: join(directory.path, name) };
  }

  kind(place: ImagePlace): NodeKind {
    return this.fileSystem.attributes(place.node).kind;
  }

  identity(place: ImagePlace): NodeId {
    return place.node;
  }

  /** FAT folds case and knows files by 8.3 aliases, too: the node tells, the name does not. */
  entryKey(place: ImagePlace): NodeId {
    return place.node;
  }

  ancestors(directory: ImagePlace): NodeId[] {
    const found: NodeId[] = [directory.node];
    for (let node = directory.node; node !== this.fileSystem.root;) {
      node = this.fileSystem.parent(node);
      // A damaged image may lead in a circle.
      if (found.includes(node)) break;
      found.push(node);
    }
    return found;
  }

  make(directory: ImagePlace, name: string, node: CreateOptions): ImagePlace {
    return {
      node: this.fileSystem.create(directory.node, name, node),
      path: join(directory.path, name),
    };
  }

  makeFile(directory: ImagePlace, name: string, node: CreateOptions): ImagePlace {
    const place = this.make(directory, name, node);
    this.#writing = place.node;
    this.#written = 0;
    this.#fresh = true;
    return place;
  }

  reopenFile(place: ImagePlace): void {
    this.fileSystem.setAttributes(place.node, { size: 0 });
    this.#writing = place.node;
    this.#written = 0;
    this.#fresh = false;
  }

  canTake(size: number): boolean {
    const { fileSystem } = this;
    if (fileSystem.fill === undefined || fileSystem.canFill?.(size) !== true) return false;
    this.#copier = fileSystem.device.copier?.();
    return this.#copier !== undefined;
  }

  takeFile(file: OutsideFile): void {
    this.fileSystem.fill!(this.#writing!, file, this.#copier!);
    this.#taken = true;
  }

  failedFiles(): readonly OutsideFile[] {
    return this.fileSystem.device.copier?.()?.failed({ wait: true }) ?? [];
  }

  retry(directory: ImagePlace, name: string, again: () => void): void {
    const { atime, mtime } = this.fileSystem.attributes(directory.node);
    this.fileSystem.unlink(directory.node, name);
    again();
    this.fileSystem.setAttributes(directory.node, { atime, mtime });
  }

  writeFile(offset: number, from: Uint8Array): void {
    this.fileSystem.write(this.#writing!, offset, from);
    this.#written = Math.max(this.#written, offset + from.length);
  }

  endFile(size: number, node: CreateOptions | undefined): void {
    const target = this.#writing!;
    this.#writing = undefined;
    const isWhole = this.#taken || (size === 0 && this.#fresh);
    this.#taken = false;
    if (node === undefined || isWhole) return;
    const { kind: _kind, target: _target, device: _device, expectedSize: _expected, ...changes } = node;
    this.fileSystem.setAttributes(target, size > this.#written ? { ...changes, size } : changes);
  }

  finishDirectory(place: ImagePlace, node: CreateOptions): void {
    const { kind: _kind, target: _target, device: _device, expectedSize: _expected, ...changes } = node;
    this.fileSystem.setAttributes(place.node, changes);
  }

  link(existing: ImagePlace, directory: ImagePlace, name: string): void {
    this.fileSystem.link(existing.node, directory.node, name);
  }

  setXattr(place: ImagePlace, name: string, value: Uint8Array): void {
    this.fileSystem.setXattr(place.node, name, value);
  }

  unlink(directory: ImagePlace, name: string): void {
    this.fileSystem.unlink(directory.node, name);
  }
}

/** `/a` and `b` make `/a/b`. */
export function join(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

function treeAttributes(attributes: Attributes): TreeAttributes {
  return {
    kind: attributes.kind,
    identity: attributes.node,
    size: attributes.size,
    allocated: attributes.allocated,
    sparse: attributes.allocated < attributes.size,
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    linkCount: attributes.linkCount,
    device: attributes.device,
    atime: attributes.atime,
    mtime: attributes.mtime,
    dosAttributes: attributes.dosAttributes,
  };
}
