import type { BlockDevice } from '../../device/block-device.ts';
import { UnsupportedError } from '../../errors.ts';
import type { FileSystem, FileSystemDriver } from '../file-system.ts';

export const fatDriver: FileSystemDriver = {
  name: 'fat',
  probe: () => false,
  open(_device: BlockDevice): FileSystem {
    throw new UnsupportedError('FAT cannot be opened yet');
  },
};
