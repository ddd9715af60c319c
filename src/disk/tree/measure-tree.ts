import { isOwnError } from '../../errors.ts';
import type { FileIdentity, TreeSource } from './tree.ts';

/** What a tree takes where it is copied to. */
export interface TreeSize {
  /** Bytes of content, for a progress bar. */
  bytes: number;
  /** Allocation units at least: a target needs some more for its own books. */
  blocks: number;
  /** Inodes. */
  nodes: number;
}

export interface MeasureOptions {
  /** Allocation unit of the target, bytes. */
  readonly blockSize: number;
  /** The target leaves holes where the source has them. */
  readonly holes: boolean;
  readonly followAll: boolean;
  /** Called once, as soon as many nodes are known of: what is going to be used can be made ready. */
  readonly known?: (nodes: number) => void;
}

/** What is many. */
const MANY_NODES = 256;

/** Adds up what the tree at `place` takes. What cannot be read counts nothing; copying it will say why. */
export function measureTree<P>(
  source: TreeSource<P>,
  place: P,
  options: MeasureOptions,
  size: TreeSize,
): void {
  measure(source, place, options, size, new Set());
}

function measure<P>(
  source: TreeSource<P>,
  place: P,
  options: MeasureOptions,
  size: TreeSize,
  counted: Set<FileIdentity>,
): void {
  try {
    let from = place;
    let attributes = source.attributes(from);
    if (attributes.kind === 'symlink' && options.followAll) {
      from = source.follow(from);
      attributes = source.attributes(from);
    }
    const { kind, identity } = attributes;
    if (attributes.linkCount > 1 || kind === 'directory') {
      if (counted.has(identity)) return;
      counted.add(identity);
    }
    size.nodes++;
    if (size.nodes === MANY_NODES) options.known?.(size.nodes);
    if (kind === 'file') {
      const bytes = options.holes ? Math.min(attributes.size, attributes.allocated) : attributes.size;
      size.bytes += attributes.size;
      size.blocks += Math.ceil((attributes.sparse ? bytes : attributes.size) / options.blockSize);
    } else if (kind === 'directory') {
      size.blocks++;
      for (const child of source.children(from)) measure(source, child.place, options, size, counted);
    }
  } catch (error) {
    if (!isOwnError(error) && !(error instanceof Error && 'syscall' in error)) throw error;
  }
}
