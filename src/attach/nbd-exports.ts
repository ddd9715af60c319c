import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { UsageError } from '../errors.ts';
import { type DeviceFamily, type DeviceView, deviceViews } from '../disk/device-views.ts';
import { type DeviceShare, type SharedDevice, openShare } from '../host/device-share.ts';
import { nativeFileOperations } from '../host/native-file.ts';
import { hasHungUp } from '../host/native-poll.ts';
import { MAX_SOCKET_PATH, nativeSockets } from '../host/native-socket.ts';
import { clientHandshake } from '../nbd/client-handshake.ts';
import {
  type AgreedExport,
  type ExportDescription,
  type ExportSource,
  exportFlags,
  serverHandshake,
} from '../nbd/server-handshake.ts';
import { Deferred } from './deferred.ts';
import type { Holder, ListenRequest } from './device-state.ts';
import { BlockingConnection, join } from './nbd-connection.ts';
import { driveHandshake } from './nbd-handshake.ts';
import { tlsAcceptor } from './nbd-tls.ts';
import { NbdWorkers } from './nbd-workers.ts';

export interface NbdListenOptions {
  readonly family: DeviceFamily;
  readonly unit: number;
  /** A unix socket. */
  readonly socket: string;
  readonly tcp?: ListenRequest;
  /** How long a client may take to choose an export. Default 10 s. */
  readonly handshakeMilliseconds?: number;
}

const HANDSHAKE_MILLISECONDS = 10_000;
/** Clients at once; more are turned away. Each has a thread. */
const MAX_CONNECTIONS = 64;
/** On closing: how long an answer may take that is under way, and how long a thread may take to notice that its client is cut off. */
const GRACE_MILLISECONDS = 2_000;
/** And until the end of connections that clients have closed is noticed: longer than that only where a machine has far too much to do. */
const DEPARTURE_MILLISECONDS = 10_000;

/** An export, and where it lies. */
interface DeviceExport extends ExportDescription {
  /** Undefined: the whole device. */
  readonly range: DeviceView | undefined;
}

/** A client, from its first byte to its last. */
interface Client {
  readonly pid: number;
  readonly command: string;
  socket: net.Socket | undefined;
  connection: BlockingConnection | undefined;
  /** It is this process itself, on behalf of a client that uses TLS. */
  isInternal: boolean;
  readonly gone: Deferred;
}

type StartTls = (socket: net.Socket) => Promise<Duplex>;

/** The device as NBD exports: "" and its name for the whole, one a partition by the partition's name (`loop0p1`) and number (`1`). */
export class NbdExports {
  readonly #share: DeviceShare;
  readonly #device: SharedDevice;
  readonly #options: NbdListenOptions;
  readonly #workers: NbdWorkers;
  readonly #servers: net.Server[] = [];
  readonly #clients = new Set<Client>();
  /** Names under which this process itself connects for a client that uses TLS. */
  readonly #passes = new Map<string, DeviceExport>();
  #idleWaiters: (() => void)[] = [];
  #address: string | undefined;
  #closing: Promise<void> | undefined;

  private constructor(share: DeviceShare, options: NbdListenOptions) {
    this.#share = share;
    this.#device = openShare(share);
    this.#options = options;
    this.#workers = new NbdWorkers(share);
  }

  static async listen(share: DeviceShare, options: NbdListenOptions): Promise<NbdExports> {
    const length = Buffer.byteLength(options.socket);
    if (length > MAX_SOCKET_PATH)
      throw new UsageError(
        `The path of a socket has at most ${MAX_SOCKET_PATH} bytes, this one has ${length}: ${options.socket} (set USERLOOP_RUNTIME_DIR to a shorter folder)`,
      );
    const exports = new NbdExports(share, options);
    try {
      await exports.#listenUnix(options.socket);
      if (options.tcp !== undefined) await exports.#listenTcp(options.tcp);
    } catch (error) {
      await exports.close();
      throw error;
    }
    return exports;
  }

