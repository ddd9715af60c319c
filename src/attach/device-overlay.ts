import fs from 'node:fs';
import { FsError } from '../errors.ts';
import { nativeLocks } from '../host/native-lock.ts';
import type { OverlayShare } from '../host/overlay-device.ts';
import { type OverlayBase, createMemoryOverlay, openOverlayFile } from '../host/overlay-file.ts';
import { openUnnamedFile } from './device-image.ts';
import { listDevices } from './registry.ts';
import type { Environment } from './environment.ts';

/** Opens what a device with an overlay writes to: a file, or `memory`. EBUSY when another device writes to it. */
export function openOverlay(env: Environment, wanted: string, base: OverlayBase): OverlayShare {
  if (wanted === 'memory') return createMemoryOverlay(openUnnamedFile(true), base);
  const share = openOverlayFile(wanted, base);
  const other = listDevices(env).find(
    (state) => state.overlay !== undefined && isSame(state.overlay, share.fd),
  );
  if (other === undefined && nativeLocks()?.tryLock(share.fd, 'exclusive', 0, 0) !== false) return share;
  fs.closeSync(share.fd);
  const holder = other === undefined ? 'another program' : `${other.name} (process ${other.pid})`;
  throw new FsError('EBUSY', { path: wanted, detail: `${holder} writes to the overlay "${wanted}"` });
}

function isSame(path: string, fd: number): boolean {
  const stats = fs.statSync(path, { throwIfNoEntry: false });
  const own = fs.fstatSync(fd);
  return stats !== undefined && stats.ino === own.ino && stats.dev === own.dev;
}
