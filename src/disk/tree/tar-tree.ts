import { EPOCH, type Timestamp } from '../../bytes/time.ts';
import type { Extent } from '../../device/block-device.ts';
import { FsError } from '../../errors.ts';
import { type TarMember, tarMembers, type TarReader } from './tar-header.ts';
import {
  compareNames,
  NO_XATTRS,
  type TreeAttributes,
  type TreeCapabilities,
  type TreeChild,
  type TreeSource,
  type Xattr,
} from './tree.ts';

/** A file of the archive, or a directory that only the names of others tell of. */
export interface TarPlace {
  readonly path: string;
  readonly identity: number;
  /** Undefined for a directory without a member of its own. */
  member: TarMember | undefined;
  readonly children: Map<string, TarPlace>;
  /** Names of this file in the archive. */
  names: number;
}

/** A tar archive as a tree of files: later members take the place of earlier ones of the same name. */
export class TarTree implements TreeSource<TarPlace> {
  readonly capabilities: TreeCapabilities = {
    name: 'the archive',
    symlinks: true,
    hardLinks: true,
    specialFiles: true,
    ownership: true,
    xattrs: true,
    holes: false,
    dosAttributes: false,
    maxFileSize: Number.MAX_SAFE_INTEGER,
  };
  readonly root: TarPlace;
  readonly #read: TarReader;
  #places = 0;
  #open: TarMember | undefined;

  constructor(read: TarReader) {
    this.#read = read;
    this.root = this.#place('', undefined);
    for (const member of tarMembers(read)) this.#add(member);
  }

  describe(place: TarPlace): string {
    return place.path === '' ? '/' : place.path;
  }

  attributes(place: TarPlace): TreeAttributes {
    const { member } = place;
    const kind = member === undefined || member.kind === 'link' ? 'directory' : member.kind;
    const mtime: Timestamp = member?.mtime ?? EPOCH;
    return {
      kind,
      identity: place.identity,
      size: member?.size ?? 0,
      allocated: member?.size ?? 0,
      sparse: false,
      mode: member?.mode ?? 0o755,
      uid: member?.uid ?? 0,
      gid: member?.gid ?? 0,
      linkCount: place.names,
      device: member?.device,
      atime: member?.atime ?? mtime,
      mtime,
      dosAttributes: 0,
    };
  }

  follow(place: TarPlace): TarPlace {
    return place;
  }

  children(directory: TarPlace): readonly TreeChild<TarPlace>[] {
    return [...directory.children].map(([name, place]) => ({ name, place })).sort(compareNames);
  }

  readLink(place: TarPlace): string {
    return place.member?.target ?? '';
  }

  xattrs(place: TarPlace): readonly Xattr[] {
    return place.member?.xattrs ?? NO_XATTRS;
  }

  openFile(place: TarPlace): void {
    this.#open = place.member;
  }

  readFile(offset: number, into: Uint8Array): number {
    const member = this.#open!;
    const length = Math.min(into.length, member.size - offset);
    if (length <= 0) return 0;
    const got = this.#read(member.offset + offset, into.subarray(0, length));
    if (got < length) {
      throw new FsError('EIO', {
        detail: `the archive ends within "${member.name}": ${member.size} bytes, ${offset + got} are there`,
      });
    }
    return length;
  }

  fileExtents(_attributes: TreeAttributes): Iterable<Extent> | undefined {
    return undefined;
  }

  closeFile(): void {
    this.#open = undefined;
  }

  #place(path: string, member: TarMember | undefined): TarPlace {
    return { path, identity: ++this.#places, member, children: new Map(), names: 1 };
  }

  #add(member: TarMember): void {
    const names = splitName(member.name);
    const last = names.pop();
    if (last === undefined) {
      if (member.kind === 'directory') this.root.member = member;
      return;
    }
    let directory = this.root;
    for (const name of names) directory = this.#directory(directory, name);
    if (member.kind === 'link') {
      const file = this.#find(splitName(member.target));
      if (file === undefined || file.member === undefined || file.children.size > 0) {
        throw new FsError('ENOENT', {
          detail: `"${member.name}" is a link to "${member.target}", which is not in the archive before it`,
        });
      }
      file.names++;
      directory.children.set(last, file);
      return;
    }
    const present = directory.children.get(last);
    if (member.kind === 'directory' && present !== undefined && isDirectory(present)) present.member = member;
    else {
      if (present !== undefined) present.names--;
      directory.children.set(last, this.#place(`${directory.path}/${last}`, member));
    }
  }

  #directory(parent: TarPlace, name: string): TarPlace {
    const present = parent.children.get(name);
    if (present !== undefined && isDirectory(present)) return present;
    const made = this.#place(`${parent.path}/${name}`, undefined);
    parent.children.set(name, made);
    return made;
  }

  #find(names: readonly string[]): TarPlace | undefined {
    let place: TarPlace | undefined = this.root;
    for (const name of names) place = place?.children.get(name);
    return place;
  }
}

function isDirectory({ member }: TarPlace): boolean {
  return member === undefined || member.kind === 'directory';
}

/** EINVAL for a name that leads out of the archive. */
function splitName(name: string): string[] {
  const names = name.split('/').filter((part) => part !== '' && part !== '.');
  if (names.includes('..'))
    throw new FsError('EINVAL', { detail: `the name "${name}" leads out of the archive` });
  return names;
}
