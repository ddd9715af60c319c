import type { DeviceFamily } from '../disk/device-views.ts';

/** What stands behind an attached device: the kernel's loop driver, or a process of ours. */
export type BackendKind = 'kernel' | 'user';

/** What is attached: the state file of a device in the registry, and what list and losetup print. */
export interface DeviceState {
  /** Without folder and partition: `loop0`, `md0`, `vnd0`. */
  readonly name: string;
  readonly family: DeviceFamily;
  readonly unit: number;
  readonly backend: BackendKind;
  /** Of the process behind it; 0 for the kernel's. */
  readonly pid: number;
  /** The time at which that process started, as /proc/PID/stat counts it; tells it from a later one of the same number. '' where that is not known. */
  readonly startTime: string;
  /** Absolute path of the image; '' for memory. */
  readonly image: string;
  /** Of the image: st_dev and st_ino in decimal. '' for memory. */
  readonly imageDevice: string;
  readonly imageInode: string;
  /** `vnode`, or FreeBSD's other kinds of memory disk. */
  readonly source: 'vnode' | 'malloc' | 'swap' | 'null';
  /** Bytes into the image. */
  readonly offset: number;
  /** Bytes; 0: to the end of the image. */
  readonly sizeLimit: number;
  /** Bytes of the device. */
  readonly size: number;
  /** Logical sector, bytes. */
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partitionScan: boolean;
  readonly directIo: boolean;
  /** The file that takes the writes, `memory`, or undefined when they go to the image. */
  readonly overlay?: string;
  /** A free text of the user's (mdconfig -L). */
  readonly label?: string;
  /** mdconfig -x -y, vnconfig -t: only told to those who ask. */
  readonly sectorsPerTrack?: number;
  readonly heads?: number;
  /** Every name under which it can be opened now, without folder; the whole device first. */
  readonly views: readonly ViewState[];
  /** Folder in which `views` are files that any program can open, `/dev` in `userloop shell`; undefined when there are none. */
  readonly folder?: string;
  /** Why there are no device files, where they were asked for and are not to be had. */
  readonly filesProblem?: string;
  /** The NBD server's socket; undefined for the kernel's devices. */
  readonly nbdSocket?: string;
  /** Where the process behind it is asked to do something; undefined for the kernel's devices. */
  readonly controlSocket?: string;
  /** `HOST:PORT` of the NBD server, where one was asked for. */
  readonly nbdAddress?: string;
  readonly mounts: readonly MountState[];
  /** It was to be detached while somebody had it open, and goes with the last who has. */
  readonly detaching: boolean;
}

export interface ViewState {
  readonly name: string;
  readonly partition?: number;
  readonly offset: number;
  readonly size: number;
}

export interface MountState {
  /** Absolute, resolved. */
  readonly directory: string;
  /** As /proc/mounts has it. */
  readonly source: string;
  /** `ext2`, `fat32`; of the kernel's mounts what the kernel calls it. */
  readonly type: string;
  /** The view that is mounted: `loop0p1`. */
  readonly view: string;
  readonly readOnly: boolean;
  /** As text, for lists: `rw,nosuid,umask=022`. */
  readonly options: string;
  /** Of the user who asked for it. */
  readonly uid: number;
}

/** What attach is asked for. */
export interface AttachRequest {
  readonly family: DeviceFamily;
  /** Undefined: the first that is free. */
  readonly unit?: number;
  readonly source: DeviceState['source'];
  /** Absolute path; '' for memory. May be the URI of an NBD export. */
  readonly image: string;
  readonly offset: number;
  /** Bytes; 0: to the end. For memory: the size. */
  readonly sizeLimit: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partitionScan: boolean;
  readonly directIo: boolean;
  /** A file, or `memory`. */
  readonly overlay?: string;
  readonly label?: string;
  readonly sectorsPerTrack?: number;
  readonly heads?: number;
  /** Serve device files where FUSE can be had. */
  readonly files: boolean;
  /** Serve NBD over TCP, too. */
  readonly listen?: ListenRequest;
}

export interface ListenRequest {
  readonly host: string;
  readonly port: number;
  /** Absolute paths. */
  readonly tls?: { readonly certificates?: string; readonly pskFile?: string; readonly require: boolean };
}

/** Thrown by detach: somebody still has the device open. */
export class DeviceBusyError extends Error {
  override readonly name = 'DeviceBusyError';
  readonly code = 'EBUSY';
  readonly holders: readonly Holder[];

  constructor(message: string, holders: readonly Holder[]) {
    super(message);
    this.holders = holders;
  }
}

export interface Holder {
  /** 0 when it is not known. */
  readonly pid: number;
  /** The program's name, or what else is known of it. */
  readonly command: string;
  /** What it has: a view's name, a mount's directory, `nbd`. */
  readonly what: string;
}
