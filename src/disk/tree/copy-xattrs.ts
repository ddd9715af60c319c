import type { CopyPhase } from './copy-content.ts';
import type { CopyListener, CopyLosses } from './copy-options.ts';
import type { TreeSource, TreeTarget } from './tree.ts';

export interface CopyEnds<S, T> {
  readonly source: TreeSource<S>;
  readonly target: TreeTarget<T>;
  readonly phase: CopyPhase;
}

/** Gives the copy the extended attributes of its source. What the target cannot hold at all is counted, what it refuses is told. */
export function copyXattrs<S, T>(
  place: S,
  made: T,
  { source, target, phase }: CopyEnds<S, T>,
  listener: CopyListener,
  losses: CopyLosses,
): void {
  phase.reading = true;
  const xattrs = source.xattrs(place);
  if (xattrs.length === 0) return;
  phase.reading = false;
  if (!target.capabilities.xattrs) {
    losses.xattrs++;
    return;
  }
  for (const { name, value } of xattrs) {
    try {
      target.setXattr(made, name, value);
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error;
      listener.problem(`cannot set the attribute ${name} of the copy of '${source.describe(place)}'`, error);
    }
  }
}
