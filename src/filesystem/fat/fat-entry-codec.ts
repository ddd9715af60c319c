/**
 * The three widths of an entry of the allocation table: the only thing in which FAT12, FAT16 and FAT32 differ beyond
 * the boot sector and the place of the root directory. Microsoft FAT specification 1.03, section 4.
 */
export interface FatEntryCodec {
  readonly bits: 12 | 16 | 32;
  /** Marks a cluster that must not be used. */
  readonly bad: number;
  /** This value and all above it end a chain. */
  readonly endMinimum: number;
  /** The end mark that the driver writes. */
  readonly end: number;
  /** The entry with this index, counted from the start of `view`. */
  get(view: DataView, index: number): number;
  set(view: DataView, index: number, value: number): void;
}

/** Two entries share three bytes: the even one has the low nibble of the middle byte. */
const codec12: FatEntryCodec = {
  bits: 12,
  bad: 0xff7,
  endMinimum: 0xff8,
  end: 0xfff,
  get(view, index) {
    const pair = view.getUint16(index + (index >> 1), true);
    return (index & 1) === 0 ? pair & 0xfff : pair >> 4;
  },
  set(view, index, value) {
    const at = index + (index >> 1);
    const pair = view.getUint16(at, true);
    view.setUint16(at, (index & 1) === 0 ? (pair & 0xf000) | value : (pair & 0x000f) | (value << 4), true);
  },
};

const codec16: FatEntryCodec = {
  bits: 16,
  bad: 0xfff7,
  endMinimum: 0xfff8,
  end: 0xffff,
  get: (view, index) => view.getUint16(index * 2, true),
  set: (view, index, value) => view.setUint16(index * 2, value, true),
};

/** The top four bits are reserved and keep what they hold. */
const codec32: FatEntryCodec = {
  bits: 32,
  bad: 0x0ffffff7,
  endMinimum: 0x0ffffff8,
  end: 0x0fffffff,
  get: (view, index) => view.getUint32(index * 4, true) & 0x0fffffff,
  set: (view, index, value) =>
    view.setUint32(index * 4, ((view.getUint32(index * 4, true) & 0xf0000000) | value) >>> 0, true),
};

export const FAT_ENTRY_CODECS = { fat12: codec12, fat16: codec16, fat32: codec32 } as const;
