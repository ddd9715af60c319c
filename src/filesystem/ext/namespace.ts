import { encodeUtf8 } from '../../bytes/utf8.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import type { CreateOptions, DirectoryEntry, NodeId, NodeKind, RenameOptions } from '../file-system.ts';
import { encodeDevice } from './device-number.ts';
import { type ExtCore, nameBytes } from './ext-core.ts';
import { Inode, InodeFlag, InodeKind, ReservedInode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { dropLink, requireRemovable } from './node-removal.ts';
import type { Directory } from './open-directories.ts';
import { inheritProject, newProjectOf, requireSameProject } from './project.ts';
import { ReadOnlyCompatibleFeature } from './superblock.ts';
import { targetBlocks, writeTarget } from './symlink.ts';
import { AccessTime, BirthTime, ChangeTime, ModificationTime } from './timestamp.ts';

/** `EXT4_LINK_MAX`: the limit of the kernel's ext4 driver, which serves ext2 volumes, too, and of e2fsck. */
const MAX_LINKS = 65000;

const MODES: Readonly<Record<NodeKind, number>> = {
  file: InodeKind.file | 0o644,
  directory: InodeKind.directory | 0o755,
  symlink: InodeKind.symlink | 0o777,
  'character-device': InodeKind.characterDevice | 0o644,
  'block-device': InodeKind.blockDevice | 0o644,
  fifo: InodeKind.fifo | 0o644,
  socket: InodeKind.socket | 0o644,
};

/** Operations on names: every check, also for space, comes before the first change. */
export class Namespace {
  readonly #core: ExtCore;

  constructor(core: ExtCore) {
    this.#core = core;
  }

  /** The inode behind a name, or undefined. */
  lookup(directory: number, name: string): number | undefined {
    const core = this.#core;
    const ref = core.directory(directory, 'lookup');
    const inode = core.directories.lookup(ref, name);
    if (inode !== undefined) this.#requireNameable(directory, name, inode);
    return inode;
  }

  /** The directory's entries as they are when the walk begins, less those that vanish meanwhile. */
  *entries(directory: number): Iterable<DirectoryEntry> {
    const core = this.#core;
    const raw = core.directories.list(core.directory(directory, 'readdir'));
    const subdirectories = new Set<number>();
    const changes = core.changeCount;
    for (const entry of raw) {
      if (core.changeCount !== changes && this.lookup(directory, entry.name) !== entry.inode) continue;
      this.#requireNameable(directory, entry.name, entry.inode);
      // Where entry and inode disagree the inode decides: a directory under a file's type would lead walks astray.
      const kind = core.inodes.kindIfKnown(core.inodes.peek(entry.inode)) ?? entry.kind;
      if (kind === undefined) continue;
      if (kind === 'directory') this.#requireTree(directory, entry.name, entry.inode, subdirectories);
      yield { name: entry.name, node: entry.inode as NodeId, kind };
    }
  }

  parent(directory: number): number {
    const core = this.#core;
    if (directory === ReservedInode.root) return directory;
    const parent = core.directories.parent(core.directory(directory, 'parent'));
    this.#requireNameable(directory, '..', parent);
    return parent;
  }

  create(parent: number, name: string, options: CreateOptions): number {
    const core = this.#core;
    const { inodes, volume, directories } = core;
    const bytes = nameBytes(name, 'create');
    const parentRef = core.directory(parent, 'create');
    const directory = directories.open(parentRef);
    if (directory.names.has(name)) throw new FsError('EEXIST', { syscall: 'create', path: name });
    const isDirectory = options.kind === 'directory';
    if (isDirectory) this.#requireLinkRoom(parentRef, 'mkdir');
    const target = options.kind === 'symlink' ? encodeUtf8(options.target ?? '') : undefined;
    const device = this.#deviceWords(options);
    core.inodeAllocator.require('create');
    if (volume.quotas !== undefined) {
      const project = newProjectOf(inodes, parentRef) ?? 0;
      const owners = { user: options.uid ?? 0, group: options.gid ?? 0, project };
      volume.quotas.acquire(owners);
      volume.quotas.requireInodes(owners, 1, 'create');
    }
    const own = isDirectory
      ? directories.firstBlocks
      : target === undefined
        ? 0
        : targetBlocks(volume, target);
    const { blocksPerCluster } = volume.geometry;
    const room = directories.room(parentRef, directory, bytes);
    const growth = room === undefined ? directories.growth(parentRef, directory, bytes) : 0;
    volume.requireBlocks(own * blocksPerCluster + growth, 'create');

    const position = room ?? directories.reserve(parentRef, directory, bytes);
    const number = core.inodeAllocator.allocate(parent, isDirectory);
    const ref = inodes.peek(number);
    inodes.reset(ref);
    const mode = (MODES[options.kind] & 0xf000) | ((options.mode ?? MODES[options.kind]) & 0o7777);
    Inode.i_mode.set(ref.view, ref.base, mode);
    Inode.i_links_count.set(ref.view, ref.base, isDirectory ? 2 : 1);
    inodes.setOwner(ref, options.uid ?? 0, options.gid ?? 0);
    inheritProject(inodes, parentRef, ref, isDirectory);
    const now = core.now();
    inodes.setTime(ref, AccessTime, options.atime ?? now);
    inodes.setTime(ref, ModificationTime, options.mtime ?? now);
    inodes.setTime(ref, ChangeTime, options.ctime ?? now);
    inodes.setTime(ref, BirthTime, options.birthtime ?? now);
    try {
      if (isDirectory) directories.create(ref, parent);
      if (target !== undefined) writeTarget(core, ref, target);
    } catch (error) {
      // A bitmap on the way was damaged.
      volume.quotas?.addBlocks(ref, -inodes.allocated(ref) / volume.geometry.blockSize);
      core.inodeAllocator.free(number, isDirectory);
      inodes.wipe(ref);
      throw error;
    }
    volume.quotas?.addInodes(ref, 1);
    if (isDirectory) this.#addLinks(parentRef, 1);
    if (options.kind === 'file') core.fileMap.plant(ref);
    if (device !== undefined) {
      ref.view.setUint32(ref.base + Inode.i_block.offset, device[0], true);
      ref.view.setUint32(ref.base + Inode.i_block.offset + 4, device[1], true);
    }
    if (options.expectedSize !== undefined) core.expectedSizes.set(number, options.expectedSize);
    directories.insert(directory, position, name, bytes, number, options.kind);
    core.touchDirectory(parentRef, now);
    return number;
  }

  link(node: number, parent: number, name: string): void {
    const core = this.#core;
    const bytes = nameBytes(name, 'link');
    const ref = core.node(node);
    const kind = core.inodes.kind(ref);
    if (kind === 'directory') throw new FsError('EPERM', { syscall: 'link', path: name });
    const parentRef = core.directory(parent, 'link');
    const directory = core.directories.open(parentRef);
    if (directory.names.has(name)) throw new FsError('EEXIST', { syscall: 'link', path: name });
    this.#requireLinkRoom(ref, 'link');
    requireSameProject(core.inodes, newProjectOf(core.inodes, parentRef), ref, 'link');
    core.volume.requireBlocks(core.directories.growth(parentRef, directory, bytes), 'link');

    const position = core.directories.reserve(parentRef, directory, bytes);
    this.#addLinks(ref, 1);
    core.orphans.delete(ref);
    const now = core.now();
    core.inodes.setTime(ref, ChangeTime, now);
    core.directories.insert(directory, position, name, bytes, node, kind);
    core.touchDirectory(parentRef, now);
  }

  /** Returns the inode behind the name. */
  unlink(parent: number, name: string): number {
    const core = this.#core;
    const { parentRef, directory, ref } = this.#existing(parent, name, 'unlink');
    if (core.inodes.kind(ref) === 'directory') {
      throw new FsError('EISDIR', { syscall: 'unlink', path: name });
    }
    this.#requireRemovable(ref);
    core.directories.remove(directory, name);
    const now = core.now();
    core.touchDirectory(parentRef, now);
    core.inodes.setTime(ref, ChangeTime, now);
    dropLink(core, ref, Inode.i_links_count.get(ref.view, ref.base) - 1);
    return ref.number;
  }

  removeDirectory(parent: number, name: string): void {
    const core = this.#core;
    const { parentRef, directory, ref } = this.#existing(parent, name, 'rmdir');
    if (core.inodes.kind(ref) !== 'directory') {
      throw new FsError('ENOTDIR', { syscall: 'rmdir', path: name });
    }
    this.#requireEmpty(ref, name, 'rmdir');
    requireRemovable(core, ref);
    core.directories.remove(directory, name);
    this.#addLinks(parentRef, -1);
    const now = core.now();
    core.touchDirectory(parentRef, now);
    core.inodes.setTime(ref, ChangeTime, now);
    dropLink(core, ref, 0);
  }

  rename(parent: number, name: string, newParent: number, newName: string, options: RenameOptions): void {
    const core = this.#core;
    const { directories } = core;
    const bytes = nameBytes(newName, 'rename');
    const { parentRef, directory, ref } = this.#existing(parent, name, 'rename');
    const newParentRef = core.directory(newParent, 'rename');
    const newDirectory = directories.open(newParentRef);
    const kind = core.inodes.kind(ref);
    const isDirectory = kind === 'directory';
    if (isDirectory) this.#requireOutside(ref.number, newParent);
    const moves = isDirectory && parent !== newParent;
    requireSameProject(core.inodes, newProjectOf(core.inodes, newParentRef), ref, 'rename');

    const replaced = directories.find(newDirectory, newName);
    if (replaced !== undefined) {
      if (options.noReplace === true) throw new FsError('EEXIST', { syscall: 'rename', dest: newName });
      if (replaced === ref.number) return;
      const old = this.#replaceable(newParent, newName, replaced, isDirectory);
      directories.replace(newDirectory, newName, ref.number, kind);
      this.#takeName(ref, directory, name, newDirectory, newName);
      core.inodes.setTime(old, ChangeTime, core.now());
      if (isDirectory) this.#addLinks(newParentRef, -1);
      dropLink(core, old, isDirectory ? 0 : Inode.i_links_count.get(old.view, old.base) - 1);
    } else {
      if (moves) this.#requireLinkRoom(newParentRef, 'rename');
      core.volume.requireBlocks(directories.growth(newParentRef, newDirectory, bytes), 'rename');
      const position = directories.reserve(newParentRef, newDirectory, bytes);
      directories.insert(newDirectory, position, newName, bytes, ref.number, kind);
      this.#takeName(ref, directory, name, newDirectory, newName);
    }
    if (moves) {
      directories.setParent(ref, newParent);
      core.parents.delete(ref.number);
      this.#addLinks(parentRef, -1);
      this.#addLinks(newParentRef, 1);
    }
    const now = core.now();
    core.inodes.setTime(ref, ChangeTime, now);
    core.touchDirectory(parentRef, now);
    if (newParent !== parent) core.touchDirectory(newParentRef, now);
  }

  /** Removes the old name. Without a journal it must not be gone from the device before the new one is there. */
  #takeName(ref: InodeRef, directory: Directory, name: string, to: Directory, newName: string): void {
    const { directories, volume, inodes } = this.#core;
    if (!volume.hasJournal) {
      volume.leaving.lower(ref);
      if (!directories.order(to, newName, directory, name)) {
        const links = Inode.i_links_count.get(ref.view, ref.base);
        Inode.i_links_count.set(ref.view, ref.base, links + 1);
        inodes.markDirty(ref);
        volume.settle();
        Inode.i_links_count.set(ref.view, ref.base, links);
        inodes.markDirty(ref);
        volume.leaving.lower(ref);
      }
    }
    directories.remove(directory, name);
  }

  /** CorruptImageError when the name leads to an inode that has another job, or to none. */
  #requireNameable(directory: number, name: string, inode: number): void {
    if (this.#core.isNameable(inode)) return;
    const { firstInode, inodeCount } = this.#core.volume.geometry;
    throw new CorruptImageError({
      structure: `directory entry "${name}" of inode ${directory}`,
      field: 'inode',
      found: `${inode}`,
      expected: `2 or ${firstInode} to ${inodeCount}`,
    });
  }

  /**
   * Directories are a tree: the same one under a second name, or one that holds a directory above it, would send every
   * walk around for ever. What was seen is kept, so that this costs no reading.
   */
  #requireTree(directory: number, name: string, inode: number, siblings: Set<number>): void {
    const known = this.#core.parents.get(inode);
    if (
      inode !== ReservedInode.root &&
      !siblings.has(inode) &&
      (known === undefined || known === directory)
    ) {
      siblings.add(inode);
      this.#core.parents.set(inode, directory);
      return;
    }
    throw new CorruptImageError({
      structure: `directory entry "${name}" of inode ${directory}`,
      field: 'inode',
      found: `${inode}, a directory that has a name already`,
      expected: 'a directory with one name',
    });
  }

  #existing(
    parent: number,
    name: string,
    syscall: string,
  ): { parentRef: InodeRef; directory: Directory; ref: InodeRef } {
    const core = this.#core;
    const parentRef = core.directory(parent, syscall);
    const directory = core.directories.open(parentRef);
    const inode = core.directories.find(directory, name);
    if (inode === undefined) throw new FsError('ENOENT', { syscall, path: name });
    this.#requireNameable(parent, name, inode);
    core.retained.found(inode);
    return { parentRef, directory, ref: core.node(inode) };
  }

  #replaceable(parent: number, name: string, inode: number, byDirectory: boolean): InodeRef {
    const core = this.#core;
    this.#requireNameable(parent, name, inode);
    const ref = core.node(inode);
    const isDirectory = core.inodes.kind(ref) === 'directory';
    if (byDirectory && !isDirectory) throw new FsError('ENOTDIR', { syscall: 'rename', dest: name });
    if (!byDirectory && isDirectory) throw new FsError('EISDIR', { syscall: 'rename', dest: name });
    if (isDirectory) this.#requireEmpty(ref, name, 'rename');
    this.#requireRemovable(ref);
    return ref;
  }

  /** A node that is about to lose its last name must be sound enough to be freed. */
  #requireRemovable(ref: InodeRef): void {
    const isDirectory = this.#core.inodes.kind(ref) === 'directory';
    if (isDirectory || Inode.i_links_count.get(ref.view, ref.base) <= 1) requireRemovable(this.#core, ref);
  }

  #requireEmpty(ref: InodeRef, name: string, syscall: string): void {
    if (this.#core.directories.open(ref).names.size === 0) return;
    throw new FsError('ENOTEMPTY', { syscall, path: name });
  }

  /** EINVAL when `node` is `inside` or one of the directories above it. */
  #requireOutside(node: number, inside: number): void {
    const core = this.#core;
    const seen = new Set<number>();
    for (let at = inside; ; at = core.directories.parent(core.directory(at, 'rename'))) {
      if (at === node) throw new FsError('EINVAL', { syscall: 'rename' });
      if (at === ReservedInode.root) return;
      if (!core.isNameable(at) || seen.has(at)) {
        throw new CorruptImageError({
          structure: `directory of inode ${inside}`,
          field: '..',
          found: `a way up that leads to inode ${at} and not to the root`,
          expected: 'the root',
        });
      }
      seen.add(at);
    }
  }

  #requireLinkRoom(ref: InodeRef, syscall: string): void {
    const links = Inode.i_links_count.get(ref.view, ref.base);
    if (links < MAX_LINKS || this.#mayLoseCount(ref)) return;
    throw new FsError('EMLINK', {
      syscall,
      detail: `too many links: inode ${ref.number} has ${links}, at most ${MAX_LINKS} are possible`,
    });
  }

  #addLinks(ref: InodeRef, count: number): void {
    const old = Inode.i_links_count.get(ref.view, ref.base);
    let links = old + count;
    if (this.#core.inodes.kind(ref) === 'directory') {
      // 1 stands for a number that is not known any more: it is neither raised nor lowered.
      if (old === 1 || (links > MAX_LINKS && this.#mayLoseCount(ref))) links = 1;
      else links = Math.max(2, links);
    }
    Inode.i_links_count.set(ref.view, ref.base, links);
    if (links < old) this.#core.volume.leaving.lower(ref);
    this.#core.inodes.markDirty(ref);
  }

  /** With `dir_nlink` an indexed directory may have any number of directories in it. */
  #mayLoseCount(ref: InodeRef): boolean {
    const { inodes, volume } = this.#core;
    const has = (volume.features.readOnlyCompatible & ReadOnlyCompatibleFeature.dir_nlink) !== 0;
    return has && inodes.kind(ref) === 'directory' && inodes.hasFlag(ref, InodeFlag.index);
  }

  #deviceWords(options: CreateOptions): readonly [number, number] | undefined {
    if (options.kind !== 'character-device' && options.kind !== 'block-device') return undefined;
    const words = encodeDevice(options.device ?? { major: 0, minor: 0 });
    if (words === undefined)
      throw new FsError('EINVAL', { syscall: 'mknod', detail: 'device number too large' });
    return words;
  }
}
