import { hasCode } from '../errors.ts';
import type { BlockDevice } from './block-device.ts';

/** Bytes that are read at once, as long as they can be read. */
const CHUNK = 1 << 20;

/**
 * Reads `count` blocks of `blockSize` bytes from byte `offset` on, as far as the device goes. Returns the indexes of those that cannot be read (EIO),
 * ascending. Calls `onStep` with how many were read, and how many of them could not.
 */
export function findBadBlocks(
  device: BlockDevice,
  { offset, blockSize, count }: { offset: number; blockSize: number; count: number },
  onStep?: (done: number, bad: number) => void,
): number[] {
  const bad: number[] = [];
  const perChunk = Math.max(1, Math.floor(CHUNK / blockSize));
  const bytes = new Uint8Array(perChunk * blockSize);
  const end = Math.min(count, Math.floor((device.size - offset) / blockSize));
  for (let first = 0; first < end; first += perChunk) {
    const length = Math.min(perChunk, end - first);
    if (!canRead(device, offset + first * blockSize, bytes.subarray(0, length * blockSize))) {
      for (let block = first; block < first + length; block++)
        if (!canRead(device, offset + block * blockSize, bytes.subarray(0, blockSize))) bad.push(block);
    }
    onStep?.(first + length, bad.length);
  }
  return bad;
}

function canRead(device: BlockDevice, offset: number, into: Uint8Array): boolean {
  try {
    device.read(offset, into);
    return true;
  } catch (error) {
    if (hasCode(error, 'EIO')) return false;
    throw error;
  }
}
