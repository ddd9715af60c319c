/** Times as e2fsprogs' programs print and read them, in the time zone of the host. */

/** ctime(3), with its newline: `Sun Sep 13 12:26:40 2020`. */
export function calendarTime(seconds: number): string {
  const [weekday, month, day, year, time] = new Date(seconds * 1000).toString().split(' ');
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}\n`;
}

/** `1 month, 2 weeks, 1 day, 3:00:00`; `<none>` for 0. */
export function intervalText(seconds: number): string {
  if (seconds === 0) return '<none>';
  const parts: string[] = [];
  let rest = seconds;
  for (const [unit, name] of [
    [30 * 86_400, 'month'],
    [7 * 86_400, 'week'],
    [86_400, 'day'],
  ] as const) {
    if (rest < unit) continue;
    const count = Math.floor(rest / unit);
    parts.push(`${count} ${name}${count > 1 ? 's' : ''}`);
    rest -= count * unit;
  }
  if (rest > 0) {
    const pad = (value: number): string => String(value).padStart(2, '0');
    parts.push(`${Math.floor(rest / 3600)}:${pad(Math.floor(rest / 60) % 60)}:${pad(rest % 60)}`);
  }
  return parts.join(', ');
}

/** `now`, or YYYYMMDD[HH[MM[SS]]]: seconds since 1970; undefined for what has no day. */
export function parseTime(text: string, now: number): number | undefined {
  if (text === 'now') return now;
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?/.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map((part) => Number(part ?? 0));
  if (month! < 1 || month! > 12 || day! < 1 || day! > 31) return undefined;
  return Math.floor(new Date(year!, month! - 1, day, hour, minute, second).getTime() / 1000);
}
