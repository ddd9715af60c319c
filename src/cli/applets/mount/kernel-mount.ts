import { hasCode, UnsupportedError } from '../../../errors.ts';
import { MountFlag, nativeMountOperations, type NativeMountOperations } from '../../../host/native-mount.ts';
import { accountId } from './account.ts';
import { kernelMountFailure, isWriteProtected } from './kernel-mount-error.ts';
import type { MountContext } from './context.ts';
import type { MountWishes } from './mount-wishes.ts';
import { formatOption } from './option-list.ts';

export interface KernelMountJob {
  /** What the kernel is to mount. */
  readonly source: string;
  /** Canonical. */
  readonly target: string;
  /** To be tried in this order. */
  readonly types: readonly string[];
  readonly wishes: MountWishes;
}

export interface KernelMountResult {
  readonly readOnly: boolean;
}

/**
 * mount(2). Undefined: the kernel has none of the types. MountFailure when it could but would not. What cannot be written is
 * mounted read-only.
 */
export function mountByKernel(context: MountContext, job: KernelMountJob): KernelMountResult | undefined {
  let failure: unknown;
  for (const type of job.types) {
    try {
      return attempt(context, job, type);
    } catch (error) {
      if (hasCode(error, 'ENODEV')) continue;
      failure = kernelMountFailure(error, { ...job, type, flags: job.wishes.flags });
      // The wrong type among several: the next may be right.
      if (!hasCode(error, 'EINVAL') || job.types.length === 1) throw failure;
    }
  }
  if (failure !== undefined) throw failure;
  return undefined;
}

export function requireNativeMount(): NativeMountOperations {
  const native = nativeMountOperations();
  if (native === undefined)
    throw new UnsupportedError('mount(2) needs koffi, an optional dependency that is not installed');
  return native;
}

function attempt(
  context: MountContext,
  { source, target, wishes }: KernelMountJob,
  type: string,
): KernelMountResult {
  const data = kernelData(wishes);
  const readOnly = (wishes.flags & MountFlag.readOnly) !== 0;
  try {
    requireNativeMount().mount({ source, target, type, flags: wishes.flags, data });
    return { readOnly };
  } catch (error) {
    if (readOnly || !isWriteProtected(error)) throw error;
  }
  requireNativeMount().mount({ source, target, type, flags: wishes.flags | MountFlag.readOnly, data });
  context.warn(`${target}: WARNING: source write-protected, mounted read-only.`);
  return { readOnly: true };
}

/** The file system's own options, names of users and groups as numbers. */
export function kernelData({ fileSystem }: MountWishes): string {
  return fileSystem
    .map((option) => {
      const kind = option.name === 'uid' ? 'user' : option.name === 'gid' ? 'group' : undefined;
      const id = kind === undefined || option.value === undefined ? undefined : accountId(option.value, kind);
      return formatOption(id === undefined ? option : { name: option.name, value: String(id) });
    })
    .join(',');
}
