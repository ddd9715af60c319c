import fs from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { attachDevice, detachDevice } from '../../../attach/client.ts';
import type { DeviceState, ViewState } from '../../../attach/device-state.ts';
import { viewPath } from '../../../attach/registry.ts';
import { hasCode } from '../../../errors.ts';
import { makeFolders } from '../../../host/make-folders.ts';
import { MountFlag } from '../../../host/native-mount.ts';
import { readMountTable } from '../../../host/mount-table.ts';
import { ownName } from './attached-source.ts';
import { driverOf, isDevicelessType, singleType, typesToTry } from './block-type.ts';
import type { MountContext } from './context.ts';
import { mountByKernel } from './kernel-mount.ts';
import { devicesOf, dropLoop, type LoopDevice, setUpLoop } from './loop-setup.ts';
import { MountExit, MountFailure, whyOf } from './mount-failure.ts';
import { type MountSource, resolveSource } from './mount-source.ts';
import type { MountWishes } from './mount-wishes.ts';
import { changeNamespace } from './namespace-operations.ts';
import { isTag } from './tagged-source.ts';
import { pathStatus } from './path-status.ts';
import { mountByUs } from './user-mount.ts';

/** One mount, its options sorted. */
export interface MountJob {
  readonly source: string;
  /** As it was given. */
  readonly target: string;
  readonly types: string | undefined;
  readonly wishes: MountWishes;
}

/** Mounts, or throws MountFailure; tells of it when that is wanted. */
export async function mountOne(context: MountContext, job: MountJob): Promise<void> {
  const { wishes, types } = job;
  if (wishes.operation !== 0 || wishes.propagation.length > 0) {
    changeNamespace(context, job);
    return;
  }
  const single = singleType(types);
  if (single !== undefined && isDevicelessType(single) && driverOf(single) === undefined) {
    mountDeviceless(context, job, mountPoint(context, job), single);
    return;
  }
  const source = sourceOf(context, job);
  const target = mountPoint(context, job);
  const shown = await mountSource(context, job, source, target);
  context.say(`${shown} mounted on ${target}.`);
}

function sourceOf(context: MountContext, { source, target, wishes }: MountJob): MountSource {
  const wantsLoop =
    wishes.loop !== undefined || wishes.offset !== undefined || wishes.sizeLimit !== undefined;
  if (wantsLoop && !isTag(source) && !fs.existsSync(path.resolve(context.io.cwd, source))) {
    const found = tryResolve(context, source, target);
    if (found !== undefined) return found;
    throw new MountFailure(`${target}: failed to setup loop device for ${source}.`);
  }
  return resolveSource(context, source, target);
}

function tryResolve(context: MountContext, source: string, target: string): MountSource | undefined {
  try {
    return resolveSource(context, source, target);
  } catch (error) {
    if (error instanceof MountFailure) return undefined;
    throw error;
  }
}

/** What the table of mounts shows for it. */
async function mountSource(
  context: MountContext,
  job: MountJob,
  source: MountSource,
  target: string,
): Promise<string> {
  switch (source.kind) {
    case 'attached':
      return mountAttached(context, job, source, target);
    case 'block':
      return isPart(job.wishes)
        ? mountImage(
            context,
            job,
            { ...source, kind: 'image', partition: undefined, offset: undefined },
            target,
          )
        : mountBlock(context, job, source.name, target);
    case 'image':
      return mountImage(context, job, source, target);
    case 'other':
      throw new MountFailure(`${target}: ${source.name} is not a block device.`, undefined, context.hints);
  }
}

/** A part of a device, or a loop device over it: then it is handled as a file would be. */
function isPart({ loop, offset, sizeLimit, partition }: MountWishes): boolean {
  return loop !== undefined || offset !== undefined || sizeLimit !== undefined || partition !== undefined;
}

async function mountAttached(
  context: MountContext,
  job: MountJob,
  source: { readonly name: string; readonly state: DeviceState; readonly view: ViewState },
  target: string,
): Promise<string> {
  const { state } = source;
  const view = partitionView(state, source.view, job);
  const shown = viewPath(state, view.name);
  await serve(context, job, { state, view, shown, place: shown, target });
  return shown;
}

