/**
 * On-disk structures, declared once as a table of typed fields with literal hex offsets, read and written through
 * the same table:
 *
 *     const Inode = struct('ext4_inode', 128, { i_mode: u16le(0x00), i_block: bytes(0x28, 60) });
 *     Inode.i_mode.get(view, base);
 *     Inode.i_mode.set(view, base, 0o100644);
 *
 * `view` is a DataView, `base` the byte offset of the structure within it. `struct()` throws at load time when
 * fields overlap or leave the structure.
 */

export interface Field<T> {
  /** Byte offset within the structure. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  get(view: DataView, base: number): T;
  set(view: DataView, base: number, value: T): void;
}

export type FieldTable = Readonly<Record<string, Field<unknown>>>;

export type Struct<F extends FieldTable> = F & {
  /** The format's own name of the structure. */
  readonly $name: string;
  /** Bytes. */
  readonly $size: number;
  readonly $fields: F;
};

export interface StructOptions {
  /** Unions exist in some formats (ext4's `osd1`, FAT's FAT12/32 extension): then overlap is meant. */
  readonly overlapping?: boolean;
}

export function struct<F extends FieldTable>(
  name: string,
  size: number,
  fields: F,
  options: StructOptions = {},
): Struct<F> {
  const sorted = Object.entries(fields).sort(([, a], [, b]) => a.offset - b.offset);
  let end = 0;
  let previous = 'the start';
  for (const [fieldName, field] of sorted) {
    if (field.offset < end && options.overlapping !== true) {
      throw new TypeError(`${name}.${fieldName} at 0x${field.offset.toString(16)} overlaps ${previous}`);
    }
    end = Math.max(end, field.offset + field.length);
    previous = fieldName;
  }
  if (end > size) throw new TypeError(`${name}.${previous} ends at ${end}, past the size of ${size}`);
  return Object.freeze({ ...fields, $name: name, $size: size, $fields: fields });
}

export function u8(offset: number): Field<number> {
  return {
    offset,
    length: 1,
    get: (view, base) => view.getUint8(base + offset),
    set: (view, base, value) => view.setUint8(base + offset, value),
  };
}

export function u16le(offset: number): Field<number> {
  return {
    offset,
    length: 2,
    get: (view, base) => view.getUint16(base + offset, true),
    set: (view, base, value) => view.setUint16(base + offset, value, true),
  };
}

export function u32le(offset: number): Field<number> {
  return {
    offset,
    length: 4,
    get: (view, base) => view.getUint32(base + offset, true),
    set: (view, base, value) => view.setUint32(base + offset, value, true),
  };
}

export function i32le(offset: number): Field<number> {
  return {
    offset,
    length: 4,
    get: (view, base) => view.getInt32(base + offset, true),
    set: (view, base, value) => view.setInt32(base + offset, value, true),
  };
}

export function u16be(offset: number): Field<number> {
  return {
    offset,
    length: 2,
    get: (view, base) => view.getUint16(base + offset),
    set: (view, base, value) => view.setUint16(base + offset, value),
  };
}

export function u32be(offset: number): Field<number> {
  return {
    offset,
    length: 4,
    get: (view, base) => view.getUint32(base + offset),
    set: (view, base, value) => view.setUint32(base + offset, value),
  };
}

/** A 64-bit quantity as a number: exact up to 2^53, which is 8 PiB in bytes; larger values round. */
export function u64le(offset: number): Field<number> {
  return {
    offset,
    length: 8,
    get: (view, base) =>
      view.getUint32(base + offset, true) + view.getUint32(base + offset + 4, true) * 0x1_0000_0000,
    set: (view, base, value) => {
      view.setUint32(base + offset, value, true);
      view.setUint32(base + offset + 4, Math.floor(value / 0x1_0000_0000), true);
    },
  };
}

/** An opaque 64-bit token. */
export function token64le(offset: number): Field<bigint> {
  return {
    offset,
    length: 8,
    get: (view, base) => view.getBigUint64(base + offset, true),
    set: (view, base, value) => view.setBigUint64(base + offset, value, true),
  };
}

/** Raw bytes: `get` gives a view of the bytes in place, `set` copies and pads with zeros. */
export function bytes(offset: number, length: number): Field<Uint8Array> {
  return {
    offset,
    length,
    get: (view, base) => new Uint8Array(view.buffer, view.byteOffset + base + offset, length),
    set: (view, base, value) => {
      if (value.length > length) throw new RangeError(`${value.length} bytes do not fit in ${length}`);
      const target = new Uint8Array(view.buffer, view.byteOffset + base + offset, length);
      target.set(value);
      target.fill(0, value.length);
    },
  };
}

/** Text of one byte a character (Latin-1), padded; `get` cuts at the first NUL and drops trailing pad characters. */
export function text(offset: number, length: number, pad = '\0'): Field<string> {
  const padCode = pad.charCodeAt(0);
  return {
    offset,
    length,
    get: (view, base) => {
      let end = 0;
      while (end < length && view.getUint8(base + offset + end) !== 0) end++;
      while (end > 0 && view.getUint8(base + offset + end - 1) === padCode) end--;
      let result = '';
      for (let i = 0; i < end; i++) result += String.fromCharCode(view.getUint8(base + offset + i));
      return result;
    },
    set: (view, base, value) => {
      if (value.length > length) throw new RangeError(`"${value}" is longer than ${length} bytes`);
      for (let i = 0; i < length; i++) {
        view.setUint8(base + offset + i, i < value.length ? value.charCodeAt(i) : padCode);
      }
    },
  };
}

/** The DataView over exactly the bytes of `array`. */
export function viewOf(array: Uint8Array): DataView {
  return new DataView(array.buffer, array.byteOffset, array.byteLength);
}
