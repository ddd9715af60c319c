import { FsError } from '../../errors.ts';
import { encodeUtf8 } from '../../bytes/utf8.ts';
import type { FileSystem, NodeId, NodeKind } from '../file-system.ts';
import { findPath } from '../path.ts';
import {
  type BufferEncodingArgument,
  type EncodingArgument,
  type ModeArgument,
  type PathArgument,
  encodingOf,
  modeOf,
  pathOf,
} from './arguments.ts';
import { type Context, existingNode, nodeIfThere, parentAndName } from './context.ts';
import { Dir } from './dir.ts';
import { Dirent } from './dirent.ts';
import { attempt, nodeError } from './node-error.ts';

export interface MakeDirectoryOptions {
  readonly recursive?: boolean | undefined;
  readonly mode?: ModeArgument | undefined;
}

export interface ReadDirectoryOptions {
  readonly encoding?: string | null | undefined;
  readonly withFileTypes?: boolean | undefined;
  readonly recursive?: boolean | undefined;
}

type NamesOnly = { readonly withFileTypes?: false | undefined };

export interface RemoveOptions {
  readonly force?: boolean | undefined;
  readonly recursive?: boolean | undefined;
  /** Have no effect here: what cannot be removed now cannot be removed later either. */
  readonly maxRetries?: number | undefined;
  readonly retryDelay?: number | undefined;
}

export interface OpenDirectoryOptions {
  readonly encoding?: string | null | undefined;
  /** Has no effect here: entries are never read ahead. */
  readonly bufferSize?: number | undefined;
  readonly recursive?: boolean | undefined;
}

