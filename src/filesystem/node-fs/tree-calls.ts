import { FsError } from '../../errors.ts';
import type { NodeId } from '../file-system.ts';
import type { PathArgument } from './arguments.ts';
import { pathOf } from './arguments.ts';
import type { attributeCalls } from './attribute-calls.ts';
import type { contentCalls } from './content-calls.ts';
import { type Context, existingNode, nodeIfThere } from './context.ts';
import type { directoryCalls } from './directory-calls.ts';
import type { nameCalls } from './name-calls.ts';
import { attempt, nodeError } from './node-error.ts';

export interface CopyOptions {
  readonly dereference?: boolean | undefined;
  readonly errorOnExist?: boolean | undefined;
  /** Called with source and destination; false leaves the entry, and what is below it, out. */
  readonly filter?: ((source: string, destination: string) => boolean) | undefined;
  /** Overwrite. Default true. */
  readonly force?: boolean | undefined;
  readonly mode?: number | undefined;
  readonly preserveTimestamps?: boolean | undefined;
  readonly recursive?: boolean | undefined;
  /** Links keep their text. Without it a relative target becomes absolute, as with node. */
  readonly verbatimSymlinks?: boolean | undefined;
}

/** For `promises.cp` and the callback variant, whose filter may take its time. */
export type AsyncCopyOptions = Omit<CopyOptions, 'filter'> & {
  readonly filter?: ((source: string, destination: string) => boolean | Promise<boolean>) | undefined;
};

/** An entry to be copied, and the directories that led to it: a damaged tree, or a link that is followed, may run in a circle. */
type Step = { readonly from: string; readonly to: string; readonly above: Trail | undefined };
type Trail = { readonly node: NodeId; readonly above: Trail | undefined };

type Calls<B extends Uint8Array> = ReturnType<typeof contentCalls<B>> &
  ReturnType<typeof directoryCalls<B>> &
  ReturnType<typeof nameCalls<B>> &
  ReturnType<typeof attributeCalls<B>>;

