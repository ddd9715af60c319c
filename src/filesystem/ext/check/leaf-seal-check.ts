import { DIRECTORY_TAIL } from '../checksum.ts';
import { DirectoryEntryHeader, entrySize } from '../directory-block.ts';
import type { ExtCheck } from './context.ts';
import { type EntryArea, hasTail, leafChecksum, lengthAt, setLengthAt } from './directory-blocks.ts';

const HEADER = 8;

/** The checksum at the end of a block of entries. */
export function checkLeafSeal(check: ExtCheck, seed: number, area: EntryArea): void {
  const { bytes, view, directory, position, offset } = area;
  if (!hasTail(view)) {
    area.isChanged = check.ask({
      code: 'ext-directory-no-checksum',
      structure: 'directory block',
      field: 'det_checksum',
      offset: offset + bytes.length - DIRECTORY_TAIL,
      found: 'no checksum',
      expected: 'a checksum at the end of the block',
      meaning: `Block ${position} of directory inode ${directory} has no checksum`,
      text: `Directory inode ${directory}, block #${position}, offset 0: directory has no checksum.\n`,
      question: 'Fix',
      action: 'makes room for it and writes it',
    });
    if (area.isChanged) makeRoomForTail(view);
    return;
  }
  const expected = leafChecksum(seed, bytes);
  const found = view.getUint32(bytes.length - 4, true);
  if (found === expected) return;
  area.isChanged = check.ask({
    code: 'ext-directory-checksum',
    structure: 'directory block',
    field: 'det_checksum',
    offset: offset + bytes.length - 4,
    found: `0x${found.toString(16)}`,
    expected: `0x${expected.toString(16)}`,
    meaning: `Block ${position} of directory inode ${directory} does not have its checksum: a name in it may be wrong`,
    text: `Directory inode ${directory}, block #${position}: directory passes checks but fails checksum.\n`,
    question: 'Fix',
    action: 'writes the checksum',
  });
}

/** Shortens the last entry so that a checksum fits behind it; where its name is in the way, the name is given up. */
function makeRoomForTail(view: DataView): void {
  const end = view.byteLength - DIRECTORY_TAIL;
  for (let at = 0; at < view.byteLength;) {
    const length = lengthAt(view, at, view.byteLength);
    if (length < HEADER) return;
    if (at + length >= view.byteLength) {
      if (at >= end) return;
      const used = entrySize(DirectoryEntryHeader.name_len.get(view, at));
      if (at + used > end) view.setUint32(at, 0, true);
      setLengthAt(view, at, end - at);
      return;
    }
    if (at + length > end) {
      setLengthAt(view, at, end - at);
      return;
    }
    at += length;
  }
}
