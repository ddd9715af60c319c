import { FsError } from '../../../errors.ts';
import type { CreateGptOptions } from '../../../partition/gpt-editor.ts';
import type { Speaker } from '../../../partition/partition-template.ts';
import type { Disk } from './disk.ts';
import { humanSize } from './human-size.ts';
import { diskIdentifier } from './listing.ts';

/** An empty MBR, and what is said of one. */
export function createDosLabel(disk: Disk, speaker: Speaker, identifier?: number): void {
  disk.createDos(identifier);
  warnOfDosLabel(disk, speaker);
  speaker.info(`Created a new DOS (MBR) disklabel with disk identifier ${diskIdentifier(disk)}.`);
}

/** An empty GPT, and what is said of it. FsError where there is no room for it or for the sectors that are asked for. */
export function createGptLabel(disk: Disk, speaker: Speaker, options: Partial<CreateGptOptions> = {}): void {
  try {
    disk.createGpt(options);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // Once for each of the two headers.
    for (let header = 0; header < 2; header++) speaker.warn(error.message);
    throw new FsError('ERANGE');
  }
  speaker.info(`Created a new GPT disklabel (GUID: ${diskIdentifier(disk)}).`);
  const { entryCount } = disk.gpt!;
  if (entryCount < 128) {
    speaker.info(`The maximal number of partitions is ${entryCount} (default is 128).`);
  }
}

/** What is said of an MBR when it is read and when it is made. */
export function warnOfDosLabel(disk: Disk, speaker: Speaker): void {
  const { layout, options } = disk;
  if (disk.geometryMatters && layout.geometry.cylinders === 0) {
    speaker.warn('Incomplete geometry setting.\nYou can set geometry from the extra functions menu.');
  }
  if (disk.dosMode && !options.classic) speaker.warn('DOS-compatible mode is deprecated.');
  if (disk.cylinders) speaker.warn('Cylinders as display units are deprecated.');
  const limit = 0xffff_ffff;
  if (layout.sectorCount > limit) {
    const size = layout.sectorCount * layout.sectorSize;
    speaker.warn(
      `The size of this disk is ${humanSize(size, { digits: 1, long: true })} (${size} bytes). ` +
        `DOS partition table format cannot be used on drives for volumes larger than ${limit * layout.sectorSize} ` +
        `bytes for ${layout.sectorSize}-byte sectors. Use GUID partition table format (GPT).`,
    );
  }
}
