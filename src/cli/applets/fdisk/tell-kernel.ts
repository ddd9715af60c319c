import type { Speaker } from '../../../partition/partition-template.ts';
import type { Io } from '../../io.ts';
import { isKernelDevice, rereadPartitions } from '../../kernel-partitions.ts';
import { failureText } from './open-failure.ts';

/** Has the kernel read the table anew that was written on one of its devices, and says what comes of it; false where it goes on with the old one. */
export function tellKernel(io: Io, name: string, speaker: Speaker): boolean {
  if (!isKernelDevice(io, name)) return true;
  speaker.info('Calling ioctl() to re-read partition table.');
  try {
    rereadPartitions(io, name);
    return true;
  } catch (error) {
    const reason = failureText(error);
    if (reason === undefined) throw error;
    speaker.warn(`Re-reading the partition table failed.: ${reason}`);
    speaker.info(
      'The kernel still uses the old table. The new table will be used at the next reboot or after you run partprobe(8) or partx(8).',
    );
    return false;
  }
}
