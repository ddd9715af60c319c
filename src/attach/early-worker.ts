import { Worker, type WorkerOptions } from 'node:worker_threads';
import { type ProgramName, programFile } from '../host/program-file.ts';

/**
 * A thread that starts up while this one still loads its program, and is told later what to do: as a message where others have workerData.
 * Starting both takes most of the time in which a device is attached, and there is mostly more than one processor.
 */
export interface EarlyWorker {
  readonly program: ProgramName;
  readonly worker: Worker;
  failed: boolean;
}

let early: EarlyWorker | undefined;

/** The workerData of a thread that waits for a message. */
export const WAIT_FOR_MESSAGE = 'wait for a message';

/** Of the thread that serves device files: descriptors that libc has opened are closed by fs, which would wonder. */
export const FILES_WORKER_OPTIONS: WorkerOptions = { trackUnmanagedFds: false };

export function startEarly(program: ProgramName, options: WorkerOptions): EarlyWorker {
  const worker = new Worker(programFile(program), { ...options, workerData: WAIT_FOR_MESSAGE });
  const started: EarlyWorker = { program, worker, failed: false };
  // Whoever takes it looks after its errors; until then they must not end the process.
  worker.on('error', () => (started.failed = true));
  return started;
}

/** Has `takeWorker` give it: whoever starts it is another program than the one that takes it. */
export function adoptEarly(started: EarlyWorker): void {
  early = started;
}

/** The thread that was started, where there is one, else one that is started now. */
export function takeWorker(program: ProgramName, workerData: unknown, options: WorkerOptions): Worker {
  if (early?.program !== program || early.failed) {
    return new Worker(programFile(program), { ...options, workerData });
  }
  const { worker } = early;
  early = undefined;
  worker.removeAllListeners('error');
  worker.postMessage(workerData);
  return worker;
}
