import { encodeUtf8Into, utf8Length } from '../bytes/utf8.ts';
import { nativeError } from './native-error.ts';
import { loadLibC } from './native-file.ts';

/** mount(2) and umount2(2), which node has not. Linux only. */

/** Flags of mount(2) (linux/mount.h). */
export const MountFlag = {
  readOnly: 0x1,
  noSuid: 0x2,
  noDev: 0x4,
  noExec: 0x8,
  synchronous: 0x10,
  remount: 0x20,
  mandatoryLocks: 0x40,
  directorySync: 0x80,
  noSymlinkFollow: 0x100,
  noAtime: 0x400,
  noDirectoryAtime: 0x800,
  bind: 0x1000,
  move: 0x2000,
  recursive: 0x4000,
  silent: 0x8000,
  unbindable: 0x2_0000,
  private: 0x4_0000,
  slave: 0x8_0000,
  shared: 0x10_0000,
  relativeAtime: 0x20_0000,
  inodeVersion: 0x80_0000,
  strictAtime: 0x100_0000,
  lazyTime: 0x200_0000,
} as const;

/** Flags of umount2(2). */
export const UnmountFlag = { force: 1, detach: 2, noFollow: 8 } as const;

export interface MountCall {
  readonly source: string;
  readonly target: string;
  /** File-system type; '' for what has none: bind, move, remount. */
  readonly type: string;
  /** Of MountFlag. */
  readonly flags: number;
  /** The file system's own options, comma separated. */
  readonly data?: string;
}

export interface NativeMountOperations {
  /** Throws the system's error with the target as its path. */
  mount(call: MountCall): void;
  /** Throws the system's error. */
  unmount(target: string, flags: number): void;
  /** As `unmount` in a thread of its own: it may have to wait for what a thread of this process serves. */
  unmountAside(target: string, flags: number): Promise<void>;
}

let operations: NativeMountOperations | null | undefined;

/** Undefined where libc cannot be called. */
export function nativeMountOperations(): NativeMountOperations | undefined {
  if (operations === undefined) operations = bind() ?? null;
  return operations ?? undefined;
}

function bind(): NativeMountOperations | undefined {
  const libc = loadLibC();
  if (libc === undefined) return undefined;
  const mount = libc.func('mount', 'int', ['void *', 'void *', 'str', 'uintptr_t', 'void *']);
  const umount2 = libc.func('umount2', 'int', ['void *', 'int']);
  // koffi does not keep what an asynchronous call points to: collected meanwhile, it would be another name.
  const underWay = new Set<Buffer>();
  return {
    mount({ source, target, type, flags, data }) {
      const kind = type === '' ? null : type;
      const text = data === undefined ? null : cString(data);
      if (mount(cString(source), cString(target), kind, flags, text) === 0) return;
      throw nativeError('mount', { path: target });
    },
    unmount(target, flags) {
      if (umount2(cString(target), flags) !== 0) throw nativeError('umount', { path: target });
    },
    unmountAside(target, flags) {
      return new Promise((resolve, reject) => {
        const name = cString(target);
        underWay.add(name);
        umount2.async(name, flags, (error: Error | null, result: number) => {
          underWay.delete(name);
          if (error !== null) reject(error);
          else if (result !== 0) reject(nativeError('umount', { path: target }));
          else resolve();
        });
      });
    },
  };
}

/** Names are bytes: what is not UTF-8 comes as lone surrogates. */
function cString(text: string): Buffer {
  const bytes = Buffer.alloc(utf8Length(text) + 1);
  encodeUtf8Into(text, bytes);
  return bytes;
}
