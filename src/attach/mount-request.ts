import type { FileSystemType, QuotaKind } from '../filesystem/file-system.ts';

/** What mounting a file system of an attached device asks for. */
export interface MountRequest {
  /** Which view of the device: `loop0p1`. */
  readonly view: string;
  /** Absolute, resolved. */
  readonly directory: string;
  /** What /proc/mounts shall show: the path by which programs open the view. */
  readonly source: string;
  /** What must be there; `fat` and `ext` leave the variant open. Undefined: whatever is there. */
  readonly type?: FileSystemType | 'fat' | 'ext';
  readonly options: MountOptions;
  /** Of the user who asks. */
  readonly uid: number;
}

/** Everything that a mount can be told; what is left out is as the kernel's own drivers have it. */
export interface MountOptions {
  readonly readOnly: boolean;
  readonly noExec?: boolean;
  readonly noSuid?: boolean;
  readonly noDev?: boolean;
  readonly synchronous?: boolean;
  /** `atime`: each read; `relatime`: the default; `noatime`. */
  readonly accessTime?: 'strict' | 'relative' | 'none';
  /** `nodiratime`: reading directories is not noted. */
  readonly directoryAccessTime?: false;
  /** Owner and group of all files: FAT has none; on ext they replace what is shown. */
  readonly uid?: number;
  readonly gid?: number;
  /** Permission bits that are taken away from files and directories (FAT). */
  readonly fileMask?: number;
  readonly directoryMask?: number;
  /** Let the kernel check owners and permission bits. Default: on for root (also in a user namespace), off for others, whose image it is anyway. */
  readonly defaultPermissions?: boolean;
  /** Let other users in. Default: on for root. */
  readonly allowOther?: boolean;
  /** FAT's bits a type must be: `fat=12`. */
  readonly fatBits?: 12 | 16 | 32;
  /** Minutes east of UTC of the times that FAT keeps. Default: the machine's time zone. */
  readonly utcOffsetMinutes?: number;
  /** FAT: only names that end in .exe, .com or .bat are executable. */
  readonly showExec?: boolean;
  /** FAT: chmod and chown that cannot be kept succeed silently. */
  readonly quiet?: boolean;
  /** Let the kernel hold back writes: faster with many small ones, but a full disk is told at close and fsync only. Default: no. */
  readonly writeBack?: boolean;
  /** ext3 and ext4: how long changes may wait for a commit. Default: 5. A volume without a journal is refused then. */
  readonly commitSeconds?: number;
  /** ext3 and ext4: `data=`. Both are served as `ordered`. A volume without a journal is refused then. */
  readonly journalMode?: 'ordered' | 'writeback';
  /** ext: blocks that were freed become holes in the image, once that is durable. */
  readonly discard?: boolean;
  /** ext: `usrquota`, `grpquota`, `prjquota`: limits bind who is not root. Volumes without files of these quotas are refused then. */
  readonly quotaLimits?: readonly QuotaKind[];
  /** ext: `nobarrier`: nothing is made durable but at the end; the order of writes is kept for a process that is killed, not for a power cut. */
  readonly withoutBarriers?: boolean;
  /** ext: `grpid`: new files have the group of their directory. */
  readonly groupOfDirectory?: boolean;
  /** ext with multiple-mount protection: the number of somebody's mount that was seen not to move, so that it is over. */
  readonly idleSequence?: number;
  /** ext4: `journal_checksum`. A volume whose metadata have no checksums is refused then. */
  readonly journalChecksum?: boolean;
  /** ext3 and ext4, read-only: what the journal holds is not shown. */
  readonly withoutReplay?: boolean;
  /** The options as text, as they were given: for lists. */
  readonly text: string;
}
