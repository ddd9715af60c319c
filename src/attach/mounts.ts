import type { DeviceShare } from '../host/device-share.ts';
import type { UnmountOptions } from './client.ts';
import type { Holder, MountState } from './device-state.ts';
import type { MountRequest } from './mount-request.ts';

/** The file systems mounted from the device of this process: each has a thread of its own, behind a gate of the share. */
export class Mounts {
  constructor(share: DeviceShare, changed: () => void) {
    throw new Error(`not there yet: ${String(share)} ${String(changed)}`);
  }

  get states(): readonly MountState[] {
    return [];
  }

  /** `range`: the view that is mounted, bytes. */
  async mount(
    request: MountRequest,
    range: { readonly offset: number; readonly size: number },
  ): Promise<MountState> {
    throw new Error(`not there yet: ${String(request)} ${String(range)}`);
  }

  async unmount(directory: string, options: UnmountOptions): Promise<void> {
    throw new Error(`not there yet: ${directory} ${String(options)}`);
  }

  /** Who has files open in it, as far as that can be told. */
  holders(): Holder[] {
    return [];
  }

  /** Unmounts everything; what is busy is written, and detached lazily. */
  async close(): Promise<void> {}
}
