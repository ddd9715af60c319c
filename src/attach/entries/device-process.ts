import type { AttachRequest } from '../device-state.ts';
import { FILES_WORKER_OPTIONS, startEarly } from '../early-worker.ts';

/** The process behind an attached device; `attachDevice` starts it, with what is asked for as its argument. */

const request = JSON.parse(process.argv[2]!) as AttachRequest;
// The thread starts up while this one loads the rest.
if (request.files) startEarly('device-files-worker', FILES_WORKER_OPTIONS);
const { runDevice } = await import('../device-main.ts');
await runDevice(request);
