import { viewOf } from '../../../bytes/struct.ts';
import { attributeBlockChecksum } from '../checksum.ts';
import { Inode } from '../inode.ts';
import { parseXattrs, XATTR_MAGIC, XattrEntry, XattrHeader } from '../xattr-format.ts';
import type { ExtCheck } from './context.ts';
import { chargeOf, countValues, valueFault } from './value-check.ts';

/** What a place for attributes comes to. */
export interface AttributeTally {
  /** The inode is to lose them. */
  readonly isRemoved: boolean;
  /** Blocks that their inode is charged for values that are elsewhere. */
  readonly charge: number;
  /** How many values those are. */
  readonly values: number;
}

const NOTHING: AttributeTally = { isRemoved: false, charge: 0, values: 0 };
const REMOVED: AttributeTally = { isRemoved: true, charge: 0, values: 0 };

/** The attributes in the inode itself, behind its extra fields: they are taken out of `view` where they are to go. */
export function checkInodeAttributes(
  check: ExtCheck,
  number: number,
  view: DataView,
  base: number,
): AttributeTally {
  const { inodeSize } = check.geometry;
  if (inodeSize <= 128) return NOTHING;
  const extra = Inode.i_extra_isize.get(view, base);
  const start = 128 + extra;
  if (start + 8 > inodeSize) return NOTHING;
  if (view.getUint32(base + start, true) !== XATTR_MAGIC) return NOTHING;
  const region = new Uint8Array(view.buffer, view.byteOffset + base + start + 4, inodeSize - start - 4);
  const fault = faultOf(region, 0, 0) ?? faultOfValues(check, number, region, 0);
  if (fault === undefined) return tallyOf(check, region, 0);
  const isMended = check.ask({
    code: 'ext-attributes',
    structure: 'ext4_xattr_entry',
    field: fault.field,
    offset: check.inodeOffset(number) + start,
    found: fault.found,
    expected: fault.expected,
    meaning: `The extended attributes in inode ${number} cannot be read: ${fault.field} is ${fault.found}`,
    text: fault.wholeText ?? `Extended attribute in inode ${number} has a value ${fault.text}\n`,
    question: 'Clear',
    action: 'removes them',
  });
  if (!isMended) return NOTHING;
  region.fill(0);
  view.setUint32(base + start, 0, true);
  return REMOVED;
}

function tallyOf(check: ExtCheck, region: Uint8Array, start: number): AttributeTally {
  const entries = parseXattrs(region, start, 0);
  if ('field' in entries) return NOTHING;
  countValues(check, entries);
  const charge = chargeOf(check, entries);
  const values = entries.filter(({ valueInode }) => valueInode !== 0).length;
  return values === 0 ? NOTHING : { isRemoved: false, charge, values };
}

/** The block of attributes, which inodes may share. */
export function checkAttributeBlock(check: ExtCheck, number: number, block: number): AttributeTally {
  const uses = check.attributeUses.get(block);
  if (uses !== undefined) {
    check.attributeUses.set(block, uses + 1);
    return check.attributeCharges.get(block) ?? NOTHING;
  }
  if (isBlockGivenUp(check, number, block)) return REMOVED;
  if (!check.attributeUses.has(block)) return NOTHING;
  const bytes = new Uint8Array(check.geometry.blockSize);
  check.readBlock(block, bytes);
  const tally = tallyOf(check, bytes, XattrHeader.$size);
  if (tally.values > 0) check.attributeCharges.set(block, tally);
  return tally;
}

