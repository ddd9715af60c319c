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

const SECONDS_PER_DAY = 86_400;

function encodeSeconds(local: number, hundredths: number): DosTime {
  const day = Math.floor(local / SECONDS_PER_DAY);
  const second = local - day * SECONDS_PER_DAY;
  const hour = Math.floor(second / 3600);
  const minute = Math.floor(second / 60) % 60;
  return {
    date: encodeDay(day),
    time: (hour << 11) | (minute << 5) | ((second % 60) >> 1),
    hundredths,
  };
}

/** Days since 1970 as a date: the Gregorian calendar in years that begin with March, so that leap days come last. */
function encodeDay(day: number): number {
  const fromEra = day + 719_468;
  const era = Math.floor(fromEra / 146_097);
  const dayOfEra = fromEra - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + (yearOfEra >> 2) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return ((year - 1980) << 9) | (month << 5) | dayOfMonth;
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
