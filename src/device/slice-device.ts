import {
  type BlockDevice,
  type Extent,
  type FileRange,
  checkRange,
  discardRange,
  extentsOf,
  zeroRange,
} from './block-device.ts';
import type { ContentCopier, CopiedPiece, OutsideFile } from './content-copier.ts';

/**
 * A part of another device: `losetup --offset --sizelimit`, or one partition.
 *
 * A slice does not own its base: closing it closes nothing.
 */
export class SliceDevice implements BlockDevice {
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #base: BlockDevice;
  readonly #offset: number;
  #size: number;
  declare readonly fileRange?: () => FileRange;
  declare readonly copier?: (files?: number) => ContentCopier | undefined;

  /** `size` in bytes; without it the slice goes to the end of the base. `sectorSize`: where it is not the base's. */
  constructor(
    base: BlockDevice,
    offset: number,
    size: number = base.size - offset,
    options: { readonly sectorSize?: number } = {},
  ) {
    checkRange(base, 'slice', offset, size);
    this.#base = base;
    this.#offset = offset;
    this.#size = size;
    this.sectorSize = options.sectorSize ?? base.sectorSize;
    this.readOnly = base.readOnly;
    if (base.fileRange !== undefined) {
      this.fileRange = () => {
        const range = base.fileRange!();
        return { fd: range.fd, offset: range.offset + offset };
      };
    }
    if (base.copier !== undefined) {
      let copier: SliceCopier | undefined;
      this.copier = (files) => {
        const whole = base.copier!(files);
        if (whole === undefined) return undefined;
        if (copier?.base !== whole) copier = new SliceCopier(whole, this, offset);
        return copier;
      };
    }
  }

  get size(): number {
    return this.#size;
  }

  /** The part goes on to here now, bytes. */
  resize(size: number): void {
    checkRange(this.#base, 'slice', this.#offset, size);
    this.#size = size;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    this.#base.read(this.#offset + offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this, 'write', offset, from.length);
    this.#base.write(this.#offset + offset, from);
  }

  zero(offset: number, length: number): void {
    checkRange(this, 'zero', offset, length);
    zeroRange(this.#base, this.#offset + offset, length);
  }

  discard(offset: number, length: number): void {
    checkRange(this, 'discard', offset, length);
    discardRange(this.#base, this.#offset + offset, length);
  }

  *extents(offset: number, length: number): Iterable<Extent> {
    checkRange(this, 'extents', offset, length);
    for (const extent of extentsOf(this.#base, this.#offset + offset, length)) {
      yield { offset: extent.offset - this.#offset, length: extent.length, kind: extent.kind };
    }
  }

  flush(): void {
    this.#base.flush();
  }

  close(): void {}
}

class SliceCopier implements ContentCopier {
  readonly base: ContentCopier;
  readonly #slice: SliceDevice;
  readonly #offset: number;

  constructor(base: ContentCopier, slice: SliceDevice, offset: number) {
    this.base = base;
    this.#slice = slice;
    this.#offset = offset;
  }

  copy(file: OutsideFile, pieces: readonly CopiedPiece[]): void {
    for (const { deviceOffset, length, padding } of pieces) {
      checkRange(this.#slice, 'write', deviceOffset, length + padding);
    }
    const moved = pieces.map((piece) => ({ ...piece, deviceOffset: piece.deviceOffset + this.#offset }));
    this.base.copy(file, moved);
  }

  failed(options: { readonly wait: boolean }): readonly OutsideFile[] {
    return this.base.failed(options);
  }
}
