import type { Io } from '../../io.ts';
import type { Dialog } from './dialog.ts';
import type { Disk } from './disk.ts';
import type { Wiping } from './wiping.ts';

/** What every command of the menus works on. */
export interface Context {
  readonly io: Io;
  readonly disk: Disk;
  readonly dialog: Dialog;
  readonly wiping: Wiping;
}
