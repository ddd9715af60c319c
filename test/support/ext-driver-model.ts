import { expect } from 'vitest';
import type { FileSystem, NodeId, NodeKind } from '../../src/filesystem/file-system.ts';
import { FsError } from '../../src/errors.ts';
import type { Random } from './random.ts';

const CHUNK = 4096;

/** A file's content in memory, sparse. */
class ModelContent {
  size = 0;
  readonly #chunks = new Map<number, Uint8Array>();

  write(offset: number, from: Uint8Array): void {
    for (let done = 0; done < from.length;) {
      const index = Math.floor((offset + done) / CHUNK);
      const within = (offset + done) % CHUNK;
      let chunk = this.#chunks.get(index);
      if (chunk === undefined) this.#chunks.set(index, (chunk = new Uint8Array(CHUNK)));
      const length = Math.min(CHUNK - within, from.length - done);
      chunk.set(from.subarray(done, done + length), within);
      done += length;
    }
    this.size = Math.max(this.size, offset + from.length);
  }

  resize(size: number): void {
    for (const [index, chunk] of this.#chunks) {
      if (index * CHUNK >= size) this.#chunks.delete(index);
      else if ((index + 1) * CHUNK > size) chunk.fill(0, size - index * CHUNK);
    }
    this.size = size;
  }

  read(offset: number, length: number): Uint8Array {
    const result = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const within = (offset + done) % CHUNK;
      const part = Math.min(CHUNK - within, length - done);
      const chunk = this.#chunks.get(Math.floor((offset + done) / CHUNK));
      if (chunk !== undefined) result.set(chunk.subarray(within, within + part), done);
      done += part;
    }
    return result;
  }

  /** First bytes of the pieces that hold something. */
  *places(): Iterable<number> {
    for (const index of this.#chunks.keys()) yield index * CHUNK;
  }
}

export interface ModelNode {
  id: NodeId;
  readonly kind: NodeKind;
  readonly children: Map<string, ModelNode>;
  readonly content: ModelContent;
  readonly xattrs: Map<string, Uint8Array>;
  readonly target: string;
  readonly device: { major: number; minor: number } | undefined;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  links: number;
  parent: ModelNode | undefined;
}

/** What happened with a step: `done`, or the code of the error. */
export type Outcome = string;

/** The same random operations on a file system and on a tree in memory; both must agree on every outcome. */
export class ExtModel {
  readonly root: ModelNode;
  /** Outcomes so far, by how often. */
  readonly outcomes = new Map<string, number>();
  readonly #random: Random;
  readonly #names: readonly string[];
  readonly #largest: number;
  readonly #preallocates: boolean;
  readonly #hasLargeValues: boolean;
  #fs: FileSystem;
  #retained: ModelNode[] = [];
  #directories: ModelNode[];
  #others: ModelNode[] = [];

  constructor(fs: FileSystem, random: Random, options: { largest: number; names: readonly string[] }) {
    this.#fs = fs;
    this.#random = random;
    this.#names = options.names;
    this.#largest = options.largest;
    this.#hasLargeValues = fs.features.includes('ea_inode');
    this.#preallocates = fs.features.includes('extent');
    this.root = newNode(fs.root, 'directory', { mode: 0o755 });
    const lostAndFound = fs.lookup(fs.root, 'lost+found');
    if (lostAndFound !== undefined) {
      const node = newNode(lostAndFound, 'directory', { mode: 0o700 });
      node.parent = this.root;
      this.root.children.set('lost+found', node);
    }
    this.#directories = [this.root];
  }

  /** Goes on with another open of the same volume: nothing is retained there. */
  reopen(fs: FileSystem): void {
    this.#fs = fs;
    this.#retained = [];
    this.#others = this.#others.filter((node) => node.links > 0);
  }

  /** As `reopen`, of a volume whose inodes have other numbers now: each is looked up by its name. */
  reopenRenumbered(fs: FileSystem): void {
    this.reopen(fs);
    const seen = new Set<ModelNode>();
    const visit = (node: ModelNode, id: NodeId): void => {
      node.id = id;
      if (seen.has(node)) return;
      seen.add(node);
      for (const [name, child] of node.children) {
        const found = fs.lookup(id, name);
        expect(found, name).toBeDefined();
        visit(child, found!);
      }
    };
    visit(this.root, fs.root);
  }

