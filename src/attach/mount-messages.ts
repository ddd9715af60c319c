import type { Cached } from '../fuse/file-system-session.ts';
import type { FileSystemType } from '../filesystem/file-system.ts';
import type { DeviceShare } from '../host/device-share.ts';
import type { ChannelEnd } from '../host/fuse-channel.ts';
import type { ErrorMessage } from './error-transport.ts';
import type { MountRequest } from './mount-request.ts';

/** What the thread of a mounted file system is started with. */
export interface MountWorkerData {
  readonly share: DeviceShare;
  /** Of the view, bytes. */
  readonly range: { readonly offset: number; readonly size: number };
  readonly request: MountRequest;
  /** Which gate of the share is its. */
  readonly gate: number;
  /** An eventfd that wakes it. */
  readonly wakeFd: number;
}

/** To the thread: first `serve` or `stop`. */
export type MountCommand =
  | { readonly kind: 'serve'; readonly fd: number }
  /** Write everything and end, whatever is open. */
  | { readonly kind: 'stop' };

/** From the thread: first `opened` or `failed`. */
export type MountEvent =
  | {
      readonly kind: 'opened';
      readonly type: FileSystemType;
      readonly readOnly: boolean;
      readonly readOnlyReason: string | undefined;
    }
  | { readonly kind: 'failed'; readonly error: ErrorMessage }
  /** The kernel and the session have agreed: files can be opened. */
  | { readonly kind: 'serving' }
  /** The device was written below it, and the kernel has to drop what it has cached. */
  | { readonly kind: 'reloaded'; readonly cached: Cached }
  /** It has written to the device. */
  | { readonly kind: 'wrote' }
  | { readonly kind: 'log'; readonly message: string }
  /** Everything is written, the file system is clean and closed; `error`: or not. */
  | { readonly kind: 'ended'; readonly end: ChannelEnd; readonly error?: ErrorMessage };
