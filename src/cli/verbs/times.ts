import { type Timestamp, millisecondsOf, timestampFromMilliseconds } from '../../bytes/time.ts';
import { UsageError } from '../../errors.ts';

/** `2026-01-31 12:00`, in the time zone of the host. */
export function formatMinute(time: Timestamp): string {
  const date = new Date(millisecondsOf(time));
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** `2026-01-31 12:00:00.123456789 +0100`, as stat(1) prints it. */
export function formatExact(time: Timestamp): string {
  const date = new Date(time.seconds * 1000);
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  return `${formatMinute(time)}:${two(date.getSeconds())}.${`${time.nanoseconds}`.padStart(9, '0')} ${zone}`;
}

/** `2026-01-31T12:00:00.123456789Z`. */
export function formatIso(time: Timestamp): string {
  const seconds = new Date(time.seconds * 1000).toISOString().slice(0, -5);
  return `${seconds}.${`${time.nanoseconds}`.padStart(9, '0')}Z`;
}

/** touch(1)'s `[[CC]YY]MMDDhhmm[.ss]`, in the time zone of the host. UsageError. */
export function parseStamp(text: string, now: Timestamp): Timestamp {
  const match = /^(?:(\d\d)?(\d\d))?(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d\d))?$/.exec(text);
  if (match === null) throw new UsageError(`"${text}" is not a time stamp, expected [[CC]YY]MMDDhhmm[.ss]`);
  const [, century, year, ...rest] = match;
  const [month, day, hour, minute, second] = rest.map((part) => (part === undefined ? 0 : Number(part)));
  let fullYear = new Date(millisecondsOf(now)).getFullYear();
  if (century !== undefined) fullYear = Number(century + year);
  else if (year !== undefined) fullYear = Number(year) + (Number(year) < 69 ? 2000 : 1900);
  const date = new Date(fullYear, month! - 1, day, hour, minute, second);
  // The Date constructor takes the 31st of April for the 1st of May.
  if (
    date.getMonth() !== month! - 1 ||
    date.getDate() !== day ||
    hour! > 23 ||
    minute! > 59 ||
    second! > 60
  ) {
    throw new UsageError(`"${text}" is not a time stamp: there is no such time`);
  }
  return timestampFromMilliseconds(date.getTime());
}

/** `@SECONDS[.FRACTION]`, or ISO 8601: `2026-01-31`, `2026-01-31 12:00[:00[.123456789]][Z|+01:00]`. UsageError. */
export function parseDate(text: string): Timestamp {
  const epoch = /^@(-?\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (epoch !== null) {
    return { seconds: Number(epoch[1]), nanoseconds: fraction(epoch[2]) };
  }
  const iso =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|UTC|[-+]\d\d:?\d\d)?)?$/i.exec(
      text.trim(),
    );
  if (iso === null)
    throw new UsageError(`"${text}" is not a date, expected @SECONDS or YYYY-MM-DD[ hh:mm[:ss]][ZONE]`);
  const [, day, time = '00:00', second = '00', part, zone = ''] = iso;
  const offset = /^(z|utc)$/i.test(zone) ? 'Z' : zone.replace(/^([-+]\d\d):?(\d\d)$/, '$1:$2');
  const milliseconds = Date.parse(`${day}T${time}:${second}${offset}`);
  if (Number.isNaN(milliseconds)) throw new UsageError(`"${text}" is not a date: there is no such time`);
  return { seconds: Math.floor(milliseconds / 1000), nanoseconds: fraction(part) };
}

function fraction(digits: string | undefined): number {
  return Number((digits ?? '').padEnd(9, '0'));
}

function two(value: number): string {
  return `${value}`.padStart(2, '0');
}
