import fs from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { AttachRequest, DeviceState, ViewState } from '../../../attach/device-state.ts';
import { DiskImage, type Partition } from '../../../disk/disk-image.ts';
import { hasCode } from '../../../errors.ts';
import { probeFileSystem } from '../../../filesystem/drivers.ts';
import { FileDevice } from '../../../host/file-device.ts';
import { MountFlag } from '../../../host/native-mount.ts';
import { otherSectorSize } from '../../../partition/table.ts';
import type { MountContext } from './context.ts';
import { MountFailure, whyOf } from './mount-failure.ts';
import type { MountSource } from './mount-source.ts';
import { pathStatus } from './path-status.ts';
import type { MountWishes } from './mount-wishes.ts';

type ImageSource = Extract<MountSource, { kind: 'image' }>;

/** The device that an image has become, and the part of it that is to be mounted. */
export interface LoopDevice {
  readonly state: DeviceState;
  readonly view: ViewState;
  /** It was made for this mount, and goes when that fails. */
  readonly isNew: boolean;
}

/** What of the image is wanted: bytes; a length of 0 goes to the end. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/** How often, and in what steps, another process is given time to finish what it is at. */
const OTHER_LOOKS = 12;
const OTHER_MILLISECONDS = 50;

/**
 * The device for an image: the one that shows the same range already, or a new one that goes with the last mount. Two devices
 * over the same bytes would damage them, so a range that lies across that of another is refused.
 */
export async function setUpLoop(
  context: MountContext,
  source: ImageSource,
  wishes: MountWishes,
  target: string,
): Promise<LoopDevice> {
  const part = partitionOf(context, source, wishes, target);
  const range =
    part === undefined
      ? { offset: wishes.offset ?? source.offset ?? 0, length: wishes.sizeLimit ?? 0 }
      : { offset: part.offset, length: part.size };
  const existing = wishes.loop?.device === undefined ? reuse(context, source, range, target) : undefined;
  if (existing !== undefined) return existing;

  // Our own devices show their partitions, so that two of one image can be mounted at the same time.
  const isWhole = part !== undefined && context.backend.kind === 'user';
  const request = requestFor(context, source, wishes, isWhole ? { offset: 0, length: 0 } : range, target);
  let state: DeviceState;
  try {
    state = await context.backend.attach(request);
  } catch (error) {
    const other = hasCode(error, 'EBUSY')
      ? await awaitOther(context, source, range, target, request)
      : undefined;
    if (other !== undefined) return other;
    throw failure(source, target, error);
  }
  const view = isWhole ? state.views.find((each) => each.partition === part.number) : state.views[0];
  if (view === undefined) {
    await context.backend.detach(state);
    throw new MountFailure(`${target}: ${source.name} shows no partition ${part?.number ?? ''}.`);
  }
  return { state, view, isNew: true };
}

/** Another mount of the same image may be attaching it at this moment: then its device will do for us, too. */
async function awaitOther(
  context: MountContext,
  source: ImageSource,
  range: Range,
  target: string,
  request: AttachRequest,
): Promise<LoopDevice | undefined> {
  if (context.backend.kind !== 'user' || request.unit !== undefined) return undefined;
  for (let look = 0; look < OTHER_LOOKS; look++) {
    const found = reuse(context, source, range, target);
    if (found !== undefined) return found;
    await setTimeout(OTHER_MILLISECONDS);
  }
  return undefined;
}

/** Ends what `setUpLoop` has begun, when the mount failed. */
export async function dropLoop(context: MountContext, loop: LoopDevice): Promise<void> {
  if (!loop.isNew) return;
  for (let look = 0; look < OTHER_LOOKS; look++) {
    try {
      await context.backend.detach(loop.state);
      return;
    } catch (error) {
      if (hasCode(error, 'ENXIO') || hasCode(error, 'ENOENT')) return;
      if (!hasCode(error, 'EBUSY')) throw error;
      // It may not have seen yet that we have closed it; if somebody else has it, it goes by itself later.
      await setTimeout(OTHER_MILLISECONDS);
    }
  }
}

/** The devices that show an image now, by the file's identity. */
export function devicesOf(context: MountContext, image: string): DeviceState[] {
  const status = pathStatus(image);
  return context.backend
    .list()
    .filter(({ image: own, imageDevice, imageInode }) =>
      status === undefined || imageInode === ''
        ? own === image
        : imageDevice === String(status.dev) && imageInode === String(status.ino),
    );
}

