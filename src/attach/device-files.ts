import type { DeviceFamily } from '../disk/device-views.ts';
import type { DeviceShare } from '../host/device-share.ts';
import type { Holder } from './device-state.ts';

/** The device and its partitions as files of a FUSE directory, which threads of this process serve. */
export class DeviceFiles {
  /** Mounts at `folder`, which must be an empty directory; resolves when its files can be opened. */
  static async open(
    share: DeviceShare,
    folder: string,
    family: DeviceFamily,
    unit: number,
  ): Promise<DeviceFiles> {
    throw new Error(`not there yet: ${String(share)} ${folder} ${family} ${unit}`);
  }

  /** Who has a file of it open. Also what was opened through a bind mount of it. */
  holders(): Holder[] {
    return [];
  }

  /** Resolves when no file is open any more. */
  async whenIdle(): Promise<void> {}

  /** Drops what the kernel has cached of the device's content: before a file system of it is mounted. */
  dropCaches(): void {}

  /** Unmounts and stops the threads. Open files fail from then on. */
  async close(): Promise<void> {}
}