function partitionView(state: DeviceState, view: ViewState, { wishes, source, target }: MountJob): ViewState {
  if (wishes.offset !== undefined || wishes.sizeLimit !== undefined) {
    throw new MountFailure(
      `${target}: ${source} is a device already: offset and sizelimit are for images.`,
      MountExit.usage,
    );
  }
  if (wishes.partition === undefined) return view;
  const found = state.views.find((each) => each.partition === wishes.partition);
  if (found === undefined)
    throw new MountFailure(`${target}: ${source} has no partition ${wishes.partition}.`);
  return found;
}

interface Service {
  readonly state: DeviceState;
  readonly view: ViewState;
  /** In the table of mounts. */
  readonly shown: string;
  /** For the verbs. */
  readonly place: string;
  readonly target: string;
}

async function serve(context: MountContext, job: MountJob, service: Service): Promise<void> {
  if (context.fake) return;
  const { state, view, shown, target, place } = service;
  const mounted = await mountByUs(context, {
    state,
    view,
    device: ownName(state, view.name),
    source: shown,
    place,
    target,
    types: job.types,
    wishes: job.wishes,
  });
  if (!mounted.readOnly || (job.wishes.flags & MountFlag.readOnly) !== 0) return;
  const why = state.readOnly
    ? 'source write-protected'
    : `userloop cannot write this ${mounted.type} file system`;
  context.warn(`${target}: WARNING: ${why}, mounted read-only.`);
}

async function mountImage(
  context: MountContext,
  job: MountJob,
  source: Extract<MountSource, { kind: 'image' }>,
  target: string,
): Promise<string> {
  const status = pathStatus(source.name);
  if (status?.isFile() === true && status.size === 0n && job.wishes.loop === undefined) {
    throw new MountFailure(`${target}: ${source.name} is not a block device; try "-o loop".`, undefined, [
      'The file is empty.',
      ...context.hints,
    ]);
  }
  refuseTwice(context, job, source.name, target);
  for (;;) {
    const loop = await setUpLoop(context, source, job.wishes, job.target);
    try {
      return await mountLoop(context, job, source, loop, target);
    } catch (error) {
      await dropLoop(context, loop);
      // A device that we found may have been on its way out, with its last mount.
      const isThere = context.backend
        .list()
        .some(({ name, pid }) => name === loop.state.name && pid === loop.state.pid);
      if (loop.isNew || isThere) throw error;
    }
  }
}

async function mountLoop(
  context: MountContext,
  job: MountJob,
  source: Extract<MountSource, { kind: 'image' }>,
  loop: LoopDevice,
  target: string,
): Promise<string> {
  const { state, view } = loop;
  if (state.backend === 'kernel') return mountKernelLoop(context, job, `/dev/${view.name}`, target);
  // Where nobody can open the device by a name, the image itself is what fsck and mkfs must not touch.
  const shown = state.folder === undefined ? source.name : viewPath(state, view.name);
  await serve(context, job, { ...loop, shown, place: placeOf(source, view), target });
  return shown;
}

/**
 * Somebody else who is looking for a free unit at this moment claims ours for an instant, and the kernel then says that it is busy:
 * LOOP_CONFIGURE does so before it sees that the device is taken.
 */
async function mountKernelLoop(
  context: MountContext,
  job: MountJob,
  device: string,
  target: string,
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await mountBlock(context, job, device, target);
    } catch (error) {
      const isClaimed =
        error instanceof MountFailure &&
        hasCode(error.cause, 'EBUSY') &&
        !readMountTable().some((entry) => entry.source === device);
      if (!isClaimed || attempt === CLAIM_ATTEMPTS) throw error;
      await setTimeout(CLAIM_MILLISECONDS);
    }
  }
}

const CLAIM_ATTEMPTS = 5;
const CLAIM_MILLISECONDS = 20;

function placeOf(source: Extract<MountSource, { kind: 'image' }>, view: ViewState): string {
  if (view.partition !== undefined) return `${source.name}:${view.partition}`;
  return source.offset === undefined ? source.name : `${source.name}@${source.offset}`;
}

/** The same image once more on the same directory is a slip. */
function refuseTwice(
  context: MountContext,
  { target: given, wishes }: MountJob,
  image: string,
  target: string,
): void {
  const again = devicesOf(context, image).some(
    (state) =>
      state.offset === (wishes.offset ?? 0) && state.mounts.some(({ directory }) => directory === target),
  );
  if (again) throw new MountFailure(`${given}: ${image} is already mounted.`, MountExit.usage);
}

