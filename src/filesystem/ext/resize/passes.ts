import type { Timestamp } from '../../../bytes/time.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import type { StagedRange } from '../../../device/staging-device.ts';
import { hasCode } from '../../../errors.ts';
import { Volume } from '../volume.ts';
import { planChain, volumeAfter } from './chain.ts';
import { planSmallestPass } from './minimum-size.ts';
import type { ResizeObserver } from './write-plan.ts';
import type { Pass, ResizeOptions } from './resize.ts';

/** A resize that is known to work out: nothing is written before `apply`. */
export interface ResizePlan {
  /** Blocks that the volume will have: fewer than asked for where a last group would not hold its own tables. */
  readonly blockCount: number;
  /** The superblock as it will be, 1024 bytes. */
  readonly superblock: Uint8Array;
  /** What will be overwritten of the device as it is now, bytes. */
  ranges(): StagedRange[];
  /**
   * Does it. Cut short at any write, every file is whole: what moves is copied first, and nothing of the old state is overwritten before the new
   * one leads to the copy. In between the file system says that it has errors; e2fsck gives back what is marked and not used. `onto`: the same device where
   * it was made longer since.
   */
  apply(onto?: BlockDevice, observe?: ResizeObserver): void;
}

/** Each pass frees what the one before could not use yet: tables of groups that went. */
const MAX_PASSES = 8;

/**
 * Works out how the ext volume on `device` gets another size. The device that it is applied to is as large as the larger of both. Throws FsError ENOSPC
 * when the content has no room, UnsupportedError, or CorruptImageError.
 */
export function planResize(device: BlockDevice, options: ResizeOptions): ResizePlan {
  const passes = new Passes(device, options.clock);
  for (let pass = 1; ; pass++) {
    try {
      passes.add(planChain(passes.volume, options));
      return passes.plan()!;
    } catch (error) {
      if (!hasCode(error, 'ENOSPC') || options.blockCount >= passes.volume.geometry.blockCount) throw error;
      const least = pass < MAX_PASSES ? planSmallestPass(passes.volume, options.clock) : undefined;
      if (least === undefined || least.at(-1)!.blockCount <= options.blockCount) throw error;
      passes.add(least);
    }
  }
}

/** The plan that leaves the fewest blocks; undefined when the volume has no more than these. */
export function planMinimum(device: BlockDevice, clock: () => Timestamp): ResizePlan | undefined {
  const passes = new Passes(device, clock);
  for (let pass = 1; pass <= MAX_PASSES; pass++) {
    const least = planSmallestPass(passes.volume, clock);
    if (least === undefined) break;
    passes.add(least);
  }
  return passes.plan();
}

/** The fewest blocks that the ext volume on `device` can have with its content. */
export function minimumBlockCount(device: BlockDevice, clock: () => Timestamp): number {
  return planMinimum(device, clock)?.blockCount ?? Volume.open(device, clock).geometry.blockCount;
}

/** Passes one after the other, each worked out on what the one before will leave. */
class Passes {
  /** As the passes so far leave it. */
  volume: Volume;
  readonly #device: BlockDevice;
  readonly #passes: Pass[] = [];
  readonly #blockSize: number;

  constructor(device: BlockDevice, clock: () => Timestamp) {
    this.#device = device;
    this.volume = Volume.open(device, clock);
    this.#blockSize = this.volume.geometry.blockSize;
  }

  add(chain: readonly Pass[]): void {
    for (const pass of chain) {
      this.#passes.push(pass);
      // What grows is done with that, and may be longer than the device is now.
      if (pass.blockCount > this.volume.geometry.blockCount) return;
      this.volume = volumeAfter(this.volume, pass);
    }
  }

  plan(): ResizePlan | undefined {
    const last = this.#passes.at(-1);
    if (last === undefined) return undefined;
    const blockSize = this.#blockSize;
    const stages = this.#passes.flatMap((pass) => pass.stages);
    return {
      blockCount: last.blockCount,
      superblock: last.stages.at(-1)!.superblock!,
      ranges: () => stages.flatMap((stage) => stage.ranges(blockSize)),
      apply: (onto = this.#device, observe) => {
        for (const stage of stages) stage.apply(onto, blockSize, observe);
      },
    };
  }
}
