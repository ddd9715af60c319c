import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import type { JournalArea } from './journal-area.ts';
import type { LogFormat } from './journal-superblock.ts';

/** Kinds of records, each with its kind and length in front, little-endian: Linux Documentation/filesystems/ext4/journal.rst, "Fast commits". */
const FastCommitTag = {
  tail: 0x8,
  head: 0x9,
} as const;

/** Kind and length, 16 bits each. */
const TAG_SIZE = 4;
const LAST_KNOWN_TAG = 0x9;

/**
 * Does the area behind the log hold a whole fast commit on top of the transaction before `sequence`? It begins with a head and
 * ends with a tail, both of which name the transaction; the tail has a checksum over all of it.
 */
export function hasFastCommit(area: JournalArea, format: LogFormat, sequence: number): boolean {
  const block = new Uint8Array(format.blockSize);
  const view = viewOf(block);
  let sum = 0;
  // The first block of the area is not used.
  for (let index = 0; index < format.fastCommitBlocks - 1; index++) {
    area.read(format.end + 1 + index, block);
    for (let at = 0; at + TAG_SIZE <= block.length;) {
      const tag = view.getUint16(at, true);
      const length = view.getUint16(at + 2, true);
      const end = at + TAG_SIZE + length;
      if (tag === 0 || tag > LAST_KNOWN_TAG || end > block.length) return false;
      const isFirst = index === 0 && at === 0;
      if (isFirst !== (tag === FastCommitTag.head)) return false;
      if (isFirst && view.getUint32(at + TAG_SIZE + 4, true) !== sequence) return false;
      if (tag === FastCommitTag.tail) {
        sum = crc32c(sum, block, at, at + TAG_SIZE + 4);
        return (
          view.getUint32(at + TAG_SIZE, true) === sequence && view.getUint32(at + TAG_SIZE + 4, true) === sum
        );
      }
      sum = crc32c(sum, block, at, end);
      at = end;
    }
  }
  return false;
}
