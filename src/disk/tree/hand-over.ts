import type { OutsideFile } from '../../device/content-copier.ts';
import { hasCode } from '../../errors.ts';
import type { CreateOptions } from '../../filesystem/file-system.ts';
import type { FileIdentity, TreeAttributes, TreeSource, TreeTarget } from './tree.ts';

/** A file whose content the target gets by itself, and where its copy is. */
export class HandedFile<S, T> implements OutsideFile {
  readonly path: string;
  readonly size: number;
  readonly place: S;
  readonly directory: T;
  readonly name: string;

  constructor(path: string, size: number, place: S, directory: T, name: string) {
    this.path = path;
    this.size = size;
    this.place = place;
    this.directory = directory;
    this.name = name;
  }
}

/** The path by which the target reads the file, or undefined where its content has to pass through this process. */
export function handOverPath<S>(
  source: TreeSource<S>,
  target: TreeTarget<unknown>,
  place: S,
  { size, sparse, linkCount }: TreeAttributes,
): string | undefined {
  // What is linked to later must be sound now.
  if (sparse || linkCount > 1 || source.outsidePath === undefined) return undefined;
  return target.canTake?.(size) === true ? source.outsidePath(place) : undefined;
}

/** Makes the file and leaves its content to the target; undefined when one of this name is there. */
export function handOver<S, T>(
  target: TreeTarget<T>,
  file: HandedFile<S, T>,
  node: CreateOptions,
  created: Set<FileIdentity>,
): T | undefined {
  const { directory, name, size } = file;
  let made: T;
  try {
    made = target.makeFile(directory, name, node);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    return undefined;
  }
  created.add(target.entryKey(made, name));
  let isDone = false;
  try {
    target.takeFile!(file);
    target.endFile(size, node);
    isDone = true;
  } finally {
    if (!isDone) {
      target.endFile(0, undefined);
      target.unlink(directory, name);
    }
  }
  return made;
}
