import fs from 'node:fs';
import { AttachedDevice } from '../attached-device.ts';
import { REPORT_FD, type StartReport } from '../client.ts';
import type { AttachRequest } from '../device-state.ts';
import { encodeError } from '../error-transport.ts';
import { watchShell } from '../shell-watch.ts';

/** The process behind an attached device; `attachDevice` starts it, with what is asked for as its argument. */

/** All is flushed and gone. Threads that wait in a system call would keep `exit` waiting, so nothing is left to it. */
function leave(): void {
  process.kill(process.pid, 'SIGKILL');
}

function report(message: StartReport): void {
  fs.writeSync(REPORT_FD, `${JSON.stringify(message)}\n`);
  fs.closeSync(REPORT_FD);
}

const request = JSON.parse(process.argv[2]!) as AttachRequest;
try {
  const device = await AttachedDevice.start(process.env, request);
  const { name, image } = device.state;
  process.title = `userloop ${name} ${image}`;
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => void device.end().catch(() => {}));
  }
  watchShell(process.env, () => void device.end().catch(() => {}));
  void device.ended.then(leave);
  report({ state: device.state });
} catch (error) {
  report({ error: encodeError(error) });
  leave();
}
