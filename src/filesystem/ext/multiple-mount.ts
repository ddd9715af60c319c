import { crc32c } from '../../bytes/crc32c.ts';
import { struct, text, u16le, u32le, u64le, viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { readFeatures } from './features.ts';
import { type Geometry, hex, readGeometry } from './geometry.ts';
import { MetadataSeals, requireEqual } from './metadata-seals.ts';
import { IncompatibleFeature, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET, Superblock } from './superblock.ts';

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

/** The first that a mount cannot have. */
const FIRST_STATE = PROGRAM;
/** Seconds, `EXT4_MMP_MIN_CHECK_INTERVAL`. */
const LEAST_INTERVAL = 5;

/** What the block says. */
export interface MultipleMountState {
  /** `mounted`: somebody counts on, or did before a crash. */
  readonly kind: 'free' | 'program' | 'mounted' | 'unknown';
  readonly sequence: number;
  readonly node: string;
  readonly device: string;
  /** Seconds since 1970. */
  readonly time: number;
  /** Seconds after which the sequence of a mount that lives has moved, as the kernel reckons. */
  readonly patience: number;
  /** `mmp_check_interval`, seconds. */
  readonly interval: number;
}

/** How the block is dealt with by who opens a volume. */
export interface MultipleMountUse {
  /**
   * Asked about a volume that somebody counts on: true when time enough has passed since to see whether he still does. Default: he does.
   */
  readonly waitForIdle?: ((state: MultipleMountState) => boolean) | undefined;
  /** Who holds the volume from now on. */
  readonly holder?: { readonly node: string; readonly device: string } | undefined;
  /** He counts on. Default: he is a program that does not, as e2fsck. */
  readonly givesSigns?: boolean | undefined;
}

/** Keeps two from writing to one volume (feature `mmp`). */
export class MultipleMountProtection {
  readonly #device: BlockDevice;
  readonly #geometry: Geometry;
  readonly #offset: number;
  readonly #block: number;
  readonly #interval: number;
  readonly #seed: number | undefined;
  readonly #bytes = new Uint8Array(MultipleMountBlock.$size);
  readonly #view = viewOf(this.#bytes);
  /** As it was when the volume was found to be nobody's. */
  #seen: Uint8Array | undefined;
  #taken = false;
  #use: MultipleMountUse = {};

  constructor(
    device: BlockDevice,
    superblock: DataView,
    geometry: Geometry,
    seals: MetadataSeals | undefined,
  ) {
    this.#device = device;
    this.#geometry = geometry;
    this.#block = Number(Superblock.s_mmp_block.get(superblock, 0));
    this.#interval = Superblock.s_mmp_interval.get(superblock, 0);
    this.#offset = this.#block * geometry.blockSize;
    this.#seed = seals?.seed;
  }

  /** That of the volume on a device; undefined where there is none. */
  static of(device: BlockDevice): MultipleMountProtection | undefined {
    const bytes = new Uint8Array(Superblock.$size);
    if (device.size < SUPERBLOCK_OFFSET + bytes.length) return undefined;
    device.read(SUPERBLOCK_OFFSET, bytes);
    const view = viewOf(bytes);
    const words = readFeatures(view);
    if (
      Superblock.s_magic.get(view, 0) !== SUPERBLOCK_MAGIC ||
      (words.incompatible & IncompatibleFeature.mmp) === 0
    ) {
      return undefined;
    }
    return new MultipleMountProtection(
      device,
      view,
      readGeometry(view, device.size),
      MetadataSeals.of(view, words),
    );
  }

  /** Seconds between two signs of life. */
  get interval(): number {
    return Math.max(this.#interval, 1);
  }

  /** Looks at the block now. CorruptImageError. */
  state(): MultipleMountState {
    this.#read();
    const { mmp_seq, mmp_nodename, mmp_bdevname, mmp_time, mmp_check_interval } = MultipleMountBlock;
    const sequence = mmp_seq.get(this.#view, 0);
    const interval = Math.max(this.#interval, LEAST_INTERVAL, mmp_check_interval.get(this.#view, 0));
    return {
      kind:
        sequence === CLEAN
          ? 'free'
          : sequence === PROGRAM
            ? 'program'
            : sequence < FIRST_STATE
              ? 'mounted'
              : 'unknown',
      sequence,
      node: mmp_nodename.get(this.#view, 0),
      device: mmp_bdevname.get(this.#view, 0),
      time: mmp_time.get(this.#view, 0),
      patience: Math.min(2 * interval + 1, interval + 60),
      interval: mmp_check_interval.get(this.#view, 0),
    };
  }

  /**
   * Who writes to the volume, or why that is not known, in a person's words; undefined when nobody does. A mount whose sequence does not move while
   * `waitForIdle` waits is over.
   */
  holder(use: MultipleMountUse = {}): string | undefined {
    this.#use = use;
    let state;
    try {
      state = this.state();
      if (state.kind === 'mounted' && use.waitForIdle?.(state) === true) {
        const { sequence } = state;
        state = this.state();
        if (state.sequence === sequence) state = undefined;
      }
    } catch (error) {
      if (error instanceof CorruptImageError) return error.message;
      throw error;
    }
    if (state === undefined || state.kind === 'free') {
      this.#seen = this.#bytes.slice();
      return undefined;
    }
    return describeHolder(state);
  }

  /** Says that this program writes from now on. EBUSY when somebody else does by now, or has since `holder` was asked. */
  take(seconds: number): void {
    if (this.#taken) return;
    const seen = this.#seen;
    const state = this.state();
    const isOurs =
      seen === undefined ? state.kind === 'free' : this.#bytes.every((byte, at) => byte === seen[at]);
    if (!isOurs) {
      const detail =
        state.kind === 'free'
          ? `the volume was written to on host "${state.node}" since it was opened here`
          : describeHolder(state);
      throw new FsError('EBUSY', { detail });
    }
    const { node, device } = this.#use.holder ?? { node: 'userloop', device: '' };
    MultipleMountBlock.mmp_nodename.set(this.#view, 0, node.slice(0, 63));
    MultipleMountBlock.mmp_bdevname.set(this.#view, 0, device.slice(-31));
    this.#write(this.#use.givesSigns === true ? this.#next() : PROGRAM, seconds);
    this.#device.flush();
    this.#taken = true;
  }

  /** A sign of life. EBUSY when somebody else has taken the volume: nothing more is to be written to it. */
  beat(seconds: number): void {
    if (!this.#taken) return;
    const own = this.#bytes.slice();
    this.#read();
    if (this.#bytes.some((byte, at) => byte !== own[at])) {
      this.#taken = false;
      throw new FsError('EBUSY', { detail: describeHolder(this.state()) });
    }
    this.#write(this.#next(), seconds);
  }

  release(seconds: number): void {
    if (!this.#taken) return;
    this.#write(CLEAN, seconds);
    this.#device.flush();
    this.#taken = false;
    this.#seen = this.#bytes.slice();
  }

  /** Another one than before, from 1 to the last that is no state. */
  #next(): number {
    const sequence = MultipleMountBlock.mmp_seq.get(this.#view, 0);
    return sequence >= FIRST_STATE - 1 ? 1 : sequence + 1;
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

/** In a person's words. */
export function describeHolder({ kind, node, device }: MultipleMountState): string {
  const what = kind === 'program' ? 'a program (e2fsck, say)' : 'a mount';
  return (
    `${what} on host "${node}" writes to it${device === '' ? '' : ` as ${device}`} (multiple-mount protection). ` +
    'If that is over, "tune2fs -f -E clear_mmp" releases it'
  );
}
