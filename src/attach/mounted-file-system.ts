import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { FsError, hasCode, hostErrorText } from '../errors.ts';
import type { FileSystemType } from '../filesystem/file-system.ts';
import type { Cached } from '../fuse/file-system-session.ts';
import { notifyIncEpoch, notifyInvalEntry, notifyInvalInode } from '../fuse/notify.ts';
import type { Gate } from '../host/device-gate.ts';
import type { DeviceShare } from '../host/device-share.ts';
import { type FuseMount, closeFuseMount, openFuseMount } from '../host/fuse-mount.ts';
import { nativePoll, wake } from '../host/native-poll.ts';
import { syncFileSystem } from '../host/native-sync.ts';
import { mountHolders } from '../host/open-file-holders.ts';
import { programFile } from '../host/program-file.ts';
import { DeviceBusyError, type Holder, type MountState } from './device-state.ts';
import { decodeError } from './error-transport.ts';
import type { MountCommand, MountEvent, MountWorkerData } from './mount-messages.ts';
import type { MountRequest } from './mount-request.ts';

export interface MountSetting {
  readonly share: DeviceShare;
  readonly range: { readonly offset: number; readonly size: number };
  readonly gate: Gate;
  readonly gateIndex: number;
  /** It has ended, by whatever cause. */
  readonly onEnd: () => void;
  /** It has written to the device. */
  readonly onWrite: () => void;
  readonly log: (message: string) => void;
}

/** Its pipes are opened by libc and closed by fs, which would wonder. */
const MOUNT_WORKER_OPTIONS: WorkerOptions = { trackUnmanagedFds: false };

/** How long a mount that is busy for a moment only, because somebody looks at it, is waited for. */
const BUSY_TRIES = 5;
const BUSY_MILLISECONDS = 40;

/** What `df -T` and /proc/mounts show behind `fuse.`: Linux has one driver for all of FAT, called vfat. */
function subtypeOf(type: FileSystemType): string {
  return type.startsWith('fat') ? 'vfat' : type;
}

/** One mounted file system, seen from the main thread: its mount, its thread, its gate. */
export class MountedFileSystem {
  readonly state: MountState;
  /** Taken out of the tree while in use: it lives on until the last user has gone. */
  isDetached = false;
  readonly #setting: MountSetting;
  readonly #worker: Worker;
  readonly #wakeFd: number;
  readonly #mount: FuseMount;
  readonly #ended: Promise<void>;
  #device = 0;
  #isOver = false;
  /** Why not everything has been written at the end. */
  #unwritten: Error | undefined;

