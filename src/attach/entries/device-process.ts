import { createRequire } from 'node:module';
import { loadCompiled } from '../../host/compiled-script.ts';
import { programFile } from '../../host/program-file.ts';
import type * as DeviceMain from '../device-main.ts';
import type { AttachRequest } from '../device-state.ts';
import { FILES_WORKER_OPTIONS, startEarly } from '../early-worker.ts';

/** The process behind an attached device; `attachDevice` starts it, with what is asked for as its argument. */

const request = JSON.parse(process.argv[2]!) as AttachRequest;
// The thread starts up while this one loads the rest.
const early = request.files ? startEarly('device-files-worker', FILES_WORKER_OPTIONS) : undefined;
const main = programFile('device-main');
const { runDevice } = (loadCompiled(main) ?? createRequire(import.meta.url)(main)) as typeof DeviceMain;
void runDevice(request, early);
