import fs from 'node:fs';
import { FsError } from '../../../errors.ts';
import { MountFlag } from '../../../host/native-mount.ts';
import { readMountTable } from '../../../host/mount-table.ts';
import { listDevices } from '../../../attach/registry.ts';
import type { MountContext } from './context.ts';
import { kernelMountFailure } from './kernel-mount-error.ts';
import { kernelData, requireNativeMount } from './kernel-mount.ts';
import { DMESG_HINT, MountFailure } from './mount-failure.ts';
import { findByDirectory } from './mount-list.ts';
import type { MountJob } from './mount-one.ts';

/** remount, bind, move and the kinds of propagation: changes of what is mounted already, by the kernel. */
export function changeNamespace(context: MountContext, job: MountJob): void {
  const { wishes } = job;
  const target = context.canonical(job.target);
  if (context.fake) return;
  if ((wishes.operation & MountFlag.remount) !== 0) remount(context, job, target);
  else if (wishes.operation !== 0) bindOrMove(context, job, target);
  for (const flags of wishes.propagation) call({ source: 'none', target, type: '', flags });
}

/** All options anew: what is not named any more is as by default, as mount(8) with both operands does it. */
function remount(context: MountContext, { wishes }: MountJob, target: string): void {
  const mounted = findByDirectory(readMountTable(), target);
  if (mounted === undefined)
    throw new MountFailure(`${target}: mount point not mounted or bad option.`, undefined, [DMESG_HINT]);
  if (!mounted.type.startsWith('fuse.')) {
    call({
      source: mounted.source,
      target,
      type: mounted.type,
      flags: wishes.flags | wishes.operation,
      data: kernelData(wishes),
    });
    return;
  }
  const own = listDevices(context.io.env)
    .flatMap(({ mounts }) => mounts)
    .find(({ directory }) => directory === target);
  const wantsWrite = (wishes.flags & MountFlag.readOnly) === 0;
  if (own?.readOnly === true && wantsWrite) {
    throw new MountFailure(
      `${target}: cannot remount ${mounted.source} read-write: it was mounted read-only; unmount it and mount it again.`,
    );
  }
  if (wishes.fileSystem.length > 0) {
    throw new MountFailure(
      `${target}: only ro, rw, nosuid, nodev, noexec and noatime can be changed while it is mounted.`,
    );
  }
  if (!context.isSuperuser) {
    throw new MountFailure(
      `${target}: must be superuser to remount: unmount it and mount it again, or use userloop shell.`,
    );
  }
  // The flags of the mount; those of a FUSE file system itself cannot be changed.
  call({ source: mounted.source, target, type: '', flags: wishes.flags | wishes.operation | MountFlag.bind });
}

function bindOrMove(context: MountContext, job: MountJob, target: string): void {
  const { wishes } = job;
  const source = context.canonical(job.source);
  if (!fs.existsSync(target))
    throw new MountFailure(`${job.target}: mount point does not exist.`, undefined, [DMESG_HINT]);
  if (!fs.existsSync(source))
    throw new MountFailure(`${target}: special device ${job.source} does not exist.`, undefined, [
      DMESG_HINT,
    ]);
  call({ source, target, type: '', flags: wishes.operation });
  // mount(2) takes the flags of a bind mount only in a second call.
  if ((wishes.operation & MountFlag.bind) !== 0 && wishes.flags !== 0)
    call({ source: 'none', target, type: '', flags: wishes.flags | MountFlag.bind | MountFlag.remount });
  context.say(`${source} ${(wishes.operation & MountFlag.move) === 0 ? 'bound' : 'moved'} on ${target}.`);
}

function call(request: {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly flags: number;
  readonly data?: string;
}): void {
  try {
    requireNativeMount().mount(request);
  } catch (error) {
    if (!(error instanceof FsError) && !(error instanceof Error && 'syscall' in error)) throw error;
    throw kernelMountFailure(error, request);
  }
}
