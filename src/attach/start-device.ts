import { spawn } from 'node:child_process';
import type net from 'node:net';
import { programFile } from '../host/program-file.ts';
import type { AttachRequest, DeviceState } from './device-state.ts';
import type { Environment } from './environment.ts';
import type { ErrorMessage } from './error-transport.ts';

/** What the process behind a device tells, once, to whoever started it. */
export type StartReport = { readonly state: DeviceState } | { readonly error: ErrorMessage };

/** The descriptor on which it tells that. */
export const REPORT_FD = 3;

/** Starts the process behind a device; resolves when the device and its partitions can be opened. */
export function attachDevice(env: Environment, request: AttachRequest): Promise<DeviceState> {
  const debug = (env['USERLOOP_DEBUG'] ?? '') !== '';
  const child = spawn(process.execPath, [programFile('device-process'), JSON.stringify(request)], {
    cwd: '/',
    // A session of its own: what is typed on the terminal is not for it, and it stays when the terminal goes.
    detached: true,
    stdio: ['ignore', 'ignore', debug ? 'inherit' : 'ignore', 'pipe'],
    env: env as NodeJS.ProcessEnv,
  });
  const pipe = child.stdio[REPORT_FD] as net.Socket;
  return new Promise((resolve, reject) => {
    let text = '';
    let status = '';
    child.on('error', reject);
    child.on('exit', (code, signal) => (status = signal ?? `status ${code}`));
    pipe.setEncoding('utf8');
    pipe.on('data', (chunk: string) => (text += chunk));
    pipe.on('error', reject);
    pipe.on('close', () => {
      child.unref();
      if (text === '') {
        reject(
          new Error(`The process behind the device ended before it was ready${status && `: ${status}`}`),
        );
        return;
      }
      const report = JSON.parse(text) as StartReport;
      if ('state' in report) resolve(report.state);
      // Loaded only now: nothing that is not needed shall delay the start of the process.
      else
        import('./error-transport.ts').then(({ decodeError }) => reject(decodeError(report.error)), reject);
    });
  });
}
