import { FsError } from '../../errors.ts';
import type { FileIdentity } from './tree.ts';

/** Deeper trees are refused: only damaged images have them, and each level costs stack. */
const MAX_DEPTH = 2000;

/** As often symlinks may lead to one directory, when they are followed: ends what doubles with each level. */
const MAX_VISITS = 1000;

/**
 * The directories that a walk has been in. A directory has one name. Where a damaged image gives it two, following both could go on
 * forever; so could the symlinks of an image that was made for that.
 */
export class VisitedDirectories {
  readonly #mostVisits: number;
  /** How often each directory was entered. */
  readonly #entered = new Map<FileIdentity, number>();
  /** The directories above the one that is being walked, itself included. */
  readonly #above = new Set<FileIdentity>();

  constructor(options: { readonly followsAll: boolean }) {
    this.#mostVisits = options.followsAll ? MAX_VISITS : 1;
  }

  /** To be called before a walk of its own. */
  clear(): void {
    this.#entered.clear();
  }

  /** Counts a visit; ELOOP or ENAMETOOLONG where it must not be. */
  enter(identity: FileIdentity, depth: number): void {
    const count = this.#entered.get(identity) ?? 0;
    if (this.#above.has(identity) || count >= this.#mostVisits) {
      throw new FsError('ELOOP', { detail: 'the directory was reached before under another name' });
    }
    if (depth >= MAX_DEPTH) {
      throw new FsError('ENAMETOOLONG', { detail: `directories are nested more than ${MAX_DEPTH} deep` });
    }
    this.#entered.set(identity, count + 1);
  }

  /** Runs `walk`, which walks what is in the directory. */
  within(identity: FileIdentity, walk: () => void): void {
    this.#above.add(identity);
    try {
      walk();
    } finally {
      this.#above.delete(identity);
    }
  }
}
