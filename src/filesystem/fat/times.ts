import { type Timestamp, EPOCH } from '../../bytes/time.ts';

/**
 * FAT's times: local time without a zone, dates from 1980 to 2107, two-second steps; only the time of creation has
 * another byte with hundredths. Microsoft FAT specification 1.03, section 6.1.
 */
export interface DosTime {
  readonly date: number;
  readonly time: number;
  /** Hundredths of a second on top of `time`, 0 to 199. */
  readonly hundredths: number;
}

/** 1980-01-01T00:00:00 and 2107-12-31T23:59:58, local time, in seconds since 1970. */
export const FIRST_SECOND = 315_532_800;
export const LAST_SECOND = 4_354_819_198;

/** Times outside the range become its nearest end, as Linux' vfat does it. */
export function encodeTime(time: Timestamp, utcOffsetMinutes: number): DosTime {
  const local = time.seconds + utcOffsetMinutes * 60;
  if (local < FIRST_SECOND) return encodeSeconds(FIRST_SECOND, 0);
  if (local >= LAST_SECOND + 2) return encodeSeconds(LAST_SECOND, 199);
  return encodeSeconds(local, (local & 1) * 100 + Math.floor(time.nanoseconds / 10_000_000));
}

function encodeSeconds(local: number, hundredths: number): DosTime {
  const date = new Date(local * 1000);
  return {
    date: ((date.getUTCFullYear() - 1980) << 9) | ((date.getUTCMonth() + 1) << 5) | date.getUTCDate(),
    time: (date.getUTCHours() << 11) | (date.getUTCMinutes() << 5) | (date.getUTCSeconds() >> 1),
    hundredths,
  };
}

/** A date of 0 means that there is none: the epoch. Fields out of range carry over, as in a calendar. */
export function decodeTime(
  date: number,
  time: number,
  hundredths: number,
  utcOffsetMinutes: number,
): Timestamp {
  if (date === 0) return EPOCH;
  const milliseconds = Date.UTC(
    1980 + (date >> 9),
    Math.max((date >> 5) & 0x0f, 1) - 1,
    Math.max(date & 0x1f, 1),
    time >> 11,
    (time >> 5) & 0x3f,
    (time & 0x1f) * 2,
  );
  const extra = Math.min(hundredths, 199);
  return {
    seconds: milliseconds / 1000 - utcOffsetMinutes * 60 + Math.floor(extra / 100),
    nanoseconds: (extra % 100) * 10_000_000,
  };
}
