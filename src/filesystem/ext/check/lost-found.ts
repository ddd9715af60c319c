import { viewOf } from '../../../bytes/struct.ts';
import { encodeUtf8 } from '../../../bytes/utf8.ts';
import { DIRECTORY_TAIL } from '../checksum.ts';
import { insertEntry } from '../directory-block.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { IncompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { directorySeed, hasTail, lengthAt, writeTail } from './directory-blocks.ts';

/** Where files without a name get one: `/lost+found`, or the root directory where that is missing or full. */
export class LostAndFound {
  readonly #check: ExtCheck;
  #directory: number | undefined;

  constructor(check: ExtCheck) {
    this.#check = check;
  }

  /** Gives the inode the name `#NUMBER`; the directory that has it now, or undefined when there is no room. */
  connect(inode: number): number | undefined {
    const found = this.#find();
    for (const directory of found === ReservedInode.root ? [found] : [found, ReservedInode.root]) {
      if (directory !== inode && this.#insert(directory, inode)) return directory;
    }
    return undefined;
  }

  /** Its inode. */
  get directory(): number {
    return this.#find();
  }

  #find(): number {
    if (this.#directory !== undefined) return this.#directory;
    this.#directory = ReservedInode.root;
    const wanted = encodeUtf8('lost+found');
    this.#eachBlock(ReservedInode.root, (bytes) => {
      const view = viewOf(bytes);
      for (let at = 0; at + 8 <= bytes.length;) {
        const length = lengthAt(view, at, bytes.length);
        if (length < 12 || at + length > bytes.length) break;
        const inode = view.getUint32(at, true);
        const name = bytes.subarray(at + 8, at + 8 + view.getUint8(at + 6));
        if (inode !== 0 && isSame(name, wanted) && this.#check.directories.get(inode))
          this.#directory = inode;
        at += length;
      }
      return false;
    });
    return this.#directory;
  }

  #insert(directory: number, inode: number): boolean {
    const check = this.#check;
    const holder = check.readInode(directory);
    if ((Inode.i_flags.get(holder, 0) & InodeFlag.inlineData) !== 0) return false;
    const name = encodeUtf8(`#${inode}`);
    const hasTypes = (check.words.incompatible & IncompatibleFeature.filetype) !== 0;
    const isDone = this.#eachBlock(directory, (bytes, block) => {
      const view = viewOf(bytes);
      const end = check.seed !== undefined && hasTail(view) ? bytes.length - DIRECTORY_TAIL : bytes.length;
      if (check.seed !== undefined && end === bytes.length) return false;
      if (!isWhole(view, end)) return false;
      const type = hasTypes ? check.types.get(inode) : 0;
      const part = new DataView(view.buffer, view.byteOffset, end);
      if (insertEntry(part, end, name, inode, type) < 0) return false;
      if (check.seed !== undefined) writeTail(directorySeed(check, directory), bytes);
      check.writeBlock(block, bytes);
      return true;
    });
    if (!isDone) return false;
    const flags = Inode.i_flags.get(holder, 0);
    if ((flags & InodeFlag.index) !== 0) {
      Inode.i_flags.set(holder, 0, flags & ~InodeFlag.index);
      check.writeInode(directory, holder);
    }
    return true;
  }

  /** Until `visit` returns true, which is what this returns. */
  #eachBlock(directory: number, visit: (bytes: Uint8Array, block: number) => boolean): boolean {
    for (const block of this.#check.directoryBlocks.blocksOf(directory)) {
      const bytes = new Uint8Array(this.#check.geometry.blockSize);
      this.#check.readBlock(block, bytes);
      if (visit(bytes, block)) return true;
    }
    return false;
  }
}

function isWhole(view: DataView, end: number): boolean {
  let at = 0;
  while (at + 8 <= end) {
    const length = lengthAt(view, at, view.byteLength);
    if (length < 12 || length % 4 !== 0) return false;
    at += length;
  }
  return at === end;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
