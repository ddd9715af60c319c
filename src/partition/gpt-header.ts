import { crc32 } from '../bytes/crc32.ts';
import { bytes, struct, token64le, u32le, u64le, viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';

/** One of the two headers of a GPT: UEFI 2.10, section 5.3.2. The first lies in sector 1, the second in the last sector. */
export const GptHeader = struct('GPT header', 92, {
  Signature: token64le(0x00), // "EFI PART"
  Revision: u32le(0x08), // 0x00010000
  HeaderSize: u32le(0x0c), // 92 to the size of a sector
  HeaderCRC32: u32le(0x10), // over HeaderSize bytes, itself 0
  Reserved: u32le(0x14), // always 0
  MyLBA: u64le(0x18),
  AlternateLBA: u64le(0x20),
  FirstUsableLBA: u64le(0x28),
  LastUsableLBA: u64le(0x30),
  DiskGUID: bytes(0x38, 16),
  PartitionEntryLBA: u64le(0x48), // 2, and where the second table starts
  NumberOfPartitionEntries: u32le(0x50),
  SizeOfPartitionEntry: u32le(0x54), // 128 times a power of two
  PartitionEntryArrayCRC32: u32le(0x58),
});

/** One entry of the table: UEFI 2.10, section 5.3.3. */
export const GptEntry = struct('GPT partition entry', 128, {
  PartitionTypeGUID: bytes(0x00, 16), // all 0 in an unused entry
  UniquePartitionGUID: bytes(0x10, 16),
  StartingLBA: u64le(0x20),
  EndingLBA: u64le(0x28), // included
  Attributes: token64le(0x30),
  PartitionName: bytes(0x38, 72), // UTF-16LE, ended by 0 or by the field
});

export const GPT_SIGNATURE = 0x5452_4150_2049_4645n;
export const GPT_REVISION = 0x0001_0000;
export const PRIMARY_LBA = 1;
/** Bytes that are read for a table at most; the tables that are in use have 16 KiB. */
export const MAX_TABLE_SIZE = 16 << 20;

const MAX_ENTRY_SIZE = 4096;

/** A header whose bytes are all that is known of it. */
export class HeaderSector {
  /** The whole sector. */
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(sector: Uint8Array) {
    this.bytes = sector;
    this.view = viewOf(sector);
  }

  get lba(): number {
    return GptHeader.MyLBA.get(this.view, 0);
  }

  get alternateLba(): number {
    return GptHeader.AlternateLBA.get(this.view, 0);
  }

  get firstUsable(): number {
    return GptHeader.FirstUsableLBA.get(this.view, 0);
  }

  get lastUsable(): number {
    return GptHeader.LastUsableLBA.get(this.view, 0);
  }

  get tableLba(): number {
    return GptHeader.PartitionEntryLBA.get(this.view, 0);
  }

  get entryCount(): number {
    return GptHeader.NumberOfPartitionEntries.get(this.view, 0);
  }

  get entrySize(): number {
    return GptHeader.SizeOfPartitionEntry.get(this.view, 0);
  }

  /** Bytes of all entries. */
  get tableSize(): number {
    return this.entryCount * this.entrySize;
  }

  get headerCrc(): number {
    return GptHeader.HeaderCRC32.get(this.view, 0);
  }

  get tableCrc(): number {
    return GptHeader.PartitionEntryArrayCRC32.get(this.view, 0);
  }

  /** What the CRC should be; undefined where HeaderSize makes no sense. */
  computeCrc(): number | undefined {
    const size = GptHeader.HeaderSize.get(this.view, 0);
    if (size < GptHeader.$size || size > this.bytes.length) return undefined;
    const copy = this.bytes.slice(0, size);
    GptHeader.HeaderCRC32.set(viewOf(copy), 0, 0);
    return crc32(copy);
  }

  /** Sets both CRCs for these entries. */
  seal(entries: Uint8Array): void {
    GptHeader.PartitionEntryArrayCRC32.set(this.view, 0, crc32(entries.subarray(0, this.tableSize)));
    GptHeader.HeaderCRC32.set(this.view, 0, this.computeCrc() ?? 0);
  }
}

/** Why a header cannot be used: its field, what is there and what should be. */
export interface HeaderFault {
  readonly field: keyof (typeof GptHeader)['$fields'];
  readonly found: string;
  readonly expected: string;
}

export interface HeaderAndEntries {
  readonly header: HeaderSector;
  /** All entries, as long as the header says. */
  readonly entries: Uint8Array;
}

/** The header in this sector with its table, or what is wrong with it. The rules are those of UEFI 2.10, section 5.3.2. */
export function readHeader(
  device: BlockDevice,
  lba: number,
  sectorSize: number,
): HeaderAndEntries | HeaderFault {
  const sectorCount = Math.floor(device.size / sectorSize);
  if (lba < 1 || lba >= sectorCount) {
    return {
      field: 'MyLBA',
      found: `sector ${lba}`,
      expected: `a sector of the device, 1 to ${sectorCount - 1}`,
    };
  }
  const header = new HeaderSector(readBytes(device, lba * sectorSize, sectorSize));
  const fault = headerFault(header, lba, sectorCount, sectorSize);
  if (fault !== undefined) return fault;
  const entries = readBytes(device, header.tableLba * sectorSize, header.tableSize);
  const crc = crc32(entries);
  if (crc !== header.tableCrc) {
    return { field: 'PartitionEntryArrayCRC32', found: hex32(header.tableCrc), expected: hex32(crc) };
  }
  return { header, entries };
}

export function isFault(result: HeaderAndEntries | HeaderFault): result is HeaderFault {
  return 'field' in result;
}

function headerFault(
  header: HeaderSector,
  lba: number,
  sectorCount: number,
  sectorSize: number,
): HeaderFault | undefined {
  const { view } = header;
  const signature = GptHeader.Signature.get(view, 0);
  if (signature !== GPT_SIGNATURE) {
    return {
      field: 'Signature',
      found: `0x${signature.toString(16).padStart(16, '0')}`,
      expected: '"EFI PART"',
    };
  }
  const crc = header.computeCrc();
  if (crc === undefined) {
    const found = `${GptHeader.HeaderSize.get(view, 0)}`;
    return { field: 'HeaderSize', found, expected: `${GptHeader.$size} to ${sectorSize}` };
  }
  if (crc !== header.headerCrc) {
    return { field: 'HeaderCRC32', found: hex32(header.headerCrc), expected: hex32(crc) };
  }
  if (header.lba !== lba) return { field: 'MyLBA', found: `${header.lba}`, expected: `${lba}` };
  const { firstUsable, lastUsable, entrySize, tableLba, tableSize } = header;
  if (lastUsable < firstUsable) {
    return {
      field: 'LastUsableLBA',
      found: `${lastUsable}`,
      expected: `at least FirstUsableLBA, ${firstUsable}`,
    };
  }
  if (firstUsable >= sectorCount || lastUsable >= sectorCount) {
    return {
      field: 'LastUsableLBA',
      found: `${Math.max(firstUsable, lastUsable)}`,
      expected: `at most ${sectorCount - 1}, the last sector of the device`,
    };
  }
  if (firstUsable < lba && lba < lastUsable) {
    return {
      field: 'FirstUsableLBA',
      found: `${firstUsable}`,
      expected: `a range without the header's own sector ${lba}`,
    };
  }
  if (entrySize < GptEntry.$size || (entrySize & (entrySize - 1)) !== 0 || entrySize > MAX_ENTRY_SIZE) {
    const expected = `${GptEntry.$size} times a power of two, at most ${MAX_ENTRY_SIZE}`;
    return { field: 'SizeOfPartitionEntry', found: `${entrySize}`, expected };
  }
  if (tableSize === 0 || tableSize > MAX_TABLE_SIZE) {
    return {
      field: 'NumberOfPartitionEntries',
      found: `${header.entryCount}`,
      expected: `1 to ${MAX_TABLE_SIZE / entrySize}`,
    };
  }
  if (tableLba * sectorSize + tableSize > sectorCount * sectorSize) {
    return {
      field: 'PartitionEntryLBA',
      found: `${tableLba}`,
      expected: `a place where ${tableSize} bytes lie on the device of ${sectorCount} sectors`,
    };
  }
  return undefined;
}

export function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** The name in an entry: UTF-16 up to the first 0. Halves of pairs that stand alone stay as they are. */
export function decodeName(field: Uint8Array): string {
  let name = '';
  for (let at = 0; at + 1 < field.length; at += 2) {
    const unit = field[at]! | (field[at + 1]! << 8);
    if (unit === 0) break;
    name += String.fromCharCode(unit);
  }
  return name;
}

/** At most 36 units of UTF-16; what is longer is cut, between characters. */
export function encodeName(name: string): Uint8Array {
  const field = new Uint8Array(72);
  let at = 0;
  for (const character of name) {
    if (at + 2 * character.length > field.length) break;
    for (let i = 0; i < character.length; i++) {
      field[at++] = character.charCodeAt(i) & 0xff;
      field[at++] = character.charCodeAt(i) >> 8;
    }
  }
  return field;
}