/** The partition that is asked for; or the only one with a file system, where the image as a whole has none. */
function partitionOf(
  context: MountContext,
  source: ImageSource,
  wishes: MountWishes,
  target: string,
): Partition | undefined {
  const number = wishes.partition ?? source.partition;
  const hasRange = (wishes.offset ?? source.offset ?? wishes.sizeLimit) !== undefined;
  if (number !== undefined && hasRange)
    throw new MountFailure(`${target}: a partition and an offset of ${source.name} exclude each other.`);
  if (hasRange || wishes.loop?.device !== undefined) return undefined;
  try {
    // The file itself, also when it is attached: the table is in it at once, and a device may go while we look.
    using disk = DiskImage.open(FileDevice.open(source.name, { readOnly: true }), { readOnly: true });
    const madeFor = otherSectorSize(disk.device, disk.table);
    if (madeFor !== undefined) context.warn(`${source.name} was made for ${madeFor}-byte sectors`);
    if (number !== undefined) return disk.partition(number);
    if (disk.partitions.length === 0 || probeFileSystem(disk.device) !== undefined) return undefined;
    const filled = disk.partitions.filter(
      ({ device }) => device !== undefined && probeFileSystem(device) !== undefined,
    );
    if (filled.length < 2) return filled[0];
    const names = filled.map((each) => `${source.name}:${each.number}`).join(', ');
    throw new MountFailure(`${target}: ${source.name} has several file systems: name one of ${names}.`);
  } catch (error) {
    if (error instanceof MountFailure) throw error;
    throw failure(source, target, error);
  }
}

function reuse(
  context: MountContext,
  source: ImageSource,
  range: Range,
  target: string,
): LoopDevice | undefined {
  const devices = devicesOf(context, source.name);
  for (const state of devices) {
    for (const view of state.views) {
      const offset = state.offset + view.offset;
      const isSame =
        view === state.views[0]
          ? offset === range.offset && state.sizeLimit === range.length
          : offset === range.offset && (range.length === 0 || range.length === view.size);
      if (isSame) return { state, view, isNew: false };
    }
  }
  const end = range.length === 0 ? Infinity : range.offset + range.length;
  if (devices.some((state) => range.offset < endOf(state) && end > state.offset))
    throw new MountFailure(`${target}: overlapping loop device exists for ${source.name}.`);
  return undefined;
}

function endOf(state: DeviceState): number {
  return state.sizeLimit === 0 ? Infinity : state.offset + state.sizeLimit;
}

function requestFor(
  context: MountContext,
  source: ImageSource,
  wishes: MountWishes,
  range: Range,
  target: string,
): AttachRequest {
  const unit = wishes.loop?.device === undefined ? undefined : unitOf(wishes.loop.device);
  if (wishes.loop?.device !== undefined && unit === undefined) {
    throw failure(source, target, `${wishes.loop.device} is not the name of a loop device`);
  }
  return {
    family: 'loop',
    ...(unit !== undefined && { unit }),
    source: 'vnode',
    image: source.name,
    offset: range.offset,
    sizeLimit: range.length,
    sectorSize: 512,
    readOnly: (wishes.flags & MountFlag.readOnly) !== 0 || !isWritable(source.name),
    autoclear: true,
    partitionScan: range.offset === 0 && range.length === 0,
    directIo: false,
    // Whoever names the device may want to open it; in a private /dev everything that is attached has a file.
    files: unit !== undefined || context.io.env['USERLOOP_DEV_FOLDER'] !== undefined,
  };
}

function unitOf(device: string): number | undefined {
  const match =
    /^(?:\/dev\/)?loop\/?(0|[1-9]\d{0,5})$/.exec(device) ??
    /^loop(0|[1-9]\d{0,5})$/.exec(path.basename(device));
  return match === null ? undefined : Number(match[1]);
}

/** What cannot be asked (an export) is taken for writable: attaching tells. */
function isWritable(image: string): boolean {
  try {
    fs.accessSync(image, fs.constants.W_OK);
    return true;
  } catch (error) {
    return !hasCode(error, 'EACCES') && !hasCode(error, 'EROFS');
  }
}

function failure(source: ImageSource, target: string, why: unknown): MountFailure {
  return new MountFailure(`${target}: failed to setup loop device for ${source.name}.`, undefined, [
    typeof why === 'string' ? why : whyOf(why),
  ]);
}
