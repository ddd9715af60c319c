import type { Timestamp } from '../../bytes/time.ts';
import type { CreateOptions } from '../../filesystem/file-system.ts';
import type { FileIdentity, TreeAttributes, TreeCapabilities } from './tree.ts';

export interface CopyOptions {
  readonly recursive: boolean;
  /** Symlinks of the source that are copied as what is behind them. */
  readonly follow: 'none' | 'operands' | 'all';
  /** Modes as they are, with setuid, setgid and sticky; otherwise without these and less `umask`. */
  readonly keepMode: boolean;
  readonly umask: number;
  readonly keepTimes: boolean;
  /** All times are this one. */
  readonly time?: Timestamp;
  readonly keepOwner: boolean;
  readonly keepXattrs: boolean;
  /** Instead of the owner of the source. */
  readonly uid?: number;
  readonly gid?: number;
  /** Directories that are there already get the attributes of those of the source, too. */
  readonly updateDirectories: boolean;
  /** What is there stays. */
  readonly noClobber: boolean;
  /** Removes what cannot be overwritten, and tries again. */
  readonly force: boolean;
  /** Files of the source that are never copied, and of the target that are never overwritten: the images themselves. */
  readonly excluded?: ReadonlySet<FileIdentity>;
}

/** What the engine tells of its work while it works. */
export interface CopyListener {
  /** Something was not copied; the rest goes on. `what`: `cannot create directory 'x'`. */
  problem(what: string, error: unknown): void;
  copied?(from: string, to: string): void;
  /** So many more bytes of content are done. */
  progress?(bytes: number): void;
}

/** How many things the target could not hold although their content was copied. */
export interface CopyLosses {
  hardLinks: number;
  xattrs: number;
  owners: number;
}

/** What a copy is made with; the engine takes out of it what has to stay. */
export type WantedNode = { -readonly [K in keyof CreateOptions]: CreateOptions[K] };

/** What the copy of a file shall be, as far as the target can hold it; counts what it cannot. */
export function wantedNode(
  attributes: TreeAttributes,
  options: CopyOptions,
  source: TreeCapabilities,
  target: TreeCapabilities,
  losses: CopyLosses,
): WantedNode {
  const { keepMode, umask, keepTimes, time, keepOwner, uid, gid } = options;
  const node: WantedNode = { kind: attributes.kind };
  if (attributes.kind !== 'symlink') {
    node.mode = keepMode ? attributes.mode : attributes.mode & 0o777 & ~umask;
  }
  if (uid !== undefined) node.uid = uid;
  else if (keepOwner && source.ownership) node.uid = attributes.uid;
  if (gid !== undefined) node.gid = gid;
  else if (keepOwner && source.ownership) node.gid = attributes.gid;
  if (!target.ownership) {
    if ((node.uid ?? 0) !== 0 || (node.gid ?? 0) !== 0) losses.owners++;
    delete node.uid;
    delete node.gid;
  }
  if (time !== undefined) {
    node.atime = time;
    node.mtime = time;
  } else if (keepTimes) {
    node.atime = attributes.atime;
    node.mtime = attributes.mtime;
  }
  if (attributes.dosAttributes !== 0 && target.dosAttributes) node.dosAttributes = attributes.dosAttributes;
  if (attributes.kind === 'file') node.expectedSize = attributes.size;
  return node;
}

/** As cp(1) does: without -p a file that is overwritten keeps its mode and its owner. */
export function leaveOwner(node: WantedNode, options: CopyOptions): void {
  if (options.keepMode) return;
  delete node.mode;
  if (options.uid === undefined) delete node.uid;
  if (options.gid === undefined) delete node.gid;
}
