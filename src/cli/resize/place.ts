import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../device/block-device.ts';
import { DiskImage, type Partition } from '../../disk/disk-image.ts';
import { UsageError } from '../../errors.ts';
import { formatReference, type ImageReference } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { findAttached, openDevice } from '../open-device.ts';

/** Where a file system lies that is to get another size, and what limits it there. */
export interface Place {
  /** As a person would type it. */
  readonly name: string;
  /** The file system's own device. */
  readonly device: BlockDevice;
  /** Path of the file that the file system is all of: it grows and shrinks with it. */
  readonly file: string | undefined;
  /** What it must stay inside of, for a sentence: `partition 1`. */
  readonly container: string;
  readonly partition: Partition | undefined;
  /** Says how the container could become so many bytes large. */
  advise(size: number): string;
  close(): void;
}

/** Finds it. The caller closes it. */
export function openPlace(io: Io, reference: ImageReference, options: { readonly readOnly: boolean }): Place {
  if (reference.path !== undefined) {
    throw new UsageError(`"${formatReference(reference)}" names a file; resize takes a file system`);
  }
  const whole = openDevice(io, reference.image, options);
  try {
    return placeOn(io, reference, whole);
  } catch (error) {
    whole.close();
    throw error;
  }
}

function placeOn(io: Io, reference: ImageReference, whole: BlockDevice): Place {
  const disk = DiskImage.open(whole, { readOnly: true });
  const { image, offset } = reference;
  const close = (): void => whole.close();
  if (offset !== undefined && offset !== 0) {
    const partition = disk.partitions.find((candidate) => candidate.offset === offset);
    if (partition === undefined) {
      return {
        name: formatReference(reference),
        device: disk.volumeAt(offset),
        file: undefined,
        container: `the image behind byte ${offset}`,
        partition,
        advise: (size) => `make it longer first: truncate -s ${offset + size} ${image}`,
        close,
      };
    }
    return inPartition(reference, disk, partition, close);
  }
  const number = offset === 0 ? undefined : (reference.partition ?? disk.soleVolume());
  if (number !== undefined) return inPartition(reference, disk, disk.partition(number), close);
  const attached = findAttached(io, image);
  const file = path.resolve(io.cwd, image);
  const isFile = attached === undefined && fs.statSync(file, { throwIfNoEntry: false })?.isFile() === true;
  return {
    name: formatReference(reference),
    device: whole,
    file: isFile ? file : undefined,
    container: isFile ? 'the image' : 'the device',
    partition: undefined,
    advise: () =>
      attached === undefined || attached.view.name !== attached.state.views[0]?.name
        ? 'make the device larger first'
        : `make its image longer first, then: userloop losetup -c ${image}`,
    close,
  };
}

function inPartition(
  reference: ImageReference,
  disk: DiskImage,
  partition: Partition,
  close: () => void,
): Place {
  const { image } = reference;
  const { number } = partition;
  return {
    name: formatReference({ image, partition: number, offset: undefined, path: undefined }),
    device: disk.volume(number),
    file: undefined,
    container: `partition ${number}`,
    partition,
    advise: (size) => adviseOn(image, disk, partition, size),
    close,
  };
}

/** The command that gives the partition so many bytes; what is in its way, if anything. */
function adviseOn(image: string, disk: DiskImage, partition: Partition, size: number): string {
  const { number, kind, offset } = partition;
  if (size > partition.size) {
    const next = disk.partitions
      .filter((other) => other.kind !== 'extended' && other.offset >= offset + partition.size)
      .sort((a, b) => a.offset - b.offset)[0];
    if (next !== undefined && next.offset < offset + size) {
      return `partition ${next.number} begins behind it, at byte ${next.offset}: only on a larger image there is room`;
    }
    if (offset + size > disk.device.size) {
      return `the image ends at byte ${disk.device.size}: make it longer and the partition larger first`;
    }
  }
  return `change the partition with: ${partitionCommand(image, kind, number, Math.ceil(size / sectorSize(partition)))}`;
}

/** A command that gives a partition another size and leaves its start. */
export function partitionCommand(
  image: string,
  kind: Partition['kind'],
  number: number,
  sectors: number,
): string {
  return kind === 'bsd'
    ? `userloop fdisk ${image}`
    : `echo ', ${sectors}' | userloop sfdisk -N ${number} ${image}`;
}

export function sectorSize({ size, sectorCount }: Partition): number {
  return size / sectorCount;
}
