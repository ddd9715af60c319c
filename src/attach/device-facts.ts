import { FsError } from '../errors.ts';
import { ownIdentity } from '../host/process-identity.ts';
import type { AttachRequest, DeviceState, Holder } from './device-state.ts';

/** What is known of a device before it is there. */
export function initialState(
  request: AttachRequest,
  folder: string,
  facts: Pick<DeviceState, 'name' | 'unit' | 'image' | 'imageDevice' | 'imageInode' | 'size' | 'readOnly'>,
): DeviceState {
  const { family, source, offset, sizeLimit, sectorSize, autoclear, partitionScan } = request;
  const { overlay, label, sectorsPerTrack, heads } = request;
  return {
    ...facts,
    ...ownIdentity(),
    family,
    backend: 'user',
    source,
    offset,
    sizeLimit,
    sectorSize,
    autoclear,
    partitionScan,
    directIo: false,
    ...(overlay === undefined ? {} : { overlay }),
    ...(label === undefined ? {} : { label }),
    ...(sectorsPerTrack === undefined ? {} : { sectorsPerTrack }),
    ...(heads === undefined ? {} : { heads }),
    views: [],
    nbdSocket: `${folder}/nbd`,
    controlSocket: `${folder}/control`,
    mounts: [],
    detaching: false,
  };
}

/** LOOP_CONFIGURE takes these; a page is 4096 bytes. */
export function checkSectorSize(size: number): void {
  if ([512, 1024, 2048, 4096].includes(size)) return;
  throw new FsError('EINVAL', {
    detail: `the sector size is ${size}, expected 512, 1024, 2048 or 4096`,
  });
}

export function busyMessage(name: string, holders: readonly Holder[]): string {
  const list = holders.map(({ pid, command, what }) => {
    if (command === 'mount') return `mounted on ${what}`;
    return pid === 0 ? `${command} has ${what}` : `${command} (${pid}) has ${what}`;
  });
  return `${name} is in use: ${[...new Set(list)].join(', ')}`;
}
