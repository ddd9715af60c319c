import net from 'node:net';
import path from 'node:path';
import { hasCode } from '../errors.ts';
import { removeFile } from '../host/remove-file.ts';
import type { Environment } from './environment.ts';

/**
 * How the processes of devices notice that the shell they were attached in has gone, however it ended: a connection that the
 * kernel closes with the process at its other end. What a shell leaves on purpose it tells so first.
 */

const SOCKET = 'alive';
const KEPT = 'k';

export interface WatchPoint {
  /** Lets go of the devices: they live on. */
  keep(): Promise<void>;
  close(): void;
}

/** In the process of the shell. */
export function openWatchPoint(folder: string): Promise<WatchPoint> {
  const watchers = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    watchers.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => watchers.delete(socket));
    socket.unref();
  });
  const file = path.join(folder, SOCKET);
  removeFile(file);
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(file, () => {
      server.unref();
      resolve({
        async keep() {
          server.close();
          await Promise.all(
            [...watchers].map((socket) => new Promise((done) => socket.end(KEPT, () => done(undefined)))),
          );
        },
        close() {
          server.close();
          for (const socket of watchers) socket.destroy();
        },
      });
    });
  });
}

/** In the process of a device: `gone` is called once the shell that it was attached in has ended. */
export function watchShell(env: Environment, gone: () => void): void {
  const folder = env['USERLOOP_RUNTIME_DIR'];
  if (env['USERLOOP_SHELL'] === undefined || folder === undefined) return;
  const socket = net.connect(path.join(folder, SOCKET));
  let kept = false;
  socket.on('data', (data) => (kept ||= data.toString('latin1').includes(KEPT)));
  socket.on('error', (error) => {
    // No shell there: it was kept, and somebody else has entered it.
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ECONNREFUSED')) kept = true;
  });
  socket.on('close', () => {
    if (!kept) gone();
  });
  socket.unref();
}
