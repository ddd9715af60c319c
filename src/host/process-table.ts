import fs from 'node:fs';
import { hasCode } from '../errors.ts';

/** What Linux' /proc tells of processes: whether one is still the same, and which belong together. */

/** Gone, or not ours to look at. */
const NOT_TOLD = ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'];

function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (NOT_TOLD.some((code) => hasCode(error, code))) return undefined;
    throw error;
  }
}

/**
 * The time at which the process started, in clock ticks since the machine did, as text: with the number it names one process
 * for good. Undefined when there is none, or when it has ended and only waits for its parent.
 */
export function processStartTime(pid: number): string | undefined {
  const stat = unlessGone(() => fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
  // The second field is the program's name in parentheses, in which anything may stand.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return fields[19];
}

/** `mnt:[4026532233]`: the mount namespace that the process is in. Undefined when that cannot be told. */
export function mountNamespaceOf(pid: number | 'self'): string | undefined {
  return unlessGone(() => fs.readlinkSync(`/proc/${pid}/ns/mnt`));
}

/** All processes, threads not counted, that are in that mount namespace, by number. */
export function processesInMountNamespace(namespace: string): number[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^[1-9]\d*$/.test(name))
    .map(Number)
    .filter((pid) => mountNamespaceOf(pid) === namespace);
}

/** The command line that the process was started with; empty when that cannot be told. */
export function processArguments(pid: number): string[] {
  const text = unlessGone(() => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '';
  return text.split('\0').slice(0, -1);
}

/** False when the process was not there any more. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (hasCode(error, 'ESRCH') || hasCode(error, 'EPERM')) return false;
    throw error;
  }
}
