import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { type NodeFs, nodeFs } from '../../src/host/node-fs.ts';
import { systemClock } from '../../src/host/system.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

/** Ours, with an empty folder of the same path as the real one, so that every message can be compared as it is. */
export function imageFace(
  root: string,
  fileSystem: FileSystem = new MemoryFileSystem({ clock: systemClock }),
): NodeFs {
  const fs = nodeFs(fileSystem, {
    umask: process.umask(),
    uid: process.getuid!(),
    gid: process.getgid!(),
  });
  fs.mkdirSync(root, { recursive: true });
  return fs;
}

/** What a call gives or throws, in a form that can be compared. */
export function outcome(body: () => unknown): unknown {
  try {
    return { value: plain(body()) };
  } catch (error) {
    return describeError(error);
  }
}

export async function outcomeLater(body: () => Promise<unknown>): Promise<unknown> {
  try {
    return { value: plain(await body()) };
  } catch (error) {
    return describeError(error);
  }
}

function describeError(error: unknown): unknown {
  const {
    code,
    errno,
    syscall,
    path: name,
    dest,
    message,
  } = error as {
    code?: string;
    errno?: number;
    syscall?: string;
    path?: string;
    dest?: string;
    message: string;
  };
  // Node words its own argument errors at length and changes the wording; the code is the contract.
  if (code?.startsWith('ERR_') === true) return { code };
  return { code, errno, syscall, path: name, dest, message };
}

function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return `bytes ${value.toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === 'object' && 'isSymbolicLink' in value) {
    const entry = value as Record<string, unknown> & Record<`is${string}`, () => boolean>;
    const kinds = ['isFile', 'isDirectory', 'isSymbolicLink', 'isFIFO', 'isSocket', 'isBlockDevice'] as const;
    const { name, parentPath, mode, uid, gid } = entry;
    // What a directory counts and takes is every file system's own affair.
    const isDirectory = entry['isDirectory']!();
    const nlink = isDirectory ? undefined : entry['nlink'];
    const size = isDirectory ? undefined : entry['size'];
    const kind = kinds.filter((test) => entry[test]!());
    return { kind, name: plain(name), parentPath, mode, nlink, uid, gid, size };
  }
  return value;
}
