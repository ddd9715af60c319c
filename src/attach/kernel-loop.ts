import fs from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { FsError, hasCode } from '../errors.ts';
import { hostText } from '../host/host-text.ts';
import { type NativeLoopOperations, requireNativeLoop } from '../host/native-loop.ts';
import { nativeMountOperations, UnmountFlag } from '../host/native-mount.ts';
import { openFileHolders } from '../host/open-file-holders.ts';
import type { Backend } from './backend.ts';
import { LOOP_CONTROL as CONTROL } from './backend-choice.ts';
import type { DetachOptions, DeviceChanges } from './client.ts';
import { type AttachRequest, DeviceBusyError, type DeviceState, type Holder } from './device-state.ts';
import { kernelLoopState, listKernelLoops, loopUnits } from './kernel-loop-state.ts';

/** Between asking for a free unit and taking it another may take it: so often we ask again. */
const FREE_UNIT_ATTEMPTS = 64;
/** How long a device that is let go may take to go, when nobody is known to hold it, milliseconds. */
const CLEAR_TIME = 200;
/** How long /dev may take to show a new node, milliseconds. */
const NODE_TIME = 2000;

/**
 * Devices that go when the last who has them open closes them: this process has to until somebody else does, a mount. By unit;
 * they are closed by detaching, or with the end of the process.
 */
const held = new Map<number, number>();

/** The kernel's loop devices, `/dev/loopN`: they need root, and no process of ours. Errors have the errno of the ioctl. */
export const kernelLoopBackend: Backend = {
  kind: 'kernel',
  list: () => listKernelLoops(),
  firstFreeUnit,
  attach,
  detach,
  change,
};

/** Asks the driver, which makes a unit where there is no free one; who may not ask it is told the first without an image. */
function firstFreeUnit(): number {
  try {
    return withFile(CONTROL, 'r+', (control) => requireNativeLoop().firstFree(control));
  } catch (error) {
    const unit = loopUnits().find((each) => kernelLoopState(each, []) === undefined);
    if (unit === undefined) throw error;
    return unit;
  }
}

async function attach(request: AttachRequest): Promise<DeviceState> {
  checkRequest(request);
  const native = requireNativeLoop();
  const { fd: image, readOnly } = openImage(request);
  let unit: number;
  try {
    if (request.unit === undefined) unit = await configureFree(native, image, { ...request, readOnly });
    else {
      unit = request.unit;
      await configureUnit(native, unit, image, { ...request, readOnly });
    }
  } finally {
    fs.closeSync(image);
  }
  try {
    if (request.partitionScan) await addMissingPartitions(native, unit, request.sectorSize);
    return attachedState(unit);
  } catch (error) {
    if (kernelLoopState(unit) !== undefined)
      withFile(`/dev/loop${unit}`, 'r', (device) => native.clear(device));
    release(unit);
    throw error;
  }
}

/** What cannot be written is attached for reading, as losetup does. */
function openImage({ image, readOnly }: AttachRequest): { readonly fd: number; readonly readOnly: boolean } {
  if (!readOnly) {
    try {
      return { fd: fs.openSync(hostText(image), 'r+'), readOnly };
    } catch (error) {
      if (!['EACCES', 'EPERM', 'EROFS', 'ETXTBSY'].some((code) => hasCode(error, code))) throw error;
    }
  }
  return { fd: fs.openSync(hostText(image), 'r'), readOnly: true };
}

/** What only a process of ours can give. */
function checkRequest(request: AttachRequest): void {
  const reason =
    request.family !== 'loop'
      ? `has no ${request.family} devices`
      : request.source !== 'vnode'
        ? 'attaches files only'
        : request.overlay !== undefined
          ? 'has no overlays'
          : request.listen !== undefined
            ? 'does not serve NBD'
            : undefined;
  if (reason !== undefined) {
    throw new FsError('EOPNOTSUPP', { detail: `The kernel's loop driver ${reason}; use --backend=user` });
  }
}

async function configureFree(
  native: NativeLoopOperations,
  image: number,
  request: AttachRequest,
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const unit = withFile(CONTROL, 'r+', (control) => native.firstFree(control));
    try {
      await configureUnit(native, unit, image, request);
      return unit;
    } catch (error) {
      if (!hasCode(error, 'EBUSY') || attempt === FREE_UNIT_ATTEMPTS) throw error;
      // Whoever was faster is at work: out of step, one of us finds the next free unit first.
      await setTimeout(Math.random() * 20);
    }
  }
}

async function configureUnit(
  native: NativeLoopOperations,
  unit: number,
  image: number,
  request: AttachRequest,
): Promise<void> {
  await addUnit(native, unit);
  const device = fs.openSync(`/dev/loop${unit}`, request.readOnly ? 'r' : 'r+');
  let keep = false;
  try {
    native.configure(device, image, {
      ...request,
      name: request.image,
      // The driver's own choice is 512, or what direct I/O to the disk below needs.
      sectorSize: request.sectorSize === 512 ? 0 : request.sectorSize,
    });
    // That of an earlier attachment stays with the device until it is told otherwise.
    if (!request.readOnly && kernelLoopState(unit)?.readOnly === true) native.setReadOnly(device, false);
    keep = request.autoclear;
  } finally {
    if (keep) held.set(unit, device);
    else fs.closeSync(device);
  }
}

