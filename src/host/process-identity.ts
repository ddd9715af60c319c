import fs from 'node:fs';
import { hasCode } from '../errors.ts';
import { processStartTime } from './process-table.ts';

/** A process, told from a later one that has the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** `processStartTime`; '' where that is not known. */
  readonly startTime: string;
}

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, startTime: processStartTime(process.pid) ?? '' };
}

/** Whether it runs; one that has ended and that nobody has waited for yet does not. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  if (pid <= 0) return false;
  if (startTime !== '') return processStartTime(pid) === startTime;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}

/** Tells the processes that this one can see from those of a container that shares a folder with it. '' where there is no such thing. */
export function processNamespace(): string {
  try {
    return fs.readlinkSync('/proc/self/ns/pid');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  }
}
