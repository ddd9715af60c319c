import fs from 'node:fs';
import type { DeviceFamily } from '../disk/device-views.ts';
import { hasCode } from '../errors.ts';

const NAME = /^(loop|md|vnd)(0|[1-9]\d{0,5})$/;

/** `loop0` taken apart; undefined for what is no name of a device. */
export function splitName(
  name: string,
): { readonly family: DeviceFamily; readonly unit: number } | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { family: match[1] as DeviceFamily, unit: Number(match[2]) };
}

/** The names that are taken in a registry, in no order; none in one of another user, which anybody may have put where ours would be. */
export function deviceNames(runtime: string): string[] {
  try {
    if (isForeign(runtime)) return [];
    return fs.readdirSync(runtime).filter((name) => NAME.test(name));
  } catch (error) {
    // Of another user, for one who is root in a user namespace only.
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR') || hasCode(error, 'EACCES')) return [];
    throw error;
  }
}

/** Whether what it says of devices is not to be believed. Root may look at the devices of others. */
export function isForeign(runtime: string): boolean {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return false;
  const owner = fs.lstatSync(runtime, { throwIfNoEntry: false })?.uid;
  return owner !== undefined && owner !== uid;
}
