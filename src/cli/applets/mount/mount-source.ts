import path from 'node:path';
import type { DeviceState, ViewState } from '../../../attach/device-state.ts';
import { UsageError } from '../../../errors.ts';
import { parseImageReference } from '../../image-reference.ts';
import { attachedSource } from './attached-source.ts';
import type { MountContext } from './context.ts';
import { MountExit, MountFailure } from './mount-failure.ts';
import { pathStatus } from './path-status.ts';
import { findTagged, isTag } from './tagged-source.ts';

/** What a name stands for that is to be mounted. */
export type MountSource =
  /** Attached by us already. */
  | {
      readonly kind: 'attached';
      readonly name: string;
      readonly state: DeviceState;
      readonly view: ViewState;
    }
  /** A block device of the kernel's. */
  | { readonly kind: 'block'; readonly name: string }
  /** A file, which has to become a device first. */
  | {
      readonly kind: 'image';
      /** Absolute path. */
      readonly name: string;
      readonly partition: number | undefined;
      /** Bytes. */
      readonly offset: number | undefined;
    }
  /** Neither: a directory, or another kind of node. */
  | { readonly kind: 'other'; readonly name: string };

const NBD_URI = /^nbds?(?:\+unix)?:\/\//;

/** MountFailure when there is no such thing. */
export function resolveSource(context: MountContext, name: string, target: string): MountSource {
  if (isTag(name)) {
    const device = findTagged(context, name);
    if (device === undefined) throw new MountFailure(`${target}: can't find ${name}.`, MountExit.usage);
    return resolveSource(context, device, target);
  }
  if (NBD_URI.test(name)) {
    throw new MountFailure(
      `${target}: ${name} is an NBD export: only files and devices can be mounted.`,
      undefined,
      [`userloop ls, cat and cp take it by that name.`],
    );
  }
  const { io } = context;
  const attached = attachedSource(io, name);
  if (attached !== undefined) return { kind: 'attached', name, ...attached };
  const direct = byPath(context, name);
  if (direct !== undefined) return direct;
  const reference = referenceOf(context, name);
  if (reference !== undefined && reference.image !== name && reference.path === undefined) {
    const found = byPath(context, reference.image);
    if (found?.kind === 'image')
      return { ...found, partition: reference.partition, offset: reference.offset };
  }
  throw new MountFailure(
    `${context.canonical(target)}: special device ${name} does not exist.`,
    MountExit.failed,
    context.hints,
  );
}

function byPath(context: MountContext, name: string): MountSource | undefined {
  const status = name === '' ? undefined : pathStatus(path.resolve(context.io.cwd, name));
  if (status === undefined) return undefined;
  const canonical = context.canonical(name);
  if (status.isBlockDevice()) return { kind: 'block', name: canonical };
  if (status.isFile()) return { kind: 'image', name: canonical, partition: undefined, offset: undefined };
  return { kind: 'other', name: canonical };
}

function referenceOf(context: MountContext, name: string) {
  try {
    return parseImageReference(context.io, name);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}
