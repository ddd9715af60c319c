import fs from 'node:fs';
import { createRequire } from 'node:module';
import { loadCompiled } from '../../host/compiled-script.ts';
import { programFile } from '../../host/program-file.ts';
import type * as DeviceMain from '../device-main.ts';
import { REQUEST_FD } from '../device-process-start.ts';
import type { AttachRequest } from '../device-state.ts';
import { FILES_WORKER_OPTIONS, startEarly } from '../early-worker.ts';

/** The process behind an attached device; `startDeviceProcess` starts it. */

// The thread starts up while this one loads the rest, and waits for what is asked for.
const early = startEarly('device-files-worker', FILES_WORKER_OPTIONS);
const main = programFile('device-main');
const { runDevice } = (loadCompiled(main) ?? createRequire(import.meta.url)(main)) as typeof DeviceMain;
const asked = fs.readFileSync(REQUEST_FD, 'utf8');
fs.closeSync(REQUEST_FD);
if (asked === '') process.exit(0);
const request = JSON.parse(asked) as AttachRequest;
if (!request.files) void early.worker.terminate();
void runDevice(request, request.files ? early : undefined);
