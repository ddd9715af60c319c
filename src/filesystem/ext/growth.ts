import { FsError, UnsupportedError } from '../../errors.ts';
import type { ExtCore } from './ext-core.ts';

/**
 * Whether a volume in use is to have so many blocks, and has fewer. FsError when it cannot: EINVAL for a smaller size, ENOSPC
 * for one that the device does not have; EBUSY while files without a name are open, for their inodes could not be told from lost ones.
 */
export function mayGrow(core: ExtCore, blockCount: number): boolean {
  const { geometry, device } = core.volume;
  const fail = (code: 'EINVAL' | 'ENOSPC' | 'EBUSY', detail: string): never => {
    throw new FsError(code, { syscall: 'resize', detail });
  };
  if (blockCount === geometry.blockCount) return false;
  if (geometry.blocksPerCluster > 1)
    throw new UnsupportedError('The size cannot be changed of a volume with clusters (bigalloc)', [
      'bigalloc',
    ]);
  const asked = `${blockCount} blocks of ${geometry.blockSize} bytes are asked for`;
  if (!Number.isSafeInteger(blockCount) || blockCount < geometry.blockCount)
    fail('EINVAL', `${asked}, there are ${geometry.blockCount}, and a file system in use can only grow`);
  const there = Math.floor(device.size / geometry.blockSize);
  if (blockCount > there) fail('ENOSPC', `${asked}, the device has ${there}`);
  const nameless = [...core.orphans].length;
  if (nameless > 0) fail('EBUSY', `${nameless} deleted files are still open`);
  return true;
}
