import { parentPort, workerData } from 'node:worker_threads';
import { FuseChannel } from '../../host/fuse-channel.ts';
import { nativePoll } from '../../host/native-poll.ts';
import { SplicePipe } from '../../host/splice-pipe.ts';
import { MAX_READ, MAX_WRITE } from '../device-files-nodes.ts';
import { DeviceFilesServer } from '../device-files-server.ts';
import { FilesState } from '../device-files-state.ts';
import { WAIT_FOR_MESSAGE } from '../early-worker.ts';
import type { FilesWorkerData, FilesWorkerMessage } from '../device-files.ts';

/** A thread that serves the files of a device until it is told to stop or the mount is gone. */

/** So many requests in a row without a pause mean that a second thread has work, too. */
const BACKLOG = 16;
/** And so many that had to wait for another, as the parts of long direct reads and writes do; a pause takes back half a one. */
const WAITED = 128;
const PAUSE = 0.5;
/** A thread that was added for that goes when there was nothing to do for so long. */
const IDLE_MILLISECONDS = 3000;

// Loaded while the main thread still finds out what to serve, and mounts.
const poll = nativePoll();
void ownData().then(serve);

/** What to serve: a thread that was started before that was known waits for it. */
async function ownData(): Promise<FilesWorkerData> {
  if (workerData !== WAIT_FOR_MESSAGE) return workerData as FilesWorkerData;
  return new Promise((resolve) => parentPort!.once('message', resolve));
}

function tell(message: FilesWorkerMessage): void {
  parentPort!.postMessage(message);
}

function serve({ share, family, unit, buffer, worker }: FilesWorkerData): void {
  const state = new FilesState(buffer);
  const wakeFd = poll?.eventfd() ?? -1;
  state.setWakeDescriptor(worker, wakeFd);
  const fd = state.awaitDescriptor();
  if (fd >= 0) {
    const channel = new FuseChannel({ fd, wakeFd, maxWrite: MAX_WRITE });
    const server = new DeviceFilesServer({
      share,
      family,
      unit,
      state,
      worker,
      fd,
      send: (message) => channel.send(message),
      becameIdle: () => tell('idle'),
      openPipe: () => SplicePipe.open(MAX_READ),
    });
    let lastWork = Date.now();
    let worked = false;
    let waited = 0;
    tell('ready');
    const end = state.isStopping
      ? 'stopped'
      : channel.run({
          handle(request, reply) {
            worked = true;
            if (channel.backlog > 1) waited++;
            if (channel.backlog === BACKLOG || waited >= WAITED) {
              waited = 0;
              tell('busy');
            }
            if (state.isStopping) channel.stop();
            return server.handle(request, reply);
          },
          woken() {
            if (state.isStopping) channel.stop();
          },
          idle() {
            state.setCurrent(worker, 0, 0);
            waited = Math.max(0, waited - PAUSE);
            const soon = server.idle();
            if (soon !== undefined || worker === 0) return soon;
            const now = Date.now();
            if (worked) lastWork = now;
            worked = false;
            if (now - lastWork >= IDLE_MILLISECONDS) channel.stop();
            return IDLE_MILLISECONDS;
          },
        });
    server.close();
    tell(end);
  }
}
