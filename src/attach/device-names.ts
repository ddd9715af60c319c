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

/** The names that are taken in a registry, in no order. */
export function deviceNames(runtime: string): string[] {
  try {
    return fs.readdirSync(runtime).filter((name) => NAME.test(name));
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}
