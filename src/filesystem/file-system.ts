import type { Timestamp } from '../bytes/time.ts';
import type { BlockDevice, Extent } from '../device/block-device.ts';
import type { ContentCopier, OutsideFile } from '../device/content-copier.ts';

/**
 * The contract between a file-system driver and everything above it: the verbs, the node:fs face, boot loaders, and
 * FUSE. It is shaped like the kernel's own (inodes and names, no paths), so that every consumer fits on it
 * without translation; paths are resolved in `path.ts`, once for all drivers.
 *
 * All calls are synchronous. Failures are FsError with the code that Linux gives in the same case; damage found on the
 * way is CorruptImageError. A call that throws FsError (no space, name too long, …) has changed nothing that a reader can see.
 */
export interface FileSystem {
  readonly type: FileSystemType;
  readonly device: BlockDevice;
  readonly readOnly: boolean;
  /** Why a file system that was asked for read-write came up read-only, in a person's words. */
  readonly readOnlyReason: string | undefined;
  readonly capabilities: Capabilities;
  readonly root: NodeId;
  /** Empty when there is none. */
  label: string;
  /** As blkid prints it: `xxxxxxxx-xxxx-…` for ext, `XXXX-XXXX` (volume serial) for FAT. */
  readonly uuid: string;
  /** Names of the optional features in use, in the format's own words (`dir_index`, `filetype` …). */
  readonly features: readonly string[];

  /** With `node`: of that, where a limit of its project is all the space that there is. */
  usage(node?: NodeId): Usage;

  /** The node behind a name in a directory, or undefined. `.` and `..` are not names here. ENOTDIR when `directory` is none. */
  lookup(directory: NodeId, name: string): NodeId | undefined;
  attributes(node: NodeId): Attributes;
  /** Members left out stay as they are. `size` truncates or extends (with a hole where the format has holes). Changes ctime, where there is one. */
  setAttributes(node: NodeId, changes: AttributeChanges): void;
  /** All entries but `.` and `..`, in the order of the directory. The directory may change while it is walked: an entry that stays is seen once. */
  entries(directory: NodeId): Iterable<DirectoryEntry>;
  parent(directory: NodeId): NodeId;

  /** Makes a new node under a name that must be free (EEXIST). */
  create(directory: NodeId, name: string, options: CreateOptions): NodeId;
  /** A second name for a node that is not a directory. */
  link(node: NodeId, directory: NodeId, name: string): void;
  /** Removes a name and returns the node that it led to, which goes when it was the last one and nobody retains it. EISDIR for a directory. */
  unlink(directory: NodeId, name: string): NodeId;
  /** ENOTEMPTY, ENOTDIR. */
  removeDirectory(directory: NodeId, name: string): void;
  /** rename(2): atomically replaces the target; same node twice is a no-op; EINVAL when a directory would move into itself. */
  rename(
    directory: NodeId,
    name: string,
    newDirectory: NodeId,
    newName: string,
    options?: RenameOptions,
  ): void;

  /** Reads at `offset` as much as there is, up to `into.length`; returns the bytes read, 0 at the end. Holes read as zeros. */
  read(node: NodeId, offset: number, into: Uint8Array): number;
  /** Writes all of `from` at `offset`, extending the file where needed. ENOSPC before anything is changed when it cannot fit. */
  write(node: NodeId, offset: number, from: Uint8Array): void;
  /**
   * Gives an empty file that was just made all of its content: the driver finds the place, the copier of the device fills it, later. Times and attributes
   * stay. ENOSPC as for `write`. Left out where content does not go straight to the device.
   */
  fill?(node: NodeId, file: OutsideFile, copier: ContentCopier): void;
  /** Can a new file of so many bytes be filled? */
  canFill?(size: number): boolean;
  /** The file's content as data and holes, offsets within the file, from 0 to its size, without gaps. */
  extents(node: NodeId): Iterable<Extent>;
  /**
   * Where the file's content lies on the device, in file order, adjacent runs merged; holes are left out.
   * For boot loaders' block lists and for `blocklist`.
   */
  placement(node: NodeId): Iterable<Placement>;

  /** The target's bytes as text (see bytes/utf8.ts). EINVAL for what is no symlink. */
  readLink(node: NodeId): string;

  /** Full names with prefix (`user.mime_type`, `security.capability`, `system.posix_acl_access`), sorted. */
  listXattrs(node: NodeId): string[];
  getXattr(node: NodeId, name: string): Uint8Array | undefined;
  /** EOPNOTSUPP where the format has none; ENOSPC when it does not fit. */
  setXattr(node: NodeId, name: string, value: Uint8Array): void;
  /** ENODATA when it is not there. */
  removeXattr(node: NodeId, name: string): void;

