import { crc32c } from '../../../bytes/crc32c.ts';
import { struct, text, token64le, u16le, u32le, viewOf } from '../../../bytes/struct.ts';
import type { NewVolume } from './new-volume.ts';

/** struct mmp_struct, Linux Documentation/filesystems/ext4/mmp.rst. */
const MountProtection = struct('MMP block', 1024, {
  mmp_magic: u32le(0x00),
  mmp_seq: u32le(0x04),
  mmp_time: token64le(0x08),
  mmp_nodename: text(0x10, 64),
  mmp_bdevname: text(0x50, 32),
  mmp_check_interval: u16le(0x70),
  mmp_checksum: u32le(0x3fc),
});

const MAGIC = 0x004d_4d50;
const UNMOUNTED = 0xff4d_4d50;
/** Seconds. */
export const DEFAULT_MMP_INTERVAL = 5;

/** A block in which who mounts the volume gives signs of life, when nobody has. `interval`, `seconds`: seconds. */
export function mountProtectionBlock(
  blockSize: number,
  content: { readonly seconds: number; readonly interval: number; readonly seed: number | undefined },
): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = viewOf(bytes);
  MountProtection.mmp_magic.set(view, 0, MAGIC);
  MountProtection.mmp_seq.set(view, 0, UNMOUNTED);
  MountProtection.mmp_time.set(view, 0, BigInt(content.seconds));
  MountProtection.mmp_check_interval.set(view, 0, content.interval);
  if (content.seed !== undefined) {
    const end = MountProtection.mmp_checksum.offset;
    MountProtection.mmp_checksum.set(view, 0, crc32c(content.seed, bytes, 0, end));
  }
  return bytes;
}

/** Such a block for a new volume. */
export function makeMountProtection(volume: NewVolume): void {
  const { options } = volume.layout.parameters;
  const block = volume.allocate(0);
  const interval = options.mmpInterval ?? DEFAULT_MMP_INTERVAL;
  const { seconds } = options.now;
  const bytes = mountProtectionBlock(volume.layout.blockSize, {
    seconds,
    interval,
    seed: volume.checksumSeed,
  });
  // The reference writes around its cache here.
  volume.blocks.set(block, bytes);
  volume.counter.writeDirectly(0);
  volume.superblockFields.mmpBlock = block;
  volume.superblockFields.mmpInterval = interval;
}
