import fs from 'node:fs';
import path from 'node:path';
import { ERRNO, FsError } from '../../../errors.ts';
import type { FoundDevice } from '../../../attach/registry.ts';
import { readMountTable } from '../../../host/mount-table.ts';
import { isNbdUri } from '../../../host/nbd-uri.ts';
import { statusIfAny } from '../../device-use.ts';
import type { Io } from '../../io.ts';
import { findAttached, mountsOf } from '../../open-device.ts';
import { findPart } from '../../open-volume.ts';

export interface Target {
  /** As it was typed. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly kind: 'absent' | 'file' | 'block device' | 'other';
  /** Bytes; 0 of what cannot be a device. Of a block device it is known only when it is open. */
  readonly size: number;
  /** Set when it is one of ours, or a partition of one. */
  readonly attached?: FoundDevice;
  /** It is a part of a device, which knows whether others use it when it is opened. */
  readonly isPart?: true;
}

export function examineTarget(io: Io, name: string): Target {
  const file = path.resolve(io.cwd, name);
  if (isNbdUri(name)) return { name, path: name, kind: 'block device', size: 0 };
  const part = findPart(io, name);
  const attached = part?.attached ?? findAttached(io, name);
  if (attached !== undefined) return { name, path: file, kind: 'block device', size: 0, attached };
  if (part !== undefined) return { name, path: file, kind: 'block device', size: 0, isPart: true };
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return { name, path: file, kind: 'absent', size: 0 };
  if (stats.isFile()) return { name, path: file, kind: 'file', size: stats.size };
  return { name, path: file, kind: stats.isBlockDevice() ? 'block device' : 'other', size: 0 };
}

/** strerror(3)'s text for an error of ours or of node's. */
export function errorText(error: unknown): string {
  // That the image is attached and what to name instead, or which partitions there are, no error number says.
  if (error instanceof FsError && (error.code === 'EBUSY' || error.code === 'ENXIO'))
    return error.detail ?? error.text;
  if (error instanceof FsError) return error.text;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const known = Object.hasOwn(ERRNO, error.code) ? ERRNO[error.code as keyof typeof ERRNO] : undefined;
    if (known !== undefined) return known[1];
  }
  return error instanceof Error ? error.message : String(error);
}

/** Is the device, or a loop device over the file, mounted? */
export function isMounted(target: Target): boolean {
  return mountPointOf(target) !== undefined;
}

/** Where the device, or a loop device over the file, is mounted; undefined: nowhere. */
export function mountPointOf(target: Target): string | undefined {
  if (target.attached !== undefined) return mountsOf(target.attached)[0]?.directory;
  if (target.isPart === true || isNbdUri(target.name)) return undefined;
  if (target.kind === 'absent' || target.kind === 'other') return undefined;
  const stats = fs.statSync(target.path);
  for (const { source, directory } of readMountTable()) {
    if (!source.startsWith('/')) continue;
    const mounted = statusIfAny(source);
    if (mounted === undefined || !mounted.isBlockDevice()) continue;
    const isIt =
      target.kind === 'block device' ? mounted.rdev === stats.rdev : isBehindLoop(mounted.rdev, target.path);
    if (isIt) return directory;
  }
  return undefined;
}

function isBehindLoop(rdev: number, file: string): boolean {
  const major = Math.floor(rdev / 256) % 4096;
  const minor = rdev % 256;
  const backing = `/sys/dev/block/${major}:${minor}/loop/backing_file`;
  return fs.existsSync(backing) && fs.readFileSync(backing, 'utf8').trimEnd() === fs.realpathSync(file);
}
