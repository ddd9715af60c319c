import fs from 'node:fs';
import { AttachedDevice } from './attached-device.ts';
import type { AttachRequest } from './device-state.ts';
import { type EarlyWorker, adoptEarly } from './early-worker.ts';
import { encodeError } from './error-transport.ts';
import { watchShell } from './shell-watch.ts';
import { REPORT_FD } from './device-process-start.ts';
import type { StartReport } from './start-device.ts';

/** What the process behind an attached device does, from its first moment to its last. */

/** How long an end that follows an error of the program's own may take, milliseconds. */
const LAST_CHANCE = 10_000;

/** All is flushed and gone. Threads that wait in a system call would keep `exit` waiting, so nothing is left to it. */
function leave(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** False when whoever started this process has gone. */
function report(message: StartReport): boolean {
  try {
    fs.writeSync(REPORT_FD, `${JSON.stringify(message)}\n`);
    fs.closeSync(REPORT_FD);
    return true;
  } catch {
    return false;
  }
}

export async function runDevice(request: AttachRequest, early: EarlyWorker | undefined): Promise<void> {
  if (early !== undefined) adoptEarly(early);
  let device: AttachedDevice;
  try {
    device = await AttachedDevice.start(process.env, request);
  } catch (error) {
    report({ error: encodeError(error) });
    leave();
    return;
  }
  const { name, image } = device.state;
  process.title = `userloop ${name} ${image}`;
  const end = (): void => {
    device.end().catch((error: unknown) => device.log.add(error));
  };
  const fail = (error: unknown): void => {
    device.log.add(error);
    setTimeout(leave, LAST_CHANCE).unref();
    end();
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, end);
  if (process.env['USERLOOP_DEBUG'] === undefined) device.log.captureStandardError();
  watchShell(process.env, end);
  void device.ended.then(leave);
  // Who was interrupted as it attached wants no device.
  if (!report({ state: device.state })) end();
}
