import { FsError, hasCode, isOwnError } from '../../errors.ts';
import type { CreateOptions } from '../../filesystem/file-system.ts';
import { type ContentCopy, type CopyPhase, copyContent } from './copy-content.ts';
import {
  type CopyListener,
  type CopyLosses,
  type CopyOptions,
  type WantedNode,
  leaveOwner,
  wantedNode,
} from './copy-options.ts';
import { CopyStopped, isFatal } from './copy-stopped.ts';
import { copyXattrs } from './copy-xattrs.ts';
import { ExistingNodes } from './existing-nodes.ts';
import { HandedFile, handOver, handOverPath } from './hand-over.ts';
import {
  type FileIdentity,
  type TreeAttributes,
  type TreeChild,
  type TreeSource,
  type TreeTarget,
  nameKind,
} from './tree.ts';
import { VisitedDirectories } from './visited-directories.ts';

const BUFFER_SIZE = 1 << 20;

/**
 * Copies trees of files from a source to a target, file by file, in the order of names. What cannot be copied is told to
 * the listener, and the rest is copied; what leaves the target unusable (full, read-only, damaged) is thrown.
 */
export class TreeCopy<S, T> {
  readonly losses: CopyLosses = { hardLinks: 0, xattrs: 0, owners: 0 };
  readonly #source: TreeSource<S>;
  readonly #target: TreeTarget<T>;
  readonly #options: CopyOptions;
  readonly #listener: CopyListener;
  readonly #content: ContentCopy;
  readonly #sameTree: boolean;
  /** Files with several names, by identity, to the first copy. */
  readonly #links = new Map<FileIdentity, T>();
  readonly #visited: VisitedDirectories;
  readonly #existing: ExistingNodes<T>;
  /** Directories of the target in which it all ends up: when the source holds one of them, it holds its own copy. */
  #targetAncestors: ReadonlySet<FileIdentity> = new Set();
  readonly #phase: CopyPhase = { reading: true, grew: false };
  /** Content of files goes from where it is to where it belongs without passing through here, where the trees can do that. */
  #handsOver = true;

