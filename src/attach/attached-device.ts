import fs from 'node:fs';
import type net from 'node:net';
import { deviceViews, tableBlocks } from '../disk/device-views.ts';
import { FsError } from '../errors.ts';
import {
  type DeviceShare,
  type SharedDevice,
  createShareState,
  openShare,
  setTableSectors,
} from '../host/device-share.ts';
import { keepFromCleaners } from '../host/file-lock.ts';
import type { OverlayShare } from '../host/overlay-device.ts';
import type { DetachOptions, DeviceChanges, UnmountOptions } from './client.ts';
import { type ControlRequest, serveControl } from './control.ts';
import { unmountDead } from './dead-mount.ts';
import { Deferred } from './deferred.ts';
import { applyChanges } from './device-changes.ts';
import { DeviceFiles } from './device-files.ts';
import { busyMessage, checkSectorSize, initialState } from './device-facts.ts';
import { type OwnerRecord, giveNameBack, ownerRecord, writeJson } from './device-folder.ts';
import { DeviceLog } from './device-log.ts';
import { type DeviceImage, openDeviceImage } from './device-image.ts';
import { openOverlay } from './device-overlay.ts';
import { DeviceRecord } from './device-record.ts';
import {
  type AttachRequest,
  DeviceBusyError,
  type DeviceState,
  type Holder,
  type MountState,
} from './device-state.ts';
import type { Environment } from './environment.ts';
import { TO_THE_END, lockImage } from './image-lock.ts';
import { MOUNT_POINTS_FILE } from './mount-points.ts';
import type { MountRequest } from './mount-request.ts';
import { Mounts } from './mounts.ts';
import { reserveName } from './names.ts';
import { NbdExports } from './nbd-exports.ts';
import { Publisher, publishesByBinding } from './publish.ts';
import { runtimeFolder } from './registry.ts';
import { TableWatch } from './table-watch.ts';

/** Without code and path. */
function reasonOf(error: unknown): string {
  if (error instanceof FsError) return error.detail ?? error.text;
  return error instanceof Error ? error.message : String(error);
}

const NEVER = new Promise<void>(() => {});
/** How long an autoclear device that nobody has open waits for the next who opens it. */
const AUTOCLEAR_MILLISECONDS = 1000;

/** An attached device, in the process behind it: all its parts, and what is asked of it on the control socket. */
export class AttachedDevice {
  readonly log: DeviceLog;
  readonly #runtime: string;
  readonly #folder: string;
  readonly #image: DeviceImage;
  readonly #share: DeviceShare;
  readonly #device: SharedDevice;
  readonly #record: DeviceRecord;
  readonly #table: TableWatch;
  readonly #ended = new Deferred();
  #nbd: NbdExports | undefined;
  #files: DeviceFiles | undefined;
  #publisher: Publisher | undefined;
  #mounts: Mounts | undefined;
  #server: net.Server | undefined;
  #ending: Promise<void> | undefined;
  /** Mounts that have begun and are not in the list yet. */
  #mounting = 0;
  /** Somebody waits for the last user of an autoclear device to go. */
  #watchesUse = false;