/** Checks a block that no inode before has had. */
function isBlockGivenUp(check: ExtCheck, number: number, block: number): boolean {
  const { geometry } = check;
  if (!check.isDataBlock(block)) {
    return check.ask({
      code: 'ext-attribute-block',
      structure: 'inode',
      field: 'i_file_acl_lo',
      offset: check.inodeOffset(number) + Inode.i_file_acl_lo.offset,
      found: `${block}`,
      expected: `0, or a block below ${geometry.blockCount}`,
      meaning: `The extended attributes of inode ${number} should lie in block ${block}, and blocks go up to ${geometry.blockCount - 1}`,
      text: `Inode ${number} has a bad extended attribute block ${block}.  `,
      question: 'Clear',
      action: 'takes its attributes from it',
    });
  }
  const bytes = new Uint8Array(geometry.blockSize);
  check.readBlock(block, bytes);
  const view = viewOf(bytes);
  const where = { structure: 'ext4_xattr_header', offset: block * geometry.blockSize } as const;
  if (XattrHeader.h_magic.get(view, 0) !== XATTR_MAGIC || XattrHeader.h_blocks.get(view, 0) !== 1) {
    return check.ask({
      ...where,
      code: 'ext-attribute-block',
      field: 'h_magic',
      found: `0x${XattrHeader.h_magic.get(view, 0).toString(16)}`,
      expected: '0xea020000',
      meaning: `Block ${block} should hold the extended attributes of inode ${number}, and does not`,
      text: `Extended attribute block ${block} for inode ${number} is corrupt (bad magic).  `,
      question: 'Clear',
      action: 'takes its attributes from the inode',
    });
  }
  check.claim(block);
  check.attributeUses.set(block, 1);
  const fault =
    faultOf(bytes, XattrHeader.$size, 0) ?? faultOfValues(check, number, bytes, XattrHeader.$size);
  if (fault !== undefined) {
    return check.ask({
      ...where,
      code: 'ext-attribute-block',
      field: fault.field,
      found: fault.found,
      expected: fault.expected,
      meaning: `The extended attributes of inode ${number} in block ${block} cannot be read: ${fault.field} is ${fault.found}`,
      text: fault.wholeText ?? `Extended attribute block ${block} is corrupt (${fault.text}).  `,
      question: 'Clear',
      action: 'takes its attributes from the inode',
    });
  }
  if (check.seed === undefined) return false;
  const expected = attributeBlockChecksum(check.seed, block, bytes);
  const found = XattrHeader.h_checksum.get(view, 0);
  if (found === expected) return false;
  const isMended = check.ask({
    ...where,
    code: 'ext-attribute-checksum',
    field: 'h_checksum',
    found: `0x${found.toString(16)}`,
    expected: `0x${expected.toString(16)}`,
    meaning: `Block ${block}, the extended attributes of inode ${number}, does not have its checksum`,
    text: `Inode ${number} extended attribute block ${block} passes checks, but checksum does not match block.  `,
    question: 'Fix',
    action: 'writes the checksum',
  });
  if (isMended) {
    XattrHeader.h_checksum.set(view, 0, expected);
    check.writeBlock(block, bytes);
  }
  return false;
}

/** Shared attribute blocks know how many inodes they have. */
export function checkAttributeUses(check: ExtCheck): void {
  for (const [block, uses] of check.attributeUses) {
    const bytes = new Uint8Array(check.geometry.blockSize);
    check.readBlock(block, bytes);
    const view = viewOf(bytes);
    const found = XattrHeader.h_refcount.get(view, 0);
    if (found === uses) continue;
    const isMended = check.ask({
      code: 'ext-attribute-uses',
      structure: 'ext4_xattr_header',
      field: 'h_refcount',
      offset: block * check.geometry.blockSize + 4,
      found: `${found}`,
      expected: `${uses}`,
      meaning: `The attribute block ${block} should be shared by ${found} inodes, and is by ${uses}`,
      text: `Extended attribute block ${block} has reference count ${found}, should be ${uses}.  `,
      question: 'Fix',
      action: `writes ${uses}`,
      safe: true,
    });
    if (!isMended) continue;
    XattrHeader.h_refcount.set(view, 0, uses);
    if (check.seed !== undefined)
      XattrHeader.h_checksum.set(view, 0, attributeBlockChecksum(check.seed, block, bytes));
    check.writeBlock(block, bytes);
  }
}

/** Is something wrong with attributes that begin with their first entry, or are values of them elsewhere? */
export function areAttributesPeculiar(region: Uint8Array): boolean {
  if (faultOf(region, 0, 0) !== undefined) return true;
  const entries = parseXattrs(region, 0, 0);
  return 'field' in entries || entries.some(({ valueInode }) => valueInode !== 0);
}

interface AttributeFault {
  readonly field: string;
  readonly found: string;
  readonly expected: string;
  readonly text: string;
  /** The reference tool's words where they are the same for an inode and a block. */
  readonly wholeText?: string;
}

function faultOfValues(
  check: ExtCheck,
  number: number,
  region: Uint8Array,
  start: number,
): AttributeFault | undefined {
  const entries = parseXattrs(region, start, 0);
  const fault = 'field' in entries ? undefined : valueFault(check, number, entries);
  return fault === undefined ? undefined : { ...fault, text: '', wholeText: fault.text(number) };
}

function faultOf(region: Uint8Array, start: number, origin: number): AttributeFault | undefined {
  const parsed = parseXattrs(region, start, origin);
  if ('field' in parsed) return { ...parsed, text: 'which is invalid' };
  // Values do not lie among the entries.
  const view = viewOf(region);
  let end = start;
  while (view.getUint32(end, true) !== 0) end += (16 + XattrEntry.e_name_len.get(view, end) + 3) & ~3;
  for (let at = start; at < end; at += (16 + XattrEntry.e_name_len.get(view, at) + 3) & ~3) {
    const offset = XattrEntry.e_value_offs.get(view, at);
    const size = XattrEntry.e_value_size.get(view, at);
    if (XattrEntry.e_value_inum.get(view, at) !== 0 || size === 0) continue;
    if (origin + offset < end)
      return {
        field: 'e_value_offs',
        found: `${offset}`,
        expected: `at least ${end - origin}`,
        text: 'offset that is invalid',
      };
  }
  return undefined;
}
