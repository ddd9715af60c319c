import net from 'node:net';
import { hasCode } from '../errors.ts';
import type { DetachOptions, DeviceChanges, UnmountOptions } from './client.ts';
import { type ErrorMessage, decodeError, encodeError } from './error-transport.ts';
import type { MountRequest } from './mount-request.ts';

/** What the process behind a device is asked on its control socket: one line of JSON a connection, answered with one line. */
export type ControlRequest =
  | { readonly operation: 'detach'; readonly options: DetachOptions }
  | { readonly operation: 'mount'; readonly request: MountRequest }
  | { readonly operation: 'unmount'; readonly directory: string; readonly options: UnmountOptions }
  | { readonly operation: 'change'; readonly changes: DeviceChanges };

type ControlAnswer = { readonly value: unknown } | { readonly error: ErrorMessage };

/** A request is some hundred bytes; names in it may have 4096 each. */
const LONGEST_REQUEST = 1 << 20;

/** Serves requests until it is closed; the promise resolves when clients can connect. */
export function serveControl(
  socket: string,
  handle: (request: ControlRequest) => Promise<unknown>,
): Promise<net.Server> {
  const server = net.createServer((connection) => {
    let text = '';
    connection.setEncoding('utf8');
    // A client that goes before its answer comes is no matter.
    connection.on('error', () => connection.destroy());
    connection.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > LONGEST_REQUEST) connection.destroy();
      const end = text.indexOf('\n');
      if (end < 0) return;
      const line = text.slice(0, end);
      text = '';
      connection.pause();
      void answer(line, handle).then((reply) => connection.end(`${JSON.stringify(reply)}\n`));
    });
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(socket, () => resolve(server));
  });
}

async function answer(
  line: string,
  handle: (request: ControlRequest) => Promise<unknown>,
): Promise<ControlAnswer> {
  try {
    return { value: (await handle(JSON.parse(line) as ControlRequest)) ?? null };
  } catch (error) {
    return { error: encodeError(error) };
  }
}

/** Asks the process behind a device; undefined when there is none (any more), or it ended before it answered. */
export async function askControl<T>(
  socket: string,
  request: ControlRequest,
): Promise<{ readonly value: T } | undefined> {
  const line = await exchange(socket, `${JSON.stringify(request)}\n`);
  if (line === undefined) return undefined;
  const reply = JSON.parse(line) as { readonly value: T } | { readonly error: ErrorMessage };
  if ('error' in reply) throw decodeError(reply.error);
  return reply;
}

function exchange(socket: string, line: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const connection = net.connect(socket, () => connection.write(line));
    let text = '';
    connection.setEncoding('utf8');
    connection.on('data', (chunk: string) => (text += chunk));
    connection.on('error', (error) => {
      const gone = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'].some((code) => hasCode(error, code));
      if (gone) resolve(undefined);
      else reject(error);
    });
    connection.on('close', () => resolve(text.endsWith('\n') ? text : undefined));
  });
}
