import { formatSize } from '../../bytes/size.ts';
import type { Timestamp } from '../../bytes/time.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { automaticChoice, checkVolume } from '../../disk/check-volume.ts';
import { CorruptImageError, FsError, UnsupportedError } from '../../errors.ts';
import { probeFileSystem } from '../../filesystem/drivers.ts';
import { GroupLayout } from '../../filesystem/ext/resize/group-layout.ts';
import { usableBlockCount } from '../../filesystem/ext/resize/new-size.ts';
import {
  minimumBlockCount,
  planMinimum,
  planResize,
  type ResizePlan,
} from '../../filesystem/ext/resize/passes.ts';
import { SuperblockEditor } from '../../filesystem/ext/superblock-editor.ts';
import { IncompatibleFeature } from '../../filesystem/ext/superblock.ts';
import type { Place } from './place.ts';

/** The size that is asked for; bytes. */
export type Size =
  | { readonly kind: 'size'; readonly bytes: number }
  | { readonly kind: 'change'; readonly bytes: number }
  | { readonly kind: 'minimum' }
  | { readonly kind: 'maximum' };

export interface Sizes {
  /** Bytes. */
  readonly blockSize: number;
  /** Blocks. */
  readonly before: number;
}

/**
 * Works out the wanted size. Without a plan there is nothing to do. What is damaged, in use, has no room or would lose a file is refused.
 */
export function planFor(
  place: Place,
  wanted: Size,
  clock: () => Timestamp,
): { readonly sizes: Sizes; readonly plan: ResizePlan | undefined } {
  const { device } = place;
  requireExt(device);
  const editor = SuperblockEditor.open(device);
  const { blockSize, blockCount } = editor.geometry;
  const sizes = { blockSize, before: blockCount };
  requireSound(place, editor);
  if (wanted.kind === 'minimum') return { sizes, plan: planMinimum(device, clock) };
  const blocks = blocksOf(place, wanted, editor);
  requireRoom(place, blocks * blockSize);
  const usable = usableBlockCount(new GroupLayout(editor.view, editor.geometry), blocks);
  if (usable === blockCount) return { sizes, plan: undefined };
  try {
    return { sizes, plan: planResize(device, { blockCount: usable, clock }) };
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'ENOSPC' || usable > blockCount) throw error;
    const least = minimumBlockCount(device, clock);
    throw new FsError('ENOSPC', {
      detail: `its files have no room in ${usable * blockSize} bytes: ${least * blockSize} (${least} blocks of ${blockSize}) are the least`,
      cause: error,
    });
  }
}

function requireExt(device: BlockDevice): void {
  const driver = probeFileSystem(device);
  if (driver?.name === 'ext') return;
  if (driver?.name === 'fat') {
    throw new UnsupportedError(
      'The size of a FAT file system cannot be changed: make another one with mkfs.fat and copy the files with userloop cp -r',
      ['another size of FAT'],
    );
  }
  throw new UnsupportedError('No ext2, ext3 or ext4 file system is recognised here');
}

/** A resize moves what it finds: it must be whole, and nobody else may write it. */
function requireSound({ device, name }: Place, editor: SuperblockEditor): void {
  if ((editor.features.incompatible & IncompatibleFeature.needs_recovery) !== 0) {
    throw new UnsupportedError(`The journal has to be replayed first: userloop check -p ${name}`, [
      'another size while the journal is not replayed',
    ]);
  }
  const holder = editor.multipleMount?.holder();
  if (holder !== undefined) throw new FsError('EBUSY', { detail: `"${name}": ${holder}` });
  const { counts } = checkVolume(device, { decide: automaticChoice });
  const wrong = counts.warning + counts.damage + counts.fatal;
  if (wrong === 0) return;
  throw new CorruptImageError({
    structure: 'file system',
    field: 'what a check finds wrong',
    found: `${wrong} ${wrong === 1 ? 'thing' : 'things'}`,
    expected: `nothing; userloop check ${name} tells what, and mends it`,
  });
}

function blocksOf(
  { device, file }: Place,
  wanted: Exclude<Size, { kind: 'minimum' }>,
  { geometry: { blockSize, blockCount } }: SuperblockEditor,
): number {
  switch (wanted.kind) {
    case 'maximum': {
      const blocks = Math.floor(device.size / blockSize);
      // An image that is cut short holds less than its file system.
      return file === undefined ? blocks : Math.max(blocks, blockCount);
    }
    case 'size':
      return Math.floor(wanted.bytes / blockSize);
    case 'change':
      return Math.floor((blockCount * blockSize + wanted.bytes) / blockSize);
  }
}

function requireRoom(place: Place, size: number): void {
  const { device, file, container } = place;
  if (size <= 0) {
    throw new FsError('EINVAL', { detail: `a file system of ${size} bytes can hold nothing` });
  }
  if (file !== undefined || size <= device.size) return;
  throw new FsError('ENOSPC', {
    detail: `${container} has ${device.size} bytes (${formatSize(device.size)}), not ${size}; ${place.advise(size)}`,
  });
}
