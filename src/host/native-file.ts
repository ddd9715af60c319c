import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

/**
 * What node's own fs module lacks of file operations: holes. Needs koffi, which is optional and is loaded on first
 * use; without it, or off Linux, there is no native part and callers take the portable way.
 */
export interface NativeFileOperations {
  /** Offset of the first data at or after `offset`; undefined when there is none. */
  seekData(fd: number, offset: number): number | undefined;
  /** Offset of the first hole at or after `offset`, the end of the file at the latest. */
  seekHole(fd: number, offset: number): number | undefined;
  seekEnd(fd: number): number | undefined;
  /** False when the file system below cannot. */
  punchHole(fd: number, offset: number, length: number): boolean;
}

type LibC = ReturnType<typeof Koffi.load>;

let libc: LibC | null | undefined;
let operations: NativeFileOperations | undefined;

/** libc through koffi, or undefined where that is not to be had. */
export function loadLibC(): LibC | undefined {
  if (libc === undefined) {
    libc = null;
    // Without foreign calls everything must still work, slower; this shows that it does.
    if (process.platform === 'linux' && process.env['USERLOOP_NO_FFI'] !== '1') {
      try {
        const require = createRequire(import.meta.url);
        libc = (require('koffi') as typeof Koffi).load(null);
      } catch (error) {
        // An optional dependency that is absent is no error; one that is there and breaks is.
        if (!(error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND')) {
          if (process.env['USERLOOP_DEBUG'] !== undefined) throw error;
        }
      }
    }
  }
  return libc ?? undefined;
}

const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;

export function nativeFileOperations(): NativeFileOperations | undefined {
  if (operations !== undefined) return operations;
  const library = loadLibC();
  if (library === undefined) return undefined;
  // glibc has the 64-bit calls under these names on every architecture; musl has only one kind, under the plain names.
  const lseek = firstOf(library, ['lseek64', 'lseek'], 'int64_t', ['int', 'int64_t', 'int']);
  const fallocate = firstOf(library, ['fallocate64', 'fallocate'], 'int', [
    'int',
    'int',
    'int64_t',
    'int64_t',
  ]);
  function seek(fd: number, offset: number, whence: number): number | undefined {
    const result = Number(lseek(fd, offset, whence));
    return result < 0 ? undefined : result;
  }
  operations = {
    seekData: (fd, offset) => seek(fd, offset, SEEK_DATA),
    seekHole: (fd, offset) => seek(fd, offset, SEEK_HOLE),
    seekEnd: (fd) => seek(fd, 0, SEEK_END),
    punchHole: (fd, offset, length) =>
      fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) === 0,
  };
  return operations;
}

function firstOf(
  library: LibC,
  names: readonly string[],
  result: string,
  parameters: string[],
): ReturnType<LibC['func']> {
  for (const name of names.slice(0, -1)) {
    try {
      return library.func(name, result, parameters);
    } catch {
      // Not in this libc: the next name.
    }
  }
  return library.func(names.at(-1)!, result, parameters);
}
