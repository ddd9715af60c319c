import fs from 'node:fs';
import { FsError, UnsupportedError } from '../errors.ts';
import { type DeviceShare, type SharedDevice, ShareWord, setShareSize } from '../host/device-share.ts';
import type { DeviceChanges } from './client.ts';
import { checkSectorSize } from './device-facts.ts';
import type { DeviceImage } from './device-image.ts';
import type { DeviceRecord } from './device-record.ts';

/** What a change of an attached device reaches. */
interface Changed {
  readonly record: DeviceRecord;
  readonly share: DeviceShare;
  readonly device: SharedDevice;
  readonly image: DeviceImage;
}

/** Changes a device that is in use: what all its threads go by, and what is known of it. Throws what cannot be, before anything is changed by that part. */
export function applyChanges(changed: Changed, changes: DeviceChanges): void {
  const { record, share, device } = changed;
  const { words } = device;
  if (changes.directIo === true) {
    throw new UnsupportedError(
      `${record.state.name} is served by a process of userloop's, which goes through the page cache`,
    );
  }
  if (changes.sectorSize !== undefined) {
    checkSectorSize(changes.sectorSize);
    Atomics.store(words, ShareWord.sectorSize, changes.sectorSize);
    record.change({ sectorSize: changes.sectorSize });
  }
  if (changes.readOnly !== undefined) {
    if (!changes.readOnly && share.readOnly) {
      throw new FsError('EACCES', { detail: `${record.state.image} was opened for reading only` });
    }
    Atomics.store(words, ShareWord.readOnly, changes.readOnly ? 1 : 2);
    record.change({ readOnly: changes.readOnly });
  }
  if (changes.resize !== undefined) resize(changed, changes.resize);
  if (changes.autoclear !== undefined) record.change({ autoclear: changes.autoclear });
}

/** To the size of the image as it is now, or to so many bytes. */
function resize({ record, share, device, image }: Changed, size: true | number): void {
  const { state } = record;
  if (state.overlay !== undefined) {
    throw new UnsupportedError(`${state.name} has an overlay, which is of one size`);
  }
  if (size !== true) {
    if (state.source === 'vnode') {
      throw new FsError('EINVAL', { detail: 'a file is resized by changing the file' });
    }
    if (state.source !== 'null') fs.ftruncateSync(image.fd, size);
  }
  const now = size !== true && state.source === 'null' ? size - (size % 512) : image.measure();
  setShareSize(share.state, now);
  record.change({ size: now });
  Atomics.add(device.words, ShareWord.tableGeneration, 1);
}
