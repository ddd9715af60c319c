import { LAST_LONG_ENTRY, LONG_NAME_ATTRIBUTES, LongEntry, SLOT_SIZE } from './directory-entry.ts';

/** UTF-16 units in one slot, and where in the slot each lies. */
const UNIT_OFFSETS = [0x01, 0x03, 0x05, 0x07, 0x09, 0x0e, 0x10, 0x12, 0x14, 0x16, 0x18, 0x1c, 0x1e] as const;
export const UNITS_PER_SLOT = 13;
/** UTF-16 units. */
export const MAX_NAME_LENGTH = 255;
const MAX_LONG_SLOTS = 20;

/** Slots that a long name takes before its short entry. */
export function longSlotCount(name: string): number {
  return Math.ceil(name.length / UNITS_PER_SLOT);
}

/** Microsoft FAT specification 1.03, section 7.2: the sum rotates right by one before each byte is added. */
export function shortNameChecksum(view: DataView, base: number): number {
  let sum = 0;
  for (let i = 0; i < 11; i++) sum = (((sum & 1) << 7) + (sum >> 1) + view.getUint8(base + i)) & 0xff;
  return sum;
}

/** Writes the slots of `name` from byte `base` on, the last piece first; then comes the short entry, whose checksum they carry. */
export function encodeLongName(name: string, checksum: number, view: DataView, base: number): void {
  const slotCount = longSlotCount(name);
  for (let slot = 0; slot < slotCount; slot++) {
    const piece = slotCount - slot;
    const at = base + slot * SLOT_SIZE;
    LongEntry.LDIR_Ord.set(view, at, slot === 0 ? piece | LAST_LONG_ENTRY : piece);
    LongEntry.LDIR_Attr.set(view, at, LONG_NAME_ATTRIBUTES);
    LongEntry.LDIR_Type.set(view, at, 0);
    LongEntry.LDIR_Chksum.set(view, at, checksum);
    LongEntry.LDIR_FstClusLO.set(view, at, 0);
    const first = (piece - 1) * UNITS_PER_SLOT;
    for (let i = 0; i < UNITS_PER_SLOT; i++) {
      const index = first + i;
      // A zero ends the name unless it fills the slot; 0xffff pads.
      const unit = index < name.length ? name.charCodeAt(index) : index === name.length ? 0 : 0xffff;
      view.setUint16(at + UNIT_OFFSETS[i]!, unit, true);
    }
  }
}

/** Gathers the slots of a long name as a directory is read from its start; anything out of order throws it away. */
export class LongNameReader {
  /** Slots seen of the name so far; 0: none. */
  slotCount = 0;
  readonly #pieces: string[] = [];
  #checksum = 0;
  /** Number that the next slot must have. */
  #expected = 0;

  reset(): void {
    this.slotCount = 0;
    this.#expected = 0;
    this.#pieces.length = 0;
  }

  add(view: DataView, base: number): void {
    const ordinal = LongEntry.LDIR_Ord.get(view, base);
    const checksum = LongEntry.LDIR_Chksum.get(view, base);
    const piece = ordinal & ~LAST_LONG_ENTRY;
    if ((ordinal & LAST_LONG_ENTRY) !== 0) {
      this.reset();
      if (piece === 0 || piece > MAX_LONG_SLOTS) return;
      this.#checksum = checksum;
    } else if (this.slotCount === 0 || piece !== this.#expected || checksum !== this.#checksum) {
      this.reset();
      return;
    }
    this.slotCount++;
    this.#expected = piece - 1;
    this.#pieces.push(decodeLongSlot(view, base));
  }

  /** The name that belongs to the short entry at `base`, or undefined when what was gathered does not. */
  take(view: DataView, base: number): string | undefined {
    if (this.slotCount === 0 || this.#expected !== 0) return undefined;
    if (shortNameChecksum(view, base) !== this.#checksum) return undefined;
    const name = this.#pieces.length === 1 ? this.#pieces[0]! : this.#pieces.reverse().join('');
    return name.length > MAX_NAME_LENGTH ? undefined : name;
  }
}

/** What the slot at `base` holds of a name, up to its zero. */
export function decodeLongSlot(view: DataView, base: number): string {
  let text = '';
  for (let i = 0; i < UNITS_PER_SLOT; i++) {
    const unit = view.getUint16(base + UNIT_OFFSETS[i]!, true);
    if (unit === 0) break;
    text += String.fromCharCode(unit);
  }
  return text;
}
