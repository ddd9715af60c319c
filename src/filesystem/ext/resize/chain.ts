import { FsError } from '../../../errors.ts';
import { Volume } from '../volume.ts';
import { PlannedDevice } from './planned-device.ts';
import { type Pass, planPass, type ResizeOptions } from './resize.ts';

/** Passes that may make room for one more. */
const MAX_PREPARATIONS = 4;

/** A pass that leads to the size, and those that have to make room for it. Throws as `planPass`. */
export function planChain(volume: Volume, options: ResizeOptions): readonly Pass[] {
  const chain: Pass[] = [];
  let current = volume;
  for (;;) {
    const pass = planPass(current, options);
    chain.push(pass);
    if (!pass.isPreparation) return chain;
    if (chain.length > MAX_PREPARATIONS) {
      throw new FsError('ENOSPC', { detail: 'no room can be made for inode tables that have to move' });
    }
    current = volumeAfter(current, pass);
  }
}

/** The volume as the pass will leave it. */
export function volumeAfter(volume: Volume, pass: Pass): Volume {
  const planned = new PlannedDevice(volume.device, pass, volume.geometry.blockSize);
  return Volume.open(planned, volume.clock);
}
