import type { Timestamp } from '../../../bytes/time.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { FsError } from '../../../errors.ts';
import type { BlockSink, CachedBlock } from '../block-cache.ts';
import { CommitBlock } from './commit-block.ts';
import { blockChecksum } from './descriptor-tag.ts';
import type { JournalArea } from './journal-area.ts';
import {
  BlockHeader,
  BlockType,
  JOURNAL_MAGIC,
  JournalCompatible,
  JournalIncompatible,
  JournalSuperblock,
  type LogFormat,
  readLogFormat,
  sealJournalSuperblock,
} from './journal-superblock.ts';
import type { LoggedBlocks } from './logged-blocks.ts';
import { type LogCopy, LogWriter } from './log-writer.ts';

/** What a journal asks of the volume that it belongs to. */
export interface JournalHost {
  readonly clock: () => Timestamp;
  /** With block numbers of 64 bits, or metadata checksums: then the journal has them, too. */
  readonly has64bit: boolean;
  readonly hasChecksums: boolean;
  /** Brings file content to the device, and the word that the journal is in use: both must be there when a transaction is. */
  prepareCommit(): void;
  /** The block with the superblock when that has changed. */
  changedSuperblock(): LogCopy | undefined;
  /** What `changedSuperblock` gave is committed. */
  superblockCommitted(): void;
}

/** A transaction of more than this part of the log is not waited for. */
const USUAL_PART = 8;
/** Nor one of more than this many bytes: memory. */
const USUAL_BYTES = 16 << 20;

/**
 * Writes transactions, as Linux' jbd2 does in its ordered mode: everything that has changed, whole or not at all. The order, with `|` for a flush of the device:
 *
 *     content, log's revokes, descriptors and copies | commit block |
 *
 * and, when the log is full or its blocks are asked for in their places (a checkpoint),
 *
 *     blocks in their places | journal superblock: the log is empty |
 */
export class Journal implements BlockSink {
  readonly #area: JournalArea;
  readonly #host: JournalHost;
  readonly #superblock: DataView;
  readonly #logged: LoggedBlocks;
  #format: LogFormat;
  #writer: LogWriter | undefined;
  #sequence: number;
  /** Where the next transaction begins. */
  #head: number;
  /** Blocks of the log that hold transactions which may have to be replayed. */
  #used = 0;
  /** Freed since the last commit, of those that have a copy in the log. */
  readonly #freed = new Set<number>();
  /** Whether the last transaction counts is not known: nothing may follow it. */
  #isBroken = false;

  /** `superblock`: 1024 bytes, of an empty log. */
  constructor(
    found: {
      readonly area: JournalArea;
      readonly format: LogFormat;
      readonly superblock: DataView;
      readonly blocks: LoggedBlocks;
    },
    host: JournalHost,
  ) {
    this.#area = found.area;
    this.#format = found.format;
    this.#superblock = found.superblock;
    this.#logged = found.blocks;
    this.#host = host;
    this.#head = found.format.first;
    this.#sequence = this.#followingSequence();
  }

  /** Should what is changed so far, so many blocks, be committed before more is? */
  isDue(changedBlocks: number): boolean {
    const { blockSize, first, end } = this.#format;
    return changedBlocks >= Math.min((end - first) / USUAL_PART, USUAL_BYTES / blockSize);
  }

  /** Number of the next transaction. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Blocks that the log has room for, in one transaction. */
  get capacity(): number {
    return this.#format.end - this.#format.first;
  }