  private constructor(
    setting: MountSetting,
    worker: Worker,
    wakeFd: number,
    mount: FuseMount,
    state: MountState,
    finished: Promise<void>,
  ) {
    this.#setting = setting;
    this.#worker = worker;
    this.#wakeFd = wakeFd;
    this.#mount = mount;
    this.state = state;
    this.#ended = finished.then(
      () => this.#finish(),
      (error: unknown) => this.#finish(error),
    );
  }

  /** Opens the file system and mounts it; what is wrong with either is thrown, and nothing is left behind. */
  static async open(setting: MountSetting, request: MountRequest): Promise<MountedFileSystem> {
    const poll = nativePoll();
    if (poll === undefined) {
      // Says what is missing.
      await openFuseMount(request.directory, { fsname: request.source, subtype: 'none' });
      throw new Error('Mounting needs koffi');
    }
    const { gate, share, range, gateIndex } = setting;
    const wakeFd = gate.wakeFd > 0 ? gate.wakeFd : poll.eventfd();
    gate.activate(range.offset, range.size, wakeFd);
    const data: MountWorkerData = { share, range, request, gate: gateIndex, wakeFd };
    const worker = new Worker(programFile('mount-worker'), { ...MOUNT_WORKER_OPTIONS, workerData: data });
    const finished = exitOf(worker);
    finished.catch(() => {});
    let mount: FuseMount | undefined;
    try {
      const opened = await eventOf(worker, finished, 'opened');
      const readOnly = request.options.readOnly || opened.readOnly;
      mount = await openFuseMount(request.directory, {
        ...mountOptionsOf(request),
        subtype: subtypeOf(opened.type),
        readOnly,
      });
      const serving = eventOf(worker, finished, 'serving');
      worker.postMessage({ kind: 'serve', fd: mount.fd } satisfies MountCommand);
      await serving;
      if (opened.readOnlyReason !== undefined)
        setting.log(`${request.directory} is mounted read-only: ${opened.readOnlyReason}`);
      const state: MountState = {
        directory: request.directory,
        source: request.source,
        type: opened.type,
        view: request.view,
        readOnly,
        options: request.options.text,
        uid: request.uid,
      };
      const mounted = new MountedFileSystem(setting, worker, wakeFd, mount, state, finished);
      worker.on('message', (event: MountEvent) => mounted.#hear(event));
      await mounted.#publish();
      return mounted;
    } catch (error) {
      if (mount !== undefined) {
        await closeFuseMount(request.directory, mount.way, { lazy: true }).catch(() => {});
        fs.closeSync(mount.fd);
      }
      worker.postMessage({ kind: 'stop' } satisfies MountCommand);
      wake(wakeFd);
      await finished.catch(() => {});
      gate.deactivate();
      throw error;
    }
  }

  /** Nothing serves it any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves when everything is written and the mount is gone; with `lazy` when it is out of the tree. */
  async unmount(options: { readonly lazy?: boolean; readonly force?: boolean }): Promise<void> {
    const { directory } = this.state;
    this.#setting.gate.setMount(undefined);
    if (options.lazy !== true && options.force !== true) {
      try {
        await this.#unmountIdle();
      } catch (error) {
        // Not by looking at it: its root may be gone from the device.
        this.#setting.gate.setMount({ directory, device: this.#device });
        throw error;
      }
      await this.#ended;
      this.#refuseUnwritten();
      return;
    }
    syncFileSystem(directory, this.#device);
    await closeFuseMount(directory, this.#mount.way, { lazy: true });
    this.isDetached = true;
    if (options.force === true) await this.stop();
  }

  /** The mount is gone all the same: who has unmounted it must hear that the image is not whole. */
  #refuseUnwritten(): void {
    const cause = this.#unwritten;
    if (cause === undefined) return;
    const detail = `it is unmounted, but not everything could be written: ${hostErrorText(cause)}`;
    throw new FsError('EIO', { syscall: 'umount', path: this.state.directory, detail, cause });
  }

  /** Writes everything and ends; files that are open fail from then on. */
  async stop(): Promise<void> {
    if (!this.#isOver) {
      this.#worker.postMessage({ kind: 'stop' } satisfies MountCommand);
      wake(this.#wakeFd);
    }
    await this.#ended;
  }

  holders(): Holder[] {
    const { directory } = this.state;
    return mountHolders(directory).map(({ pid, command }) => ({ pid, command, what: directory }));
  }

  async #unmountIdle(): Promise<void> {
    const { directory } = this.state;
    for (let attempt = 1; ; attempt++) {
      try {
        await closeFuseMount(directory, this.#mount.way);
        return;
      } catch (error) {
        if (!hasCode(error, 'EBUSY')) throw error;
        const holders = this.holders();
        if (attempt < BUSY_TRIES && holders.length === 0) {
          await delay(BUSY_MILLISECONDS);
          continue;
        }
        const names = holders.map(({ command, pid }) => `${command} (process ${pid})`).join(', ');
        throw new DeviceBusyError(
          `${directory} is busy${names === '' ? '' : `: in use by ${names}`}`,
          holders,
        );
      }
    }
  }

  /** Tells the gate where it is mounted. */
  async #publish(): Promise<void> {
    const { directory } = this.state;
    const { dev } = await fs.promises.stat(directory);
    this.#device = dev;
    this.#setting.gate.setMount({ directory, device: dev });
    await readFurtherAhead(dev);
  }

  #hear(event: MountEvent): void {
    switch (event.kind) {
      case 'reloaded':
        this.#invalidate(event.cached);
        break;
      case 'wrote':
        this.#setting.onWrite();
        break;
      case 'log':
        this.#setting.log(`${this.state.directory}: ${event.message}`);
        break;
      case 'ended':
        if (event.error !== undefined) {
          this.#unwritten = decodeError(event.error);
          this.#setting.log(`${this.state.directory}: ${this.#unwritten.message}`);
        }
        break;
      case 'opened':
      case 'failed':
      case 'serving':
        break;
    }
  }

  /**
   * Not by the thread that serves: the kernel waits for pages under way, and writes dirty ones. What it does not know any more it refuses
   * to drop, which is as good.
   */
  #invalidate(cached: Cached): void {
    const poll = nativePoll()!;
    const send = (message: Uint8Array): void => {
      poll.write(this.#mount.fd, message, message.length);
    };
    try {
      if (cached.hasEpochs) send(notifyIncEpoch());
      else for (const [parent, name] of cached.entries) send(notifyInvalEntry(parent, name));
      for (const node of cached.nodes) send(notifyInvalInode(node));
    } finally {
      this.#setting.gate.noteInvalidated();
    }
  }

  /** The thread has ended. */
  async #finish(error?: unknown): Promise<void> {
    this.#isOver = true;
    const { gate, log, onEnd } = this.#setting;
    gate.setMount(undefined);
    gate.deactivate();
    if (error !== undefined)
      log(`${this.state.directory}: ${error instanceof Error ? error.message : 'its thread has ended'}`);
    // With the last descriptor the connection breaks: nobody waits for answers any more.
    fs.closeSync(this.#mount.fd);
    try {
      await this.#removeDead();
    } finally {
      onEnd();
    }
  }

  /** After an abort the mount is still in the tree. */
  async #removeDead(): Promise<void> {
    const { directory } = this.state;
    if (this.isDetached) return;
    try {
      await fs.promises.stat(directory);
    } catch (error) {
      if (hasCode(error, 'ENOTCONN') || hasCode(error, 'ECONNABORTED'))
        await closeFuseMount(directory, this.#mount.way, { lazy: true });
    }
  }
}

