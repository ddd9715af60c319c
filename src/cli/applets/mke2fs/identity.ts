import { type Clock, fixedClock, type Timestamp } from '../../../bytes/time.ts';
import { parseUuid, randomUuid } from '../../../bytes/uuid.ts';
import { clockFromEnvironment, systemRandom } from '../../../host/system.ts';
import { parseUnsigned } from '../e2fsprogs/numbers.ts';

/** The time of creation: E2FSPROGS_FAKE_TIME, else SOURCE_DATE_EPOCH, else the system's clock. */
export function clockOf(env: Readonly<Record<string, string | undefined>>): Clock {
  const fake = env['E2FSPROGS_FAKE_TIME'];
  const seconds = fake === undefined ? undefined : parseUnsigned(fake);
  return seconds === undefined || seconds === 0 ? clockFromEnvironment(env) : fixedClock(seconds);
}

/** The 16 bytes that `-U` means; undefined when it is not a UUID. */
export function chooseUuid(text: string | undefined, now: Timestamp): Uint8Array | undefined {
  switch (text?.toLowerCase()) {
    case undefined:
    case 'random':
      return randomUuid(systemRandom);
    case 'clear':
    case 'null':
      return new Uint8Array(16);
    case 'time':
      return timeUuid(now);
    default:
      return parseUuid(text!);
  }
}

/** Between 1582-10-15, from which version 1 counts, and 1970, in units of 100 ns. */
const GREGORIAN_OFFSET = 0x01b2_1dd2_1381_4000n;

/** RFC 9562 section 5.1, with random bytes in place of a network card's address. */
function timeUuid(now: Timestamp): Uint8Array {
  const uuid = new Uint8Array(16);
  systemRandom(uuid.subarray(8));
  const ticks =
    BigInt(now.seconds) * 10_000_000n + BigInt(Math.floor(now.nanoseconds / 100)) + GREGORIAN_OFFSET;
  const view = new DataView(uuid.buffer);
  view.setUint32(0, Number(ticks & 0xffff_ffffn));
  view.setUint16(4, Number((ticks >> 32n) & 0xffffn));
  view.setUint16(6, Number((ticks >> 48n) & 0x0fffn) | 0x1000);
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  // The multicast bit says that it is no card's address.
  uuid[10] = uuid[10]! | 1;
  return uuid;
}
