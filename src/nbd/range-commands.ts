import { type BlockDevice, type Extent, discardRange, extentsOf, zeroRange } from '../device/block-device.ts';
import { CommandFlag, ExportFlag, NbdErrno } from './protocol.ts';
import type { ReplyBatch } from './reply-batch.ts';
import type { SessionTerms, Shortcuts } from './session-transport.ts';

const MAX_EXTENTS = 4096;
/** Bytes of a TRIM or WRITE_ZEROES that are done at once: one does not stop the others of a device for long. */
const RANGE_STEP = 1 << 30;
const ZEROS = new Uint8Array(1 << 20);

/** The commands that name a range and carry no content. Each is answered, with its error if it has one. Offsets and lengths in bytes. */
export class RangeCommands {
  readonly #device: BlockDevice;
  readonly #terms: SessionTerms;
  readonly #replies: ReplyBatch;
  readonly #shortcuts: Shortcuts | undefined;

  constructor(
    device: BlockDevice,
    terms: SessionTerms,
    replies: ReplyBatch,
    shortcuts: Shortcuts | undefined,
  ) {
    this.#device = device;
    this.#terms = terms;
    this.#replies = replies;
    this.#shortcuts = shortcuts;
  }

  flush(): void {
    this.#change(() => this.#flushDevice());
  }

  trim(offset: number, length: number, flags: number): void {
    if (this.#device.readOnly) return this.#replies.fail(NbdErrno.EPERM, 'the export is read-only');
    if ((this.#terms.flags & ExportFlag.sendTrim) === 0)
      return this.#replies.fail(NbdErrno.EINVAL, 'this export cannot be trimmed');
    if (!this.isWithin(offset, length, NbdErrno.EINVAL, 'trim')) return;
    this.#change(() => {
      inSteps(offset, length, RANGE_STEP, (start, size) => discardRange(this.#device, start, size));
      if ((flags & CommandFlag.fua) !== 0) this.#flushDevice();
    });
  }

  zero(offset: number, length: number, flags: number): void {
    if (this.#device.readOnly) return this.#replies.fail(NbdErrno.EPERM, 'the export is read-only');
    if (!this.isWithin(offset, length, NbdErrno.ENOSPC, 'zero')) return;
    const noHole = (flags & CommandFlag.noHole) !== 0;
    const canBeFast = !noHole && (this.#terms.flags & ExportFlag.sendFastZero) !== 0;
    if ((flags & CommandFlag.fastZero) !== 0 && !canBeFast)
      return this.#replies.fail(NbdErrno.ENOTSUP, 'zeros would have to be written');
    this.#change(() => {
      if (noHole) {
        const write = (start: number, size: number): void =>
          this.#device.write(start, ZEROS.subarray(0, size));
        inSteps(offset, length, ZEROS.length, write);
      } else inSteps(offset, length, RANGE_STEP, (start, size) => zeroRange(this.#device, start, size));
      if ((flags & CommandFlag.fua) !== 0) this.#flushDevice();
    });
  }

  cache(offset: number, length: number): void {
    if (!this.isWithin(offset, length, NbdErrno.EINVAL, 'cache')) return;
    if (this.#shortcuts?.isOpen === true) this.#shortcuts.prefetch?.(offset, length);
    this.#replies.succeed();
  }

  blockStatus(offset: number, length: number, flags: number): void {
    if (!this.#terms.baseAllocation)
      return this.#replies.fail(NbdErrno.EINVAL, 'no metadata context was chosen');
    if (!this.isWithin(offset, length, NbdErrno.EINVAL, 'block status')) return;
    if (length === 0) return this.#replies.fail(NbdErrno.EINVAL, 'block status of 0 bytes');
    try {
      const most = (flags & CommandFlag.reqOne) !== 0 ? 1 : MAX_EXTENTS;
      this.#replies.blockStatus(this.#extents(offset, length, most));
    } catch (error) {
      this.#replies.failWith(error);
    }
  }

  /** Whether the range ends within the export; where it does not, that is the answer. */
  isWithin(offset: number, length: number, errno: number, what: string): boolean {
    if (offset + length <= this.#device.size) return true;
    this.#replies.fail(errno, this.pastEnd(offset, length, what));
    return false;
  }

  pastEnd(offset: number, length: number, what: string): string {
    return `${what} of ${length} bytes at byte ${offset}: the export ends at byte ${this.#device.size}`;
  }

  /** Extents of one state each, neighbours put together, at most `most`. */
  #extents(offset: number, length: number, most: number): Extent[] {
    const found: { offset: number; length: number; kind: Extent['kind'] }[] = [];
    for (const extent of extentsOf(this.#device, offset, length)) {
      const last = found.at(-1);
      if (last?.kind === extent.kind) last.length += extent.length;
      else if (found.length === most) break;
      else found.push({ offset: extent.offset, length: extent.length, kind: extent.kind });
    }
    return found;
  }

  #flushDevice(): void {
    if (this.#shortcuts?.isOpen === true && this.#shortcuts.flush()) return;
    this.#device.flush();
  }

  #change(body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#replies.failWith(error);
      return;
    }
    this.#replies.succeed();
  }
}

function inSteps(
  offset: number,
  length: number,
  step: number,
  body: (start: number, size: number) => void,
): void {
  for (let done = 0; done < length; done += step) body(offset + done, Math.min(step, length - done));
}
