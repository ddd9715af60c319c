import type { Timestamp } from '../../../bytes/time.ts';

/** The volume ID that DOS makes of the local time when it formats: month, day, seconds and hundredths over year, hours and minutes. */
export function volumeIdOfTime(time: Timestamp, utcOffsetMinutes: number): number {
  const date = new Date((time.seconds + utcOffsetMinutes * 60) * 1000);
  const hundredths = Math.floor(time.nanoseconds / 10_000_000);
  const high =
    (((date.getUTCMonth() + 1) << 8) | date.getUTCDate()) + ((date.getUTCSeconds() << 8) | hundredths);
  const low = date.getUTCFullYear() + ((date.getUTCHours() << 8) | date.getUTCMinutes());
  return (((high & 0xffff) << 16) | (low & 0xffff)) >>> 0;
}