  /** ext: the kinds of quotas that the volume keeps. */
  readonly quotaKinds?: readonly QuotaKind[];
  /** Who asks for what comes next: limits of quotas do not bind the user 0, nor anybody before the first call. Left out where there are none. */
  actAs?(user: number): void;

  /** Bits and project of a node. Left out where there are none. */
  flags?(node: NodeId): NodeFlags;
  /** EOPNOTSUPP for a change of bits that cannot be had; the project with its own change. EDQUOT, ENOSPC: nothing has changed. */
  setFlags?(node: NodeId, changes: Partial<NodeFlags>): void;

  /** Keeps a node alive past its last name, as an open file does; calls nest. */
  retain(node: NodeId): void;
  release(node: NodeId): void;

  /**
   * Frees the content of the range, which reads as zeros from then on; the size stays, and so does what lies past it. EOPNOTSUPP for what is no
   * regular file with blocks of its own. Left out where the format has no holes.
   */
  punch?(node: NodeId, offset: number, length: number): void;

  /**
   * Takes space for a range, which reads as zeros where nothing was written, so that writing there does not fail for want of it; the file grows over the
   * range unless `keepSize`. ENOSPC changes nothing. EOPNOTSUPP for a file that cannot have space without content. Left out where no file can.
   */
  preallocate?(node: NodeId, offset: number, length: number, options?: { readonly keepSize?: boolean }): void;

  /**
   * Tells the device of all free runs of at least `least` bytes in a range of it, once that they are free is durable. Returns the bytes that these
   * have. Left out where the driver does not know how.
   */
  trim?(start: number, length: number, least: number): number;

  /**
   * Makes the volume larger, to so many of its blocks, while it is in use; when it has grown everything is durable. EINVAL when it has more, ENOSPC when the device has fewer; nothing
   * is changed then, nor by what the driver cannot do. Left out where it can do none.
   */
  grow?(blockCount: number): void;

  /** Writes everything that is held in memory to the device, in an order that is safe. The device is not flushed. */
  settle(): void;
  /** `settle`, and flushes the device. */
  sync(): void;
  /**
   * Somebody else has written to the device since the last `settle`, after which nothing was changed here: forgets all that was
   * read. A node stays valid where its file is still there; else its calls throw ESTALE, until its number is found under a name again. When
   * another file system is there now, all do.
   */
  reload(): void;
  /**
   * ext that was opened with `givesSigns`: gives a sign of life to others. Returns the seconds after which the next is due; undefined: none ever is. EBUSY:
   * somebody else has taken the volume, and nothing more is written to it.
   */
  giveSign?(): number | undefined;
  /** `sync`, marks the file system clean, forgets everything. The device stays open: it belongs to the caller. */
  close(): void;
  [Symbol.dispose](): void;
}

export type FileSystemType = 'fat12' | 'fat16' | 'fat32' | 'ext2' | 'ext3' | 'ext4';

/** Whose use of a volume is counted. */
export type QuotaKind = 'user' | 'group' | 'project';

/** An inode number, or the driver's stand-in for one; stays the same while the node lives, also across renames. */
export type NodeId = number & { readonly __unit: 'node' };

export type NodeKind =
  'file' | 'directory' | 'symlink' | 'character-device' | 'block-device' | 'fifo' | 'socket';

/** What the format can hold. Consumers ask here instead of comparing types. */
export interface Capabilities {
  readonly symlinks: boolean;
  readonly hardLinks: boolean;
  readonly specialFiles: boolean;
  /** Owner, group and the permission bits. */
  readonly ownership: boolean;
  readonly xattrs: boolean;
  readonly holes: boolean;
  readonly caseSensitive: boolean;
  /** FAT's read-only, hidden, system and archive bits. */
  readonly dosAttributes: boolean;
  /** Longest file, bytes. */
  readonly maxFileSize: number;
  /** Longest name, and what it is counted in. */
  readonly maxNameLength: number;
  readonly nameUnit: 'byte' | 'utf-16';
  /** Step of mtime in nanoseconds: 2e9 for FAT, 1e9 for 128-byte inodes, 1 for larger ones. */
  readonly timeStep: number;
  /** What mtime can hold, in seconds since 1970; both ends included. */
  readonly timeRange: readonly [first: number, last: number];
}

export interface Attributes {
  readonly node: NodeId;
  readonly kind: NodeKind;
  /** Bytes. */
  readonly size: number;
  /** Space that the content takes on the device, bytes. */
  readonly allocated: number;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. FAT gives what its read-only bit says. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly linkCount: number;
  /** For character and block devices. */
  readonly device: DeviceNumber | undefined;
  readonly atime: Timestamp;
  readonly mtime: Timestamp;
  readonly ctime: Timestamp;
  readonly birthtime: Timestamp | undefined;
  /** Bits of `DosAttribute`; 0 where the format has none. */
  readonly dosAttributes: number;
  /** Where numbers of nodes are used again: tells the files that had this one apart. */
  readonly generation?: number;
}

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** Microsoft FAT specification 1.03, section 6: DIR_Attr. */
export const DosAttribute = {
  readOnly: 0x01,
  hidden: 0x02,
  system: 0x04,
  volumeId: 0x08,
  directory: 0x10,
  archive: 0x20,
} as const;