  constructor(
    source: TreeSource<S>,
    target: TreeTarget<T>,
    options: CopyOptions,
    listener: CopyListener,
    buffer: Uint8Array = new Uint8Array(BUFFER_SIZE),
  ) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#listener = listener;
    this.#content = {
      source,
      target,
      buffer,
      phase: this.#phase,
      progress: listener.progress === undefined ? undefined : (bytes) => listener.progress?.(bytes),
    };
    this.#sameTree = (source as unknown) === target;
    this.#visited = new VisitedDirectories({ followsAll: options.follow === 'all' });
    this.#existing = new ExistingNodes(target, options, { sameTree: this.#sameTree });
  }

  /** Copies one operand to `name` in `directory`. `created`: entries of that directory that earlier operands have made. */
  copy(place: S, directory: T, name: string, created: Set<FileIdentity>): void {
    this.#start(directory);
    this.#copyNode(place, directory, name, created, 0);
  }

  /** To be called once after all of it: waits for the content that is still on its way. */
  finish(): void {
    const failed = this.#target.failedFiles?.() ?? [];
    // What was handed over and could not be had is copied again, here: that either works, or shows why it does not.
    this.#handsOver = false;
    for (const file of failed) if (file instanceof HandedFile) this.#copyAgain(file as HandedFile<S, T>);
    this.#handsOver = true;
  }

  #copyAgain({ place, directory, name }: HandedFile<S, T>): void {
    this.#phase.reading = false;
    this.#target.retry?.(directory, name, () => this.#copyNode(place, directory, name, new Set(), 1));
  }

  /** Copies what is in a directory into one that is there, as `cp -r source/. target` does. */
  copyContents(place: S, directory: T, created: Set<FileIdentity>): void {
    this.#start(directory);
    const attributes = this.#source.attributes(place);
    if (attributes.kind !== 'directory') throw new FsError('ENOTDIR');
    const children = this.#enter(place, attributes, 0);
    this.#copyChildren(children, attributes, directory, created, 0);
    if (this.#options.updateDirectories) {
      this.#phase.reading = false;
      this.#target.finishDirectory(directory, this.#wanted(attributes));
    }
  }

  #start(directory: T): void {
    this.#targetAncestors = new Set(this.#sameTree ? this.#target.ancestors(directory) : []);
    this.#visited.clear();
  }

  #copyNode(place: S, directory: T, name: string, created: Set<FileIdentity>, depth: number): void {
    const { follow } = this.#options;
    this.#phase.reading = true;
    try {
      let from = place;
      let attributes = this.#source.attributes(from);
      if (attributes.kind === 'symlink' && (follow === 'all' || (follow === 'operands' && depth === 0))) {
        from = this.#source.follow(from);
        attributes = this.#source.attributes(from);
      }
      if (this.#options.excluded?.has(attributes.identity) === true) {
        throw new FsError('EBUSY', { detail: 'it is the image itself' });
      }
      if (attributes.kind === 'directory') {
        this.#copyDirectory(from, attributes, directory, name, created, depth);
      } else if (!this.#linkToFirst(attributes, directory, name, created)) {
        const made =
          attributes.kind === 'file'
            ? this.#copyFile(from, attributes, directory, name, created)
            : this.#copySpecial(from, attributes, directory, name, created);
        if (made === undefined) return;
        if (attributes.linkCount > 1) this.#links.set(attributes.identity, made);
      }
      if (attributes.kind !== 'directory') {
        this.#listener.copied?.(this.#source.describe(place), this.#target.describe(directory, name));
      }
    } catch (error) {
      this.#tell(error, place, directory, name);
    }
  }

  /** A problem of one file, or one that ends everything? */
  #tell(error: unknown, place: S, directory: T, name: string): void {
    const expected = isOwnError(error) || (error instanceof Error && 'syscall' in error);
    if (!expected) throw error;
    if (this.#phase.reading) this.#listener.problem(`cannot copy '${this.#source.describe(place)}'`, error);
    else this.#listener.problem(`cannot create '${this.#target.describe(directory, name)}'`, error);
    if (!this.#phase.reading && isFatal(error))
      throw new CopyStopped('Nothing more can be copied', { cause: error });
  }

  #copyDirectory(
    place: S,
    attributes: TreeAttributes,
    directory: T,
    name: string,
    created: Set<FileIdentity>,
    depth: number,
  ): void {
    if (!this.#options.recursive) {
      throw new FsError('EISDIR', { detail: 'it is a directory, and -r was not given' });
    }
    if (this.#targetAncestors.has(attributes.identity)) {
      throw new FsError('EINVAL', { detail: 'a directory cannot be copied into itself' });
    }
    // First what is in it: a directory that cannot be read leaves no empty one behind.
    const children = this.#enter(place, attributes, depth);
    this.#phase.reading = false;
    const node = this.#wanted(attributes);
    let made: T;
    let fresh = true;
    try {
      made = this.#target.make(directory, name, node);
      created.add(this.#target.entryKey(made, name));
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      made = this.#existing.find(directory, name, created);
      if (this.#target.kind(made) !== 'directory') {
        throw new FsError('ENOTDIR', { detail: 'a directory cannot replace what is there and is none' });
      }
      fresh = false;
    }
    if (fresh) {
      this.#listener.copied?.(this.#source.describe(place), this.#target.describe(directory, name));
      this.#copyXattrs(place, made);
    }
    this.#copyChildren(children, attributes, made, new Set(), depth);
    this.#phase.reading = false;
    if (fresh || this.#options.updateDirectories) this.#target.finishDirectory(made, node);
  }

  /** What is in a directory, unless it was read before. */
  #enter(place: S, { identity }: TreeAttributes, depth: number): readonly TreeChild<S>[] {
    this.#visited.enter(identity, depth);
    return this.#source.children(place);
  }

  #copyChildren(
    children: readonly TreeChild<S>[],
    { identity }: TreeAttributes,
    directory: T,
    created: Set<FileIdentity>,
    depth: number,
  ): void {
    this.#visited.within(identity, () => {
      for (const { place, name } of children) this.#copyNode(place, directory, name, created, depth + 1);
    });
  }

  /** Returns undefined when what is there was to stay. */
  #copyFile(
    place: S,
    attributes: TreeAttributes,
    directory: T,
    name: string,
    created: Set<FileIdentity>,
  ): T | undefined {
    const { capabilities } = this.#target;
    if (attributes.size > capabilities.maxFileSize) {
      throw new FsError('EFBIG', {
        detail: `it has ${attributes.size} bytes, a file on ${capabilities.name} has at most ${capabilities.maxFileSize}`,
      });
    }
    const handed = this.#handOver(place, attributes, directory, name, created);
    if (handed !== undefined) return handed;
    this.#source.openFile(place);
    let made: T | undefined;
    let open = false;
    try {
      this.#phase.reading = false;
      const node = this.#wanted(attributes);
      try {
        made = this.#target.makeFile(directory, name, node);
        created.add(this.#target.entryKey(made, name));
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error;
        made = this.#replaceFile(attributes, directory, name, node, created);
        if (made === undefined) return undefined;
      }
      open = true;
      const size = copyContent(this.#content, attributes);
      this.#phase.reading = false;
      open = false;
      this.#target.endFile(size, node);
      this.#checkSize(place, attributes, size);
    } catch (error) {
      const reading = this.#phase.reading;
      if (open) {
        // Half a file is worse than none.
        this.#target.endFile(0, undefined);
        this.#target.unlink(directory, name);
      }
      this.#phase.reading = reading;
      throw error;
    } finally {
      this.#source.closeFile();
    }
    this.#copyXattrs(place, made);
    return made;
  }

  /** A copy of what changed meanwhile may be of no use. Where nothing is allocated, as in /sys, sizes mean nothing. */
  #checkSize(place: S, { size, allocated }: TreeAttributes, copied: number): void {
    const { grew } = this.#phase;
    this.#phase.grew = false;
    if (allocated === 0 || (copied === size && !grew)) return;
    const found = grew ? 'there are more now' : `only ${copied} could be read`;
    const error = new FsError('EAGAIN', {
      detail: `it changed while it was copied: it had ${size} bytes, ${found}`,
    });
    this.#listener.problem(`cannot copy '${this.#source.describe(place)}' as it was`, error);
  }

  /** Leaves the content to the target; undefined when that is not possible, or a file of this name is there. */
  #handOver(
    place: S,
    attributes: TreeAttributes,
    directory: T,
    name: string,
    created: Set<FileIdentity>,
  ): T | undefined {
    const path = this.#handsOver ? handOverPath(this.#source, this.#target, place, attributes) : undefined;
    if (path === undefined) return undefined;
    this.#phase.reading = false;
    const file = new HandedFile(path, attributes.size, place, directory, name);
    const made = handOver(this.#target, file, this.#wanted(attributes), created);
    if (made === undefined) return undefined;
    this.#content.progress?.(attributes.size);
    this.#copyXattrs(place, made);
    return made;
  }

  /** Opens what is in the way for writing, or removes it and makes a new file; undefined when it has to stay. */
  #replaceFile(
    attributes: TreeAttributes,
    directory: T,
    name: string,
    node: WantedNode,
    created: Set<FileIdentity>,
  ): T | undefined {
    const existing = this.#existing.claim(attributes, directory, name, created);
    if (existing === undefined) return undefined;
    if (this.#target.kind(existing) === 'file') {
      try {
        this.#target.reopenFile(existing);
        leaveOwner(node, this.#options);
        return existing;
      } catch (error) {
        if (!this.#options.force || !(hasCode(error, 'EACCES') || hasCode(error, 'EPERM'))) throw error;
      }
    }
    this.#target.unlink(directory, name);
    return this.#target.makeFile(directory, name, node);
  }

  #copySpecial(
    place: S,
    attributes: TreeAttributes,
    directory: T,
    name: string,
    created: Set<FileIdentity>,
  ): T | undefined {
    const { capabilities } = this.#target;
    const { kind } = attributes;
    if (kind === 'symlink' ? !capabilities.symlinks : !capabilities.specialFiles) {
      this.#phase.reading = false;
      throw new FsError('EOPNOTSUPP', { detail: `${capabilities.name} has no ${nameKind(kind)}s` });
    }
    const node: CreateOptions = {
      ...this.#wanted(attributes),
      ...(kind === 'symlink' ? { target: this.#source.readLink(place) } : {}),
      ...(attributes.device === undefined ? {} : { device: attributes.device }),
    };
    this.#phase.reading = false;
    let made: T;
    try {
      made = this.#target.make(directory, name, node);
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      if (this.#existing.claim(attributes, directory, name, created) === undefined) return undefined;
      this.#target.unlink(directory, name);
      made = this.#target.make(directory, name, node);
    }
    created.add(this.#target.entryKey(made, name));
    this.#copyXattrs(place, made);
    return made;
  }

  /** Another name of a file that is there already? Then a hard link does, where the target has them. */
  #linkToFirst(attributes: TreeAttributes, directory: T, name: string, created: Set<FileIdentity>): boolean {
    if (attributes.linkCount < 2) return false;
    const first = this.#links.get(attributes.identity);
    if (first === undefined) return false;
    if (!this.#target.capabilities.hardLinks) {
      this.losses.hardLinks++;
      return false;
    }
    this.#phase.reading = false;
    try {
      this.#target.link(first, directory, name);
    } catch (error) {
      if (hasCode(error, 'EMLINK')) {
        this.losses.hardLinks++;
        return false;
      }
      if (!hasCode(error, 'EEXIST')) throw error;
      if (this.#existing.claim(attributes, directory, name, created) === undefined) return true;
      this.#target.unlink(directory, name);
      this.#target.link(first, directory, name);
    }
    // Its node is in the set already where nodes are the keys; where names are, this one counts.
    created.add(this.#target.entryKey(first, name));
    return true;
  }

  #copyXattrs(place: S, made: T): void {
    if (!this.#options.keepXattrs) return;
    const ends = { source: this.#source, target: this.#target, phase: this.#phase };
    copyXattrs(place, made, ends, this.#listener, this.losses);
  }

  #wanted(attributes: TreeAttributes): WantedNode {
    const [source, target] = [this.#source.capabilities, this.#target.capabilities];
    return wantedNode(attributes, this.#options, source, target, this.losses);
  }
}
