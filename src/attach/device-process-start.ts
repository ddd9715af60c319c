import { type ChildProcess, spawn } from 'node:child_process';
import { programFile } from '../host/program-file.ts';

/** The descriptor on which the process behind a device tells, once, that the device can be opened, or why not. */
export const REPORT_FD = 3;

/** The descriptor on which it reads what is asked for. Nothing but the end: the command has come to nothing. */
export const REQUEST_FD = 4;

/** Starts the process behind a device, which reads on REQUEST_FD what it shall be. */
export function startDeviceProcess(env: NodeJS.ProcessEnv): ChildProcess {
  const debug = (env['USERLOOP_DEBUG'] ?? '') !== '';
  return spawn(process.execPath, [programFile('device-process')], {
    cwd: '/',
    // A session of its own: what is typed on the terminal is not for it, and it stays when the terminal goes.
    detached: true,
    stdio: ['ignore', 'ignore', debug ? 'inherit' : 'ignore', 'pipe', 'pipe'],
    env,
  });
}
