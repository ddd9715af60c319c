/** GRUB legacy's numbered errors, in its own words (GRUB manual 0.97, "Error messages reported by GRUB"). */
export const GRUB_ERRORS = {
  1: 'Filename must be either an absolute pathname or blocklist',
  2: 'Bad file or directory type',
  5: 'Partition table invalid or corrupt',
  6: 'Mismatched or corrupt version of stage1/stage2',
  11: 'Unrecognized device string',
  12: 'Invalid device requested',
  15: 'File not found',
  16: 'Inconsistent filesystem structure',
  17: 'Cannot mount selected partition',
  18: 'Selected cylinder exceeds maximum supported by BIOS',
  21: 'Selected disk does not exist',
  22: 'No such partition',
  23: 'Error while parsing number',
  24: 'Attempt to access block outside partition',
  25: 'Disk read error',
  26: 'Too many symbolic links',
  27: 'Unrecognized command',
  28: 'Selected item cannot fit into memory',
  29: 'Disk write error',
  30: 'Invalid argument',
  31: 'File is not sector aligned',
  34: 'No spare sectors on the disk',
} as const;

export type GrubErrorNumber = keyof typeof GRUB_ERRORS;

/** A command of the GRUB shell failed; the message is what GRUB prints: `Error 15: File not found`. */
export class GrubError extends Error {
  override readonly name = 'GrubError';
  readonly number: GrubErrorNumber;

  constructor(number: GrubErrorNumber, options?: ErrorOptions) {
    super(`Error ${number}: ${GRUB_ERRORS[number]}`, options);
    this.number = number;
  }
}

/**
 * A command stopped without an error: GRUB does so for stage files that end before the two sectors it must read, and
 * prints nothing.
 */
export class SilentFailure extends Error {
  override readonly name = 'SilentFailure';
}
