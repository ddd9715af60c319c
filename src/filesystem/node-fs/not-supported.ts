import { FsError } from '../../errors.ts';

/** What node:fs has and this face has not: an image has nobody who could tell of changes, and no operating system below it. */
export const NOT_SUPPORTED = [
  'watch',
  'watchFile',
  'unwatchFile',
  'lchmod',
  'lchmodSync',
  'openAsBlob',
] as const;

export type NotSupportedName = (typeof NOT_SUPPORTED)[number];

export type NotSupported = Record<NotSupportedName, (...args: unknown[]) => never>;

/** Each throws ENOSYS with its name, so that a program that needs it says so instead of failing on `undefined`. */
export function notSupported(): NotSupported {
  const refusals = NOT_SUPPORTED.map((name) => [
    name,
    () => {
      throw new FsError('ENOSYS', { syscall: name, detail: 'function not implemented in a disk image' });
    },
  ]);
  return Object.fromEntries(refusals) as NotSupported;
}
