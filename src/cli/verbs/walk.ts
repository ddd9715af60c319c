import type { FileSystem, NodeId, NodeKind } from '../../filesystem/file-system.ts';
import { FsError } from '../../errors.ts';
import { compareNames } from '../../disk/tree/tree.ts';

export interface Visit {
  readonly node: NodeId;
  readonly path: string;
  readonly name: string;
  readonly kind: NodeKind;
  /** 0 for where the walk started. */
  readonly depth: number;
}

export interface WalkOptions {
  readonly maxDepth?: number;
  /** Directories after what is in them. */
  readonly contentsFirst?: boolean;
  /** Return false to stay out of a directory. */
  readonly visit: (visit: Visit) => boolean | void;
  /** A directory that cannot be read; the walk goes on. */
  readonly failed: (path: string, error: unknown) => void;
}

/** Directories that are nested deeper exist only in damaged images. */
const MAX_DEPTH = 2000;

/** Visits a node and all below it, by name; never follows a symlink, and never enters a directory twice. */
export function walkTree(
  fileSystem: FileSystem,
  start: NodeId,
  path: string,
  name: string,
  options: WalkOptions,
): void {
  const entered = new Set<NodeId>();
  walk({ node: start, path, name, kind: fileSystem.attributes(start).kind, depth: 0 });

  function walk(visit: Visit): void {
    const isDirectory = visit.kind === 'directory';
    const enter = options.contentsFirst === true || options.visit(visit) !== false;
    if (isDirectory && enter && visit.depth < (options.maxDepth ?? Infinity)) {
      try {
        children(visit);
      } catch (error) {
        options.failed(visit.path, error);
      }
    }
    if (options.contentsFirst === true) options.visit(visit);
  }

  function children({ node, path: directory, depth }: Visit): void {
    if (entered.has(node)) throw new FsError('ELOOP', { detail: 'it was visited before under another name' });
    if (depth >= MAX_DEPTH)
      throw new FsError('ENAMETOOLONG', { detail: `directories are nested more than ${MAX_DEPTH} deep` });
    entered.add(node);
    const base = directory.endsWith('/') ? directory : `${directory}/`;
    for (const entry of [...fileSystem.entries(node)].sort(compareNames)) {
      walk({
        node: entry.node,
        path: base + entry.name,
        name: entry.name,
        kind: entry.kind,
        depth: depth + 1,
      });
    }
  }
}
