import { isZero } from '../../bytes/is-zero.ts';
import type { TreeAttributes, TreeSource, TreeTarget } from './tree.ts';

/** Only of the open files: where they lie is of no interest here. */
type OpenSource = Pick<TreeSource<unknown>, 'readFile' | 'fileExtents'>;
type OpenTarget = Pick<TreeTarget<unknown>, 'writeFile'>;

/** Blocks of zeros of this size are left out of a copy where the source cannot tell its holes. */
const ZERO_BLOCK = 4096;

/** Whose fault is an error that comes up now? */
export interface CopyPhase {
  reading: boolean;
  /** The source's file went on where it should have ended. */
  grew: boolean;
}

export interface ContentCopy {
  readonly source: OpenSource;
  readonly target: OpenTarget;
  /** One for all files. */
  readonly buffer: Uint8Array;
  readonly phase: CopyPhase;
  readonly progress: ((bytes: number) => void) | undefined;
}

/** Copies the content of the source's open file to the target's; returns the size that the copy has to have. */
export function copyContent(copy: ContentCopy, attributes: TreeAttributes): number {
  const extents = attributes.sparse ? copy.source.fileExtents(attributes) : undefined;
  const { size } = attributes;
  if (extents === undefined) return copyRange(copy, { offset: 0, end: size, size }, attributes.sparse);
  for (const { kind, offset, length } of extents) {
    if (kind === 'data') copyRange(copy, { offset, end: offset + length, size }, false);
    else copy.progress?.(length);
  }
  return size;
}

/** [offset, end) of a file of `size` bytes. */
interface ContentRange {
  readonly offset: number;
  readonly end: number;
  readonly size: number;
}

/** Copies the range or what there is of it; returns where it ended. With `findHoles`, blocks of zeros are left out. */
function copyRange(copy: ContentCopy, { offset, end, size }: ContentRange, findHoles: boolean): number {
  const { source, target, buffer, phase, progress } = copy;
  // Files of /proc say that they are empty and are not.
  const unknown = end === 0;
  let at = offset;
  while (at < end || unknown) {
    phase.reading = true;
    // At the end of the file one more than there should be, to see that there is no more.
    const wanted = unknown ? buffer.length : Math.min(buffer.length, end - at + (end === size ? 1 : 0));
    const found = source.readFile(at, wanted === buffer.length ? buffer : buffer.subarray(0, wanted));
    const count = unknown ? found : Math.min(found, end - at);
    if (count === 0) break;
    if (found > count) phase.grew = true;
    phase.reading = false;
    if (findHoles) writeWithoutZeros(copy, at, count);
    else target.writeFile(at, count === buffer.length ? buffer : buffer.subarray(0, count));
    at += count;
    progress?.(count);
  }
  return at;
}

function writeWithoutZeros({ target, buffer }: ContentCopy, offset: number, count: number): void {
  let start = 0;
  for (let at = 0; at < count; at += ZERO_BLOCK) {
    const end = Math.min(at + ZERO_BLOCK, count);
    if (!isZero(buffer.subarray(at, end))) continue;
    if (at > start) target.writeFile(offset + start, buffer.subarray(start, at));
    start = end;
  }
  if (count > start) target.writeFile(offset + start, buffer.subarray(start, count));
}
