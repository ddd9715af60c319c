import type { BlockDevice } from '../../device/block-device.ts';
import { StagingDevice } from '../../device/staging-device.ts';
import type { ResizePlan } from '../../filesystem/ext/resize/passes.ts';
import { SUPERBLOCK_OFFSET } from '../../filesystem/ext/superblock.ts';
import { keepUndo } from '../check/apply.ts';
import type { Io } from '../io.ts';

/** Keeps what the plan overwrites in the new file `undoFile`, durably. */
export function keepBefore(io: Io, undoFile: string, device: BlockDevice, plan: ResizePlan): void {
  const after = new StagingDevice(device);
  after.write(SUPERBLOCK_OFFSET, plan.superblock);
  const ranges = plan.ranges().sort((a, b) => a.offset - b.offset);
  keepUndo(io, undoFile, device, after, ranges);
}
