import { crc32Be } from '../../../bytes/crc32-be.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { agreesWithSum, commitTime, hasCommitChecksum } from './commit-block.ts';
import { blockChecksum, copyChecksum, readTags, type Tag, TagFlag, tailSize } from './descriptor-tag.ts';
import type { JournalArea } from './journal-area.ts';
import { BlockHeader, BlockType, isLater, JOURNAL_MAGIC, type LogFormat } from './journal-superblock.ts';
import { LogReader } from './log-reader.ts';
import type { LoggedBlocks } from './logged-blocks.ts';
import { readRevokes } from './revoke-block.ts';

/** What came of reading a log. */
export interface LogScan {
  /** The number that follows the last whole transaction. */
  readonly nextSequence: number;
  /** Whole transactions that were found. */
  readonly transactions: number;
  /** What is wrong with it: then it is what comes before that; undefined for a sound log. */
  readonly damage: string | undefined;
}

/** A descriptor or revoke block of a whole transaction. */
interface ControlBlock {
  readonly index: number;
  readonly sequence: number;
}

/** Where a log begins: of the journal superblock. */
export interface LogStart {
  readonly sequence: number;
  /** Block of the journal. */
  readonly block: number;
}

/**
 * Reads a log as the kernel's recovery does, in the same three passes (Linux fs/jbd2/recovery.c): which transactions are whole;
 * what they revoke; which copies count, which it puts into `blocks`. `blockCount`: blocks of the volume.
 */
export function scanLog(
  area: JournalArea,
  format: LogFormat,
  start: LogStart,
  blocks: LoggedBlocks,
  blockCount: number,
): LogScan {
  const scan = new Scan(area, format);
  scan.findTransactions(start);
  scan.collectRevokes();
  scan.collectCopies(blocks, blockCount);
  return {
    nextSequence: scan.sequence,
    transactions: (scan.sequence - start.sequence) >>> 0,
    damage: scan.damage,
  };
}

class Scan {
  sequence = 0;
  damage: string | undefined;
  readonly #area: JournalArea;
  readonly #format: LogFormat;
  readonly #reader: LogReader;
  readonly #tag: Tag = { block: 0, flags: 0, checksum: 0 };
  readonly #descriptors: ControlBlock[] = [];
  readonly #revokeBlocks: ControlBlock[] = [];
  /** From a block to the last transaction that revokes it. */
  readonly #revokes = new Map<number, number>();

  constructor(area: JournalArea, format: LogFormat) {
    this.#area = area;
    this.#format = format;
    this.#reader = new LogReader(area);
  }

  /** Which transactions are whole? The log ends where a block is none of the expected transaction's. */
  findTransactions(start: LogStart): void {
    const format = this.#format;
    this.sequence = start.sequence;
    let at = start.block;
    let sum = 0xffff_ffff;
    /** A checksum was wrong: an error if the transaction was committed, the remains of an old one if that is older than the last. */
    let isDoubtful = false;
    let lastTime = 0;
    let wholeDescriptors = 0;
    let wholeRevokes = 0;
    // Twice around the ring can only be a lie.
    for (let left = format.end - format.first; left > 0;) {
      const block = this.#reader.control(at);
      const view = viewOf(block);
      const index = at;
      at = this.#next(at, 1);
      left--;
      if (BlockHeader.h_magic.get(view, 0) !== JOURNAL_MAGIC) break;
      if (BlockHeader.h_sequence.get(view, 0) !== this.sequence) break;
      const type = BlockHeader.h_blocktype.get(view, 0);
      if (type === BlockType.descriptor) {
        if (!this.#hasTailChecksum(block, view)) isDoubtful = true;
        this.#descriptors.push({ index, sequence: this.sequence });
        if (format.sumsTransactions) sum = crc32Be(sum, block);
        const count = readTags(view, format, this.#tag, ignore);
        if (format.sumsTransactions) {
          for (let i = 0; i < count && left - i > 0; i++)
            sum = crc32Be(sum, this.#reader.control(this.#next(at, i)));
        }
        at = this.#next(at, count);
        left -= count;
      } else if (type === BlockType.revoke) {
        if (!this.#hasTailChecksum(block, view)) isDoubtful = true;
        this.#revokeBlocks.push({ index, sequence: this.sequence });
      } else if (type === BlockType.commit) {
        const time = commitTime(view);
        const isOld = time < lastTime;
        if (isDoubtful) {
          if (!isOld) this.#damaged('a descriptor block has a wrong checksum');
          break;
        }
        const isSound =
          hasCommitChecksum(format, block, view) && (!format.sumsTransactions || agreesWithSum(view, sum));
        if (!isSound) {
          if (!isOld && !format.asynchronous) this.#damaged('its checksum is wrong');
          break;
        }
        sum = 0xffff_ffff;
        lastTime = time;
        this.sequence = (this.sequence + 1) >>> 0;
        wholeDescriptors = this.#descriptors.length;
        wholeRevokes = this.#revokeBlocks.length;
      } else break;
    }
    this.#descriptors.length = wholeDescriptors;
    this.#revokeBlocks.length = wholeRevokes;
  }

  collectRevokes(): void {
    for (const { index, sequence } of this.#revokeBlocks) {
      readRevokes(viewOf(this.#reader.control(index)), this.#format, (block) => {
        const known = this.#revokes.get(block);
        if (known === undefined || isLater(sequence, known)) this.#revokes.set(block, sequence);
      });
    }
  }

  collectCopies(blocks: LoggedBlocks, blockCount: number): void {
    const format = this.#format;
    for (const { index, sequence } of this.#descriptors) {
      let at = index;
      // A copy of the descriptor: reading copies moves the reader on.
      const view = viewOf(this.#reader.control(index).slice());
      readTags(view, format, this.#tag, ({ block, flags, checksum }) => {
        at = this.#next(at, 1);
        const revoked = this.#revokes.get(block);
        if (revoked !== undefined && !isLater(sequence, revoked)) return;
        if (block >= blockCount) {
          this.#damaged(`it changes block ${block} of ${blockCount}`, sequence);
          return;
        }
        if (
          format.checksumVersion !== 0 &&
          copyChecksum(format, sequence, this.#reader.copy(at)) !== checksum
        ) {
          this.#damaged(`the copy of block ${block} has a wrong checksum`, sequence);
          return;
        }
        blocks.set(block, this.#area.blockOf(at), (flags & TagFlag.escape) !== 0);
      });
    }
  }

  #next(index: number, count: number): number {
    const { first, end } = this.#format;
    const next = index + count;
    return next >= end ? first + ((next - first) % (end - first)) : next;
  }

  /** Descriptor and revoke blocks end with their checksum. */
  #hasTailChecksum(block: Uint8Array, view: DataView): boolean {
    if (tailSize(this.#format) === 0) return true;
    const at = block.length - 4;
    return view.getUint32(at) === blockChecksum(this.#format, block, at);
  }

  #damaged(what: string, sequence: number = this.sequence): void {
    this.damage ??= `transaction ${sequence} of the journal is damaged: ${what}`;
  }
}

function ignore(): void {}
