import { type BlockDevice, extentsOf } from '../../../device/block-device.ts';
import { hasCode } from '../../../errors.ts';
import { formatError } from './format-note.ts';
import { type FatLayout, dataStartSector } from './layout.ts';

/** Bad blocks are counted in 1 KiB, whatever the sector is. */
export const BAD_BLOCK_SIZE = 1024;
const CHUNK = 1 << 20;

/** Where a block of 1 KiB lies. */
export function blockPlace(layout: FatLayout, block: number): 'data' | 'before data' | 'behind the end' {
  const first = Math.floor((block * BAD_BLOCK_SIZE) / layout.sectorSize);
  if (first < dataStartSector(layout)) return 'before data';
  return first >= layout.totalSectors ? 'behind the end' : 'data';
}

/** The clusters that these blocks lie in. A block in front of the data is refused: nothing can avoid it. */
export function clustersOfBlocks(layout: FatLayout, blocks: Iterable<number>): Set<number> {
  const clusters = new Set<number>();
  const dataStart = dataStartSector(layout);
  for (const block of blocks) {
    const place = blockPlace(layout, block);
    if (place !== 'data') throw formatError(`Block number ${block} is ${place}`);
    const first = Math.floor((block * BAD_BLOCK_SIZE) / layout.sectorSize);
    const end = Math.max(first + 1, Math.floor(((block + 1) * BAD_BLOCK_SIZE) / layout.sectorSize));
    for (let sector = first; sector < end; sector++) {
      const index = Math.floor((sector - dataStart) / layout.sectorsPerCluster);
      // The sectors behind the last whole cluster belong to none.
      if (index < layout.clusterCount) clusters.add(index + 2);
    }
  }
  return clusters;
}

/** Reads all that is to be formatted and gives the blocks of 1 KiB that cannot be read. Holes have nothing to be read. */
export function* searchBadBlocks(device: BlockDevice, size: number): Generator<number> {
  const buffer = new Uint8Array(CHUNK);
  for (const extent of extentsOf(device, 0, size - (size % BAD_BLOCK_SIZE))) {
    if (extent.kind === 'hole') continue;
    const start = Math.floor(extent.offset / BAD_BLOCK_SIZE);
    const end = Math.ceil((extent.offset + extent.length) / BAD_BLOCK_SIZE);
    for (let block = start; block < end;) {
      const count = Math.min(CHUNK / BAD_BLOCK_SIZE, end - block);
      yield* searchRange(device, buffer, block, count);
      block += count;
    }
  }
}

/** Halves what cannot be read until single blocks are left. */
function* searchRange(
  device: BlockDevice,
  buffer: Uint8Array,
  block: number,
  count: number,
): Generator<number> {
  if (isReadable(device, block * BAD_BLOCK_SIZE, buffer.subarray(0, count * BAD_BLOCK_SIZE))) return;
  if (count === 1) {
    yield block;
    return;
  }
  const half = count >> 1;
  yield* searchRange(device, buffer, block, half);
  yield* searchRange(device, buffer, block + half, count - half);
}

function isReadable(device: BlockDevice, offset: number, into: Uint8Array): boolean {
  try {
    device.read(offset, into);
    return true;
  } catch (error) {
    if (hasCode(error, 'EIO')) return false;
    throw error;
  }
}
