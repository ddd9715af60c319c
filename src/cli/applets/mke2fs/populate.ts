import fs from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../../bytes/time.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { CopyStopped } from '../../../disk/tree/copy-stopped.ts';
import { TreeCopy } from '../../../disk/tree/copy-tree.ts';
import { ImageTree } from '../../../disk/tree/image-tree.ts';
import { TarTree } from '../../../disk/tree/tar-tree.ts';
import type { TreeSource, TreeTarget } from '../../../disk/tree/tree.ts';
import { CorruptImageError, FsError, UnsupportedError } from '../../../errors.ts';
import { extDriver } from '../../../filesystem/ext/driver.ts';
import { hasIncompatible } from '../../../filesystem/ext/format/features.ts';
import type { ExtLayout } from '../../../filesystem/ext/format/layout.ts';
import type { FileSystem } from '../../../filesystem/file-system.ts';
import { HostTree } from '../../../host/host-tree.ts';
import type { Io } from '../../io.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { errorText } from './target.ts';

/** What `-d` names, opened: a folder, or a tar archive. */
export interface Content {
  readonly tree: TreeSource<unknown>;
  readonly root: unknown;
  /** It tells of the root directory itself. */
  readonly hasRoot: boolean;
  close(): void;
}

/** Before anything is written: the archive is read for its names, and what is not there is told. */
export function openContent(io: Io, name: string, calledAs: string): Content {
  const file = path.resolve(io.cwd, name);
  let descriptor: number | undefined;
  try {
    if (fs.statSync(file).isDirectory()) {
      fs.accessSync(file, fs.constants.R_OK | fs.constants.X_OK);
      return {
        tree: new HostTree(io.cwd) as TreeSource<unknown>,
        root: file,
        hasRoot: false,
        close: () => undefined,
      };
    }
    const opened = fs.openSync(file, 'r');
    descriptor = opened;
    const tree = new TarTree((offset, into) => fs.readSync(opened, into, 0, into.length, offset));
    return {
      tree: tree as TreeSource<unknown>,
      root: tree.root,
      hasRoot: tree.root.member !== undefined,
      close: () => fs.closeSync(opened),
    };
  } catch (error) {
    if (descriptor !== undefined) fs.closeSync(descriptor);
    const text = describeError(error);
    throw new Failure(`${calledAs}: ${text} while populating file system\n`);
  }
}

/** Names what -d cannot fill: our driver does not write such volumes. */
export function refuseToFill({ features }: ExtLayout, calledAs: string): void {
  const names = (['mmp'] as const).filter((name) => hasIncompatible(features, name));
  if (names.length > 0)
    throw new Failure(`${calledAs}: -d is not supported with the feature ${names.join(', ')}\n`);
}

/** Fills the new volume on `device`: owners, modes, times, links, devices and attributes as they are in the source. */
export function populate(
  io: Io,
  device: BlockDevice,
  content: Content,
  { calledAs, clock, keepXattrs }: { calledAs: string; clock: Clock; keepXattrs: boolean },
): void {
  const fileSystem: FileSystem = extDriver.open(device, { clock, withoutJournal: true });
  if (fileSystem.readOnly) {
    throw new Failure(
      `${calledAs}: ${fileSystem.readOnlyReason ?? 'read-only'} while populating file system\n`,
    );
  }
  const target = new ImageTree(fileSystem, (inside) => inside);
  let failed = false;
  const problem = (what: string, error: unknown): void => {
    failed = true;
    const text = describeError(error);
    io.stderr.write(`${calledAs}: ${what}: ${text}\n`);
  };
  const copy = new TreeCopy<unknown, unknown>(
    content.tree,
    target as TreeTarget<unknown>,
    {
      recursive: true,
      follow: 'none',
      keepMode: true,
      umask: 0,
      keepTimes: true,
      keepOwner: true,
      keepXattrs,
      updateDirectories: content.hasRoot,
      noClobber: false,
      force: false,
    },
    { problem },
  );
  try {
    copy.copyContents(content.root, target.place('/'), new Set());
    copy.finish();
  } catch (error) {
    if (!(error instanceof CopyStopped)) problem('cannot copy', error);
  }
  fileSystem.close();
  if (failed) throw new Failure(`${calledAs}: not all could be copied while populating file system\n`);
}

function describeError(error: unknown): string {
  const isOurs = error instanceof CorruptImageError || error instanceof UnsupportedError;
  return isOurs || (error instanceof FsError && error.detail !== undefined)
    ? error.message
    : errorText(error);
}
