import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { ReadOnlyCompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import type { BlockTally } from './block-tally.ts';

/** The kernel writes whole pages: a size may end before blocks in the last of them. */
const PAGE = 4096;
/** Reserved inodes of which the size means something. */
const SIZED: ReadonlySet<number> = new Set([ReservedInode.root, ReservedInode.resize, ReservedInode.journal]);

/** What an inode says of its size and its blocks, against those that it has. */
export class InodeSizes {
  readonly #check: ExtCheck;
  readonly #firstInode: number;
  readonly #hasHugeFiles: boolean;
  /** Bytes that a map of pointers can lead to. */
  readonly #maxMapped: number;

  constructor(check: ExtCheck) {
    const { geometry, words } = check;
    this.#check = check;
    this.#firstInode = geometry.firstInode;
    this.#hasHugeFiles = (words.readOnlyCompatible & ReadOnlyCompatibleFeature.huge_file) !== 0;
    const perBlock = geometry.blockSize / 4;
    this.#maxMapped = (12 + perBlock + perBlock ** 2 + perBlock ** 3) * geometry.blockSize;
  }

  checkSize(
    number: number,
    type: number,
    view: DataView,
    base: number,
    flags: number,
    tally: BlockTally | undefined,
    inlineSize?: number,
  ): boolean {
    const check = this.#check;
    const { blockSize } = check.geometry;
    const size = Inode.i_size_lo.get(view, base) + Inode.i_size_high.get(view, base) * 0x1_0000_0000;
    if (type === 1 && size >= 0x8000_0000) check.statistics.largeFiles++;
    if (type >= 3 && type <= 6 && size !== 0) return this.#checkSpecialSize(number, view, base, size);
    if (inlineSize !== undefined && type === 2) {
      return size !== inlineSize && this.#reportSize(number, view, base, size, inlineSize);
    }
    if (tally === undefined) return false;
    if (number < this.#firstInode && !SIZED.has(number) && !check.quota.isFile(number)) return false;
    const after = (tally.last + 1) * blockSize;
    let isWrong: boolean;
    if (type === 2) isWrong = size !== after;
    else if (type === 7) return false;
    else {
      const perPage = Math.max(1, PAGE / blockSize);
      const last = tally.lastWritten;
      const pageStart = Math.floor(last / perPage) * perPage;
      isWrong =
        last >= 0 &&
        size < last * blockSize &&
        (pageStart !== last || size < pageStart * blockSize) &&
        (flags & InodeFlag.verity) === 0;
      if ((flags & InodeFlag.extents) === 0) isWrong ||= size > this.#maxMapped;
      else isWrong ||= size > 0x1_0000_0000 * blockSize;
    }
    return isWrong && this.#reportSize(number, view, base, size, after);
  }

  #reportSize(number: number, view: DataView, base: number, size: number, after: number): boolean {
    const check = this.#check;
    const isMended = check.ask({
      code: 'ext-size',
      structure: 'inode',
      field: 'i_size_lo',
      offset: check.inodeOffset(number) + Inode.i_size_lo.offset,
      found: `${size}`,
      expected: `${after}`,
      meaning: `Inode ${number} has ${size} bytes by its size, and ${after} by its blocks`,
      text: `Inode ${number}, i_size is ${size}, should be ${after}.  `,
      question: 'Fix',
      action: `writes ${after}`,
      safe: true,
    });
    if (!isMended) return false;
    Inode.i_size_lo.set(view, base, after % 0x1_0000_0000);
    Inode.i_size_high.set(view, base, Math.floor(after / 0x1_0000_0000));
    return true;
  }

  #checkSpecialSize(number: number, view: DataView, base: number, size: number): boolean {
    const isMended = this.#check.ask({
      code: 'ext-special-size',
      severity: 'warning',
      structure: 'inode',
      field: 'i_size_lo',
      offset: this.#check.inodeOffset(number) + Inode.i_size_lo.offset,
      found: `${size}`,
      expected: '0',
      meaning: `Inode ${number} is a device, a socket or a FIFO with a size of ${size} bytes`,
      text: `Special (device/socket/fifo) inode ${number} has non-zero size.  `,
      question: 'Fix',
      action: 'writes 0',
      safe: true,
    });
    if (!isMended) return false;
    Inode.i_size_lo.set(view, base, 0);
    Inode.i_size_high.set(view, base, 0);
    return true;
  }

  checkBlockCount(number: number, view: DataView, base: number, flags: number, blocks: number): boolean {
    const check = this.#check;
    const isHuge = this.#hasHugeFiles && (flags & InodeFlag.hugeFile) !== 0;
    const found =
      Inode.i_blocks_lo.get(view, base) +
      (this.#hasHugeFiles ? Inode.i_blocks_high.get(view, base) * 0x1_0000_0000 : 0);
    const expected = isHuge ? blocks : blocks * check.geometry.sectorsPerBlock;
    if (found === expected) return false;
    const isMended = check.ask({
      code: 'ext-block-count',
      severity: 'warning',
      structure: 'inode',
      field: 'i_blocks_lo',
      offset: check.inodeOffset(number) + Inode.i_blocks_lo.offset,
      found: `${found}`,
      expected: `${expected}`,
      meaning: `Inode ${number} counts ${found} sectors of 512 bytes, and has ${expected}`,
      text: `Inode ${number}, i_blocks is ${found}, should be ${expected}.  `,
      question: 'Fix',
      action: `writes ${expected}`,
      safe: true,
    });
    if (!isMended) return false;
    Inode.i_blocks_lo.set(view, base, expected % 0x1_0000_0000);
    if (this.#hasHugeFiles) Inode.i_blocks_high.set(view, base, Math.floor(expected / 0x1_0000_0000));
    return true;
  }
}
