import type { ChildProcess } from 'node:child_process';
import type net from 'node:net';
import { REPORT_FD, REQUEST_FD } from './device-process-start.ts';

/**
 * A device's process that was started as the command line began to load. Half of the time of an attach is Node's own start, once for the
 * command and once for that process: there is mostly more than one processor for the two. Where it comes to nothing, the process finds the end of
 * its request and goes.
 */

/** What programs that attach are called with; what of it attaches in fact is known only when all is loaded. */
export function mayAttach(command: string, operands: readonly string[], env: NodeJS.ProcessEnv): boolean {
  // Root has the kernel's loop devices.
  if (process.geteuid?.() === 0 && env['USERLOOP_BACKEND'] !== 'user') return false;
  if (operands.length === 0 || operands.includes('--help')) return false;
  if (command === 'attach') return true;
  return (
    command === 'losetup' && operands.length > 1 && operands.some((word) => /^(-[a-zP]*f|--find$)/.test(word))
  );
}

let early: ChildProcess | undefined;

/** Has `takeEarlyDevice` give it: whoever starts it is another program than the one that takes it. */
export function adoptEarlyDevice(child: ChildProcess): void {
  early = child;
  // The command may end without it.
  child.unref();
  for (const pipe of pipesOf(child)) pipe.unref();
  child.on('error', forget);
  child.on('exit', forget);
}

/** The process that was started, if one was and it lives. Only the first who asks gets it. */
export function takeEarlyDevice(): ChildProcess | undefined {
  const child = early;
  if (child === undefined) return undefined;
  forget();
  child.removeAllListeners();
  child.ref();
  for (const pipe of pipesOf(child)) pipe.ref();
  return child;
}

function forget(): void {
  early = undefined;
}

function pipesOf(child: ChildProcess): net.Socket[] {
  return [child.stdio[REPORT_FD], child.stdio[REQUEST_FD]] as unknown as net.Socket[];
}
