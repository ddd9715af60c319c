import type { Timestamp } from '../../bytes/time.ts';
import type { Extent } from '../../device/block-device.ts';
import type { OutsideFile } from '../../device/content-copier.ts';
import type { Capabilities, CreateOptions, DeviceNumber, NodeKind } from '../../filesystem/file-system.ts';

/**
 * What copying needs of a tree of files, so that one engine (copy-tree.ts) serves host to image, image to host and
 * image to image. `P` is a place: whatever the tree names a file by, a path on the host, an inode in an image.
 *
 * One file is read and one is written at a time, so the open ones are state of the tree and nothing is allocated for a file.
 */
export interface TreeSource<P> {
  readonly capabilities: TreeCapabilities;
  /** For messages: the place as a person would type it. */
  describe(place: P): string;
  attributes(place: P): TreeAttributes;
  /** What is behind a symlink, through all others; ENOENT where that is nothing. */
  follow(place: P): P;
  /** Sorted by name, so that the same tree is read in the same order everywhere. */
  children(directory: P): readonly TreeChild<P>[];
  readLink(place: P): string;
  /** The shared empty array for most files. */
  xattrs(place: P): readonly Xattr[];
  /** By what path whoever writes the target can read the file himself; undefined where that is not possible. */
  outsidePath?(place: P): string | undefined;
  openFile(place: P): void;
  /** Of the open file: bytes read at `offset`, 0 at the end. */
  readFile(offset: number, into: Uint8Array): number;
  /** Of the open file: data and holes; undefined when it has no holes, or when nobody can tell. */
  fileExtents(attributes: TreeAttributes): Iterable<Extent> | undefined;
  closeFile(): void;
}

export interface TreeTarget<P> {
  /** What it holds; a name that is in the way of another is told by EEXIST. */
  readonly capabilities: TreeCapabilities;
  describe(directory: P, name: string): string;
  /** The place behind a name, without following a symlink. */
  find(directory: P, name: string): P | undefined;
  kind(place: P): NodeKind;
  /** Of what is there already: the same as `TreeAttributes.identity` in a source of the same tree. */
  identity(place: P): FileIdentity;
  /** By what two entries of one directory are known to be one entry: their name, or where names are folded, more. */
  entryKey(place: P, name: string): FileIdentity;
  /** Where the directory lies, itself first, its root last: a directory cannot be copied into one of its own. */
  ancestors(directory: P): FileIdentity[];
  /** Makes anything but a file and a hard link. EEXIST when the name is taken. */
  make(directory: P, name: string, node: CreateOptions): P;
  /** Makes a file and opens it for writing. EEXIST when the name is taken. */
  makeFile(directory: P, name: string, node: CreateOptions): P;
  /** Empties an existing file and opens it for writing. */
  reopenFile(place: P): void;
  /** Can a new file of so many bytes be given its content with `takeFile`? */
  canTake?(size: number): boolean;
  /** All of the open file, later: `failedFiles` tells what could not be had. Its attributes stay as they were made. */
  takeFile?(file: OutsideFile): void;
  /** Waits until all that was taken is there, and tells those files that are not. */
  failedFiles?(): readonly OutsideFile[];
  /** Removes a file and runs `again`; the directory keeps its times. */
  retry?(directory: P, name: string, again: () => void): void;
  /** Of the open file. */
  writeFile(offset: number, from: Uint8Array): void;
  /** Closes the open file with this size (what was not written is a hole) and these attributes. */
  endFile(size: number, node: CreateOptions | undefined): void;
  /** Sets what `node` names on a directory, once everything is in it. */
  finishDirectory(place: P, node: CreateOptions): void;
  link(existing: P, directory: P, name: string): void;
  setXattr(place: P, name: string, value: Uint8Array): void;
  /** Removes a name that is no directory. */
  unlink(directory: P, name: string): void;
  /** How many files could not be given the owner that was asked for, so far. */
  readonly ownersLost: number;
}

export interface TreeCapabilities extends Pick<
  Capabilities,
  | 'symlinks'
  | 'hardLinks'
  | 'specialFiles'
  | 'ownership'
  | 'xattrs'
  | 'holes'
  | 'dosAttributes'
  | 'maxFileSize'
> {
  /** `fat32`, `the host`. */
  readonly name: string;
}

/** The same for two names of one file, different for two files of one tree. */
export type FileIdentity = string | number;

export interface TreeAttributes {
  readonly kind: NodeKind;
  readonly identity: FileIdentity;
  /** Bytes. */
  readonly size: number;
  /** Space that the content takes, bytes. */
  readonly allocated: number;
  /** Takes less space than its size: worth asking for holes. */
  readonly sparse: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly linkCount: number;
  readonly device: DeviceNumber | undefined;
  readonly atime: Timestamp;
  readonly mtime: Timestamp;
  readonly dosAttributes: number;
}

export interface TreeChild<P> {
  readonly name: string;
  readonly place: P;
}

export interface Xattr {
  readonly name: string;
  readonly value: Uint8Array;
}

export const NO_XATTRS: readonly Xattr[] = [];

/** `symbolic link`, `block device`: as messages name them. */
export function nameKind(kind: NodeKind): string {
  switch (kind) {
    case 'file':
      return 'file';
    case 'directory':
      return 'directory';
    case 'symlink':
      return 'symbolic link';
    case 'character-device':
      return 'character device';
    case 'block-device':
      return 'block device';
    case 'fifo':
      return 'named pipe';
    case 'socket':
      return 'socket';
  }
}

/** Names in the order of their UTF-16 code units: the same everywhere, whatever the locale. */
export function compareNames(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
