import { crc32c } from '../../bytes/crc32c.ts';
import { struct, text, u16le, u32le, u64le, viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { type Geometry, hex } from './geometry.ts';
import { type MetadataSeals, requireEqual } from './metadata-seals.ts';
import { Superblock } from './superblock.ts';

/** `struct mmp_struct`, Linux Documentation/filesystems/ext4/mmp.rst: who is writing to the volume. */
export const MultipleMountBlock = struct('mmp_struct', 1024, {
  mmp_magic: u32le(0x00), // 0x004d4d50
  mmp_seq: u32le(0x04), // counts on while the volume is mounted; the largest values are states
  mmp_time: u64le(0x08),
  mmp_nodename: text(0x10, 64),
  mmp_bdevname: text(0x50, 32),
  mmp_check_interval: u16le(0x70), // seconds
  mmp_checksum: u32le(0x3fc),
});

const MAGIC = 0x004d_4d50;
/** `EXT4_MMP_SEQ_CLEAN`: nobody writes to the volume. */
const CLEAN = 0xff4d_4d50;
/** `EXT4_MMP_SEQ_FSCK`: a program without the kernel does, and does not count on. No kernel mounts the volume meanwhile. */
const PROGRAM = 0xe24d_4d50;

/** Keeps two from writing to one volume (feature `mmp`). */
export class MultipleMountProtection {
  readonly #device: BlockDevice;
  readonly #geometry: Geometry;
  readonly #offset: number;
  readonly #block: number;
  readonly #seed: number | undefined;
  readonly #bytes = new Uint8Array(MultipleMountBlock.$size);
  readonly #view = viewOf(this.#bytes);
  #taken = false;

  constructor(
    device: BlockDevice,
    superblock: DataView,
    geometry: Geometry,
    seals: MetadataSeals | undefined,
  ) {
    this.#device = device;
    this.#geometry = geometry;
    this.#block = Number(Superblock.s_mmp_block.get(superblock, 0));
    this.#offset = this.#block * geometry.blockSize;
    this.#seed = seals?.seed;
  }

  /** Who writes to the volume, or why that is not known, in a person's words; undefined when nobody does. */
  holder(): string | undefined {
    try {
      this.#read();
    } catch (error) {
      if (error instanceof CorruptImageError) return error.message;
      throw error;
    }
    const sequence = MultipleMountBlock.mmp_seq.get(this.#view, 0);
    if (sequence === CLEAN) return undefined;
    const host = MultipleMountBlock.mmp_nodename.get(this.#view, 0);
    const name = MultipleMountBlock.mmp_bdevname.get(this.#view, 0);
    const what = sequence === PROGRAM ? 'a program (e2fsck, say)' : 'a mount';
    return (
      `${what} on host "${host}" writes to it${name === '' ? '' : ` as ${name}`} (multiple-mount protection). ` +
      'If that is over, "tune2fs -f -E clear_mmp" releases it'
    );
  }

  /** Says that this program writes from now on. EBUSY when somebody else does by now. */
  take(seconds: number): void {
    if (this.#taken) return;
    const holder = this.holder();
    if (holder !== undefined) throw new FsError('EBUSY', { detail: holder });
    MultipleMountBlock.mmp_nodename.set(this.#view, 0, 'userloop');
    MultipleMountBlock.mmp_bdevname.set(this.#view, 0, '');
    this.#write(PROGRAM, seconds);
    this.#device.flush();
    this.#taken = true;
  }

  release(seconds: number): void {
    if (!this.#taken) return;
    this.#write(CLEAN, seconds);
    this.#device.flush();
    this.#taken = false;
  }

  /** Takes the volume from whoever holds it: for a holder that is gone. */
  clear(seconds: number): void {
    this.#read();
    this.#write(CLEAN, seconds);
    this.#device.flush();
  }

  #read(): void {
    const { firstDataBlock, blockCount } = this.#geometry;
    if (this.#block <= firstDataBlock || this.#block >= blockCount) {
      throw new CorruptImageError({
        structure: Superblock.$name,
        field: 's_mmp_block',
        found: `block ${this.#block}`,
        expected: `a block from ${firstDataBlock + 1} to ${blockCount - 1}`,
      });
    }
    this.#device.read(this.#offset, this.#bytes);
    const magic = MultipleMountBlock.mmp_magic.get(this.#view, 0);
    if (magic !== MAGIC) {
      throw new CorruptImageError({
        structure: `multiple-mount block ${this.#block}`,
        field: 'mmp_magic',
        offset: this.#offset,
        found: hex(magic, 8),
        expected: hex(MAGIC, 8),
      });
    }
    if (this.#seed === undefined) return;
    const { offset } = MultipleMountBlock.mmp_checksum;
    requireEqual(
      `multiple-mount block ${this.#block}`,
      'mmp_checksum',
      this.#offset + offset,
      MultipleMountBlock.mmp_checksum.get(this.#view, 0),
      crc32c(this.#seed, this.#bytes, 0, offset),
    );
  }

  #write(sequence: number, seconds: number): void {
    const { mmp_seq, mmp_time, mmp_checksum } = MultipleMountBlock;
    mmp_seq.set(this.#view, 0, sequence);
    mmp_time.set(this.#view, 0, seconds);
    if (this.#seed !== undefined) {
      mmp_checksum.set(this.#view, 0, crc32c(this.#seed, this.#bytes, 0, mmp_checksum.offset));
    }
    this.#device.write(this.#offset, this.#bytes);
  }
}
