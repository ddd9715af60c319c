import { FsError } from '../../errors.ts';
import type { CopyOptions } from './copy-options.ts';
import type { FileIdentity, TreeAttributes, TreeTarget } from './tree.ts';

/** What a target has under the names of what is copied to it. */
export class ExistingNodes<T> {
  readonly #target: TreeTarget<T>;
  readonly #options: CopyOptions;
  readonly #sameTree: boolean;

  /** `sameTree`: the target is the source, too. */
  constructor(target: TreeTarget<T>, options: CopyOptions, { sameTree }: { readonly sameTree: boolean }) {
    this.#target = target;
    this.#options = options;
    this.#sameTree = sameTree;
  }

  /** What is in the way of something that is no directory and may be replaced; undefined when it has to stay. */
  claim(attributes: TreeAttributes, directory: T, name: string, created: Set<FileIdentity>): T | undefined {
    const existing = this.find(directory, name, created);
    if (this.#options.noClobber) return undefined;
    if (this.#target.kind(existing) === 'directory') {
      throw new FsError('EISDIR', {
        detail: 'a directory is there, which nothing but a directory can replace',
      });
    }
    const identity = this.#target.identity(existing);
    if (this.#sameTree && identity === attributes.identity) {
      throw new FsError('EINVAL', { detail: 'source and target are the same file' });
    }
    if (this.#options.excluded?.has(identity) === true) {
      throw new FsError('EBUSY', { detail: 'it is the image itself' });
    }
    return existing;
  }

  /** EEXIST when it was made by this very copy. */
  find(directory: T, name: string, created: Set<FileIdentity>): T {
    const existing = this.#target.find(directory, name);
    if (existing === undefined) throw new FsError('EEXIST');
    if (created.has(this.#target.entryKey(existing, name))) {
      throw new FsError('EEXIST', {
        detail: `${this.#target.capabilities.name} cannot tell this name from one that was copied just before`,
      });
    }
    return existing;
  }
}
