import { viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { FsInfo } from './boot-sector.ts';

const UNKNOWN = 0xffffffff;

/** What FSInfo holds: hints, wrong on many a volume; undefined where it says nothing usable. */
export interface FsInfoHints {
  readonly freeCount: number | undefined;
  /** The cluster at which to begin to look for a free one. */
  readonly nextFree: number | undefined;
}

/** Undefined when a signature is missing: then nothing is written there either. */
export function readFsInfo(
  device: BlockDevice,
  offset: number,
  clusterCount: number,
): FsInfoHints | undefined {
  const view = viewOf(new Uint8Array(FsInfo.$size));
  device.read(offset, new Uint8Array(view.buffer));
  if (
    FsInfo.FSI_LeadSig.get(view, 0) !== 0x41615252 ||
    FsInfo.FSI_StrucSig.get(view, 0) !== 0x61417272 ||
    FsInfo.FSI_TrailSig.get(view, 0) !== 0xaa550000
  ) {
    return undefined;
  }
  const freeCount = FsInfo.FSI_Free_Count.get(view, 0);
  const nextFree = FsInfo.FSI_Nxt_Free.get(view, 0);
  return {
    freeCount: freeCount <= clusterCount ? freeCount : undefined,
    nextFree: nextFree >= 2 && nextFree < clusterCount + 2 ? nextFree : undefined,
  };
}

/** Writes both hints in place; the rest of the sector stays as it is. */
export function writeFsInfo(device: BlockDevice, offset: number, hints: FsInfoHints): void {
  const view = viewOf(new Uint8Array(FsInfo.$size));
  FsInfo.FSI_Free_Count.set(view, 0, hints.freeCount ?? UNKNOWN);
  FsInfo.FSI_Nxt_Free.set(view, 0, hints.nextFree ?? UNKNOWN);
  const start = FsInfo.FSI_Free_Count.offset;
  device.write(offset + start, new Uint8Array(view.buffer, start, 8));
}