  /** Nodes that have lost their last names and are retained. */
  get nameless(): number {
    return new Set(this.#retained.filter((node) => node.links === 0)).size;
  }

  /** Steps that have asked the file system for something: in some there is nothing that they could be done with. */
  get operations(): number {
    return [...this.outcomes.values()].reduce((sum, times) => sum + times, 0);
  }

  /** Leaves about so many bytes free. */
  fill(free: number): void {
    const usage = this.#fs.usage();
    const data = this.#random.bytes(usage.freeBlocks * usage.blockSize - free);
    const id = this.#fs.create(this.root.id, 'filler', { kind: 'file', mode: 0o644 });
    this.#fs.write(id, 0, data);
    const node = { ...newNode(id, 'file', { mode: 0o644 }), parent: this.root };
    node.content.write(0, data);
    this.root.children.set('filler', node);
  }

  /** One random operation; when it fails, the error tells its number and the seed. */
  numberedStep(operation: number, seed: number): void {
    try {
      this.step();
    } catch (error) {
      throw new Error(`Operation ${operation} of seed ${seed} failed`, { cause: error });
    }
  }

  /** One random operation. */
  step(): void {
    const roll = this.#random.below(100);
    if (roll < 24) this.#create();
    else if (roll < 46) this.#write();
    else if (roll < 51) this.#truncate();
    else if (roll < 54) this.#allocate();
    else if (roll < 66) this.#unlink();
    else if (roll < 70) this.#rmdir();
    else if (roll < 80) this.#rename();
    else if (roll < 85) this.#link();
    else if (roll < 93) this.#xattr();
    else if (roll < 96) this.#attributes();
    else this.#retain();
  }

  /** Every name, attribute and byte of the file system against the tree. */
  verify(fs: FileSystem = this.#fs): void {
    verifyNode(fs, fs.root, this.root, '/');
  }

  #create(): void {
    const random = this.#random;
    const parent = this.#directory();
    const name = this.#name();
    const kind = random.pick<NodeKind>([
      'file',
      'file',
      'file',
      'file',
      'directory',
      'directory',
      'symlink',
      'symlink',
      'fifo',
      'socket',
      'block-device',
      'character-device',
    ]);
    const node = newNode(0 as NodeId, kind, {
      mode: random.below(0o10000),
      uid: random.pick([0, 1000, 65535, 70000, 0xfffffffe]),
      gid: random.pick([0, 100, 65536]),
      mtime: random.below(0x7fffffff),
      target: kind === 'symlink' ? 'x'.repeat(1 + random.pick([3, 30, 57, 58, 59, 60, 61, 200, 1000])) : '',
      device: { major: random.pick([0, 8, 255, 256, 4095]), minor: random.pick([0, 1, 255, 256, 1048575]) },
    });
    let id = 0 as NodeId;
    const outcome = this.#attempt('create', parent.children.has(name) ? 'EEXIST' : 'done', () => {
      id = this.#fs.create(parent.id, name, {
        kind,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        mtime: { seconds: node.mtime, nanoseconds: 0 },
        ...(kind === 'symlink' ? { target: node.target } : {}),
        ...(node.device === undefined ? {} : { device: node.device }),
        ...(random.below(2) === 0 ? { expectedSize: random.below(this.#largest) } : {}),
      });
    });
    if (outcome !== 'done') return;
    const made: ModelNode = { ...node, id, parent };
    parent.children.set(name, made);
    if (kind === 'directory') this.#directories.push(made);
    else this.#others.push(made);
  }

  #write(): void {
    const random = this.#random;
    const node = this.#file();
    if (node === undefined) return;
    const { size } = node.content;
    const far = random.below(20) === 0 ? random.below(this.#largest * 200) : random.below(this.#largest);
    const offset = random.pick([size, size, random.below(size + 1), far]);
    const data = random.bytes(random.pick([0, 1, 100, 1023, 1024, 4096, 5000, random.below(this.#largest)]));
    const outcome = this.#attempt('write', 'done', () => this.#fs.write(node.id, offset, data));
    if (outcome !== 'done') return;
    if (data.length > 0) node.content.write(offset, data);
    node.mtime = -1;
  }

  #truncate(): void {
    const node = this.#file();
    if (node === undefined) return;
    const { size } = node.content;
    const random = this.#random;
    const next = random.pick([0, random.below(size + 1), size + random.below(this.#largest), size]);
    if (this.#attempt('truncate', 'done', () => this.#fs.setAttributes(node.id, { size: next })) !== 'done')
      return;
    node.content.resize(next);
    node.mtime = -1;
  }

  /** Punches a hole, or takes space ahead. */
  #allocate(): void {
    const random = this.#random;
    const node = this.#file();
    if (node === undefined || this.#fs.punch === undefined || this.#fs.preallocate === undefined) return;
    const { size } = node.content;
    const offset = random.below(size + this.#largest / 4);
    const length = 1 + random.pick([random.below(3000), random.below(this.#largest), 4096, 1024]);
    if (random.below(2) === 0) {
      this.#fs.punch(node.id, offset, length);
      this.#count('punch done');
      const end = Math.min(size, offset + length);
      if (offset < end) node.content.write(offset, new Uint8Array(end - offset));
    } else {
      const keepSize = random.below(2) === 0;
      const expected = this.#preallocates ? 'done' : 'EOPNOTSUPP';
      const run = (): void => this.#fs.preallocate!(node.id, offset, length, { keepSize });
      if (this.#attempt('preallocate', expected, run) !== 'done') return;
      if (!keepSize && offset + length > size) node.content.resize(offset + length);
    }
    node.mtime = -1;
  }

  #unlink(): void {
    const [parent, name] = this.#entry();
    const node = parent.children.get(name);
    const expected = node === undefined ? 'ENOENT' : node.kind === 'directory' ? 'EISDIR' : 'done';
    const run = (): void => expect(this.#fs.unlink(parent.id, name)).toBe(node!.id);
    if (this.#attempt('unlink', expected, run) !== 'done') return;
    parent.children.delete(name);
    this.#drop(node!);
  }

  #rmdir(): void {
    let [parent, name] = this.#entry();
    const empty = this.#directories.find((directory) => directory.children.size === 0);
    if (empty?.parent !== undefined && this.#random.below(3) > 0) {
      parent = empty.parent;
      name = [...parent.children].find(([, child]) => child === empty)![0];
    }
    const node = parent.children.get(name);
    let expected = 'done';
    if (node === undefined) expected = 'ENOENT';
    else if (node.kind !== 'directory') expected = 'ENOTDIR';
    else if (node.children.size > 0) expected = 'ENOTEMPTY';
    else if (name === 'lost+found') return;
    if (this.#attempt('rmdir', expected, () => this.#fs.removeDirectory(parent.id, name)) !== 'done') return;
    parent.children.delete(name);
    this.#directories = this.#directories.filter((other) => other !== node);
  }

  #rename(): void {
    const [parent, name] = this.#entry();
    const newParent = this.#directory();
    const children = [...newParent.children.keys()];
    const newName =
      this.#random.below(3) === 0 && children.length > 0 ? this.#random.pick(children) : this.#name();
    const node = parent.children.get(name);
    const target = newParent.children.get(newName);
    if (name === 'lost+found' || newName === 'lost+found') return;
    const noReplace = this.#random.below(4) === 0;
    let expected = 'done';
    if (node === undefined) expected = 'ENOENT';
    else if (node.kind === 'directory' && isInside(newParent, node)) expected = 'EINVAL';
    else if (target !== undefined && noReplace) expected = 'EEXIST';
    else if (target === undefined || target === node) expected = 'done';
    else if (node.kind === 'directory' && target.kind !== 'directory') expected = 'ENOTDIR';
    else if (node.kind !== 'directory' && target.kind === 'directory') expected = 'EISDIR';
    else if (target.children.size > 0) expected = 'ENOTEMPTY';
    const outcome = this.#attempt('rename', expected, () =>
      this.#fs.rename(parent.id, name, newParent.id, newName, { noReplace }),
    );
    if (outcome !== 'done' || target === node) return;
    parent.children.delete(name);
    newParent.children.set(newName, node!);
    node!.parent = newParent;
    if (target?.kind === 'directory')
      this.#directories = this.#directories.filter((other) => other !== target);
    else if (target !== undefined) this.#drop(target);
  }

  #link(): void {
    if (this.#others.length === 0) return;
    const node = this.#random.pick(this.#others);
    const parent = this.#directory();
    const name = this.#name();
    const expected = parent.children.has(name) ? 'EEXIST' : 'done';
    if (this.#attempt('link', expected, () => this.#fs.link(node.id, parent.id, name)) !== 'done') return;
    parent.children.set(name, node);
    node.links++;
  }

  #xattr(): void {
    const random = this.#random;
    const node =
      random.below(3) === 0 || this.#others.length === 0 ? this.#directory() : random.pick(this.#others);
    const name = random.pick([
      'user.a',
      'user.long-name-of-an-attribute',
      'trusted.b',
      'security.selinux',
      'user.ü',
    ]);
    if (random.below(3) === 0) {
      const expected = node.xattrs.has(name) ? 'done' : 'ENODATA';
      if (this.#attempt('removexattr', expected, () => this.#fs.removeXattr(node.id, name)) === 'done') {
        node.xattrs.delete(name);
      }
      return;
    }
    const value =
      random.below(3) === 0
        ? new Uint8Array(random.pick(this.#hasLargeValues ? [40, 6000] : [40])).fill(7)
        : random.bytes(
            random.pick([0, 1, 5, 30, 100, 300, ...(this.#hasLargeValues ? [900, 3000, 20_000] : [])]),
          );
    if (this.#attempt('setxattr', 'done', () => this.#fs.setXattr(node.id, name, value)) === 'done') {
      node.xattrs.set(name, value);
    }
  }

  #attributes(): void {
    const random = this.#random;
    const node =
      random.below(3) === 0 || this.#others.length === 0 ? this.#directory() : random.pick(this.#others);
    const changes = {
      mode: random.below(0o10000),
      uid: random.below(0x100000000),
      gid: random.below(0x100000000),
      mtime: { seconds: random.below(0x7fffffff), nanoseconds: 0 },
    };
    this.#attempt('setattr', 'done', () => this.#fs.setAttributes(node.id, changes));
    node.mode = changes.mode;
    node.uid = changes.uid;
    node.gid = changes.gid;
    node.mtime = changes.mtime.seconds;
  }

  #retain(): void {
    const random = this.#random;
    if (this.#retained.length > 0 && random.below(2) === 0) {
      const node = this.#retained.splice(random.below(this.#retained.length), 1)[0]!;
      this.#fs.release(node.id);
      this.#count('release done');
      if (node.links === 0) this.#others = this.#others.filter((other) => other !== node);
    } else if (this.#others.length > 0) {
      const node = random.pick(this.#others);
      // What has lost its last name stays usable only while it is retained.
      if (this.#retained.includes(node)) return;
      this.#fs.retain(node.id);
      this.#count('retain done');
      this.#retained.push(node);
    }
  }

  #drop(node: ModelNode): void {
    if (--node.links > 0 || this.#retained.includes(node)) return;
    this.#others = this.#others.filter((other) => other !== node);
  }

  #directory(): ModelNode {
    return this.#random.pick(this.#directories);
  }

  #file(): ModelNode | undefined {
    const files = this.#others.filter((node) => node.kind === 'file');
    return files.length === 0 ? undefined : this.#random.pick(files);
  }

  /** A directory and a name that is most probably in it. */
  #entry(): [ModelNode, string] {
    const parent = this.#directory();
    const names = [...parent.children.keys()];
    return [
      parent,
      names.length === 0 || this.#random.below(10) === 0 ? this.#name() : this.#random.pick(names),
    ];
  }

  #name(): string {
    return this.#random.pick(this.#names) + this.#random.below(40);
  }

  /** Runs an operation that must end as expected; only a full volume may stop one that would be fine. */
  #attempt(operation: string, expected: string, run: () => void): Outcome {
    let outcome = 'done';
    try {
      run();
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      outcome = error.code;
    }
    this.#count(`${operation} ${outcome}`);
    if (outcome !== 'ENOSPC') same(outcome, expected, operation);
    return outcome;
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}

function newNode(
  id: NodeId,
  kind: NodeKind,
  options: {
    mode: number;
    uid?: number;
    gid?: number;
    mtime?: number;
    target?: string;
    device?: { major: number; minor: number };
  },
): ModelNode {
  return {
    id,
    kind,
    children: new Map(),
    content: new ModelContent(),
    xattrs: new Map(),
    target: options.target ?? '',
    device: kind === 'block-device' || kind === 'character-device' ? options.device : undefined,
    mode: options.mode,
    uid: options.uid ?? 0,
    gid: options.gid ?? 0,
    mtime: options.mtime ?? -1,
    links: 1,
    parent: undefined,
  };
}

function isInside(node: ModelNode, ancestor: ModelNode): boolean {
  for (let at: ModelNode | undefined = node; at !== undefined; at = at.parent)
    if (at === ancestor) return true;
  return false;
}

/** `expect(…).toEqual(…)` without its price: a tree has thousands of facts. */
function same(actual: unknown, expected: unknown, what: string): void {
  if (actual === expected || JSON.stringify(actual) === JSON.stringify(expected)) return;
  expect(actual, what).toEqual(expected);
}

function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array, what: string): void {
  if (actual !== undefined && Buffer.compare(actual, expected) === 0) return;
  expect.unreachable(`${what} differs`);
}

function verifyNode(fs: FileSystem, id: NodeId, node: ModelNode, path: string): void {
  const attributes = fs.attributes(id);
  const subdirectories = [...node.children.values()].filter((child) => child.kind === 'directory').length;
  const links = node.kind === 'directory' ? 2 + subdirectories : node.links;
  const facts = [attributes.kind, attributes.linkCount, attributes.device];
  same(facts, [node.kind, links, node.device], `kind, links and device of ${path}`);
  if (path !== '/' && !path.endsWith('lost+found')) {
    const owner = [attributes.mode, attributes.uid, attributes.gid];
    same(owner, [node.mode, node.uid, node.gid], `mode and owner of ${path}`);
    if (node.mtime >= 0 && node.kind !== 'directory') {
      same(attributes.mtime.seconds, node.mtime, `mtime of ${path}`);
    }
  }
  same(fs.listXattrs(id), [...node.xattrs.keys()].sort(), `attributes of ${path}`);
  for (const [name, value] of node.xattrs) sameBytes(fs.getXattr(id, name), value, `${name} of ${path}`);
  if (node.kind === 'symlink') same(fs.readLink(id), node.target, path);
  if (node.kind === 'file') verifyContent(fs, id, node.content, path);
  if (node.kind !== 'directory') return;
  const entries = [...fs.entries(id)];
  const names = entries.map((entry) => entry.name).sort();
  same(names, [...node.children.keys()].sort(), `names in ${path}`);
  for (const entry of entries) {
    const child = node.children.get(entry.name)!;
    same(entry.kind, child.kind, path + entry.name);
    same(fs.lookup(id, entry.name), entry.node, path + entry.name);
    if (child.kind === 'directory') same(fs.parent(entry.node), id, path + entry.name);
    verifyNode(fs, entry.node, child, `${path}${entry.name}${child.kind === 'directory' ? '/' : ''}`);
  }
}

function verifyContent(fs: FileSystem, id: NodeId, content: ModelContent, path: string): void {
  same(fs.attributes(id).size, content.size, `size of ${path}`);
  let at = 0;
  const holes: { offset: number; length: number }[] = [];
  for (const extent of fs.extents(id)) {
    same(extent.offset, at, `gap in the extents of ${path}`);
    at += extent.length;
    if (extent.kind !== 'data') {
      holes.push(extent);
      continue;
    }
    const bytes = new Uint8Array(extent.length);
    same(fs.read(id, extent.offset, bytes), extent.length, `bytes read of ${path}`);
    sameBytes(bytes, content.read(extent.offset, extent.length), `${path} from ${extent.offset} to ${at}`);
  }
  same(at, content.size, `end of the extents of ${path}`);
  for (const place of content.places()) {
    const hole = holes.find((range) => place < range.offset + range.length && place + CHUNK > range.offset);
    if (hole === undefined) continue;
    const from = Math.max(place, hole.offset);
    const bytes = content.read(from, Math.min(place + CHUNK, hole.offset + hole.length) - from);
    sameBytes(bytes, new Uint8Array(bytes.length), `what ${path} has at ${from}, a hole,`);
  }
}
