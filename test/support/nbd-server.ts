import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { NbdListenOptions } from '../../src/attach/nbd-exports.ts';
import { builtProgram } from './built-program.ts';
import { temporaryFolder } from './tools.ts';

export interface NbdServer {
  readonly process: ChildProcess;
  readonly file: string;
  readonly socket: string;
  /** `HOST:PORT`, where TCP was asked for. */
  readonly address: string | undefined;
  /** The URI of an export on the unix socket. */
  uri(name?: string): string;
  /** Answers `holders` and `idle`. */
  ask(question: 'holders' | 'idle'): Promise<string>;
  /** Ends it in peace; the milliseconds that this took. */
  stop(): Promise<number>;
}

export interface NbdServerOptions extends Partial<Omit<NbdListenOptions, 'socket'>> {
  readonly file: string;
  readonly readOnly?: boolean;
  /** Environment of the process, besides ours. */
  readonly env?: Record<string, string>;
}

/** A process with an NBD server of ours over a file. */
export async function startNbdServer(options: NbdServerOptions): Promise<NbdServer> {
  const { file, readOnly = false, env = {}, ...rest } = options;
  const socket = path.join(temporaryFolder(), 'nbd');
  const listen: NbdListenOptions = { family: 'loop', unit: 0, ...rest, socket };
  const child = spawn(
    process.execPath,
    [builtProgram('nbd-server-process'), JSON.stringify({ file, readOnly, listen })],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) throw new Error('The NBD server did not start');
  const { address } = JSON.parse(first.value) as { address?: string };
  return {
    process: child,
    file,
    socket,
    address,
    uri: (name = '') => `nbd+unix:///${name}?socket=${socket}`,
    async ask(question) {
      child.stdin.write(`${question}\n`);
      return (await lines.next()).value as string;
    },
    async stop() {
      const start = performance.now();
      const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      child.stdin.end();
      await ended;
      return performance.now() - start;
    },
  };
}