/** A device of the kernel's: by its own driver where it has one, else by ours. */
async function mountBlock(
  context: MountContext,
  job: MountJob,
  device: string,
  target: string,
): Promise<string> {
  const types = typesToTry(context, device, job.types);
  if (context.backend.kind === 'kernel') {
    if (context.fake) return device;
    if (mountByKernel(context, { source: device, target, types, wishes: job.wishes }) !== undefined)
      return device;
  }
  const single = singleType(job.types);
  const wanted = single ?? types[0];
  if (wanted !== undefined && driverOf(wanted) === undefined) {
    throw new MountFailure(`${target}: unknown filesystem type '${wanted}'.`, undefined, context.hints);
  }
  await mountBlockByUs(context, job, device, target);
  return device;
}

/** A process of ours over the block device, which goes with the mount. */
async function mountBlockByUs(
  context: MountContext,
  job: MountJob,
  device: string,
  target: string,
): Promise<void> {
  if (context.fake) return;
  const unit = /^\/dev\/loop(\d+)$/.exec(device)?.[1];
  let state: DeviceState;
  try {
    state = await attachDevice(context.io.env, {
      family: 'loop',
      // Under the same name, so that our commands reach the device through the process that has it mounted.
      ...(unit !== undefined && { unit: Number(unit) }),
      source: 'vnode',
      image: device,
      offset: 0,
      sizeLimit: 0,
      sectorSize: 512,
      readOnly: (job.wishes.flags & MountFlag.readOnly) !== 0 || isReadOnlyBlock(device),
      autoclear: true,
      partitionScan: false,
      directIo: false,
      files: false,
    });
  } catch (error) {
    if (hasCode(error, 'EACCES') || hasCode(error, 'EPERM')) {
      throw new MountFailure(`${target}: must be superuser to use mount.`, undefined, [whyOf(error)]);
    }
    const other = hasCode(error, 'EBUSY')
      ? readMountTable().find((entry) => entry.source === device)
      : undefined;
    throw new MountFailure(
      other === undefined
        ? `${target}: cannot mount ${device}: ${whyOf(error)}.`
        : `${target}: ${device} already mounted on ${other.directory}.`,
    );
  }
  try {
    await serve(context, job, { state, view: state.views[0]!, shown: device, place: device, target });
  } catch (error) {
    await detachDevice(state, { lazy: true });
    throw error;
  }
}

function isReadOnlyBlock(device: string): boolean {
  const file = `/sys/class/block/${path.basename(device)}/ro`;
  return fs.existsSync(file) && fs.readFileSync(file, 'utf8').trim() === '1';
}

/** tmpfs, proc and the like: the source is only a name. */
function mountDeviceless(context: MountContext, job: MountJob, target: string, type: string): void {
  if (!context.fake) {
    mountByKernel(context, { source: job.source, target, types: [type], wishes: job.wishes });
  }
  context.say(`${job.source} mounted on ${target}.`);
}

/** Canonical. Made when that is wanted; MountFailure when it is not there or no directory. */
function mountPoint(context: MountContext, { target: given, wishes }: MountJob): string {
  const target = context.canonical(given);
  if (wishes.makeDirectory !== undefined && !context.fake) {
    try {
      makeFolders(target, wishes.makeDirectory);
    } catch (error) {
      throw new MountFailure(`${given}: mount point cannot be made: ${whyOf(error)}.`, MountExit.usage);
    }
    return context.canonical(given);
  }
  const status = given === '' ? undefined : statOf(target);
  if (status === undefined)
    throw new MountFailure(`${given}: mount point does not exist.`, undefined, context.hints);
  if (!status.isDirectory() && !readMountTable().some(({ directory }) => directory === target))
    throw new MountFailure(`${target}: mount point is not a directory.`, undefined, context.hints);
  return target;
}

/** Undefined when it is not there; what cannot be asked (a dead mount) is left to the mount itself. */
function statOf(target: string): { isDirectory(): boolean } | undefined {
  try {
    return fs.statSync(target, { throwIfNoEntry: false });
  } catch {
    return { isDirectory: () => true };
  }
}
