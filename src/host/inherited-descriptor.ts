import fs from 'node:fs';
import { hasCode } from '../errors.ts';

/** Access mode in the flags of a descriptor: fcntl(2). */
const ACCESS_MODE = 0o3;

/**
 * Was this descriptor given to the process by who started it, and may it be written? Node has some of its own that nobody may write, and a number beyond
 * those that were given can be one of them: event queues, and pipes of which it has both ends. Without `/proc` only the standard ones are known.
 */
export function isInheritedDescriptor(fd: number): boolean {
  if (fd <= 2) return isOpen(fd);
  const name = nameOf(fd);
  if (name === undefined || name.startsWith('anon_inode:')) return false;
  if (!name.startsWith('pipe:')) return true;
  const mode = accessMode(fd);
  return !fs
    .readdirSync('/proc/self/fd')
    .some((other) => nameOf(Number(other)) === name && accessMode(Number(other)) !== mode);
}

function isOpen(fd: number): boolean {
  try {
    fs.fstatSync(fd);
    return true;
  } catch (error) {
    if (hasCode(error, 'EBADF')) return false;
    throw error;
  }
}

/** What a descriptor is open to; undefined when it is not open, or that cannot be told. */
function nameOf(fd: number): string | undefined {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function accessMode(fd: number): number | undefined {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
    return flags === undefined ? undefined : Number.parseInt(flags, 8) & ACCESS_MODE;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
