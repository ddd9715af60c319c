import fs from 'node:fs';
import path from 'node:path';
import { formatSize } from '../../bytes/size.ts';
import type { CopyListener, CopyOptions } from '../../disk/tree/copy-options.ts';
import { CopyStopped } from '../../disk/tree/copy-stopped.ts';
import { TreeCopy } from '../../disk/tree/copy-tree.ts';
import { type ImagePlace, ImageTree } from '../../disk/tree/image-tree.ts';
import { type TreeSize, measureTree } from '../../disk/tree/measure-tree.ts';
import type { FileIdentity, TreeSource, TreeTarget } from '../../disk/tree/tree.ts';
import { FsError } from '../../errors.ts';
import type { FileSystem } from '../../filesystem/file-system.ts';
import { findPath, splitPath } from '../../filesystem/path.ts';
import { HostTree } from '../../host/host-tree.ts';
import { type ImageReference, type OpenImages, type Place, formatReference } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { Progress } from '../progress.ts';
import type { Failures } from './failure.ts';
import { OwnerNames } from './owner.ts';
import { print } from './print.ts';

export interface CopyJobOptions extends Omit<CopyOptions, 'uid' | 'gid' | 'excluded'> {
  readonly verbose: boolean;
  /** Attributes that are lost count as errors. */
  readonly strict: boolean;
  readonly noTargetDirectory: boolean;
  /** `USER:GROUP` as it was typed. */
  readonly owner: string | undefined;
}

/** A source or a target with its tree; `P` is what that tree calls a place. */
interface Spot<P> {
  readonly tree: TreeSource<P> & TreeTarget<P>;
  readonly place: P;
}

/** Where one source goes: `name` in `directory`, or what is in it into `directory`. */
interface Destination<P> {
  readonly tree: TreeTarget<P>;
  readonly directory: P;
  readonly name: string | undefined;
}

interface Source {
  readonly text: string;
  readonly spot: Spot<unknown>;
  /** Undefined for `.`, `..` and the root: what is in them is meant. */
  readonly name: string | undefined;
}

/** One run of cp: finds out what goes where, whether it fits, and copies it. */
export class CopyJob {
  readonly #io: Io;
  readonly #images: OpenImages;
  readonly #failures: Failures;
  readonly #options: CopyJobOptions;
  readonly #host: HostTree;
  readonly #trees = new Map<FileSystem, ImageTree>();
  readonly #excluded = new Set<FileIdentity>();

  constructor(io: Io, images: OpenImages, failures: Failures, options: CopyJobOptions) {
    this.#io = io;
    this.#images = images;
    this.#failures = failures;
    this.#options = options;
    this.#host = new HostTree(io.cwd);
  }

