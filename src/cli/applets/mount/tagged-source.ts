import fs from 'node:fs';
import { isOwnError } from '../../../errors.ts';
import { openFileSystem } from '../../../filesystem/drivers.ts';
import { viewPath } from '../../../attach/registry.ts';
import { openDevice } from '../../open-device.ts';
import { ownName } from './attached-source.ts';
import type { MountContext } from './context.ts';

/** Folders in which udev names the machine's devices by what is on them. */
const UDEV_FOLDERS: Readonly<Record<string, string>> = {
  LABEL: 'by-label',
  UUID: 'by-uuid',
  PARTLABEL: 'by-partlabel',
  PARTUUID: 'by-partuuid',
  ID: 'by-id',
};

const TAG = /^(LABEL|UUID|PARTLABEL|PARTUUID|ID)=(?:"(.*)"|(.*))$/s;

export interface Volume {
  readonly label: string;
  readonly uuid: string;
  readonly type: string;
}

export function isTag(source: string): boolean {
  return TAG.test(source);
}

/** The device with that label or UUID: an attached one, or one that udev has found. Undefined when there is none. */
export function findTagged(context: MountContext, source: string): string | undefined {
  const match = TAG.exec(source);
  if (match === null) return undefined;
  const [, tag, quoted, plain] = match;
  const value = quoted ?? plain ?? '';
  for (const state of context.backend.list()) {
    for (const view of state.views) {
      const name = viewPath(state, view.name);
      const volume = readVolume(context, ownName(state, view.name));
      if (tag === 'LABEL' && volume?.label === value && value !== '') return name;
      if (tag === 'UUID' && volume?.uuid.toLowerCase() === value.toLowerCase()) return name;
    }
  }
  const link = `/dev/disk/${UDEV_FOLDERS[tag!]}/${udevName(value)}`;
  return fs.existsSync(link) ? fs.realpathSync(link) : undefined;
}

/** Label, UUID and type of what is on a device; undefined when it cannot be read or is none of the file systems that we know. */
export function readVolume(context: MountContext, name: string): Volume | undefined {
  try {
    const device = openDevice(context.io, name, { readOnly: true });
    try {
      using fileSystem = openFileSystem(device, { readOnly: true });
      return { label: fileSystem.label, uuid: fileSystem.uuid, type: fileSystem.type };
    } finally {
      device.close();
    }
  } catch (error) {
    // Not readable for us, damaged, or something else: no volume with a name.
    if (isOwnError(error) || (error instanceof Error && 'code' in error)) return undefined;
    throw error;
  }
}

/** udev writes what cannot stand in a file name as `\x20`. */
function udevName(value: string): string {
  return value.replace(
    /[^\w#+\-.:=@\u0080-\uffff]/g,
    (letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