  private constructor(runtime: string, image: DeviceImage, share: DeviceShare, state: DeviceState) {
    this.#runtime = runtime;
    this.#folder = `${runtime}/${state.name}`;
    this.log = new DeviceLog(this.#folder);
    this.#image = image;
    this.#share = share;
    this.#device = openShare(share);
    this.#record = new DeviceRecord(this.#folder, state, (error) => this.log.add(error));
    this.#table = new TableWatch({
      words: this.#device.words,
      publish: () => this.#publish(),
      failed: (error) => this.log.add(error),
    });
  }

  /** Resolves when the device and its partitions can be opened. */
  static async start(env: Environment, request: AttachRequest): Promise<AttachedDevice> {
    checkSectorSize(request.sectorSize);
    const runtime = runtimeFolder(env);
    keepFromCleaners(runtime);
    const image = openDeviceImage(request);
    const size = image.measure();
    const readOnly = request.readOnly || (image.readOnly && request.overlay === undefined);
    const owner = ownerRecord({
      image: image.path,
      imageDevice: image.device,
      imageInode: image.inode,
      offset: request.offset,
      end: request.sizeLimit > 0 ? request.offset + size : TO_THE_END,
      readOnly: readOnly || request.overlay !== undefined,
    });
    const unit = reserveName(runtime, request.family, request.unit, owner);
    const name = `${request.family}${unit}`;
    const base = { fd: image.fd, path: image.path, offset: request.source === 'vnode' ? request.offset : 0 };
    let overlay: OverlayShare | undefined;
    if (request.overlay !== undefined) {
      try {
        // Its file is made only when the image can be had.
        await lockImage(runtime, name, image, owner);
        overlay = openOverlay(env, request.overlay, { ...base, size });
      } catch (error) {
        giveNameBack(runtime, name);
        throw error;
      }
    }
    const share: DeviceShare = {
      ...base,
      sectorSize: request.sectorSize,
      readOnly,
      ...(overlay === undefined ? {} : { overlay }),
      state: createShareState(size),
    };
    const state = initialState(request, `${runtime}/${name}`, {
      name,
      unit,
      image: image.path,
      imageDevice: image.device,
      imageInode: image.inode,
      size,
      readOnly,
    });
    const device = new AttachedDevice(runtime, image, share, state);
    try {
      await device.#open(env, request, owner);
      return device;
    } catch (error) {
      await device.end().catch(() => {});
      throw error;
    }
  }

  /** Resolves when all is flushed and gone and whoever asked for that has been answered. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get state(): DeviceState {
    return this.#record.state;
  }

  async #open(env: Environment, request: AttachRequest, owner: OwnerRecord): Promise<void> {
    const { family, unit, nbdSocket, controlSocket } = this.state;
    const listen = request.listen === undefined ? {} : { tcp: request.listen };
    setTableSectors(this.#share.state, tableBlocks(this.#device.content));
    // Their threads start up while this one asks for the lock.
    const [nbd, files, server, lock] = await Promise.allSettled([
      NbdExports.listen(this.#share, { family, unit, socket: nbdSocket!, ...listen }),
      request.files ? this.#openFiles() : undefined,
      serveControl(controlSocket!, (asked) => this.#handle(asked)),
      lockImage(this.#runtime, this.state.name, this.#image, owner),
    ]);
    if (nbd.status === 'fulfilled') this.#nbd = nbd.value;
    if (files.status === 'fulfilled') this.#files = files.value;
    if (server.status === 'fulfilled') this.#server = server.value;
    for (const part of [lock, nbd, files, server]) if (part.status === 'rejected') throw part.reason;
    const address = this.#nbd?.address;
    if (address !== undefined) this.#record.change({ nbdAddress: address });
    if (this.#files !== undefined) {
      // To bind a file the kernel looks it up, and this thread waits for that.
      if (publishesByBinding(env)) await this.#files.serving;
      this.#publisher = new Publisher(env, this.#runtime, `${this.#folder}/files`);
      this.#record.change({ folder: this.#publisher.folder });
    }
    this.#table.publish();
    void this.#table.watch();
    if (this.state.autoclear) void this.#watchUse();
  }

  /** Without FUSE there are none; the device is there all the same. */
  async #openFiles(): Promise<DeviceFiles | undefined> {
    const folder = `${this.#folder}/files`;
    fs.mkdirSync(folder, { mode: 0o700 });
    try {
      return await DeviceFiles.open(this.#share, folder, this.state.family, this.state.unit);
    } catch (error) {
      this.#record.change({ filesProblem: reasonOf(error) });
      return undefined;
    }
  }

  async #handle(asked: ControlRequest): Promise<unknown> {
    if (this.#ending !== undefined && asked.operation !== 'detach') {
      throw new FsError('ENXIO', { detail: `${this.state.name} is being detached` });
    }
    switch (asked.operation) {
      case 'detach':
        return this.#detach(asked.options);
      case 'mount':
        return this.#mount(asked.request);
      case 'unmount':
        return this.#unmount(asked.directory, asked.options);
      case 'change':
        return this.#changeDevice(asked.changes);
    }
  }

  // Detaching

  async #detach({ lazy, force }: DetachOptions): Promise<'gone' | 'later'> {
    if (force !== true) await this.#nbd?.whenDeparted();
    const holders = this.#holders();
    if (holders.length > 0 && force !== true) {
      if (lazy !== true) throw new DeviceBusyError(busyMessage(this.state.name, holders), holders);
      this.#detachLater();
      return 'later';
    }
    await this.end();
    return 'gone';
  }

  #detachLater(): void {
    if (this.state.detaching) return;
    this.#record.save({ detaching: true });
    void this.#whenIdle()
      .then(() => this.end())
      .catch((error: unknown) => this.log.add(error));
  }

  async #whenIdle(): Promise<void> {
    while (this.#holders().length > 0) {
      await Promise.all([this.#files?.whenIdle(), this.#nbd?.whenIdle(), this.#whenUnmounted()]);
    }
  }

  #unmounted: (() => void)[] = [];

  #whenUnmounted(): Promise<void> | undefined {
    if ((this.#mounts?.states.length ?? 0) === 0) return undefined;
    return new Promise((resolve) => this.#unmounted.push(resolve));
  }

  #holders(): Holder[] {
    return [
      ...(this.#mounts?.states ?? []).map(({ directory }) => ({
        pid: process.pid,
        command: 'mount',
        what: directory,
      })),
      ...(this.#mounts?.holders() ?? []),
      ...(this.#files?.holders() ?? []),
      ...(this.#nbd?.holders() ?? []),
    ];
  }

  /** Unmounts, flushes and takes everything away. Goes on past what fails and throws the first failure at the end. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    const failures: unknown[] = [];
    const step = async (run: () => unknown): Promise<void> => {
      try {
        await run();
      } catch (error) {
        failures.push(error);
      }
    };
    this.#table.stop();
    await step(() => this.#mounts?.close());
    await step(() => this.#publisher?.close());
    await Promise.all([step(() => this.#files?.close()), step(() => this.#nbd?.close())]);
    if (!this.#device.readOnly) await step(() => this.#device.content.flush());
    await step(() => fs.closeSync(this.#image.fd));
    const { overlay } = this.#share;
    if (overlay !== undefined) await step(() => fs.closeSync(overlay.fd));
    // Only where its threads could not.
    await step(() => unmountDead(`${this.#folder}/files`));
    this.#record.close();
    await step(() => giveNameBack(this.#runtime, this.state.name));
    // Its own answer still goes out to whoever asked.
    if (this.#server === undefined) this.#ended.resolve();
    else this.#server.close(() => this.#ended.resolve());
    if (failures.length > 0) throw failures[0];
  }

  // File systems

  async #mount(request: MountRequest): Promise<MountState> {
    const view = this.state.views.find(({ name }) => name === request.view);
    if (view === undefined) throw new FsError('ENXIO', { detail: `there is no ${request.view}` });
    this.#mounts ??= new Mounts(this.#share, () => this.#mountsChanged(), {
      dropDeviceCaches: () => this.#files?.dropCaches(),
      log: (message) => this.log.add(message),
    });
    this.#files?.dropCaches();
    this.#noteMountPoints([request.directory]);
    const { offset, size } = view;
    this.#mounting++;
    try {
      return await this.#mounts.mount(request, { offset, size });
    } finally {
      this.#mounting--;
      this.#mountsChanged();
    }
  }

  async #unmount(directory: string, options: UnmountOptions): Promise<void> {
    if (this.#mounts === undefined) throw new FsError('EINVAL', { detail: `${directory} is not mounted` });
    await this.#mounts.unmount(directory, options);
  }

  #mountsChanged(): void {
    const mounts = this.#mounts?.states ?? [];
    const wasMounted = this.state.mounts.length > 0;
    if (this.#ending !== undefined) return;
    this.#record.save({ mounts });
    try {
      this.#noteMountPoints([]);
    } catch (error) {
      // One that has gone may stay in the list: whoever cleans up looks whether it is dead.
      this.log.add(error);
    }
    if (mounts.length > 0) return;
    for (const resolve of this.#unmounted.splice(0)) resolve();
    if (wasMounted && this.state.autoclear) this.#clear();
  }

  /** Before anything is mounted there: whoever cleans up after a killed process finds it. */
  #noteMountPoints(coming: readonly string[]): void {
    const directories = this.state.mounts.map(({ directory }) => directory);
    writeJson(`${this.#folder}/${MOUNT_POINTS_FILE}`, [...directories, ...coming]);
  }

  /** Autoclear: detaches when the last program has closed the device; mounts are seen to elsewhere. */
  async #watchUse(): Promise<void> {
    if (this.#watchesUse) return;
    this.#watchesUse = true;
    while (this.#ending === undefined && this.state.autoclear) {
      await Promise.race([this.#files?.whenClosed() ?? NEVER, this.#nbd?.whenClosed() ?? NEVER]);
      // Whoever looked what is on it may be about to mount it, as mount does.
      await new Promise((resolve) => setTimeout(resolve, AUTOCLEAR_MILLISECONDS));
      if (this.state.autoclear && this.#mounting === 0 && this.#holders().length === 0) this.#clear();
    }
    this.#watchesUse = false;
  }

  /** Autoclear: the last user has gone. */
  #clear(): void {
    void this.#detach({ lazy: true }).catch((error: unknown) => this.log.add(error));
  }

  // Changes

  #changeDevice(changes: DeviceChanges): DeviceState {
    const changed = { record: this.#record, share: this.#share, device: this.#device, image: this.#image };
    applyChanges(changed, changes);
    if (changes.autoclear === true) void this.#watchUse();
    this.#table.publish();
    return this.state;
  }

  // Partitions

  /** Names follow the table. */
  #publish(): void {
    const views = deviceViews(this.#device.content, this.state.family, this.state.unit).map(
      ({ name, partition, offset, size }) => ({
        name,
        ...(partition === undefined ? {} : { partition }),
        offset,
        size,
      }),
    );
    if (JSON.stringify(views) !== JSON.stringify(this.state.views)) {
      this.#publisher?.update(views.map(({ name }) => name));
      this.#record.change({ views });
      this.#mounts?.follow(views);
    }
    this.#record.save();
  }
}