const NAME_LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** The calls on directories: mkdir, mkdtemp, readdir, opendir, rmdir, rm. */
export function directoryCalls<B extends Uint8Array>(context: Context<B>) {
  const { fileSystem, codec } = context;

  function mkdirSync(
    path: PathArgument,
    options: MakeDirectoryOptions & { recursive: true },
  ): string | undefined;
  function mkdirSync(
    path: PathArgument,
    options?: ModeArgument | (MakeDirectoryOptions & { recursive?: false | undefined }) | null,
  ): void;
  function mkdirSync(
    path: PathArgument,
    options?: ModeArgument | MakeDirectoryOptions | null,
  ): string | undefined;
  function mkdirSync(
    path: PathArgument,
    options?: ModeArgument | MakeDirectoryOptions | null,
  ): string | undefined {
    const name = pathOf(path);
    const given = typeof options === 'object' && options !== null ? options : { mode: options };
    const mode = modeOf(given.mode, 0o777);
    return attempt({ syscall: 'mkdir', path: name }, () => {
      if ('recursive' in given && given.recursive === true) return makeMissing(name, mode);
      makeDirectory(name, mode);
      return undefined;
    });
  }

  function makeDirectory(path: string, mode: number): void {
    const { directory, name } = parentAndName(fileSystem, path, 'EEXIST');
    // Before the driver can say EROFS: Linux answers in this order, and mkdirp loops count on it.
    if (fileSystem.lookup(directory, name) !== undefined) throw new FsError('EEXIST');
    fileSystem.create(directory, name, {
      kind: 'directory',
      mode: mode & 0o7777 & ~context.umask,
      uid: context.uid,
      gid: context.gid,
    });
  }

  /** Returns the first directory that had to be made. */
  function makeMissing(path: string, mode: number): string | undefined {
    if (path === '') throw new FsError('ENOENT');
    const names = path.split('/');
    let first: string | undefined;
    for (let count = 1; count <= names.length; count++) {
      const prefix = names.slice(0, count).join('/');
      if (prefix === '' || names[count - 1] === '') continue;
      const node = findPath(fileSystem, prefix);
      if (node === undefined) {
        makeDirectory(prefix, mode);
        first ??= prefix;
      } else if (fileSystem.attributes(node).kind !== 'directory') {
        throw new FsError(count === names.length ? 'EEXIST' : 'ENOTDIR');
      }
    }
    return first;
  }

  function mkdtempSync(prefix: string, options?: EncodingArgument): string;
  function mkdtempSync(prefix: string, options: BufferEncodingArgument): B;
  function mkdtempSync(prefix: string, options?: EncodingArgument): string | B;
  function mkdtempSync(prefix: string, options?: EncodingArgument): string | B {
    const start = pathOf(prefix, 'prefix');
    return attempt({ syscall: 'mkdtemp', path: `${start}XXXXXX` }, () => {
      for (let turn = 0; ; turn++) {
        const name = start + temporarySuffix(turn);
        if (nodeIfThere(fileSystem, name, false) !== undefined) continue;
        parentAndName(fileSystem, name, 'EEXIST');
        makeDirectory(name, 0o700);
        return named(name, encodingOf(options));
      }
    });
  }

  function temporarySuffix(turn: number): string {
    const bytes = new Uint8Array(6);
    if (context.random !== undefined) context.random(bytes);
    else for (let i = 5, rest = turn; i >= 0; i--, rest = Math.floor(rest / 62)) bytes[i] = rest % 62;
    return Array.from(bytes, (byte) => NAME_LETTERS[byte % 62]).join('');
  }

  function readdirSync(
    path: PathArgument,
    options:
      { encoding: 'buffer'; withFileTypes?: false | undefined; recursive?: boolean | undefined } | 'buffer',
  ): B[];
  function readdirSync(
    path: PathArgument,
    options: { encoding: 'buffer'; withFileTypes: true; recursive?: boolean | undefined },
  ): Dirent<B>[];
  function readdirSync(
    path: PathArgument,
    options: ReadDirectoryOptions & { readonly withFileTypes: true },
  ): Dirent[];
  function readdirSync(
    path: PathArgument,
    options?: (ReadDirectoryOptions & NamesOnly) | string | null,
  ): string[];
  function readdirSync(
    path: PathArgument,
    options?: ReadDirectoryOptions | string | null,
  ): (string | B)[] | Dirent<string | B>[] {
    const directory = pathOf(path);
    const encoding = encodingOf(options);
    const { withFileTypes, recursive } = typeof options === 'object' && options !== null ? options : {};
    return attempt({ syscall: 'scandir', path: directory }, () => {
      const found = listEntries(directory, recursive === true);
      if (withFileTypes === true) {
        return found.map((entry) => new Dirent(named(entry.name, encoding), entry.parentPath, entry.kind));
      }
      return found.map(({ within, name }) => named(within === '' ? name : `${within}/${name}`, encoding));
    });
  }

  /** In the order of the directory; the sub-directories' own entries follow, level by level, as node gives them. */
  function listEntries(path: string, recursive: boolean): FoundEntry[] {
    const found: FoundEntry[] = [];
    const root = existingNode(fileSystem, path);
    const pending = [{ node: root, within: '' }];
    const visited = new Set<NodeId>([root]);
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
      if (fileSystem.attributes(next.node).kind !== 'directory') throw new FsError('ENOTDIR');
      const parentPath = next.within === '' ? path : joined(path, next.within);
      for (const { name, node, kind } of fileSystem.entries(next.node)) {
        found.push({ name, kind, within: next.within, parentPath });
        // A damaged tree may contain itself: each directory is listed once.
        if (!recursive || kind !== 'directory' || visited.has(node)) continue;
        visited.add(node);
        pending.push({ node, within: next.within === '' ? name : `${next.within}/${name}` });
      }
    }
    return found;
  }

  function opendirSync(path: PathArgument, options?: OpenDirectoryOptions): Dir {
    const directory = pathOf(path);
    const entries = attempt({ syscall: 'opendir', path: directory }, () =>
      listEntries(directory, options?.recursive === true),
    );
    return new Dir(
      directory,
      entries.map(({ name, parentPath, kind }) => new Dirent(name, parentPath, kind)),
    );
  }

  function rmdirSync(path: PathArgument, options?: { readonly recursive?: boolean | undefined }): void {
    const name = pathOf(path);
    if (options?.recursive === true) {
      rmSync(name, { recursive: true });
      return;
    }
    attempt({ syscall: 'rmdir', path: name }, () => {
      const place = parentAndName(fileSystem, name, 'EBUSY');
      fileSystem.removeDirectory(place.directory, place.name);
    });
  }

  function rmSync(path: PathArgument, options: RemoveOptions = {}): void {
    const name = pathOf(path);
    const node = attempt({ syscall: 'lstat', path: name }, () =>
      options.force === true ? nodeIfThere(fileSystem, name, false) : existingNode(fileSystem, name, false),
    );
    if (node === undefined) return;
    if (fileSystem.attributes(node).kind !== 'directory') {
      attempt({ syscall: 'unlink', path: name }, () => {
        const place = parentAndName(fileSystem, name, 'EISDIR');
        fileSystem.unlink(place.directory, place.name);
      });
      return;
    }
    if (options.recursive !== true) {
      throw nodeError('ERR_FS_EISDIR', `Path is a directory: rm returned EISDIR (is a directory) ${name}`, {
        syscall: 'rm',
        path: name,
      });
    }
    attempt({ syscall: 'rm', path: name }, () => {
      const place = parentAndName(fileSystem, name, 'EBUSY');
      removeTree(fileSystem, place.directory, place.name);
    });
  }

  function named(text: string, encoding: string | undefined): string | B;
  function named(text: string, encoding: string | undefined): string | B {
    if (encoding === undefined || /^utf-?8$/i.test(encoding)) return text;
    const bytes = encodeUtf8(text);
    return encoding === 'buffer' ? codec.wrap(bytes) : codec.decode(bytes, encoding);
  }

  return { mkdirSync, mkdtempSync, readdirSync, opendirSync, rmdirSync, rmSync };
}

interface FoundEntry {
  readonly name: string;
  readonly kind: NodeKind;
  /** Path of the entry's directory below the one that is listed; empty for that one itself. */
  readonly within: string;
  readonly parentPath: string;
}

function joined(directory: string, name: string): string {
  return directory.endsWith('/') ? `${directory}${name}` : `${directory}/${name}`;
}

/** Without recursion, since a tree may be deeper than the stack; a directory that contains itself is refused. */
function removeTree(fileSystem: FileSystem, directory: NodeId, name: string): void {
  const top = fileSystem.lookup(directory, name)!;
  const stack = [{ directory, name, node: top }];
  const above = new Set<NodeId>([top]);
  for (let current = stack.at(-1); current !== undefined; current = stack.at(-1)) {
    let descended = false;
    for (const entry of fileSystem.entries(current.node)) {
      if (entry.kind !== 'directory') {
        fileSystem.unlink(current.node, entry.name);
        continue;
      }
      if (above.has(entry.node)) throw new FsError('ELOOP');
      above.add(entry.node);
      stack.push({ directory: current.node, name: entry.name, node: entry.node });
      descended = true;
      break;
    }
    if (descended) continue;
    fileSystem.removeDirectory(current.directory, current.name);
    above.delete(current.node);
    stack.pop();
  }
}
