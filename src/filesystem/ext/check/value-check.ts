import { encodeUtf8 } from '../../../bytes/utf8.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { Inode, InodeFlag, InodeKind } from '../inode.ts';
import { entryHash, type StoredXattr } from '../xattr-format.ts';
import type { ExtCheck } from './context.ts';

/** What is wrong with an entry whose value is in an inode of its own. */
export interface ValueFault {
  readonly field: 'e_value_inum' | 'e_hash';
  readonly found: string;
  readonly expected: string;
  readonly text: (number: number) => string;
}

/** The entries of inode `parent` that lead to inodes lead to those of values, and have their hash. Undefined: they do. */
export function valueFault(
  check: ExtCheck,
  parent: number,
  entries: readonly StoredXattr[],
): ValueFault | undefined {
  const { firstInode, inodeCount } = check.geometry;
  for (const { valueInode, name, hash } of entries) {
    if (valueInode === 0) continue;
    const holder =
      valueInode >= firstInode && valueInode <= inodeCount ? check.readInode(valueInode) : undefined;
    if (holder === undefined || !isHolder(check, parent, valueInode, holder, name, hash))
      return {
        field: 'e_value_inum',
        found: `${valueInode}`,
        expected: 'an inode that holds a value',
        text: (number) => `Inode ${number} has illegal extended attribute value inode ${valueInode}.\n`,
      };
    const expected = hashOf(name, Inode.i_atime.get(holder, 0));
    if (expected === hash || !isAscii(name)) continue;
    return {
      field: 'e_hash',
      found: `${hash}`,
      expected: `${expected}`,
      text: (number) => `Extended attribute in inode ${number} has a hash (${hash}) which is invalid\n`,
    };
  }
  return undefined;
}

/** Counts one use of each value that is elsewhere. */
export function countValues(check: ExtCheck, entries: readonly StoredXattr[]): void {
  for (const { valueInode } of entries) {
    if (valueInode !== 0) check.valueUses.set(valueInode, (check.valueUses.get(valueInode) ?? 0) + 1);
  }
}

/** Blocks that `i_blocks` of an inode counts for its values elsewhere, whoever shares them. */
export function chargeOf(check: ExtCheck, entries: readonly StoredXattr[]): number {
  const { blockSize, blocksPerCluster } = check.geometry;
  let clusters = 0;
  for (const { valueInode, size } of entries)
    if (valueInode !== 0) clusters += Math.ceil(size / (blockSize * blocksPerCluster));
  return clusters * blocksPerCluster;
}

/** A value counts the entries that lead to it: 64 bits, the high half in `i_ctime`. Returns false when there is none. */
export function checkValueUses(check: ExtCheck, number: number, inode: DataView): boolean {
  const uses = check.valueUses.get(number);
  if (uses === undefined) return false;
  const found = Inode.i_version.get(inode, 0) + Inode.i_ctime.get(inode, 0) * 0x1_0000_0000;
  if (found !== uses) {
    const isMended = check.ask({
      code: 'ext-value-uses',
      severity: 'warning',
      structure: 'inode',
      field: 'i_version',
      offset: check.inodeOffset(number) + Inode.i_version.offset,
      found: `${found}`,
      expected: `${uses}`,
      meaning: `Inode ${number} holds the value of ${uses} extended attributes, and counts ${found}`,
      text: `Extended attribute inode ${number} ref count is ${found}, should be ${uses}. `,
      question: 'Fix',
      action: `writes ${uses}`,
      safe: true,
    });
    if (isMended) {
      Inode.i_version.set(inode, 0, uses);
      Inode.i_ctime.set(inode, 0, 0);
      check.writeInode(number, inode);
    }
  }
  return true;
}

/** Says its flag that it holds a value? Where only that is missing, it can be put back. */
function isHolder(
  check: ExtCheck,
  parent: number,
  number: number,
  inode: DataView,
  name: string,
  hash: number,
): boolean {
  if (Inode.i_links_count.get(inode, 0) === 0) return false;
  const flags = Inode.i_flags.get(inode, 0);
  if ((flags & InodeFlag.eaInode) !== 0) return true;
  if ((Inode.i_mode.get(inode, 0) & 0xf000) !== InodeKind.file) return false;
  if (hashOf(name, Inode.i_atime.get(inode, 0)) !== hash) return false;
  const isMended = check.ask({
    code: 'ext-value-flag',
    severity: 'warning',
    structure: 'inode',
    field: 'i_flags',
    offset: check.inodeOffset(number) + Inode.i_flags.offset,
    found: 'no EA_INODE_FL',
    expected: 'EA_INODE_FL',
    meaning: `Inode ${number} holds the value of an extended attribute of inode ${parent}, and does not say so`,
    text: `EA inode ${number} for parent inode ${parent} missing EA_INODE flag.\n `,
    question: 'Fix',
    action: 'sets the flag',
    safe: true,
  });
  if (!isMended) return false;
  Inode.i_flags.set(inode, 0, flags | InodeFlag.eaInode);
  check.writeInode(number, inode);
  return true;
}

/** Of the name and the value's checksum, which its inode holds. */
function hashOf(name: string, checksum: number): number {
  const word = new Uint8Array(4);
  viewOf(word).setUint32(0, checksum, true);
  return entryHash(encodeUtf8(name), word);
}

/** Of other names, kernels have had two hashes. */
function isAscii(name: string): boolean {
  return !/[^\0-\x7f]/.test(name);
}