  /** `HOST:PORT`, where TCP was asked for. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Clients that are connected, our own commands included. */
  holders(): Holder[] {
    return [...this.#clients]
      .filter(({ isInternal }) => !isInternal)
      .map(({ pid, command }) => ({ pid, command, what: 'nbd' }));
  }

  /**
   * Resolves when those are gone who have closed their connection, for which the thread that serves them must have seen it: so who detaches after
   * its client has ended is not told of that. Whoever still has one is not waited for.
   */
  async whenDeparted(): Promise<void> {
    const leaving = [...this.#clients].filter((client) => hasHungUp(descriptorOf(client)));
    await within(DEPARTURE_MILLISECONDS, Promise.all(leaving.map(({ gone }) => gone.promise)));
  }

  /** Resolves when no client is connected. */
  async whenIdle(): Promise<void> {
    if (this.#clients.size > 0) await this.whenClosed();
  }

  /** Resolves when the last client goes the next time: not at once when none is connected. */
  whenClosed(): Promise<void> {
    return new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Ends all connections and threads; whoever is in the middle of a request gets its answer first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #listenUnix(path: string): Promise<void> {
    const server = this.#serve('none', () => Promise.reject(new Error('There is no TLS on this socket')));
    // Only the owner connects, from the first moment on.
    const mask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(mask);
    }
    await once(server, 'listening');
    fs.chmodSync(path, 0o600);
  }

  async #listenTcp({ host, port, tls }: ListenRequest): Promise<void> {
    const startTls: StartTls =
      tls === undefined
        ? () => Promise.reject(new Error('There is no TLS on this socket'))
        : tlsAcceptor(tls);
    const mode = tls === undefined ? 'none' : tls.require ? 'require' : 'offer';
    const server = this.#serve(mode, startTls);
    server.listen(port, host === '' ? '127.0.0.1' : host);
    await once(server, 'listening');
    const { address, port: chosen, family } = server.address() as net.AddressInfo;
    this.#address = family === 'IPv6' ? `[${address}]:${chosen}` : `${address}:${chosen}`;
  }

  #serve(tls: 'none' | 'offer' | 'require', startTls: StartTls): net.Server {
    const server = net.createServer({ noDelay: true, keepAlive: true }, (socket) => {
      void this.#accept(socket, tls, startTls);
    });
    this.#servers.push(server);
    return server;
  }

