import type { Disk } from '../fdisk/disk.ts';
import { verifyDos } from '../fdisk/dos-commands.ts';
import { verifyGpt } from '../fdisk/gpt-commands.ts';
import type { Context } from './context.ts';

/** What is wrong with the table, as fdisk's `v` says it. */
export function verifyDisk({ talk }: Context, disk: Disk): void {
  if (disk.label === undefined) talk.info('unrecognized partition table type');
  else if (disk.label.kind === 'gpt') verifyGpt({ dialog: talk }, disk.label.editor);
  else verifyDos({ disk, dialog: talk });
}
