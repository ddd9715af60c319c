import type { DirectoryEntry, FileSystem, NodeId } from '../filesystem/file-system.ts';

interface OpenDirectory {
  readonly node: NodeId;
  /** Undefined before the first read. */
  entries: DirectoryEntry[] | undefined;
  /** The count of changes at which `entries` were taken. */
  takenAt: number;
}

/**
 * Directories that are open. Each handle reads from a list that it takes at its first read and again when it is rewound, so that
 * an offset means the same entry however the directory changes meanwhile.
 */
export class OpenDirectoryHandles {
  readonly #fs: FileSystem;
  readonly #open = new Map<number, OpenDirectory>();
  #next = 1;

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  open(node: NodeId): number {
    const handle = this.#next++;
    this.#open.set(handle, { node, entries: undefined, takenAt: -1 });
    return handle;
  }

  close(handle: number): void {
    this.#open.delete(handle);
  }

  /** The list of the handle; `changes` counts changes of names. `fresh`: nothing has changed since the list was taken. */
  entries(
    handle: number,
    node: NodeId,
    restart: boolean,
    changes: number,
  ): { readonly list: readonly DirectoryEntry[]; readonly fresh: boolean } {
    let open = this.#open.get(handle);
    if (open === undefined) {
      // Nobody opens without a handle; a list for one read does no harm.
      open = { node, entries: undefined, takenAt: -1 };
    }
    if (open.entries === undefined || restart) {
      open.entries = [...this.#fs.entries(open.node)];
      open.takenAt = changes;
    }
    return { list: open.entries, fresh: open.takenAt === changes };
  }
}
