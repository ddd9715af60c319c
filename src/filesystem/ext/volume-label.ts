import { decodeUtf8, encodeUtf8 } from '../../bytes/utf8.ts';
import { FsError } from '../../errors.ts';
import { Superblock } from './superblock.ts';

/** `s_volume_name`, to the first zero. */
export function labelOf(superblock: DataView): string {
  const bytes = Superblock.s_volume_name.get(superblock, 0);
  const end = bytes.indexOf(0);
  return decodeUtf8(bytes, 0, end < 0 ? bytes.length : end);
}

/** EINVAL when the label is longer than the field, in bytes of UTF-8. */
export function setLabel(superblock: DataView, label: string): void {
  const bytes = encodeUtf8(label);
  const most = Superblock.s_volume_name.length;
  if (bytes.length > most) {
    throw new FsError('EINVAL', {
      syscall: 'setlabel',
      detail: `a label of ${bytes.length} bytes is too long: at most ${most} fit`,
    });
  }
  Superblock.s_volume_name.set(superblock, 0, bytes);
}
