import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { UnsupportedError } from '../../../errors.ts';
import { hex } from '../geometry.ts';
import type { JournalArea } from './journal-area.ts';
import type { LogFormat } from './journal-superblock.ts';

/** Kinds of records, each with its kind and length in front, little-endian: Linux Documentation/filesystems/ext4/journal.rst, "Fast commits". */
export const FastCommitTag = {
  addRange: 0x1,
  deleteRange: 0x2,
  create: 0x3,
  link: 0x4,
  unlink: 0x5,
  inode: 0x6,
  pad: 0x7,
  tail: 0x8,
  head: 0x9,
} as const;

/** Kind and length, 16 bits each. */
const TAG_SIZE = 4;
const LAST_KNOWN_TAG = 0x9;

/** One change of a fast commit. */
export interface FastCommitRecord {
  readonly tag: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/**
 * The records of the whole fast commits on top of the transaction before `sequence`. The area behind the log begins with a head and each
 * commit ends with a tail, both of which name the transaction; the tail has a checksum over its commit. UnsupportedError for a head with features.
 */
export function readFastCommits(area: JournalArea, format: LogFormat, sequence: number): FastCommitRecord[] {
  const whole: FastCommitRecord[] = [];
  const current: FastCommitRecord[] = [];
  let sum = 0;
  // The first block of the area is not used.
  for (let index = 0; index < format.fastCommitBlocks - 1; index++) {
    const block = new Uint8Array(format.blockSize);
    const view = viewOf(block);
    area.read(format.end + 1 + index, block);
    for (let at = 0; at + TAG_SIZE <= block.length;) {
      const tag = view.getUint16(at, true);
      const start = at + TAG_SIZE;
      const end = start + view.getUint16(at + 2, true);
      if (tag === 0 || tag > LAST_KNOWN_TAG || end > block.length) return whole;
      const isFirst = index === 0 && at === 0;
      if (isFirst !== (tag === FastCommitTag.head)) return whole;
      if (tag === FastCommitTag.tail) {
        sum = crc32c(sum, block, at, start + 4);
        if (view.getUint32(start, true) !== sequence || view.getUint32(start + 4, true) !== sum) return whole;
        sum = 0;
        whole.push(...current);
        current.length = 0;
      } else {
        if (isFirst) {
          if (view.getUint32(start + 4, true) !== sequence) return whole;
          refuseFeatures(view.getUint32(start, true));
        } else if (tag !== FastCommitTag.pad) {
          const bytes = block.subarray(start, end);
          current.push({ tag, bytes, view: viewOf(bytes) });
        }
        sum = crc32c(sum, block, at, end);
      }
      at = end;
    }
  }
  return whole;
}

function refuseFeatures(features: number): void {
  if (features === 0) return;
  const name = `features ${hex(features, 8)} of fast commits`;
  throw new UnsupportedError(`The journal cannot be replayed: unsupported ${name}`, [name]);
}