/** `cpSync`: a tree within one file system. Between file systems, and with the host, the verb `cp` copies. */
export function treeCalls<B extends Uint8Array>({ fileSystem }: Context<B>, calls: Calls<B>) {
  function cpSync(source: PathArgument, destination: PathArgument, options: CopyOptions = {}): void {
    const steps = copyTree(pathOf(source, 'src'), pathOf(destination, 'dest'), options);
    for (let step = steps.next(); step.done !== true;) {
      step = steps.next(options.filter?.(step.value.from, step.value.to) ?? true);
    }
  }

  async function cp(
    source: PathArgument,
    destination: PathArgument,
    options: AsyncCopyOptions = {},
  ): Promise<void> {
    const steps = copyTree(pathOf(source, 'src'), pathOf(destination, 'dest'), options);
    for (let step = steps.next(); step.done !== true;) {
      const wanted = await options.filter?.(step.value.from, step.value.to);
      step = steps.next(wanted ?? true);
    }
  }

  /** Asks before each entry whether it is wanted, so that one walk serves filters that answer at once and later. */
  function* copyTree(from: string, to: string, options: AsyncCopyOptions): Generator<Step, void, boolean> {
    const top = attempt({ syscall: 'lstat', path: from }, () => existingNode(fileSystem, from, false));
    const target = attempt({ syscall: 'lstat', path: to }, () => nodeIfThere(fileSystem, to, false));
    if (top === target) throw invalidCopy('src and dest cannot be the same', to);
    refuseWithinItself(top, from, to);
    const pending: Step[] = [{ from, to, above: undefined }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (!(yield next)) continue;
      const above = { node: sourceNode(next.from, options), above: next.above };
      refuseCircle(above, next.from);
      for (const name of copyOne(next.from, next.to, options)) {
        pending.push({ from: `${next.from}/${name}`, to: `${next.to}/${name}`, above });
      }
    }
  }

  function sourceNode(path: string, { dereference }: AsyncCopyOptions): NodeId {
    return attempt({ syscall: 'lstat', path }, () => existingNode(fileSystem, path, dereference === true));
  }

  /** A tree that is copied into itself would never end. */
  function refuseWithinItself(top: NodeId, from: string, to: string): void {
    for (let at = to.replace(/\/+[^/]*\/*$/, ''); at !== ''; at = at.replace(/\/*[^/]*$/, '')) {
      if (nodeIfThere(fileSystem, at) !== top) continue;
      throw invalidCopy(`cannot copy ${from} to a subdirectory of self ${to}`, to);
    }
  }

  /** Returns the names that are to be copied below it. */
  function copyOne(from: string, to: string, options: AsyncCopyOptions): string[] {
    const stats = options.dereference === true ? calls.statSync(from) : calls.lstatSync(from);
    const existing = calls.lstatSync(to, { throwIfNoEntry: false });
    let below: string[] = [];
    if (stats.isDirectory()) {
      if (options.recursive !== true) {
        throw nodeError(
          'ERR_FS_EISDIR',
          `Recursive option not enabled, cannot copy a directory: cp returned EISDIR (${from} is a directory (not copied)) ${from}`,
        );
      }
      if (existing !== undefined && !existing.isDirectory()) {
        throw nodeError(
          'ERR_FS_CP_DIR_TO_NON_DIR',
          `Cannot overwrite non-directory with directory: cp returned EISDIR (cannot overwrite non-directory ${to} with directory ${from}) ${to}`,
        );
      }
      if (existing === undefined) {
        calls.mkdirSync(to, { recursive: true });
        calls.chmodSync(to, stats.mode);
      }
      below = calls.readdirSync(from);
    } else {
      if (existing?.isDirectory() === true) {
        throw nodeError(
          'ERR_FS_CP_NON_DIR_TO_DIR',
          `Cannot overwrite directory with non-directory: cp returned ENOTDIR (cannot overwrite directory ${to} with non-directory ${from}) ${to}`,
        );
      }
      if (existing !== undefined && options.force === false) {
        if (options.errorOnExist !== true) return [];
        throw nodeError(
          'ERR_FS_CP_EEXIST',
          `Target already exists: cp returned EEXIST (${to} already exists) ${to}`,
        );
      }
      if (existing === undefined) calls.mkdirSync(parentOf(to), { recursive: true });
      if (stats.isSymbolicLink()) copyLink(from, to, existing !== undefined, options);
      else if (stats.isFile()) calls.copyFileSync(from, to, options.mode);
      else
        throw new FsError('EINVAL', {
          syscall: 'cp',
          path: from,
          dest: to,
          detail: 'neither a file, a directory nor a symbolic link',
        });
    }
    if (options.preserveTimestamps === true) calls.lutimesSync(to, stats.atime, stats.mtime);
    return below;
  }

  function copyLink(from: string, to: string, replace: boolean, options: AsyncCopyOptions): void {
    let target = calls.readlinkSync(from);
    if (options.verbatimSymlinks !== true && !target.startsWith('/')) target = `${parentOf(from)}/${target}`;
    if (replace) calls.unlinkSync(to);
    calls.symlinkSync(target, to);
  }

  return { cpSync, cp };
}

function parentOf(path: string): string {
  const absolute = path.startsWith('/') ? path : `/${path}`;
  return absolute.replace(/\/+[^/]*\/*$/, '') || '/';
}

function invalidCopy(why: string, path: string): Error {
  return nodeError('ERR_FS_CP_EINVAL', `Invalid src or dest: cp returned EINVAL (${why}) ${path}`);
}

function refuseCircle({ node, above }: Trail, path: string): void {
  for (let trail = above; trail !== undefined; trail = trail.above) {
    if (trail.node === node) throw new FsError('ELOOP', { syscall: 'cp', path });
  }
}
