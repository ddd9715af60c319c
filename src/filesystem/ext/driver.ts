import type { BlockDevice } from '../../device/block-device.ts';
import { UnsupportedError } from '../../errors.ts';
import type { FileSystem, FileSystemDriver } from '../file-system.ts';

export const extDriver: FileSystemDriver = {
  name: 'ext',
  probe: () => false,
  open(_device: BlockDevice): FileSystem {
    throw new UnsupportedError('ext cannot be opened yet');
  },
};
