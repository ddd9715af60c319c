import { FsError } from '../../errors.ts';
import type { FileSystem, NodeId } from '../file-system.ts';
import type { OpenFlags } from './flags.ts';

/** An open file description: what a descriptor stands for. */
export interface OpenFile {
  readonly node: NodeId;
  readonly flags: OpenFlags;
  /** Where the next read or write without a position happens, bytes. */
  position: number;
}

/** 0, 1 and 2 are left out: a program that finds one of them takes it for a standard stream. */
const FIRST_DESCRIPTOR = 3;

/** A program that never closes is stopped where Linux stops one by default. */
const MAX_OPEN = 1024 * 1024;

/** Descriptors of one file system. They mean nothing to the operating system. */
export class OpenFileTable {
  readonly #fileSystem: FileSystem;
  readonly #files = new Map<number, OpenFile>();

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  /** The lowest free descriptor, as POSIX wants it. */
  add(node: NodeId, flags: OpenFlags): number {
    if (this.#files.size >= MAX_OPEN) throw new FsError('EMFILE');
    let descriptor = FIRST_DESCRIPTOR;
    while (this.#files.has(descriptor)) descriptor++;
    this.#fileSystem.retain(node);
    this.#files.set(descriptor, { node, flags, position: 0 });
    return descriptor;
  }

  get(descriptor: number): OpenFile {
    const file = this.#files.get(descriptor);
    if (file === undefined) throw new FsError('EBADF');
    return file;
  }

  close(descriptor: number): void {
    const { node } = this.get(descriptor);
    this.#files.delete(descriptor);
    this.#fileSystem.release(node);
  }
}
