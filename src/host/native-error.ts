import { createRequire } from 'node:module';
import os from 'node:os';
import type * as Koffi from 'koffi';
import { ERRNO, FsError, type ErrnoCode } from '../errors.ts';

/** Node does not know all of Linux' numbers. */
const NAMES = new Map<number, string>([
  ...Object.entries(os.constants.errno).map(([name, number]) => [number, name] as const),
  ...Object.entries(ERRNO).map(([name, [number]]) => [number, name] as const),
]);

let readErrno: (() => number) | undefined;

/** errno of the last native call of this thread. */
export function lastErrno(): number {
  readErrno ??= (createRequire(import.meta.url)('koffi') as typeof Koffi).errno as () => number;
  return readErrno();
}

/** The error for a native call that has just failed; `errno` where it is known otherwise. */
export function nativeError(
  syscall: string,
  details: { readonly path?: string; readonly detail?: string; readonly errno?: number } = {},
): Error {
  const number = details.errno ?? lastErrno();
  const name = NAMES.get(number) ?? `errno ${number}`;
  const { path, detail } = details;
  if (name in ERRNO) {
    return new FsError(name as ErrnoCode, {
      syscall,
      ...(path === undefined ? {} : { path }),
      ...(detail === undefined ? {} : { detail }),
    });
  }
  const where = path === undefined ? '' : ` '${path}'`;
  return Object.assign(new Error(`${name}: ${detail ?? 'system error'}, ${syscall}${where}`), {
    code: name,
    errno: -number,
    syscall,
    path,
  });
}