  async #accept(socket: net.Socket, tls: 'none' | 'offer' | 'require', startTls: StartTls): Promise<void> {
    // An error ends the connection, which is noticed there.
    socket.on('error', () => {});
    if (this.#closing !== undefined || this.#clients.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    const client: Client = {
      ...peerOf(socket),
      socket,
      connection: undefined,
      isInternal: false,
      gone: new Deferred(),
    };
    this.#clients.add(client);
    // It starts up while the client chooses an export.
    this.#workers.prepare();
    const limit = this.#options.handshakeMilliseconds ?? HANDSHAKE_MILLISECONDS;
    const timer = setTimeout(() => socket.destroy(), limit);
    try {
      const handshake = serverHandshake(this.#source(client), { tls });
      const { result, stream, initial } = await driveHandshake(socket, handshake, startTls);
      clearTimeout(timer);
      if (result === undefined) socket.end();
      else if (stream === socket) await this.#transmit(client, socket, result, initial);
      else await this.#transmitByTls(stream, result, initial);
    } catch {
      // Whatever a client has done wrong costs this connection only.
    } finally {
      clearTimeout(timer);
      socket.destroy();
      client.connection?.close();
      this.#clients.delete(client);
      client.gone.resolve();
      if (this.#clients.size === 0) for (const resolve of this.#idleWaiters.splice(0)) resolve();
    }
  }

  async #transmit(
    client: Client,
    socket: net.Socket,
    agreed: AgreedExport<DeviceExport>,
    initial: Uint8Array,
  ): Promise<void> {
    const connection = BlockingConnection.take(socket, initial);
    if (connection === undefined) throw new Error('This runtime does not hand connections to threads');
    client.socket = undefined;
    client.connection = connection;
    if (this.#closing !== undefined) return;
    const { structuredReplies, extendedHeaders, baseAllocation } = agreed;
    const result = await this.#workers.serve({
      fd: connection.fd,
      range: agreed.export.range,
      terms: { structuredReplies, extendedHeaders, baseAllocation, flags: agreed.export.flags },
      initial: connection.initial,
    });
    if (result.error !== undefined) console.error(`NBD: ${result.error}`);
  }

  /** TLS is done in this thread, the requests in one of their own: this process is its own client for that. */
  async #transmitByTls(
    stream: Duplex,
    agreed: AgreedExport<DeviceExport>,
    initial: Uint8Array,
  ): Promise<void> {
    stream.on('error', () => {});
    const pass = `\0${process.getBuiltinModule('node:crypto').randomUUID()}`;
    this.#passes.set(pass, agreed.export);
    const inner = net.connect(this.#options.socket);
    inner.on('error', () => stream.destroy());
    try {
      const { structuredReplies, extendedHeaders, baseAllocation } = agreed;
      const handshake = clientHandshake({
        exportName: pass,
        tls: 'none',
        structuredReplies,
        extendedHeaders,
        baseAllocation,
      });
      await driveHandshake(inner, handshake, () => Promise.reject(new Error('There is no TLS inside')));
    } finally {
      this.#passes.delete(pass);
    }
    inner.write(initial);
    await join(stream, inner);
  }

  /** What is to be had now: the partition table is read for each client. */
  #source(client: Client): ExportSource<DeviceExport> {
    let views: DeviceView[] | undefined;
    const look = () =>
      // Below the gates of mounted file systems: this thread must not wait for them, and no table is in their keeping.
      (views ??= deviceViews(this.#device.content, this.#options.family, this.#options.unit));
    return {
      list: () => {
        const whole = this.#export('', undefined);
        const parts = look().filter(
          ({ partition, name }) => partition !== undefined && !name.startsWith('r'),
        );
        return [whole, ...parts.map((view) => this.#export(view.name, view))];
      },
      find: (name) => {
        const passed = this.#passes.get(name);
        if (passed !== undefined) {
          client.isInternal = true;
          return passed;
        }
        if (name === '') return this.#export('', undefined);
        const view = look().find((each) => each.name === name || String(each.partition) === name);
        return view === undefined ? undefined : this.#export(name, view);
      },
    };
  }

  #export(name: string, view: DeviceView | undefined): DeviceExport {
    const device = this.#device;
    const isPart = view?.partition !== undefined;
    const where = isPart ? `partition ${view.partition}` : 'whole device';
    return {
      name,
      description: `${where} of ${this.#share.path === '' ? 'memory' : this.#share.path}`,
      size: isPart ? view.size : device.size,
      flags: exportFlags({ readOnly: device.readOnly, holes: nativeFileOperations() !== undefined }),
      preferredBlock: Math.max(4096, device.sectorSize),
      range: isPart ? view : undefined,
    };
  }

  async #close(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const { socket, connection } of this.#clients) {
      socket?.destroy();
      connection?.endInput();
    }
    if (!(await this.#idleWithin(GRACE_MILLISECONDS))) {
      let canCut = true;
      for (const { connection } of this.#clients) if (connection?.cut() === false) canCut = false;
      // A thread that waits for a client cannot be ended from here, and node waits for its threads before it exits.
      if (!(await this.#idleWithin(canCut ? GRACE_MILLISECONDS : 0)))
        process.once('exit', () => process.kill(process.pid, 'SIGKILL'));
    }
    await this.#workers.close();
  }

  async #idleWithin(milliseconds: number): Promise<boolean> {
    await within(milliseconds, this.whenIdle());
    return this.#clients.size === 0;
  }
}

/** Waits for it, but no longer than so. */
async function within(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}

function descriptorOf({ socket, connection }: Client): number {
  return connection?.fd ?? (socket === undefined ? -1 : handleOf(socket));
}

/** Of node's own; below 0 once it is closed. */
function handleOf(socket: net.Socket): number {
  return (socket as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1;
}

/** The program at the other end, as far as that can be told. */
function peerOf(socket: net.Socket): Pick<Client, 'pid' | 'command'> {
  if (socket.remoteAddress !== undefined)
    return { pid: 0, command: `${socket.remoteAddress}:${socket.remotePort ?? 0}` };
  const pid = nativeSockets()?.peerProcess(handleOf(socket)) ?? 0;
  return { pid, command: pid === 0 ? 'an NBD client' : commandOf(pid) };
}

function commandOf(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // It has gone already, or belongs to another name space.
    return 'an NBD client';
  }
}
