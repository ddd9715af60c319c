import type { FileSystem, NodeId } from '../filesystem/file-system.ts';
import { FUSE_ROOT_ID } from './protocol.ts';

/** A node that the kernel holds, with the names by which it has found it. */
interface KnownNode {
  /** How many lookups the kernel has not taken back. */
  lookups: number;
  parent: number;
  name: string;
  /** Further names: parent, name. */
  others: [parent: number, name: string][] | undefined;
  /** Its access time needs no look before the node changes again. */
  accessNoted: boolean;
}

/**
 * The nodes that the kernel knows. Each is retained from its first lookup to its last forget: a file that was unlinked while it
 * is open stays as long as the kernel holds it, and no number is used again before.
 *
 * The kernel's node IDs are the driver's, but for the root, which is 1 there.
 */
export class KnownNodes {
  readonly #fs: FileSystem;
  readonly #known = new Map<number, KnownNode>();
  /** Nodes without a known name. */
  #nameless = 0;

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  get size(): number {
    return this.#known.size;
  }

  /** There are nodes without a known name, which may be gone once the kernel forgets them. */
  get hasNameless(): boolean {
    return this.#nameless > 0;
  }

  toNode(nodeId: number): NodeId {
    return nodeId === FUSE_ROOT_ID ? this.#fs.root : (nodeId as NodeId);
  }

  toKernel(node: NodeId): number {
    return node === this.#fs.root ? FUSE_ROOT_ID : node;
  }

  /** The kernel is told of `node` under a name: one lookup more. */
  remember(node: NodeId, parent: number, name: string): void {
    const known = this.#known.get(node);
    if (known === undefined) {
      this.#fs.retain(node);
      this.#known.set(node, { lookups: 1, parent, name, others: undefined, accessNoted: false });
      return;
    }
    known.lookups++;
    if (known.parent === parent && known.name === name) return;
    if (known.others?.some(([p, n]) => p === parent && n === name) === true) return;
    (known.others ??= []).push([parent, name]);
  }

  /** The kernel takes back so many lookups. True: it was the last of a node without a known name, which may be gone now. */
  forget(nodeId: number, lookups: number): boolean {
    if (nodeId === FUSE_ROOT_ID) return false;
    const node = nodeId as NodeId;
    const known = this.#known.get(node);
    if (known === undefined) return false;
    known.lookups -= lookups;
    if (known.lookups > 0) return false;
    this.#known.delete(node);
    if (known.name === '') this.#nameless--;
    this.#fs.release(node);
    return known.name === '';
  }

  /** The name leads to the node no more. */
  dropName(node: NodeId, parent: number, name: string): void {
    const known = this.#known.get(node);
    if (known === undefined) return;
    if (known.parent === parent && known.name === name) {
      const other = known.others?.pop();
      if (other !== undefined) [known.parent, known.name] = other;
      else {
        known.name = '';
        this.#nameless++;
      }
    } else if (known.others !== undefined) {
      known.others = known.others.filter(([p, n]) => p !== parent || n !== name);
    }
  }

  /** A name has moved without a lookup. */
  addName(node: NodeId, parent: number, name: string): void {
    const known = this.#known.get(node);
    if (known === undefined) return;
    if (known.name === '') {
      [known.parent, known.name] = [parent, name];
      this.#nameless--;
    } else (known.others ??= []).push([parent, name]);
  }

  /** The name by which the node was found last; '' where that is not known. */
  nameOf(node: NodeId): string {
    return this.#known.get(node)?.name ?? '';
  }

  isAccessNoted(node: NodeId): boolean {
    return this.#known.get(node)?.accessNoted ?? false;
  }

  noteAccess(node: NodeId, noted: boolean): void {
    const known = this.#known.get(node);
    if (known !== undefined) known.accessNoted = noted;
  }

  /** All that the kernel may have cached: node IDs, and names with their directories'. */
  listed(): { readonly nodes: number[]; readonly entries: [parent: number, name: string][] } {
    const nodes = [FUSE_ROOT_ID, ...this.#known.keys()];
    const entries: [parent: number, name: string][] = [];
    for (const { parent, name, others } of this.#known.values()) {
      if (name !== '') entries.push([parent, name]);
      if (others !== undefined) entries.push(...others);
    }
    return { nodes, entries };
  }

  /** The mount is gone: the kernel sends no forgets then. */
  clear(): void {
    for (const node of this.#known.keys()) this.#fs.release(node as NodeId);
    this.#known.clear();
    this.#nameless = 0;
  }
}
