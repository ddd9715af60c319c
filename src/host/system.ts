import { type Clock, fixedClock, timestampFromNanoseconds } from '../bytes/time.ts';
import type { RandomSource } from '../bytes/uuid.ts';
import { UsageError } from '../errors.ts';

/** The machine's clock and randomness, for the core, which has none of its own. */

const START = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

/** Wall-clock time; the part below a millisecond comes from the monotonic clock. */
export function systemClock(): ReturnType<Clock> {
  return timestampFromNanoseconds(START + process.hrtime.bigint());
}

/** SOURCE_DATE_EPOCH (reproducible-builds.org) when it is set, the system's clock otherwise. */
export function clockFromEnvironment(env: Readonly<Record<string, string | undefined>>): Clock {
  const epoch = env['SOURCE_DATE_EPOCH'];
  if (epoch === undefined || epoch === '') return systemClock;
  if (!/^\d{1,15}$/.test(epoch))
    throw new UsageError(`SOURCE_DATE_EPOCH is "${epoch}", expected seconds since 1970`);
  return fixedClock(Number(epoch));
}

export const systemRandom: RandomSource = (into) => {
  // Loading node:crypto costs more than all else that most commands load.
  process.getBuiltinModule('node:crypto').randomFillSync(into);
};

/** Minutes east of UTC of the host's time zone now. */
export function systemUtcOffsetMinutes(): number {
  return -new Date().getTimezoneOffset();
}
