/** Points in time: whole seconds since 1970-01-01T00:00:00Z (may be negative) and nanoseconds (0 to 999,999,999). */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** The core has no clock of its own: whoever opens a file system passes one. */
export type Clock = () => Timestamp;

export const EPOCH: Timestamp = { seconds: 0, nanoseconds: 0 };

/** The clock that always tells the same time, for images that must come out the same twice. */
export function fixedClock(seconds: number): Clock {
  const time: Timestamp = { seconds, nanoseconds: 0 };
  return () => time;
}

export function timestampFromMilliseconds(milliseconds: number): Timestamp {
  const seconds = Math.floor(milliseconds / 1000);
  // Rounding may not make a whole second of it.
  const nanoseconds = Math.min(Math.round((milliseconds - seconds * 1000) * 1e6), 999_999_999);
  return { seconds, nanoseconds };
}

export function millisecondsOf(time: Timestamp): number {
  return time.seconds * 1000 + time.nanoseconds / 1e6;
}

export function timestampFromNanoseconds(nanoseconds: bigint): Timestamp {
  let seconds = nanoseconds / 1_000_000_000n;
  let rest = nanoseconds % 1_000_000_000n;
  if (rest < 0n) {
    seconds -= 1n;
    rest += 1_000_000_000n;
  }
  return { seconds: Number(seconds), nanoseconds: Number(rest) };
}
