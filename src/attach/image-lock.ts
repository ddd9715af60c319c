import fs from 'node:fs';
import { FsError } from '../errors.ts';
import { type NativeLocks, nativeLocks } from '../host/native-lock.ts';
import { openFileHolders } from '../host/open-file-holders.ts';
import { type OwnerRecord, isOwned, readOwner } from './device-folder.ts';
import type { DeviceImage } from './device-image.ts';
import { deviceNames } from './device-names.ts';

/**
 * One writer, or any number of readers, for each range of an image: two partitions of it may be devices of their own.
 *
 * A lock on the range decides where libc can be called, and the registry names the holder; where it cannot, the registry decides.
 *
 * QEMU locks single bytes of an image: from byte 100 one for each thing that it does with it, from byte 200 one for each that it
 * lets nobody else do (QEMU, "disk image file locking"). These are not part of our range, and are locked as QEMU does, so that
 * either program sees the other.
 */
const QEMU_DOES = 100;
const QEMU_FORBIDS = 200;
const QEMU_END = 204;
const Bit = { consistentRead: 0, write: 1, resize: 3 } as const;

/** `end` of a device that goes as far as its image does. */
export const TO_THE_END = Number.MAX_SAFE_INTEGER;

/** Throws EBUSY with the holder's name. A lock goes with the descriptor. */
export async function lockImage(
  runtime: string,
  name: string,
  image: DeviceImage,
  own: OwnerRecord,
): Promise<void> {
  if (image.inode === '' || own.end <= own.offset) return;
  const locks = nativeLocks();
  const others = fellows(runtime, name, own);
  if (locks === undefined) {
    for (const other of others)
      if (conflicts(own, other) && !(await yields(other, own))) refuse(image, [other]);
  } else if (!tryLocks(locks, image.fd, own, others.length > 0))
    refuse(
      image,
      fellows(runtime, name, own).filter((other) => conflicts(own, other)),
    );
}

function tryLocks(locks: NativeLocks, fd: number, own: OwnerRecord, hasFellows: boolean): boolean {
  const kind = own.readOnly ? 'shared' : 'exclusive';
  for (const [from, to] of [
    [own.offset, Math.min(own.end, QEMU_DOES)],
    [Math.max(own.offset, QEMU_END), own.end],
  ] as const) {
    if (from < to && !locks.tryLock(fd, kind, from, to === TO_THE_END ? 0 : to - from)) return false;
  }
  const does = own.readOnly ? [Bit.consistentRead] : [Bit.consistentRead, Bit.write, Bit.resize];
  for (const bit of does) locks.tryLock(fd, 'shared', QEMU_DOES + bit, 1);
  for (const bit of [Bit.write, Bit.resize]) locks.tryLock(fd, 'shared', QEMU_FORBIDS + bit, 1);
  // Devices of ours on other ranges have the same bytes; then it is theirs that keep QEMU out already.
  if (hasFellows) return true;
  const notDone = [Bit.write, Bit.resize].map((bit) => QEMU_DOES + bit);
  const forbidden = own.readOnly ? [] : [Bit.write, Bit.resize].map((bit) => QEMU_FORBIDS + bit);
  return ![...notDone, ...forbidden].some((byte) => locks.isLocked(fd, byte, 1));
}

/** Other devices of this user on the same image, those that are just starting as well. */
function fellows(runtime: string, name: string, own: OwnerRecord): Fellow[] {
  const found: Fellow[] = [];
  for (const other of deviceNames(runtime)) {
    if (other === name) continue;
    const folder = `${runtime}/${other}`;
    const owner = readOwner(folder);
    if (owner === undefined || owner.imageInode !== own.imageInode || owner.imageDevice !== own.imageDevice)
      continue;
    if (isOwned(folder)) found.push({ ...owner, name: other, folder });
  }
  return found;
}

type Fellow = OwnerRecord & { readonly name: string; readonly folder: string };

function conflicts(own: OwnerRecord, other: OwnerRecord): boolean {
  return (!own.readOnly || !other.readOnly) && own.offset < other.end && other.offset < own.end;
}

/** Of two that start at the same moment the one with the lower number goes on; that one waits to see what the other has decided. */
async function yields(other: Fellow, own: OwnerRecord): Promise<boolean> {
  if (other.pid < own.pid) return false;
  while (!fs.existsSync(`${other.folder}/state.json`)) {
    if (!isOwned(other.folder)) return true;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return false;
}

function refuse(image: DeviceImage, conflicting: readonly Fellow[]): never {
  // Others who are only starting are about to be refused, too.
  const ready = conflicting.filter(({ folder }) => fs.existsSync(`${folder}/state.json`));
  const others = ready.length > 0 ? ready : conflicting;
  const holders = others.map(
    ({ name, pid, readOnly }) => `attached ${readOnly ? 'for reading ' : ''}as ${name} (process ${pid})`,
  );
  if (holders.length === 0) {
    const programs = openFileHolders([fs.realpathSync(image.path)]);
    holders.push(
      `locked by ${programs.map(({ command, pid }) => `${command} (process ${pid})`).join(', ') || 'another program'}`,
    );
  }
  throw new FsError('EBUSY', {
    detail: `"${image.path}" is ${holders.join(', ')}; a writer needs it alone`,
    syscall: 'open',
    path: image.path,
  });
}
