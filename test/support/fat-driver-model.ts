import { expect } from 'vitest';
import type { BlockDevice } from '../../src/device/block-device.ts';
import { FsError } from '../../src/errors.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';

/** A generator of random numbers with a seed that can be printed (mulberry32). */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  };
}

interface ModelFile {
  kind: 'file';
  id: NodeId;
  content: Uint8Array;
}

interface ModelDirectory {
  kind: 'directory';
  id: NodeId;
  /** Lower-case name to the name as it was given. */
  children: Map<string, { name: string; node: ModelNode }>;
}

type ModelNode = ModelFile | ModelDirectory;

const STEMS = [
  'README.TXT',
  'a',
  'Mixed Case.Name',
  'UPPER',
  'kernel.img',
  'a rather long name that needs several slots.configuration',
  'Ünïcödé ñame.txt',
  '名前.文書',
  'emoji 😀 name',
  '.profile',
  'archive.tar.gz',
  'x+y=[z];,.dat',
  'file',
  'FILE~1.TXT',
  'averylongbasename.html',
  `${'n'.repeat(180)}.long`,
];

/**
 * Does random things to a FAT volume and to a model of it in plain maps, and compares. What fails, fails with the
 * operation's number and text in the message.
 */
export class FatModelRun {
  fs: FileSystem;
  readonly #device: BlockDevice;
  readonly #random: (below: number) => number;
  readonly #root: ModelDirectory;
  /** Files without a name that are still open. */
  #orphans: ModelFile[] = [];
  #clock = 1_700_000_000;
  readonly #maxFileSize: number;
  #outOfSpace = 0;

  constructor(device: BlockDevice, seed: number, maxFileSize: number) {
    this.#device = device;
    this.#random = seededRandom(seed);
    this.#maxFileSize = maxFileSize;
    this.fs = this.#open();
    this.#root = { kind: 'directory', id: this.fs.root, children: new Map() };
  }

  /** How often the volume was full. */
  get outOfSpace(): number {
    return this.#outOfSpace;
  }

  #open(): FileSystem {
    return FatFileSystem.open(this.#device, {
      clock: () => ({ seconds: this.#clock++, nanoseconds: 0 }),
    });
  }

  /** One random operation; returns what it was. */
  step(): string {
    const choice = this.#random(100);
    if (choice < 22) return this.#createFile();
    if (choice < 48) return this.#write();
    if (choice < 58) return this.#truncate();
    if (choice < 66) return this.#unlink();
    if (choice < 78) return this.#rename();
    if (choice < 84) return this.#makeDirectory();
    if (choice < 88) return this.#removeDirectory();
    if (choice < 92) return this.#unlinkWhileOpen();
    if (choice < 95) return this.#releaseOrphan();
    if (choice < 98) return this.#readSome();
    if (choice < 99) {
      this.fs.sync();
      return 'sync';
    }
    this.reopen();
    return 'reopen';
  }

  /** Closes, opens afresh, and finds every node of the model again. */
  reopen(): void {
    this.#orphans = [];
    this.fs.close();
    this.fs = this.#open();
    this.#root.id = this.fs.root;
    this.compare();
  }

  /** The whole tree with all content is what the model says. Takes over the node numbers. */
  compare(): void {
    this.#compareDirectory(this.#root, '');
    for (const orphan of this.#orphans) this.#compareFile(orphan, 'orphan');
  }

  #compareDirectory(directory: ModelDirectory, path: string): void {
    const found = new Map([...this.fs.entries(directory.id)].map((entry) => [entry.name, entry]));
    const names = [...directory.children.values()].map((child) => child.name);
    const missing = names.filter((name) => !found.has(name));
    if (missing.length > 0 || found.size !== names.length) {
      throw new Error(
        `${path}/ holds ${JSON.stringify([...found.keys()])}, expected ${JSON.stringify(names)}`,
      );
    }
    for (const { name, node } of directory.children.values()) {
      const entry = found.get(name)!;
      if (entry.kind !== node.kind) throw new Error(`${path}/${name} is a ${entry.kind}`);
      if (this.fs.lookup(directory.id, name.toUpperCase()) !== entry.node)
        throw new Error(`${path}/${name} is not found in upper case`);
      if (entry.shortName !== undefined && this.fs.lookup(directory.id, entry.shortName) !== entry.node)
        throw new Error(`${path}/${name} is not found as ${entry.shortName}`);
      node.id = entry.node;
      if (node.kind === 'directory') this.#compareDirectory(node, `${path}/${name}`);
      else this.#compareFile(node, `${path}/${name}`);
    }
  }

