import fs from 'node:fs';
import { isZero } from '../../src/bytes/is-zero.ts';
import { type BlockDevice, extentsOf } from '../../src/device/block-device.ts';
import { FileDevice } from '../../src/host/file-device.ts';

const CHUNK = 1 << 20;

/**
 * First difference of two files, looking only where at least one of them has data: what is a hole in both is zero in both.
 * Undefined when they are the same. `cmp` would read TiB of zeros.
 */
export function firstSparseDifference(a: string, b: string): string | undefined {
  const [sizeA, sizeB] = [fs.statSync(a).size, fs.statSync(b).size];
  if (sizeA !== sizeB) return `sizes differ: ${sizeA} and ${sizeB} bytes`;
  if (sizeA === 0) return undefined;
  const first = FileDevice.open(a, { readOnly: true });
  const second = FileDevice.open(b, { readOnly: true });
  try {
    return differenceInDataOf(first, second) ?? differenceInDataOf(second, first);
  } finally {
    first.close();
    second.close();
  }
}

function differenceInDataOf(device: BlockDevice, other: BlockDevice): string | undefined {
  const mine = Buffer.alloc(CHUNK);
  const theirs = Buffer.alloc(CHUNK);
  for (const extent of extentsOf(device, 0, device.size)) {
    if (extent.kind !== 'data') continue;
    for (let done = 0; done < extent.length; done += CHUNK) {
      const length = Math.min(CHUNK, extent.length - done);
      const offset = extent.offset + done;
      const part = mine.subarray(0, length);
      const otherPart = theirs.subarray(0, length);
      device.read(offset, part);
      other.read(offset, otherPart);
      if (part.equals(otherPart)) continue;
      const at = part.findIndex((byte, index) => byte !== otherPart[index]);
      return `differ at byte ${offset + at}: 0x${part[at]!.toString(16)} and 0x${otherPart[at]!.toString(16)}`;
    }
  }
  return undefined;
}

/** Bytes of the host's disk that the file takes. */
export function allocatedBytes(file: string): number {
  return fs.statSync(file).blocks * 512;
}

/** Is there nothing but zeros in the file? */
export function isAllZero(file: string): boolean {
  const device = FileDevice.open(file, { readOnly: true });
  try {
    const chunk = new Uint8Array(CHUNK);
    for (const extent of extentsOf(device, 0, device.size)) {
      if (extent.kind !== 'data') continue;
      for (let done = 0; done < extent.length; done += CHUNK) {
        const part = chunk.subarray(0, Math.min(CHUNK, extent.length - done));
        device.read(extent.offset + done, part);
        if (!isZero(part)) return false;
      }
    }
    return true;
  } finally {
    device.close();
  }
}
