import { parentPort, workerData } from 'node:worker_threads';
import type { MountWorkerData } from '../mount-messages.ts';
import { runMountServer } from '../mount-server.ts';

runMountServer(workerData as MountWorkerData, parentPort!);
