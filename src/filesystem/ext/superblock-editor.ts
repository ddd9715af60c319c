import { viewOf } from '../../bytes/struct.ts';
import type { Timestamp } from '../../bytes/time.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { CorruptImageError } from '../../errors.ts';
import { checksumSeed, requireSuperblockChecksum, sealSuperblock } from './checksum.ts';
import { type FeatureWords, readFeatures } from './features.ts';
import { type Geometry, hasSuperblockCopy, readGeometry } from './geometry.ts';
import { MetadataSeals } from './metadata-seals.ts';
import { MultipleMountProtection } from './multiple-mount.ts';
import { IncompatibleFeature, SUPERBLOCK_OFFSET, Superblock } from './superblock.ts';
import { ChecksumRewrite } from './tune/checksum-rewrite.ts';
import { VolumeEdit } from './tune/volume-edit.ts';
import { Volume } from './volume.ts';

/** `s_state`: cleanly unmounted. */
const VALID = 1;

/** The superblock of a volume that is not open otherwise, to be changed with all its copies, as tune2fs does. */
export class SuperblockEditor {
  /** The 1024 bytes as they will be written. */
  readonly view: DataView;
  readonly geometry: Geometry;
  readonly #device: BlockDevice;
  readonly #bytes: Uint8Array;
  #content: VolumeEdit | undefined;
  #rewrite: ChecksumRewrite | undefined;

  private constructor(device: BlockDevice, bytes: Uint8Array) {
    this.#device = device;
    this.#bytes = bytes;
    this.view = viewOf(bytes);
    this.geometry = readGeometry(this.view, device.size);
  }

  /** CorruptImageError when the superblock is not sound. */
  static open(device: BlockDevice): SuperblockEditor {
    const bytes = new Uint8Array(Superblock.$size);
    if (device.size < SUPERBLOCK_OFFSET + bytes.length) {
      throw new CorruptImageError({
        structure: 'device',
        field: 'size',
        found: `${device.size} bytes`,
        expected: `at least ${SUPERBLOCK_OFFSET + bytes.length}`,
      });
    }
    device.read(SUPERBLOCK_OFFSET, bytes);
    const editor = new SuperblockEditor(device, bytes);
    requireSuperblockChecksum(editor.view);
    return editor;
  }

  /** As they are now. */
  get features(): FeatureWords {
    return readFeatures(this.view);
  }

  get checksumSeed(): number {
    return checksumSeed(this.view, this.features);
  }

  /** Undefined on a volume without `mmp`. */
  get multipleMount(): MultipleMountProtection | undefined {
    const { features } = this;
    if ((features.incompatible & IncompatibleFeature.mmp) === 0) return undefined;
    const seals = MetadataSeals.of(this.view, features);
    return new MultipleMountProtection(this.#device, this.view, this.geometry, seals);
  }

  /** Changes of more than the superblock, to be saved with it; the first call opens the volume. */
  content(now: Timestamp): VolumeEdit {
    this.#content ??= new VolumeEdit(
      Volume.open(this.#device, () => now),
      this.view,
      now,
    );
    return this.#content;
  }

  /**
   * All checksums are to follow the superblock as it is now. Throws CorruptImageError when they do not agree with what it was, UnsupportedError, or TypeError when
   * anything else but the superblock changes, too.
   */
  rewriteChecksums(now: Timestamp): void {
    if (this.#content !== undefined) throw new TypeError('checksums are rewritten alone');
    this.#rewrite = new ChecksumRewrite(
      Volume.open(this.#device, () => now),
      this.view,
    );
    this.#rewrite.verify();
  }

  /** Is more to be written than the superblock? */
  get changesContent(): boolean {
    return this.#content !== undefined;
  }

  /**
   * Writes what has changed besides the superblock, in an order in which a power cut leaves at most blocks that nobody uses; then the copies, then the superblock itself, with `seconds` as the time of writing. A copy always says that the volume was
   * not unmounted: whoever has to use it has to check it.
   */
  save(seconds: number): void {
    const { view, geometry, features } = this;
    Superblock.s_wtime.set(view, 0, seconds);
    for (const stage of this.#content?.stages() ?? []) stage.apply(this.#device, geometry.blockSize);
    this.#rewrite?.apply();
    const state = Superblock.s_state.get(view, 0);
    const incompatible = Superblock.s_feature_incompat.get(view, 0);
    Superblock.s_state.set(view, 0, state & ~VALID);
    Superblock.s_feature_incompat.set(view, 0, (incompatible & ~IncompatibleFeature.needs_recovery) >>> 0);
    for (let group = 1; group < geometry.groupCount; group++) {
      if (!hasSuperblockCopy(view, group)) continue;
      Superblock.s_block_group_nr.set(view, 0, group % 0x1_0000);
      sealSuperblock(view, features);
      const block = geometry.firstDataBlock + group * geometry.blocksPerGroup;
      this.#device.write(block * geometry.blockSize, this.#bytes);
    }
    Superblock.s_state.set(view, 0, state);
    Superblock.s_feature_incompat.set(view, 0, incompatible);
    Superblock.s_block_group_nr.set(view, 0, 0);
    sealSuperblock(view, features);
    this.#device.write(SUPERBLOCK_OFFSET, this.#bytes);
    this.#device.flush();
  }
}
