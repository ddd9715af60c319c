import os from 'node:os';
import type { BlockDevice } from '../device/block-device.ts';
import { FsError, isOwnError } from '../errors.ts';
import { MultipleMountProtection } from '../filesystem/ext/multiple-mount.ts';
import type { MountedElsewhere, OpenOptions } from '../filesystem/file-system.ts';
import { sleep } from '../host/patience.ts';
import type { Io } from './io.ts';

/** What is said while it is looked whether somebody else still writes to a volume. */
export function waitingText(name: string, { node, device, patience }: MountedElsewhere): string {
  const where = device === '' ? '' : ` as ${device}`;
  return `${name}: host "${node}" had it mounted${where}: waiting ${patience} seconds for a sign of life\n`;
}

/** For commands that change a volume: they wait for whoever had it mounted, and say who they are themselves. */
export function volumeUse(
  io: Io,
  program: string,
  name: string,
): Required<Pick<OpenOptions, 'holder' | 'waitForIdle'>> {
  return {
    holder: { node: os.hostname(), device: name },
    waitForIdle: (state) => {
      io.stderr.write(`${program}: ${waitingText(name, state)}`);
      sleep(state.patience);
      return true;
    },
  };
}

/**
 * For programs that mend: EBUSY when somebody else writes to the volume, after having waited for signs of life where that is not known. A damaged volume, or a
 * block that is damaged itself, is theirs to mend.
 */
export function requireIdle(io: Io, program: string, name: string, device: BlockDevice): void {
  let holder: string | undefined;
  try {
    const protection = MultipleMountProtection.of(device);
    const kind = protection?.state().kind;
    if (kind === 'program' || kind === 'mounted') holder = protection?.holder(volumeUse(io, program, name));
  } catch (error) {
    if (!isOwnError(error)) throw error;
  }
  if (holder !== undefined) throw new FsError('EBUSY', { detail: holder });
}
