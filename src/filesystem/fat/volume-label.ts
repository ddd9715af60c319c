import { viewOf } from '../../bytes/struct.ts';
import { readBytes } from '../../device/block-device.ts';
import { FsError } from '../../errors.ts';
import { DosAttribute } from '../file-system.ts';
import { writeTimes } from './attributes.ts';
import { BootSector, ExtendedBpb16, ExtendedBpb32 } from './boot-sector.ts';
import type { CodePage } from './code-page.ts';
import { DELETED, ESCAPED_E5, SLOT_SIZE, ShortEntry } from './directory-entry.ts';
import type { FatVolume } from './volume.ts';

const LABEL_LENGTH = 11;
/** What the boot sector says when there is no label. */
const NO_LABEL = 'NO NAME    ';
/** Characters that fatlabel and Windows refuse. */
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f"*+,./:;<=>?[\\\]|]/;

/** The label of the root directory, else that of the boot sector; empty when there is none. */
export function readLabel(volume: FatVolume): string {
  const { codePage } = volume.options;
  const root = volume.directoryOf(volume.root, 'open');
  const slot = root.findLabel();
  if (slot !== undefined) {
    const raw = ShortEntry.DIR_Name.get(root.view, slot * SLOT_SIZE).slice();
    if (raw[0] === ESCAPED_E5) raw[0] = DELETED;
    return decode(raw, codePage);
  }
  const { view, extended } = bootSectorOf(volume);
  if (extended.BS_BootSig.get(view, 0) !== 0x29) return '';
  const { offset } = extended.BS_VolLab;
  const label = decode(new Uint8Array(view.buffer, offset, LABEL_LENGTH), codePage);
  return label === NO_LABEL.trimEnd() ? '' : label;
}

/** Writes the label to the root directory and to the boot sector with its copy; an empty one removes it. */
export function writeLabel(volume: FatVolume, label: string): void {
  const raw = encode(label, volume.options.codePage);
  const root = volume.directoryOf(volume.root, 'open');
  const former = root.findLabel();
  if (label === '') {
    if (former !== undefined) root.vacate(former, 1);
  } else {
    const entry = new Uint8Array(SLOT_SIZE);
    entry.set(raw);
    if (entry[0] === DELETED) entry[0] = ESCAPED_E5;
    ShortEntry.DIR_Attr.set(viewOf(entry), 0, DosAttribute.volumeId);
    writeTimes(viewOf(entry), 0, { mtime: volume.now() }, volume.options.utcOffsetMinutes);
    root.occupy(former ?? volume.reserveSlots(root, 1, 'setlabel'), entry);
  }
  volume.writeBack.changed();
  volume.writeBack.commit();
  writeBootSectors(volume, label === '' ? encode(NO_LABEL, volume.options.codePage) : raw);
}

function writeBootSectors(volume: FatVolume, raw: Uint8Array): void {
  const { view, extended } = bootSectorOf(volume);
  if (extended.BS_BootSig.get(view, 0) !== 0x29) return;
  const { offset } = extended.BS_VolLab;
  volume.device.write(offset, raw);
  const { backupOffset } = volume.geometry;
  if (backupOffset === undefined) return;
  // What is there may be no copy.
  const copy = viewOf(readBytes(volume.device, backupOffset, BootSector.$size));
  if (BootSector.Signature_word.get(copy, 0) !== 0xaa55) return;
  volume.device.write(backupOffset + offset, raw);
}

function bootSectorOf(volume: FatVolume): {
  view: DataView;
  extended: typeof ExtendedBpb16 | typeof ExtendedBpb32;
} {
  return {
    view: viewOf(readBytes(volume.device, 0, BootSector.$size)),
    extended: volume.geometry.type === 'fat32' ? ExtendedBpb32 : ExtendedBpb16,
  };
}

function decode(raw: Uint8Array, codePage: CodePage): string {
  let text = '';
  for (const byte of raw) {
    if (byte === 0) break;
    text += codePage.decode(byte);
  }
  return text.replace(/ +$/, '');
}

function encode(label: string, codePage: CodePage): Uint8Array {
  const details = { syscall: 'setlabel', path: label };
  if (label.length > LABEL_LENGTH) {
    throw new FsError('ENAMETOOLONG', {
      ...details,
      detail: `the label has ${label.length} characters, FAT allows ${LABEL_LENGTH}`,
    });
  }
  const raw = new Uint8Array(LABEL_LENGTH).fill(0x20);
  for (let i = 0; i < label.length; i++) {
    const byte = codePage.encode(label[i]!);
    if (byte === undefined || FORBIDDEN.test(label[i]!)) {
      throw new FsError('EINVAL', { ...details, detail: `FAT allows no "${label[i]!}" in a label` });
    }
    raw[i] = byte;
  }
  if (label.startsWith(' ')) {
    throw new FsError('EINVAL', { ...details, detail: 'FAT allows no space at the start of a label' });
  }
  return raw;
}
