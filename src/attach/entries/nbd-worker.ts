import { parentPort, workerData } from 'node:worker_threads';
import { SliceDevice } from '../../device/slice-device.ts';
import { type DeviceShare, openShare } from '../../host/device-share.ts';
import { openNbdTransport, serveSession } from '../../host/nbd-transport.ts';
import { ServerSession } from '../../nbd/server-session.ts';
import type { NbdJob, NbdJobResult } from '../nbd-workers.ts';

// A thread that serves one client at a time, from the end of the handshake on. It blocks on the client's socket; who
// wants it to stop shuts that down.
const device = openShare(workerData as DeviceShare);

parentPort!.on('message', (job: NbdJob) => {
  parentPort!.postMessage(serve(job));
});

function serve({ fd, range, terms, initial }: NbdJob): NbdJobResult {
  const bounds = range ?? { offset: 0, size: device.size };
  const transport = openNbdTransport(fd, device, bounds);
  try {
    // The whole device may grow, a partition stays as it was found.
    const served = range === undefined ? device : new SliceDevice(device, range.offset, range.size);
    serveSession(new ServerSession(served, terms, transport), transport, initial);
    return { error: undefined };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  } finally {
    transport.close();
  }
}