  run(sources: readonly Place[], texts: readonly string[], target: Place, targetText: string): void {
    for (const place of [...sources, target]) this.#exclude(place);
    const destination = this.#destination(target, targetText, sources.length);
    const found: Source[] = [];
    for (const [index, place] of sources.entries()) {
      const text = texts[index]!;
      this.#failures.try(`cannot access '${text}'`, () => void found.push(this.#source(place, text)));
    }
    const fromHost = found.some(({ spot }) => spot.tree === this.#host);
    if (this.#options.strict && this.#options.keepXattrs && fromHost && !this.#host.capabilities.xattrs) {
      this.#failures.note(
        'extended attributes are not copied: that needs the package koffi, which is not installed',
      );
    }
    const size = this.#measure(found, destination);
    const progress = new Progress(this.#io, size?.bytes ?? 0);
    const listener: CopyListener = {
      problem: (what, error) => {
        progress.stop();
        this.#failures.add(what, error);
      },
      progress: (bytes) => progress.add(bytes),
      ...(this.#options.verbose ? { copied: (from, to) => print(this.#io, `'${from}' -> '${to}'\n`) } : {}),
    };
    try {
      this.#copyAll(found, destination, listener);
    } catch (error) {
      if (!(error instanceof CopyStopped)) throw error;
    } finally {
      progress.stop();
    }
  }

  #copyAll(sources: readonly Source[], destination: Destination<unknown>, listener: CopyListener): void {
    const options = { ...this.#options, ...this.#owner(destination.tree), excluded: this.#excluded };
    const buffer = new Uint8Array(1 << 20);
    const created = new Set<FileIdentity>();
    const copies = new Map<unknown, TreeCopy<unknown, unknown>>();
    for (const { text, spot, name } of sources) {
      let copy = copies.get(spot.tree);
      if (copy === undefined) {
        copy = new TreeCopy<unknown, unknown>(spot.tree, destination.tree, options, listener, buffer);
        copies.set(spot.tree, copy);
      }
      const targetName = destination.name ?? name;
      if (targetName !== undefined) copy.copy(spot.place, destination.directory, targetName, created);
      else {
        this.#failures.try(`cannot copy '${text}'`, () =>
          copy.copyContents(spot.place, destination.directory, created),
        );
      }
    }
    for (const copy of copies.values()) copy.finish();
    for (const copy of copies.values()) this.#tellLosses(copy, destination.tree);
  }

  #source(place: Place, text: string): Source {
    if (place.kind === 'host') {
      const name = path.basename(place.path);
      const isContents = name === '.' || name === '..' || name === '';
      return {
        text,
        spot: { tree: this.#host, place: place.path },
        name: isContents ? undefined : name,
      } as Source;
    }
    const { reference } = place;
    const tree = this.#tree(reference, false);
    const inside = reference.path ?? '/';
    const last = inside.split('/').findLast((name) => name !== '');
    const spot = { tree, place: tree.place(tidy(inside), { follow: inside.endsWith('/') }) };
    return { text, spot, name: last === '.' || last === '..' ? undefined : last } as Source;
  }

  #destination(target: Place, text: string, sourceCount: number): Destination<unknown> {
    const isDirectory =
      target.kind === 'host' ? this.#isHostDirectory(target.path) : this.#isImageDirectory(target.reference);
    const into = isDirectory && !this.#options.noTargetDirectory;
    if (!into && sourceCount > 1) throw new FsError('ENOTDIR', { detail: `"${text}" is not a directory` });
    if (target.kind === 'host') {
      const tree = this.#host;
      if (into) return { tree, directory: target.path, name: undefined } as Destination<unknown>;
      const trimmed = target.path.replace(/\/+$/, '') || '/';
      const directory = path.dirname(trimmed);
      if (!this.#isHostDirectory(directory))
        throw new FsError('ENOENT', { detail: `there is no directory "${directory}"` });
      return { tree, directory, name: path.basename(trimmed) } as Destination<unknown>;
    }
    const { reference } = target;
    const tree = this.#tree(reference, true);
    const inside = reference.path ?? '/';
    const names = splitPath(inside);
    if (into || names.length === 0)
      return { tree, directory: tree.place(inside), name: undefined } as Destination<unknown>;
    const parent = `/${names.slice(0, -1).join('/')}`;
    const node = findPath(tree.fileSystem, parent);
    if (node === undefined || tree.fileSystem.attributes(node).kind !== 'directory') {
      throw new FsError('ENOENT', {
        detail: `there is no directory "${formatReference(reference, parent)}"`,
      });
    }
    return {
      tree,
      directory: { node, path: parent } satisfies ImagePlace,
      name: names.at(-1)!,
    } as Destination<unknown>;
  }

  #tree(reference: ImageReference, write: boolean): ImageTree {
    const fileSystem = this.#images.fileSystem(reference, { write });
    let tree = this.#trees.get(fileSystem);
    if (tree === undefined) {
      tree = new ImageTree(fileSystem, (inside) => formatReference(reference, inside));
      this.#trees.set(fileSystem, tree);
    }
    return tree;
  }

  #isHostDirectory(name: string): boolean {
    return fs.statSync(path.resolve(this.#io.cwd, name), { throwIfNoEntry: false })?.isDirectory() === true;
  }

  #isImageDirectory(reference: ImageReference): boolean {
    const { fileSystem } = this.#tree(reference, true);
    const node = findPath(fileSystem, reference.path ?? '/');
    return node !== undefined && fileSystem.attributes(node).kind === 'directory';
  }

