import type { ExtCore } from './ext-core.ts';
import type { InodeRef } from './inode-table.ts';

/**
 * Writes more than a transaction takes, in several. `change` runs each part. When space ends the file is as long as before.
 * `expectedSize` is how long the file is going to be.
 */
export function writeStepwise(
  core: ExtCore,
  ref: InodeRef,
  offset: number,
  from: Uint8Array,
  expectedSize: number,
  change: (part: () => void) => void,
): void {
  const step = core.volume.writableAtOnce;
  const size = core.inodes.size(ref);
  try {
    for (let done = 0; done < from.length; done += step) {
      const part = from.subarray(done, done + step);
      change(() => core.write(ref, offset + done, part, expectedSize));
      core.volume.commitIfDue();
    }
  } catch (error) {
    if (core.inodes.size(ref) > size) core.resize(ref, size);
    throw error;
  }
}