/**
 * The kernel reads 128 KiB ahead of a FUSE mount, and INIT cannot ask for more; root may by sysfs. Files are read in pieces of that size, so that it
 * counts: with 512 KiB they are read up to two fifths faster. With 1 MiB a piece and its header fit into no pipe any more, and have to be copied.
 */
async function readFurtherAhead(device: number): Promise<void> {
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  try {
    await fs.promises.writeFile(`/sys/class/bdi/${major}:${minor}/read_ahead_kb`, '512');
  } catch {
    // Not root, or root of a user namespace only, or no sysfs.
  }
}

/** Rejects when the thread died of an error. */
function exitOf(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  });
}

/** The first message of that kind; what the thread says of a failure is thrown. */
function eventOf<K extends MountEvent['kind']>(
  worker: Worker,
  finished: Promise<void>,
  kind: K,
): Promise<Extract<MountEvent, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      worker.off('message', hear);
    };
    const hear = (event: MountEvent): void => {
      if (event.kind === kind) {
        done();
        resolve(event as Extract<MountEvent, { kind: K }>);
      } else if (event.kind === 'failed' || event.kind === 'ended') {
        done();
        reject(
          event.error === undefined
            ? new FsError('EIO', {
                syscall: 'mount',
                detail: `the mount ended before it could be used: ${event.kind === 'ended' ? event.end : ''}`,
              })
            : decodeError(event.error),
        );
      }
    };
    worker.on('message', hear);
    finished.then(
      () => reject(new FsError('EIO', { syscall: 'mount', detail: 'the thread of the mount has ended' })),
      reject,
    );
  });
}

function mountOptionsOf(request: MountRequest) {
  const { options } = request;
  const isRoot = process.getuid!() === 0;
  const allowOther = options.allowOther ?? isRoot;
  return {
    fsname: request.source,
    allowOther,
    // Who mounts an image may change all of it anyway; others are held to owners and modes.
    defaultPermissions: options.defaultPermissions ?? allowOther,
    ...(options.noExec === undefined ? {} : { noExec: options.noExec }),
    noSuid: options.noSuid ?? !isRoot,
    noDev: options.noDev ?? !isRoot,
    ...(options.synchronous === undefined ? {} : { synchronous: options.synchronous }),
    ...(options.accessTime === undefined ? {} : { accessTime: options.accessTime }),
    ...(options.directoryAccessTime === false && { directoryAccessTime: false }),
  };
}
