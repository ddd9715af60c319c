import type net from 'node:net';
import { FsError } from '../errors.ts';
import { REPORT_FD, REQUEST_FD, startDeviceProcess } from './device-process-start.ts';
import type { AttachRequest, DeviceState } from './device-state.ts';
import { takeEarlyDevice } from './early-device.ts';
import type { Environment } from './environment.ts';
import type { ErrorMessage } from './error-transport.ts';

/** What the process behind a device tells, once, to whoever started it. */
export type StartReport = { readonly state: DeviceState } | { readonly error: ErrorMessage };

/** Starts the process behind a device; resolves when the device and its partitions can be opened. */
export function attachDevice(env: Environment, request: AttachRequest): Promise<DeviceState> {
  const early = env === process.env ? takeEarlyDevice() : undefined;
  const child = early ?? startDeviceProcess(env as NodeJS.ProcessEnv);
  const pipe = child.stdio[REPORT_FD] as net.Socket;
  const asked = child.stdio[REQUEST_FD] as unknown as net.Socket;
  // When the process could not start or has gone, its report tells, or that there is none.
  asked.on('error', () => {});
  asked.end(JSON.stringify(request));
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
        const detail = `the process behind the device ended before it was ready${status && ` (${status})`}`;
        reject(new FsError('EIO', { detail, syscall: 'spawn', path: request.image }));
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
