import type { NodeKind } from '../file-system.ts';
import { Kinded } from './stats.ts';

/** `fs.Dirent`. `Name` is a Buffer when the caller asked for `encoding: 'buffer'`. */
export class Dirent<Name = string> extends Kinded {
  name: Name;
  /** The directory that the entry is in, as the caller named it. */
  parentPath: string;
  /** The older name of `parentPath`. */
  path: string;

  constructor(name: Name, parentPath: string, kind: NodeKind) {
    super(kind);
    this.name = name;
    this.parentPath = parentPath;
    this.path = parentPath;
  }
}