  #compareFile(file: ModelFile, path: string): void {
    const { size } = this.fs.attributes(file.id);
    if (size !== file.content.length) {
      throw new Error(`${path} has ${size} bytes, expected ${file.content.length}`);
    }
    const content = new Uint8Array(size);
    const count = this.fs.read(file.id, 0, content);
    if (count !== size || Buffer.compare(content, file.content) !== 0) {
      const at = content.findIndex((byte, index) => byte !== file.content[index]);
      throw new Error(
        `${path}: byte ${at} of ${size} is ${content[at]}, expected ${file.content[at]}, ${count} read`,
      );
    }
  }

  /** Runs `change`; true when it went through, false when the volume was full, which must have been so. */
  #fits(neededBytes: number, directory: ModelDirectory | undefined, change: () => void): boolean {
    try {
      change();
      return true;
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
      this.#outOfSpace++;
      const { freeBlocks, blockSize } = this.fs.usage();
      const isFixedRoot = directory === this.#root && this.fs.type !== 'fat32';
      // A name may need another cluster or two of its directory.
      const needed = Math.ceil(neededBytes / blockSize) + (directory === undefined ? 0 : 2);
      if (!isFixedRoot && freeBlocks >= needed)
        throw new Error(`ENOSPC for ${needed} clusters while ${freeBlocks} are free`, { cause: error });
      return false;
    }
  }

  #createFile(): string {
    const directory = this.#pickDirectory();
    const name = this.#newName(directory);
    const what = `create ${name}`;
    const expectedSize = this.#random(3) === 0 ? this.#random(this.#maxFileSize) : 0;
    let id: NodeId | undefined;
    const made = this.#fits(0, directory, () => {
      id = this.fs.create(directory.id, name, { kind: 'file', expectedSize });
    });
    if (!made) return `${what}: full`;
    const file: ModelFile = { kind: 'file', id: id!, content: new Uint8Array(0) };
    directory.children.set(name.toLowerCase(), { name, node: file });
    if (this.#random(2) === 0) this.#writeTo(file, 0, this.#random(this.#maxFileSize));
    return what;
  }

  #write(): string {
    const file = this.#pickFile();
    if (file === undefined) return 'nothing to write to';
    // Mostly near the end or inside, sometimes far behind it.
    const reach = this.#random(8) === 0 ? this.#maxFileSize : file.content.length + 1;
    const offset = this.#random(reach);
    return this.#writeTo(file, offset, this.#random(this.#maxFileSize >> this.#random(6)));
  }

  #writeTo(file: ModelFile, offset: number, length: number): string {
    const from = new Uint8Array(length);
    const seed = this.#random(256);
    for (let i = 0; i < length; i++) from[i] = (seed + i * 7 + (i >> 8)) & 0xff;
    const growth = Math.max(0, offset + length - file.content.length);
    if (!this.#fits(growth + this.#slack(), undefined, () => this.fs.write(file.id, offset, from))) {
      this.#compareFile(file, 'file after ENOSPC');
      return 'write: full';
    }
    if (length > 0) file.content = withSize(file.content, Math.max(file.content.length, offset + length));
    file.content.set(from, length > 0 ? offset : 0);
    return `write ${length} at ${offset}`;
  }

  #truncate(): string {
    const file = this.#pickFile();
    if (file === undefined) return 'nothing to truncate';
    const size = this.#random(3) === 0 ? 0 : this.#random(this.#maxFileSize);
    const growth = Math.max(0, size - file.content.length);
    if (this.#fits(growth + this.#slack(), undefined, () => this.fs.setAttributes(file.id, { size }))) {
      file.content = withSize(file.content, size);
    }
    return `truncate to ${size}`;
  }

  #slack(): number {
    return this.fs.usage().blockSize;
  }

  #unlink(): string {
    const picked = this.#pickChild('file');
    if (picked === undefined) return 'nothing to unlink';
    expect(this.fs.unlink(picked.directory.id, this.#anyCase(picked.name))).toBe(picked.node.id);
    picked.directory.children.delete(picked.name.toLowerCase());
    return `unlink ${picked.name}`;
  }

  #unlinkWhileOpen(): string {
    const picked = this.#pickChild('file');
    if (picked === undefined) return 'nothing to unlink';
    this.fs.retain(picked.node.id);
    this.fs.unlink(picked.directory.id, picked.name);
    picked.directory.children.delete(picked.name.toLowerCase());
    this.#orphans.push(picked.node as ModelFile);
    this.#writeTo(picked.node as ModelFile, 0, this.#random(this.#maxFileSize));
    return `unlink ${picked.name} while open`;
  }

  #releaseOrphan(): string {
    const orphan = this.#orphans.shift();
    if (orphan === undefined) return 'nothing to release';
    this.#compareFile(orphan, 'orphan');
    this.fs.release(orphan.id);
    return 'release';
  }

  #rename(): string {
    const picked = this.#pickChild(this.#random(3) === 0 ? 'directory' : 'file');
    if (picked === undefined) return 'nothing to rename';
    const { directory, name, node } = picked;
    const to = this.#random(2) === 0 ? directory : this.#pickDirectory();
    const over = this.#random(3) === 0 ? [...to.children.values()] : [];
    const newName =
      over.length > 0
        ? this.#anyCase(over[this.#random(over.length)]!.name)
        : this.#random(6) === 0
          ? this.#anyCase(name)
          : STEMS[this.#random(STEMS.length)]!;
    const what = `rename ${name} to ${newName}`;
    const expected = this.#expectedRenameError(node, to, newName);
    if (expected !== undefined) {
      try {
        this.fs.rename(directory.id, name, to.id, newName);
      } catch (error) {
        if (error instanceof FsError && expected.includes(error.code)) return `${what}: ${error.code}`;
        throw error;
      }
      throw new Error(`${what} went through, expected ${expected.join(' or ')}`);
    }
    const target = to.children.get(newName.toLowerCase());
    if (!this.#fits(0, to, () => this.fs.rename(directory.id, name, to.id, newName))) return `${what}: full`;
    directory.children.delete(name.toLowerCase());
    if (target !== undefined) to.children.delete(target.name.toLowerCase());
    // A name that exists keeps its spelling only when it is the one that was asked for.
    to.children.set(newName.toLowerCase(), { name: newName, node });
    return what;
  }

  #expectedRenameError(node: ModelNode, to: ModelDirectory, newName: string): string[] | undefined {
    if (node.kind === 'directory' && contains(node, to)) return ['EINVAL'];
    const target = to.children.get(newName.toLowerCase())?.node;
    if (target === undefined || target === node) return undefined;
    if (node.kind === 'file') return target.kind === 'directory' ? ['EISDIR'] : undefined;
    if (target.kind === 'file') return ['ENOTDIR'];
    return target.children.size > 0 ? ['ENOTEMPTY'] : undefined;
  }

  #makeDirectory(): string {
    const directory = this.#pickDirectory();
    const name = this.#newName(directory);
    let id: NodeId | undefined;
    const { blockSize } = this.fs.usage();
    const made = this.#fits(blockSize, directory, () => {
      id = this.fs.create(directory.id, name, { kind: 'directory' });
    });
    if (!made) return `mkdir ${name}: full`;
    directory.children.set(name.toLowerCase(), {
      name,
      node: { kind: 'directory', id: id!, children: new Map() },
    });
    return `mkdir ${name}`;
  }

  #removeDirectory(): string {
    const picked = this.#pickChild('directory');
    if (picked === undefined) return 'nothing to remove';
    try {
      this.fs.removeDirectory(picked.directory.id, picked.name);
    } catch (error) {
      const isFull = (picked.node as ModelDirectory).children.size > 0;
      if (isFull && error instanceof FsError && error.code === 'ENOTEMPTY') return 'rmdir: not empty';
      throw error;
    }
    picked.directory.children.delete(picked.name.toLowerCase());
    return `rmdir ${picked.name}`;
  }

  #readSome(): string {
    const file = this.#pickFile();
    if (file === undefined) return 'nothing to read';
    const offset = this.#random(file.content.length + 10);
    const into = new Uint8Array(this.#random(5000));
    const count = this.fs.read(file.id, offset, into);
    const expected = file.content.subarray(offset, offset + into.length);
    if (Buffer.compare(into.subarray(0, count), expected) !== 0) throw new Error(`read at ${offset} differs`);
    return `read at ${offset}`;
  }

  #directories(): ModelDirectory[] {
    const all: ModelDirectory[] = [this.#root];
    for (let i = 0; i < all.length; i++) {
      for (const { node } of all[i]!.children.values()) if (node.kind === 'directory') all.push(node);
    }
    return all;
  }

  #pickDirectory(): ModelDirectory {
    const all = this.#directories();
    return all[this.#random(all.length)]!;
  }

  #pickChild(
    kind: ModelNode['kind'],
  ): { directory: ModelDirectory; name: string; node: ModelNode } | undefined {
    const all = this.#directories().flatMap((directory) =>
      [...directory.children.values()]
        .filter(({ node }) => node.kind === kind)
        .map(({ name, node }) => ({ directory, name, node })),
    );
    return all[this.#random(all.length)];
  }

  #pickFile(): ModelFile | undefined {
    if (this.#orphans.length > 0 && this.#random(8) === 0) {
      return this.#orphans[this.#random(this.#orphans.length)];
    }
    return this.#pickChild('file')?.node as ModelFile | undefined;
  }

  /** A name that neither a name nor an alias in the directory claims. */
  #newName(directory: ModelDirectory): string {
    for (;;) {
      const stem = STEMS[this.#random(STEMS.length)]!;
      const name = this.#random(4) === 0 ? stem : `${this.#random(2000)} ${stem}`;
      if (this.fs.lookup(directory.id, name) === undefined) return name;
      if (!directory.children.has(name.toLowerCase())) continue;
    }
  }

  #anyCase(name: string): string {
    const choice = this.#random(3);
    return choice === 0 ? name : choice === 1 ? name.toUpperCase() : name.toLowerCase();
  }
}

function contains(directory: ModelDirectory, other: ModelDirectory): boolean {
  if (directory === other) return true;
  return [...directory.children.values()].some(
    ({ node }) => node.kind === 'directory' && contains(node, other),
  );
}

function withSize(content: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(content.subarray(0, size));
  return result;
}