  /** Blocks were freed: what the log has of them must not be replayed over what they hold next. */
  forget(start: number, count: number): void {
    if (count > this.#logged.size) {
      for (const block of this.#logged.blocks()) {
        if (block >= start && block < start + count) this.#freed.add(block);
      }
      return;
    }
    for (let block = start; block < start + count; block++) {
      if (this.#logged.has(block)) this.#freed.add(block);
    }
  }

  /** Commits. When it throws nothing of it counts, and the blocks are still to be committed. */
  write(blocks: readonly CachedBlock[]): void {
    if (this.#isBroken) throw broken();
    const superblock = this.#host.changedSuperblock();
    const copies: readonly LogCopy[] = superblock === undefined ? blocks : [...blocks, superblock];
    if (copies.length === 0 && this.#freed.size === 0) return;
    // Taken again as metadata: the copy that comes now counts.
    for (const { index } of copies) this.#freed.delete(index);
    this.#host.prepareCommit();
    const writer = (this.#writer ??= this.#begin());
    const need = writer.blocksFor(copies.length, this.#freed.size);
    if (need > this.capacity) throw this.#tooLarge(need);
    if (need > this.capacity - this.#used) this.checkpoint();

    if (this.#used === 0) this.#writeSuperblock(this.#head);
    writer.start(this.#head, this.#sequence);
    writer.writeRevokes(this.#freed);
    const places = writer.writeCopies(copies);
    this.#area.device.flush();
    // From here on a failure leaves open whether the transaction counts.
    this.#isBroken = true;
    this.#writeCommitBlock(writer);
    this.#area.device.flush();
    this.#isBroken = false;

    for (const block of this.#freed) this.#logged.delete(block);
    this.#freed.clear();
    for (let i = 0; i < copies.length; i++) {
      this.#logged.set(copies[i]!.index, this.#area.blockOf(Math.abs(places[i]!)), places[i]! < 0);
    }
    if (superblock !== undefined) this.#host.superblockCommitted();
    this.#head = writer.head;
    this.#used += need;
    this.#sequence = (this.#sequence + 1) >>> 0;
  }

  /** Brings every committed block to its place; the log is empty then. */
  checkpoint(): void {
    if (this.#isBroken) throw broken();
    if (this.#used === 0) return;
    this.#logged.writeHome();
    this.#area.device.flush();
    this.#writeSuperblock(0);
    this.#area.device.flush();
    this.#logged.clear();
    this.#used = 0;
  }

  /** The device was written below: reads the journal's superblock anew. The log must have been empty. */
  reload(): void {
    const block = new Uint8Array(this.#format.blockSize);
    this.#area.read(0, block);
    const fresh = viewOf(block);
    this.#format = readLogFormat(fresh, this.#format.blockSize, this.#area.length);
    new Uint8Array(this.#superblock.buffer, this.#superblock.byteOffset, JournalSuperblock.$size).set(
      block.subarray(0, JournalSuperblock.$size),
    );
    this.#writer = undefined;
    this.#head = this.#format.first;
    this.#sequence = this.#followingSequence();
    this.#freed.clear();
  }

  /** What an empty log says was the last that it may have held. */
  #followingSequence(): number {
    return (JournalSuperblock.s_sequence.get(this.#superblock, 0) + 1) >>> 0;
  }

  /** Before the first transaction: the journal gets the features that it is written with, as the kernel sets them at mount. */
  #begin(): LogWriter {
    const view = this.#superblock;
    const { has64bit, hasChecksums } = this.#host;
    if (JournalSuperblock.h_blocktype.get(view, 0) === BlockType.superblock1) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset, JournalSuperblock.$size);
      bytes.fill(0, JournalSuperblock.s_feature_compat.offset);
      JournalSuperblock.h_blocktype.set(view, 0, BlockType.superblock2);
      JournalSuperblock.s_nr_users.set(view, 0, 1);
    }
    const { revoke, async_commit, csum_v2, csum_v3 } = JournalIncompatible;
    const former = JournalSuperblock.s_feature_incompat.get(view, 0);
    const kept = former & ~(async_commit | csum_v2 | csum_v3);
    const added = revoke | (has64bit ? JournalIncompatible['64bit'] : 0) | (hasChecksums ? csum_v3 : 0);
    JournalSuperblock.s_feature_incompat.set(view, 0, (kept | added) >>> 0);
    const compatible = JournalSuperblock.s_feature_compat.get(view, 0) & ~JournalCompatible.checksum;
    JournalSuperblock.s_feature_compat.set(view, 0, compatible >>> 0);
    if (!hasChecksums) JournalSuperblock.s_checksum_type.set(view, 0, 0);
    if (!hasChecksums) JournalSuperblock.s_checksum.set(view, 0, 0);
    sealJournalSuperblock(view);
    this.#format = readLogFormat(view, this.#format.blockSize, this.#area.length);
    return new LogWriter(this.#area, this.#format, JournalSuperblock.s_uuid.get(view, 0).slice());
  }

  /** `start` 0: the log is empty. */
  #writeSuperblock(start: number): void {
    const view = this.#superblock;
    JournalSuperblock.s_sequence.set(view, 0, this.#sequence);
    JournalSuperblock.s_start.set(view, 0, start);
    sealJournalSuperblock(view);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, JournalSuperblock.$size);
    this.#area.device.write(this.#area.blockOf(0) * this.#format.blockSize, bytes);
  }

  #writeCommitBlock(writer: LogWriter): void {
    const block = new Uint8Array(this.#format.blockSize);
    const view = viewOf(block);
    BlockHeader.h_magic.set(view, 0, JOURNAL_MAGIC);
    BlockHeader.h_blocktype.set(view, 0, BlockType.commit);
    BlockHeader.h_sequence.set(view, 0, this.#sequence);
    const { seconds, nanoseconds } = this.#host.clock();
    CommitBlock.h_commit_sec_high.set(view, 0, Math.floor(seconds / 0x1_0000_0000));
    CommitBlock.h_commit_sec.set(view, 0, seconds >>> 0);
    CommitBlock.h_commit_nsec.set(view, 0, nanoseconds);
    if (this.#format.checksumVersion !== 0) {
      const { offset } = CommitBlock.h_chksum;
      CommitBlock.h_chksum.set(view, 0, blockChecksum(this.#format, block, offset));
    }
    writer.writeBlock(block);
  }

  #tooLarge(need: number): FsError {
    return new FsError('ENOSPC', {
      syscall: 'commit',
      detail: `a transaction of ${need} blocks does not fit in a journal of ${this.capacity}`,
    });
  }
}

function broken(): FsError {
  return new FsError('EIO', {
    syscall: 'commit',
    detail: 'the journal was given up: writing a commit block failed',
  });
}