/** A unit that is named but not there yet is made, as losetup does. */
async function addUnit(native: NativeLoopOperations, unit: number): Promise<void> {
  const node = `/dev/loop${unit}`;
  if (fs.existsSync(node)) return;
  try {
    withFile(CONTROL, 'r+', (control) => native.add(control, unit));
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  await awaitNodes([node]);
}

/** A kernel may have been built without the parser of our partition table; then we tell it what is there. */
async function addMissingPartitions(
  native: NativeLoopOperations,
  unit: number,
  sectorSize: number,
): Promise<void> {
  const path = `/dev/loop${unit}`;
  if (attachedState(unit).views.length < 2) {
    // Most commands only list devices, and need none of this.
    const { deviceViews } = await import('../disk/device-views.ts');
    const { FileDevice } = await import('../host/file-device.ts');
    const device = FileDevice.open(path, { readOnly: true, sectorSize });
    try {
      for (const { partition, offset, size } of deviceViews(device, 'loop', unit)) {
        if (partition === undefined) continue;
        try {
          withFile(path, 'r', (fd) => native.addPartition(fd, partition, offset, size));
        } catch (error) {
          // The kernel takes no partition from us that overlaps another: that one cannot be had then.
          if (!hasCode(error, 'EBUSY')) throw error;
        }
      }
    } finally {
      device.close();
    }
  }
  await awaitNodes(attachedState(unit).views.map(({ name }) => `/dev/${name}`));
}

async function detach(state: DeviceState, options: DetachOptions = {}): Promise<'gone' | 'later'> {
  const native = requireNativeLoop();
  const path = `/dev/${state.name}`;
  const now = kernelLoopState(state.unit) ?? state;
  if (options.force === true) unmountAll(now);
  else if (options.lazy !== true) {
    const holders = holdersOf(now);
    if (holders.length > 0) {
      const names = holders.map(({ command, pid, what }) => (pid === 0 ? what : `${command} (${pid})`));
      throw new DeviceBusyError(`${path} is in use by ${names.join(', ')}`, holders);
    }
  }
  withFile(path, 'r', (device) => native.clear(device));
  release(state.unit);
  // The driver lets go when the last descriptor is closed, and some programs have one for a moment: udev looks at every change.
  const end = Date.now() + (kernelLoopState(state.unit)?.mounts.length === 0 ? CLEAR_TIME : 0);
  while (isSameAttachment(kernelLoopState(state.unit), state)) {
    if (Date.now() >= end) return 'later';
    await setTimeout(5);
  }
  return 'gone';
}

function release(unit: number): void {
  const device = held.get(unit);
  if (device === undefined) return;
  held.delete(unit);
  fs.closeSync(device);
}

function isSameAttachment(now: DeviceState | undefined, before: DeviceState): boolean {
  return (
    now !== undefined &&
    now.image === before.image &&
    now.imageInode === before.imageInode &&
    now.offset === before.offset &&
    now.sizeLimit === before.sizeLimit
  );
}

function holdersOf(state: DeviceState): Holder[] {
  const nodes = new Map(state.views.map(({ name }) => [`/dev/${name}`, name]));
  return [
    ...state.mounts.map(({ directory }) => ({ pid: 0, command: 'mount', what: directory })),
    ...openFileHolders([...nodes.keys()]).map(({ pid, command, path }) => ({
      pid,
      command,
      what: nodes.get(path) ?? path,
    })),
  ];
}

function unmountAll(state: DeviceState): void {
  // Innermost first; koffi, which made the loop driver's calls possible, makes this one possible, too.
  for (const { directory } of state.mounts.toReversed()) {
    nativeMountOperations()?.unmount(directory, UnmountFlag.detach);
  }
}

async function change(state: DeviceState, changes: DeviceChanges): Promise<DeviceState> {
  const native = requireNativeLoop();
  if (typeof changes.resize === 'number') {
    throw new FsError('EINVAL', {
      path: `/dev/${state.name}`,
      detail: 'The device is as large as its file: change the size of that first',
    });
  }
  withFile(`/dev/${state.name}`, 'r', (device) => {
    if (changes.resize === true) native.setCapacity(device);
    if (changes.sectorSize !== undefined) native.setBlockSize(device, changes.sectorSize);
    if (changes.directIo !== undefined) native.setDirectIo(device, changes.directIo);
    if (changes.autoclear !== undefined) {
      if (changes.autoclear && !held.has(state.unit))
        held.set(state.unit, fs.openSync(`/dev/${state.name}`, 'r'));
      native.setAutoclear(device, changes.autoclear);
    }
    if (changes.readOnly !== undefined) native.setReadOnly(device, changes.readOnly);
  });
  return attachedState(state.unit);
}

/** Somebody else may have detached it in between: ENXIO. */
function attachedState(unit: number): DeviceState {
  const state = kernelLoopState(unit);
  if (state === undefined) throw new FsError('ENXIO', { path: `/dev/loop${unit}` });
  return state;
}

/** The kernel makes nodes at once where it fills /dev itself; a device manager may take a while. */
async function awaitNodes(paths: readonly string[]): Promise<void> {
  const end = Date.now() + NODE_TIME;
  while (!paths.every((path) => fs.existsSync(path)) && Date.now() < end) await setTimeout(5);
}

function withFile<T>(path: string, flags: string, use: (fd: number) => T): T {
  const fd = fs.openSync(path, flags);
  try {
    return use(fd);
  } finally {
    fs.closeSync(fd);
  }
}
