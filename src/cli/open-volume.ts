import type { FoundDevice } from '../attach/registry.ts';
import { viewPath } from '../attach/registry.ts';
import type { BlockDevice } from '../device/block-device.ts';
import { SliceDevice } from '../device/slice-device.ts';
import { DiskImage } from '../disk/disk-image.ts';
import { FsError } from '../errors.ts';
import { refuseInUse } from './device-use.ts';
import { formatReference, type ImageReference, parseImageReference } from './image-reference.ts';
import type { Io } from './io.ts';
import { deviceExists, findAttached, openDevice, type OpenDeviceOptions } from './open-device.ts';

/** A part of a device as the operand of a classic command: `IMAGE:N` or `IMAGE@OFFSET`. */
export interface VolumePart {
  readonly reference: ImageReference;
  /** The device of the partition, where the image is attached and it has one. */
  readonly attached?: FoundDevice;
}

/** What lies there: closing it closes the device. */
class PartDevice extends SliceDevice {
  readonly #whole: BlockDevice;

  constructor(whole: BlockDevice, offset: number, size: number) {
    super(whole, offset, size);
    this.#whole = whole;
  }

  override close(): void {
    this.#whole.close();
  }
}

/** Undefined when the name is that of a whole device, or of nothing that is there. */
export function findPart(io: Io, name: string): VolumePart | undefined {
  if (name === '' || deviceExists(io, name)) return undefined;
  const reference = parseImageReference(io, name);
  const { image, partition, offset, path } = reference;
  if (path !== undefined || (partition === undefined && offset === undefined)) return undefined;
  if (!deviceExists(io, image)) return undefined;
  const found = findAttached(io, image);
  const isWhole = found !== undefined && found.view.partition === undefined;
  const view = isWhole
    ? found.state.views.find((each) => each.partition !== undefined && each.partition === partition)
    : undefined;
  return { reference, ...(view !== undefined && { attached: { state: found!.state, view } }) };
}

/**
 * The device behind the operand of a classic command that works on one file system: whatever `openDevice` takes, and a part of it. A part is written only
 * where nobody else has the device.
 */
export function openVolume(io: Io, name: string, options: OpenDeviceOptions = {}): BlockDevice {
  const part = findPart(io, name);
  if (part === undefined) return openDevice(io, name, options);
  const { reference, attached } = part;
  if (attached !== undefined) return openDevice(io, viewPath(attached.state, attached.view.name), options);
  if (options.readOnly !== true) refuseInUse(io, reference.image);
  const whole = openDevice(io, reference.image, options);
  try {
    const { offset, size } = placeOn(whole, reference);
    return new PartDevice(whole, offset, size);
  } catch (error) {
    whole.close();
    throw error;
  }
}

/** Bytes from the beginning of the device; `undefined` when the name is that of a whole one. */
export function offsetOfPart(io: Io, name: string): number | undefined {
  const part = findPart(io, name);
  if (part === undefined) return undefined;
  if (part.attached !== undefined) return part.attached.view.offset;
  const whole = openDevice(io, part.reference.image, { readOnly: true });
  try {
    return placeOn(whole, part.reference).offset;
  } finally {
    whole.close();
  }
}

/** In bytes. ENXIO with what is wrong when nothing can lie there. */
function placeOn(whole: BlockDevice, reference: ImageReference): { offset: number; size: number } {
  try {
    const disk = DiskImage.open(whole, { readOnly: true });
    const { partition: number, offset } = reference;
    if (number === undefined) return { offset: offset!, size: disk.volumeAt(offset!).size };
    const partition = disk.partition(number);
    if (partition.kind === 'extended') {
      throw new FsError('ENXIO', { detail: `partition ${number} holds the logical partitions` });
    }
    return { offset: partition.offset, size: disk.volume(number).size };
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'ENXIO') throw error;
    throw new FsError('ENXIO', {
      detail: error.detail ?? error.text,
      syscall: 'open',
      path: formatReference(reference),
    });
  }
}
