import fs from 'node:fs';
import type { Holder } from './device-state.ts';

/**
 * The holder behind the thread that has opened the view `what`, as FUSE tells it: 0 when it is outside of our PID namespace. When that process is gone
 * or has closed it, a process that inherited it may still have it; then its number is 0.
 */
export function holderOf(thread: number, what: string): Holder {
  const pid = thread === 0 ? undefined : processOf(thread);
  if (pid === undefined || !hasOpen(pid, what)) return { pid: 0, command: '', what };
  return { pid, command: read(`/proc/${pid}/comm`).trimEnd(), what };
}

/** Of a thread. */
function processOf(thread: number): number | undefined {
  const found = /^Tgid:\s*(\d+)/m.exec(read(`/proc/${thread}/status`));
  return found === null ? undefined : Number(found[1]);
}

/** Does a descriptor or a mapping of the process lead to a file of that name? True when it cannot be seen. */
function hasOpen(pid: number, what: string): boolean {
  let names: string[];
  try {
    names = fs.readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return (
      (error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ESRCH'
    );
  }
  for (const name of names) if (link(`/proc/${pid}/fd/${name}`).endsWith(`/${what}`)) return true;
  return read(`/proc/${pid}/maps`).includes(`/${what}\n`);
}

function link(path: string): string {
  try {
    return fs.readlinkSync(path);
  } catch {
    return '';
  }
}

/** Empty for what is gone. */
function read(path: string): string {
  try {
    return fs.readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
