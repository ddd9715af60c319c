import fs from 'node:fs';
import os from 'node:os';
import type { Worker } from 'node:worker_threads';
import { type DeviceFamily, type DeviceView, deviceViews } from '../disk/device-views.ts';
import { ERRNO, hasCode } from '../errors.ts';
import { notifyInvalInode } from '../fuse/notify.ts';
import { errorMessage } from '../fuse/reply.ts';
import { type DeviceShare, openShare } from '../host/device-share.ts';
import type { ChannelEnd } from '../host/fuse-channel.ts';
import { closeFuseMount, type FuseMount, mayAllowOther, openFuseMount } from '../host/fuse-mount.ts';
import { nativePoll, wake } from '../host/native-poll.ts';
import { openFileHolders } from '../host/open-file-holders.ts';
import { createFilesState, FilesState, MAX_WORKERS } from './device-files-state.ts';
import { MAX_READ, nodeIdOf } from './device-files-nodes.ts';
import type { Holder } from './device-state.ts';
import { FILES_WORKER_OPTIONS, takeWorker } from './early-worker.ts';
import { holderOf } from './file-holder.ts';

export interface FilesWorkerData {
  readonly share: DeviceShare;
  readonly family: DeviceFamily;
  readonly unit: number;
  readonly buffer: SharedArrayBuffer;
  readonly worker: number;
}

/** `ready`: it serves. `busy`: another thread would have work, too. `idle`: the last file was closed. The rest: it has ended. */
export type FilesWorkerMessage = 'ready' | 'busy' | 'idle' | ChannelEnd;

/** A thread is stopped within this time, whatever it waits for; then it is ended by force. */
const STOP_MILLISECONDS = 2000;
/** So many threads that died of errors are replaced. */
const REPLACEMENTS = 8;
/** How long a file may still seem open after the process that had it open is gone. */
const RELEASE_MILLISECONDS = 100;

/** The device and its partitions as files of a FUSE directory, which threads of this process serve. */
export class DeviceFiles {
  readonly #share: DeviceShare;
  readonly #folder: string;
  readonly #family: DeviceFamily;
  readonly #unit: number;
  readonly #buffer = createFilesState();
  readonly #state = new FilesState(this.#buffer);
  readonly #workers: (Worker | undefined)[] = [];
  #mount: FuseMount | undefined;
  #serving: Promise<void> = Promise.resolve();
  #replaced = 0;
  #closing: Promise<void> | undefined;
  #idleListeners: (() => void)[] = [];

  private constructor(share: DeviceShare, folder: string, family: DeviceFamily, unit: number) {
    this.#share = share;
    this.#folder = folder;
    this.#family = family;
    this.#unit = unit;
  }

  /**
   * Mounts at `folder`, which must be an empty directory; resolves when its files can be opened. Who opens one before the first thread
   * serves waits for it in the kernel, as this process must not: it waits for `serving`.
   */
  static async open(
    share: DeviceShare,
    folder: string,
    family: DeviceFamily,
    unit: number,
  ): Promise<DeviceFiles> {
    const files = new DeviceFiles(share, folder, family, unit);
    // The thread starts up while this one mounts.
    const started = files.#start(0);
    try {
      files.#mount = await files.#openMount();
      files.#serving = started;
      started.catch(() => files.close());
      return files;
    } catch (error) {
      await started.catch(() => {});
      await files.close();
      throw error;
    }
  }

  /** Resolves when a thread serves the files. */
  get serving(): Promise<void> {
    return this.#serving;
  }

