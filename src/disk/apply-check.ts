import type { BlockDevice } from '../device/block-device.ts';
import type { StagingDevice } from '../device/staging-device.ts';
import { CorruptImageError, UnsupportedError } from '../errors.ts';
import { isReplayPending, recover } from '../filesystem/ext/journal/recovery.ts';

/**
 * Writes what a check has staged over `device` to it. A journal whose replay is part of that is replayed on the device itself, in the order in which a
 * replay may be cut short at any moment: were its blocks written with everything else, the superblock could say that there is nothing to replay before they are in place.
 */
export function applyCheck(device: BlockDevice, staged: StagingDevice): void {
  if (isReplayPending(device) && !isReplayPending(staged)) replayIfUsable(device);
  staged.apply(device);
}

/** A journal that cannot be used was mended without what it holds. */
function replayIfUsable(device: BlockDevice): void {
  try {
    recover(device, 'write');
  } catch (error) {
    if (!(error instanceof CorruptImageError || error instanceof UnsupportedError)) throw error;
  }
}
