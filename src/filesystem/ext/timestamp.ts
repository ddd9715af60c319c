import type { Field } from '../../bytes/struct.ts';
import type { Timestamp } from '../../bytes/time.ts';
import { Inode } from './inode.ts';

/** The two words of a time: signed seconds, and nanoseconds above two bits that extend the seconds. */
export interface TimeFields {
  /** Undefined where the whole time lies past the first 128 bytes. */
  readonly seconds: Field<number>;
  readonly extra: Field<number>;
}

export const AccessTime: TimeFields = { seconds: Inode.i_atime, extra: Inode.i_atime_extra };
export const ChangeTime: TimeFields = { seconds: Inode.i_ctime, extra: Inode.i_ctime_extra };
export const ModificationTime: TimeFields = { seconds: Inode.i_mtime, extra: Inode.i_mtime_extra };
export const BirthTime: TimeFields = { seconds: Inode.i_crtime, extra: Inode.i_crtime_extra };

/** Seconds that 128-byte inodes hold. */
export const SHORT_TIME_RANGE = [-0x8000_0000, 0x7fff_ffff] as const;
/** With the two bits of epoch. */
export const LONG_TIME_RANGE = [-0x8000_0000, 0x3_7fff_ffff] as const;

/** Undefined when the inode has no such time. `extraSize` is what `i_extra_isize` says. */
export function decodeTime(
  view: DataView,
  base: number,
  extraSize: number,
  fields: TimeFields,
): Timestamp | undefined {
  if (!holds(fields.seconds, extraSize)) return undefined;
  const seconds = fields.seconds.get(view, base) | 0;
  if (!holds(fields.extra, extraSize)) return { seconds, nanoseconds: 0 };
  const extra = fields.extra.get(view, base);
  return {
    seconds: seconds + (extra & 3) * 0x1_0000_0000,
    nanoseconds: Math.min(extra >>> 2, 999_999_999),
  };
}

/** Times out of range become the nearest that can be held, as the kernel does it. */
export function encodeTime(
  view: DataView,
  base: number,
  extraSize: number,
  fields: TimeFields,
  time: Timestamp,
): void {
  if (!holds(fields.seconds, extraSize)) return;
  const long = holds(fields.extra, extraSize);
  const [first, last] = long ? LONG_TIME_RANGE : SHORT_TIME_RANGE;
  const seconds = Math.min(last, Math.max(first, time.seconds));
  fields.seconds.set(view, base, seconds >>> 0);
  if (!long) return;
  const nanoseconds = seconds === time.seconds ? time.nanoseconds : 0;
  const epoch = Math.floor((seconds + 0x8000_0000) / 0x1_0000_0000);
  fields.extra.set(view, base, ((nanoseconds << 2) | epoch) >>> 0);
}

function holds(field: Field<number>, extraSize: number): boolean {
  return field.offset + field.length <= 128 + extraSize;
}
