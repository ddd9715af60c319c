import type { BlockDevice } from '../../../device/block-device.ts';
import { CorruptImageError, FsError } from '../../../errors.ts';
import { SuperblockEditor } from '../../../filesystem/ext/superblock-editor.ts';
import type { Io } from '../../io.ts';
import { openVolume } from '../../open-volume.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { errorText } from '../mke2fs/target.ts';

/** The device and its superblock. Failure with the words of the tool. */
export function openForResize(
  io: Io,
  name: string,
  readOnly: boolean,
): { readonly editor: SuperblockEditor; readonly device: BlockDevice } {
  let device: BlockDevice;
  try {
    device = openVolume(io, name, { readOnly });
  } catch (error) {
    if (!(error instanceof FsError) && !(error instanceof Error && 'code' in error)) throw error;
    throw new Failure(`open: ${errorText(error)} while opening ${name}\n`);
  }
  try {
    return { editor: SuperblockEditor.open(device), device };
  } catch (error) {
    device.close();
    if (error instanceof CorruptImageError && (error.field === 's_magic' || error.field === 'size')) {
      io.stderr.write(`resize2fs: Bad magic number in super-block while trying to open ${name}\n`);
      throw new Failure("Couldn't find valid filesystem superblock.\n", 'stdout');
    }
    throw error;
  }
}
