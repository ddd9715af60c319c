import { viewOf } from '../../../bytes/struct.ts';
import { CorruptImageError, UnsupportedError } from '../../../errors.ts';
import { entryLength } from '../directory-block.ts';
import { INLINE_HEAD } from '../inline-data.ts';
import { Inode } from '../inode.ts';
import { parseXattrs, XATTR_MAGIC, XattrIndex } from '../xattr-format.ts';

/** Fields of an inode before `i_extra_isize`, bytes. */
const OLD_SIZE = 128;

/** Where the inode of a directory with inline data names inodes: byte offsets within it, and what is there. */
export function inlineReferences(
  number: number,
  record: Uint8Array,
): { readonly at: number; readonly number: number }[] {
  const view = viewOf(record);
  const head = Inode.i_block.offset;
  // In place of `.` and `..`, the parent alone.
  const found = [{ at: head, number: view.getUint32(head, true) }];
  addEntries(head + 4, head + INLINE_HEAD);
  const size = Inode.i_size_lo.get(view, 0);
  if (size > INLINE_HEAD) {
    const rest = restOf(number, record)?.subarray(0, size - INLINE_HEAD);
    const start = rest === undefined ? 0 : rest.byteOffset - record.byteOffset;
    if (rest !== undefined) addEntries(start, start + rest.length);
  }
  return found;

  function addEntries(start: number, end: number): void {
    for (let at = start; at + 8 <= end;) {
      const length = entryLength(view, at, end);
      if (length < 8 || at + length > end) {
        throw new CorruptImageError({
          structure: `inode ${number}`,
          field: 'rec_len of an entry in it',
          found: `${length}`,
          expected: `8 to ${end - at}`,
        });
      }
      found.push({ at, number: view.getUint32(at, true) });
      at += length;
    }
  }
}

/** What of the content follows the first bytes: the value of the attribute `system.data`, in place. Undefined where there is none: zeros. */
function restOf(number: number, record: Uint8Array): Uint8Array | undefined {
  const view = viewOf(record);
  const start = OLD_SIZE + (record.length > OLD_SIZE ? Inode.i_extra_isize.get(view, 0) : 0);
  if (start + 8 <= record.length && view.getUint32(start, true) === XATTR_MAGIC) {
    const parsed = parseXattrs(record.subarray(start), 4, 4);
    const list = Array.isArray(parsed) ? parsed : [];
    const data = list.find(({ index, name }) => index === XattrIndex.system && name === 'data');
    if (data !== undefined) return data.value;
  }
  const hasBlock = Inode.i_file_acl_lo.get(view, 0) !== 0 || Inode.i_file_acl_high.get(view, 0) !== 0;
  if (!hasBlock) return undefined;
  throw new UnsupportedError(
    `Inodes would have to move, and directory ${number} keeps their numbers outside of its inode: that is not supported`,
    ['inline_data'],
  );
}