  /** Who has a file of it open. Also what was opened through a bind mount of it. */
  holders(): Holder[] {
    const names = new Map(this.#views().map(({ id, name }) => [id, name]));
    const until = Date.now() + RELEASE_MILLISECONDS;
    for (;;) {
      const { openCount } = this.#state;
      const holders = this.#state.handles().map(({ viewId, thread }) => {
        const what = names.get(viewId) ?? names.get(WHOLE)!;
        return holderOf(thread, what);
      });
      // The kernel tells of a close after close(2) has returned: whoever is gone has closed it.
      const left = until - Date.now();
      if (left <= 0 || holders.every(({ pid }) => pid !== 0)) return this.#named(holders);
      this.#state.awaitOpenCount(openCount, left);
    }
  }

  /** Whoever has inherited an open file has not opened it: then those are told who have it now, as far as they can be seen. */
  #named(holders: readonly Holder[]): Holder[] {
    const found = holders.flatMap((holder) => {
      if (holder.pid !== 0) return [holder];
      const { what } = holder;
      const heirs = openFileHolders([`${this.#folder}/${what}`]);
      return heirs.length === 0 ? [holder] : heirs.map(({ pid, command }) => ({ pid, command, what }));
    });
    return uniqueHolders(found);
  }

  /** Resolves when no file is open any more. */
  async whenIdle(): Promise<void> {
    while (this.#closing === undefined && this.#state.openCount > 0) {
      const told = new Promise<void>((resolve) => this.#idleListeners.push(resolve));
      this.#state.wantIdle();
      if (this.#state.openCount > 0) await told;
    }
  }

  /** Resolves when the last open file is closed the next time: not at once when none is open. */
  async whenClosed(): Promise<void> {
    const told = new Promise<void>((resolve) => this.#idleListeners.push(resolve));
    this.#state.wantIdle();
    await told;
  }

  /** Drops what the kernel has cached of the device's content: before a file system of it is mounted, and after. */
  dropCaches(): void {
    this.#state.distrustCaches();
    const mount = this.#mount;
    if (mount === undefined || this.#closing !== undefined) return;
    for (const view of this.#views()) {
      const message = notifyInvalInode(nodeIdOf(view));
      // It fails when the kernel does not know the file, or the mount is gone: then there is nothing cached.
      nativePoll()!.write(mount.fd, message, message.length);
    }
  }

  /** Unmounts and stops the threads. Open files fail from then on. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #openMount(): Promise<FuseMount> {
    try {
      const mount = await openFuseMount(this.#folder, {
        fsname: 'userloop',
        subtype: 'userloop',
        // A device belongs to its owner by its mode; programs that run as root may open it all the same.
        defaultPermissions: true,
        allowOther: mayAllowOther(),
        noSuid: true,
        noDev: true,
        maxRead: MAX_READ,
      });
      this.#state.setDescriptor(mount.fd);
      return mount;
    } catch (error) {
      this.#state.setDescriptor(-1);
      throw error;
    }
  }

  #views(): DeviceView[] {
    // Below the gates of mounted file systems: this thread must not wait for them.
    return deviceViews(openShare(this.#share).content, this.#family, this.#unit);
  }

  /** Starts a thread; resolves when it serves, or there is nothing to serve. */
  #start(index: number): Promise<void> {
    const workerData: FilesWorkerData = {
      share: this.#share,
      family: this.#family,
      unit: this.#unit,
      buffer: this.#buffer,
      worker: index,
    };
    const worker = takeWorker('device-files-worker', workerData, FILES_WORKER_OPTIONS);
    this.#workers[index] = worker;
    return new Promise((resolve, reject) => {
      let hasEnded = false;
      worker.on('message', (message: FilesWorkerMessage) => {
        if (message === 'ready') resolve();
        else if (message === 'busy') this.#help();
        else if (message === 'idle') this.#tellIdle();
        else hasEnded = true;
      });
      let failure: unknown;
      worker.on('error', (error) => (failure = error));
      worker.on('exit', () => {
        this.#workers[index] = undefined;
        if (failure === undefined) resolve();
        else reject(failure);
        if (!hasEnded && this.#mount !== undefined) this.#replace(index);
        else if (this.#workers.every((other) => other === undefined)) void this.close();
      });
    });
  }

  /** One thread cannot keep up. */
  #help(): void {
    const count = Math.min(MAX_WORKERS, Math.max(2, os.availableParallelism()));
    if (this.#closing !== undefined) return;
    for (let index = 1; index < count; index++) {
      if (this.#workers[index] !== undefined) continue;
      this.#start(index).catch(() => {});
      return;
    }
  }

  /** A thread has died of an error: whoever waits for it is told, and another takes its place. */
  #replace(index: number): void {
    const mount = this.#mount;
    if (mount === undefined || this.#closing !== undefined) return;
    const { low, high } = this.#state.current(index);
    const message = errorMessage(low, high, ERRNO.EIO[0]);
    if (low !== 0 || high !== 0) nativePoll()!.write(mount.fd, message, message.length);
    this.#state.setCurrent(index, 0, 0);
    const wakeFd = this.#state.wakeDescriptor(index);
    this.#state.setWakeDescriptor(index, 0);
    if (wakeFd > 0) fs.closeSync(wakeFd);
    if (++this.#replaced <= REPLACEMENTS) this.#start(index).catch(() => {});
    else void this.close();
  }

  #tellIdle(): void {
    for (const listener of this.#idleListeners.splice(0)) listener();
  }

  async #close(): Promise<void> {
    const mount = this.#mount;
    if (mount !== undefined) {
      try {
        await closeFuseMount(this.#folder, mount.way);
      } catch (error) {
        if (!hasCode(error, 'EBUSY')) throw error;
        await closeFuseMount(this.#folder, mount.way, { lazy: true });
      }
    }
    this.#state.stop();
    await Promise.all(this.#workers.map((worker, index) => this.#stop(worker, index)));
    // Whoever still has a file open finds the connection broken.
    if (mount !== undefined) fs.closeSync(mount.fd);
    this.#tellIdle();
  }

  async #stop(worker: Worker | undefined, index: number): Promise<void> {
    if (worker === undefined) return;
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const wakeFd = this.#state.wakeDescriptor(index);
    if (wakeFd > 0) wake(wakeFd);
    const timer = setTimeout(() => void worker.terminate(), STOP_MILLISECONDS);
    await exited;
    clearTimeout(timer);
    if (wakeFd > 0) fs.closeSync(wakeFd);
  }
}

/** The id of the view that is the whole device. */
const WHOLE = 1;

function uniqueHolders(holders: readonly Holder[]): Holder[] {
  const seen = new Map(holders.map((holder) => [`${holder.pid} ${holder.what}`, holder]));
  return [...seen.values()];
}
