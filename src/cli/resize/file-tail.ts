import { type BlockDevice, extentsOf } from '../../device/block-device.ts';

/** Bytes that are read at once. */
const PIECE = 1 << 20;

/** Does the device have nothing but zeros from byte `offset` to its end? Holes are not read. */
export function isOnlyZeros(device: BlockDevice, offset: number): boolean {
  if (offset >= device.size) return true;
  const piece = new Uint8Array(PIECE);
  for (const { offset: start, length, kind } of extentsOf(device, offset, device.size - offset)) {
    if (kind !== 'data') continue;
    for (let done = 0; done < length; done += PIECE) {
      const part = piece.subarray(0, Math.min(PIECE, length - done));
      device.read(start + done, part);
      if (part.some((byte) => byte !== 0)) return false;
    }
  }
  return true;
}