export interface AttributeChanges {
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly atime?: Timestamp;
  readonly mtime?: Timestamp;
  /** Only for copies that restore a whole inode; node:fs and the verbs leave it to the clock. */
  readonly ctime?: Timestamp;
  readonly birthtime?: Timestamp;
  readonly dosAttributes?: number;
}

export interface CreateOptions {
  readonly kind: NodeKind;
  /** Default 0o644, 0o755 for directories, 0o777 for symlinks. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Default: the clock of the file system. */
  readonly atime?: Timestamp;
  readonly mtime?: Timestamp;
  readonly ctime?: Timestamp;
  readonly birthtime?: Timestamp;
  /** For symlinks: the target. */
  readonly target?: string;
  /** For character and block devices. */
  readonly device?: DeviceNumber;
  readonly dosAttributes?: number;
  /** A hint: this many bytes will be written, so that the driver can place the file in one piece. */
  readonly expectedSize?: number;
}

/** What FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR tell of a node. */
export interface NodeFlags {
  /** As lsattr(1) shows them, by their bits (Linux include/uapi/linux/fs.h: FS_SECRM_FL and so on). */
  readonly bits: number;
  readonly project: number;
}

export interface RenameOptions {
  /** RENAME_NOREPLACE: EEXIST when the target is there. */
  readonly noReplace?: boolean;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly node: NodeId;
  readonly kind: NodeKind;
  /** FAT: the 8.3 alias, where it differs from the name. */
  readonly shortName?: string;
}

export interface Placement {
  /** Byte offset within the file. */
  readonly fileOffset: number;
  /** Byte offset on the file system's device. */
  readonly deviceOffset: number;
  readonly length: number;
}

/** In the terms of statvfs(3), and as df prints them. */
export interface Usage {
  /** Bytes of an allocation unit: block or cluster. */
  readonly blockSize: number;
  /** In units of `blockSize`. What the file system can hold: ext leaves out its own overhead, as the kernel does by default (minixdf off). */
  readonly totalBlocks: number;
  readonly freeBlocks: number;
  /** Free for users who are not root. */
  readonly availableBlocks: number;
  /** 0 on FAT, which has none. */
  readonly totalNodes: number;
  readonly freeNodes: number;
}

/** Who has mounted a volume, as its multiple-mount protection tells. */
export interface MountedElsewhere {
  readonly node: string;
  readonly device: string;
  /** Changes while the mount lives. */
  readonly sequence: number;
  /** Seconds. */
  readonly patience: number;
}

export interface OpenOptions {
  /** Do not write, whatever the device allows. Default: as the device. */
  readonly readOnly?: boolean;
  /** ext: shows the volume as it lies on the device, without what its journal holds. Only for reading. Default: no. */
  readonly withoutReplay?: boolean;
  /** ext: tells the device of blocks that were freed, once that is durable. Default: no. */
  readonly discard?: boolean;
  /**
   * ext: changes go straight to their places although the volume has a journal, whose log is empty and stays so. For filling a volume that
   * nobody needs before it is complete. Default: no.
   */
  readonly withoutJournal?: boolean;
  /** ext: kinds of quotas whose limits bind those that `actAs` says are asking. What is used is counted in any case. Default: none. */
  readonly quotaLimits?: readonly QuotaKind[];
  /**
   * ext with multiple-mount protection: asked about a volume that somebody else has mounted, or had before a crash. True when `patience` seconds have
   * passed since, so that a second look tells which. Default: it counts as mounted.
   */
  readonly waitForIdle?: (state: MountedElsewhere) => boolean;
  /** ext with multiple-mount protection: who the volume is taken for. */
  readonly holder?: { readonly node: string; readonly device: string };
  /** Likewise: it is taken at once, and the caller calls `giveSign` in time. Default: it is taken with the first change, by a program that gives no signs. */
  readonly givesSigns?: boolean;
  /** Tells the time for new nodes and changes. Default: always the epoch, since the core has no clock. */
  readonly clock?: () => Timestamp;
  /** Minutes east of UTC of the local time in which FAT keeps its times. Default 0. */
  readonly utcOffsetMinutes?: number;
}

/** One folder a driver: what the detection and the factories know of it. */
export interface FileSystemDriver {
  readonly name: 'fat' | 'ext';
  /** Looks at a few sectors and says whether this is one of its own; never throws for what a device may hold. */
  probe(device: BlockDevice): boolean;
  open(device: BlockDevice, options?: OpenOptions): FileSystem;
}
