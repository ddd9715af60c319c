import { viewOf } from '../../../bytes/struct.ts';
import {
  blockChecksum,
  copyChecksum,
  type Tag,
  TagFlag,
  tagsPerBlock,
  tailSize,
  writeTag,
} from './descriptor-tag.ts';
import type { JournalArea } from './journal-area.ts';
import { BlockHeader, BlockType, JOURNAL_MAGIC, type LogFormat } from './journal-superblock.ts';
import { RevokeBlock, revokeSize, writeRevoke } from './revoke-block.ts';

/** A block as it is to be on the volume. */
export interface LogCopy {
  /** Its number on the volume. */
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Bytes that go to the log at once. */
const PIECE = 1 << 20;

/** Writes the blocks of a transaction into the ring, one behind the other. */
export class LogWriter {
  /** Block of the journal that is written next. */
  head = 0;
  readonly #area: JournalArea;
  readonly #format: LogFormat;
  readonly #uuid: Uint8Array;
  /** A descriptor and the copies that it describes, which go out together. */
  readonly #piece: Uint8Array;
  /** Copies a descriptor. */
  readonly #most: number;
  readonly #tag: Tag = { block: 0, flags: 0, checksum: 0 };
  #sequence = 0;

  constructor(area: JournalArea, format: LogFormat, uuid: Uint8Array) {
    this.#area = area;
    this.#format = format;
    this.#uuid = uuid;
    this.#most = Math.min(tagsPerBlock(format), Math.max(1, PIECE / format.blockSize - 1));
    this.#piece = new Uint8Array((1 + this.#most) * format.blockSize);
  }

  /** Blocks of the log that a transaction of so many copies and revokes takes, with its commit block. */
  blocksFor(copies: number, revokes: number): number {
    return Math.ceil(revokes / this.#revokesPerBlock) + Math.ceil(copies / this.#most) + copies + 1;
  }

  start(head: number, sequence: number): void {
    this.head = head;
    this.#sequence = sequence;
  }

  writeRevokes(blocks: ReadonlySet<number>): void {
    const block = this.#piece.subarray(0, this.#format.blockSize);
    const view = viewOf(block);
    let at = 0;
    let left = blocks.size;
    for (const revoked of blocks) {
      if (at === 0) {
        block.fill(0);
        this.#setHeader(view, BlockType.revoke);
        at = RevokeBlock.$size;
      }
      writeRevoke(view, at, this.#format, revoked);
      at += revokeSize(this.#format);
      left--;
      if (left > 0 && at < RevokeBlock.$size + this.#revokesPerBlock * revokeSize(this.#format)) continue;
      RevokeBlock.r_count.set(view, 0, at);
      this.#sealTail(block, view);
      this.writeBlock(block);
      at = 0;
    }
  }

  /** Returns where in the journal each copy lies, negative for those that are escaped. */
  writeCopies(copies: readonly LogCopy[]): Int32Array {
    const { blockSize } = this.#format;
    const places = new Int32Array(copies.length);
    const descriptor = this.#piece.subarray(0, blockSize);
    const view = viewOf(this.#piece);
    const tag = this.#tag;
    for (let from = 0; from < copies.length; from += this.#most) {
      const count = Math.min(this.#most, copies.length - from);
      descriptor.fill(0);
      this.#setHeader(view, BlockType.descriptor);
      let at: number = BlockHeader.$size;
      for (let i = 0; i < count; i++) {
        const copy = copies[from + i]!;
        const start = (1 + i) * blockSize;
        const target = this.#piece.subarray(start, start + blockSize);
        target.set(copy.bytes);
        const isEscaped = copy.view.getUint32(0) === JOURNAL_MAGIC;
        if (isEscaped) target.fill(0, 0, 4);
        const place = this.#after(1 + i);
        places[from + i] = isEscaped ? -place : place;
        tag.block = copy.index;
        tag.flags =
          (isEscaped ? TagFlag.escape : 0) |
          (i > 0 ? TagFlag.sameUuid : 0) |
          (i === count - 1 ? TagFlag.lastTag : 0);
        tag.checksum =
          this.#format.checksumVersion === 0 ? 0 : copyChecksum(this.#format, this.#sequence, target);
        at = writeTag(view, at, this.#format, tag, this.#uuid);
      }
      this.#sealTail(descriptor, view);
      this.#write(this.#piece.subarray(0, (1 + count) * blockSize));
    }
    return places;
  }

  writeBlock(block: Uint8Array): void {
    this.#write(block);
  }

  get #revokesPerBlock(): number {
    const room = this.#format.blockSize - RevokeBlock.$size - tailSize(this.#format);
    return Math.floor(room / revokeSize(this.#format));
  }

  /** The block of the journal that comes `count` blocks after the head. */
  #after(count: number): number {
    const { first, end } = this.#format;
    const at = this.head + count;
    return at >= end ? at - end + first : at;
  }

  /** Writes whole blocks at the head, which moves on; where the ring ends it goes on at its beginning. */
  #write(bytes: Uint8Array): void {
    const { blockSize, end } = this.#format;
    const count = bytes.length / blockSize;
    const room = Math.min(count, end - this.head);
    this.#area.write(this.head, bytes.subarray(0, room * blockSize));
    if (room < count) this.#area.write(this.#format.first, bytes.subarray(room * blockSize));
    this.head = this.#after(count);
  }

  #setHeader(view: DataView, type: number): void {
    BlockHeader.h_magic.set(view, 0, JOURNAL_MAGIC);
    BlockHeader.h_blocktype.set(view, 0, type);
    BlockHeader.h_sequence.set(view, 0, this.#sequence);
  }

  /** Descriptor and revoke blocks end with their checksum. */
  #sealTail(block: Uint8Array, view: DataView): void {
    if (tailSize(this.#format) === 0) return;
    const at = block.length - tailSize(this.#format);
    view.setUint32(at, blockChecksum(this.#format, block, at));
  }
}
