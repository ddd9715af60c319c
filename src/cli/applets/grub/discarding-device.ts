import type { BlockDevice } from '../../../device/block-device.ts';

/** `--read-only`: the device takes writes and forgets them. */
export function discardingWrites(base: BlockDevice): BlockDevice {
  return {
    size: base.size,
    sectorSize: base.sectorSize,
    readOnly: false,
    read: (offset, into) => base.read(offset, into),
    write: () => {},
    flush: () => {},
    close: () => base.close(),
  };
}
