import type { MultipleMountProtection, MultipleMountState } from '../../../filesystem/ext/multiple-mount.ts';
import { volumeUse } from '../../idle-volume.ts';
import type { Io } from '../../io.ts';
import { calendarTime } from '../tune2fs/calendar.ts';
import { Failure } from './failure.ts';

/**
 * Takes the volume for the program that changes it; where somebody may have it mounted, after having waited for signs of life. Failure with the words of
 * e2fsprogs when the volume is in use. To be released in the end.
 */
export function takeVolume(
  io: Io,
  protection: MultipleMountProtection,
  options: { readonly program: string; readonly name: string; readonly now: number },
): void {
  const { program, name, now } = options;
  const holder = protection.holder(volumeUse(io, program, name));
  if (holder !== undefined) {
    const state = protection.state();
    io.stdout.write(textOf(state));
    const what = { program: 'e2fsck being run', mounted: 'device currently active' } as const;
    const reason =
      state.kind === 'program' || state.kind === 'mounted' ? what[state.kind] : 'unknown sequence';
    throw new Failure(`${program}: MMP: ${reason} while trying to open ${name}\n`);
  }
  protection.take(now);
}

function textOf({ kind, node, device, time }: MultipleMountState): string {
  const info = `MMP error info: node: ${node}, device: ${device}, updated: ${calendarTime(time)}`;
  if (kind === 'mounted') return info;
  return (
    'MMP check failed: If you are sure the filesystem is not in use on any node, run:\n' +
    `'tune2fs -f -E clear_mmp {device}'\n\n${info}`
  );
}