  /** An image that is open is never copied into itself, nor overwritten by what comes out of it. */
  #exclude(place: Place): void {
    if (place.kind === 'host') return;
    const identity = this.#host.identityIfThere(place.reference.image);
    if (identity !== undefined) this.#excluded.add(identity);
  }

  #owner(tree: TreeTarget<unknown>): { uid?: number; gid?: number } {
    const { owner } = this.#options;
    if (owner === undefined) return {};
    const names = tree instanceof ImageTree ? OwnerNames.read(tree.fileSystem) : new OwnerNames('', '');
    return names.parse(owner);
  }

  /** What is to be copied, where that is worth knowing: to refuse what cannot fit, and to draw a bar. Throws ENOSPC. */
  #measure(
    sources: readonly Source[],
    { tree, directory, name }: Destination<unknown>,
  ): TreeSize | undefined {
    const size: TreeSize = { bytes: 0, blocks: 0, nodes: 0 };
    const fileSystem = tree instanceof ImageTree ? tree.fileSystem : undefined;
    if (fileSystem === undefined && !this.#io.stderr.isTerminal) return undefined;
    const usage = fileSystem?.usage();
    const options = {
      blockSize: usage?.blockSize ?? 4096,
      holes: tree.capabilities.holes,
      followAll: this.#options.follow === 'all',
      known: (nodes: number) => void fileSystem?.device.copier?.(nodes),
    };
    this.#host.remember(true);
    for (const source of sources) measureTree(source.spot.tree, source.spot.place, options, size);
    this.#host.remember(false);
    if (usage === undefined) return size;
    const isFull = size.blocks > usage.freeBlocks || (usage.totalNodes > 0 && size.nodes > usage.freeNodes);
    // What is overwritten makes room: then only trying tells.
    if (isFull && !this.#replaces(sources, tree, directory, name)) {
      const inodes =
        usage.totalNodes === 0 ? ['', ''] : [` and ${size.nodes} inodes`, ` and ${usage.freeNodes} inodes`];
      throw new FsError('ENOSPC', {
        detail: `it does not fit: ${formatSize(size.blocks * usage.blockSize)}${inodes[0]} are needed, ${formatSize(usage.freeBlocks * usage.blockSize)}${inodes[1]} are free`,
      });
    }
    return size;
  }

  #replaces(
    sources: readonly Source[],
    tree: TreeTarget<unknown>,
    directory: unknown,
    name: string | undefined,
  ): boolean {
    return sources.some((source) => {
      const each = name ?? source.name;
      if (each !== undefined) return tree.find(directory, each) !== undefined;
      const { tree: from, place } = source.spot;
      return from.children(place).some((child) => tree.find(directory, child.name) !== undefined);
    });
  }

  /** One line for each kind of thing that was copied but is less than it was. */
  #tellLosses(copy: TreeCopy<unknown, unknown>, target: TreeTarget<unknown>): void {
    const { strict, owner } = this.#options;
    const { hardLinks, xattrs, owners } = copy.losses;
    const { name } = target.capabilities;
    const tell = (text: string): void => (strict ? this.#failures.say(text) : this.#failures.note(text));
    if (hardLinks > 0)
      tell(`${hardLinks} hard links were copied as files of their own: ${name} cannot hold them as links`);
    if (xattrs > 0)
      tell(`the extended attributes of ${xattrs} files were not copied: ${name} cannot hold them`);
    if (owners > 0 && (strict || owner !== undefined))
      tell(`the owners of ${owners} files were not kept: ${name} has no owners`);
    // As cp -a does, this goes on without an error: every user but root is in this place.
    if (target.ownersLost > 0 && (strict || owner !== undefined))
      this.#failures.note(`the owners of ${target.ownersLost} files were not kept: that needs root`);
  }
}

/** Without `.`, and without a slash that has nothing behind it: paths are shown and added to. */
function tidy(inside: string): string {
  return `/${splitPath(inside).join('/')}`;
}
