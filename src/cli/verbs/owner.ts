import { decodeUtf8 } from '../../bytes/utf8.ts';
import { UsageError } from '../../errors.ts';
import type { FileSystem } from '../../filesystem/file-system.ts';
import { findPath } from '../../filesystem/path.ts';

/** Longer files are no user databases. */
const MAX_DATABASE_SIZE = 1 << 20;

export interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/** The names of users and groups as the image itself has them, in its /etc/passwd and /etc/group. */
export class OwnerNames {
  readonly #users: ReadonlyMap<string, number>;
  readonly #groups: ReadonlyMap<string, number>;
  readonly #userNames: ReadonlyMap<number, string>;
  readonly #groupNames: ReadonlyMap<number, string>;
  readonly #loginGroups = new Map<number, number>();

  constructor(passwd: string, group: string) {
    const users = parseDatabase(passwd);
    this.#users = new Map(users.map(([name, , uid]) => [name!, Number(uid)]));
    this.#userNames = new Map(users.map(([name, , uid]) => [Number(uid), name!] as const).reverse());
    for (const [, , uid, gid] of users) this.#loginGroups.set(Number(uid), Number(gid));
    const groups = parseDatabase(group);
    this.#groups = new Map(groups.map(([name, , gid]) => [name!, Number(gid)]));
    this.#groupNames = new Map(groups.map(([name, , gid]) => [Number(gid), name!] as const).reverse());
  }

  static read(fileSystem: FileSystem): OwnerNames {
    return new OwnerNames(readText(fileSystem, '/etc/passwd'), readText(fileSystem, '/etc/group'));
  }

  user(uid: number): string {
    return this.#userNames.get(uid) ?? `${uid}`;
  }

  group(gid: number): string {
    return this.#groupNames.get(gid) ?? `${gid}`;
  }

  /** `USER`, `USER:GROUP`, `USER:` (the user's login group), `:GROUP`; names or numbers. UsageError. */
  parse(text: string): Owner {
    const match = /^([^:]*)(?:(:)([^:]*))?$/.exec(text);
    if (match === null || text === '' || text === ':') throw new UsageError(`"${text}" is not an owner`);
    const [, user = '', colon, group = ''] = match;
    const owner: { uid?: number; gid?: number } = {};
    if (user !== '') owner.uid = idOf(user, this.#users, 'user', '/etc/passwd');
    if (group !== '') owner.gid = idOf(group, this.#groups, 'group', '/etc/group');
    else if (colon !== undefined && owner.uid !== undefined) {
      const login = this.#loginGroups.get(owner.uid);
      if (login === undefined) {
        throw new UsageError(`user ${owner.uid} has no login group in the image's /etc/passwd`);
      }
      owner.gid = login;
    }
    return owner;
  }
}

function idOf(text: string, known: ReadonlyMap<string, number>, what: string, database: string): number {
  const id = known.get(text) ?? (/^\d{1,10}$/.test(text) ? Number(text) : undefined);
  if (id === undefined) {
    throw new UsageError(`"${text}" is not a number, and no ${what} in the image's ${database}`);
  }
  if (id > 0xffff_fffe) throw new UsageError(`${what} ${id} is larger than 4294967294`);
  return id;
}

/** Lines of `name:password:id…`, without those that are not. */
function parseDatabase(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([name, , id]) => name !== undefined && name !== '' && id !== undefined && /^\d{1,10}$/.test(id));
}

function readText(fileSystem: FileSystem, path: string): string {
  const node = findPath(fileSystem, path);
  if (node === undefined) return '';
  const { kind, size } = fileSystem.attributes(node);
  if (kind !== 'file' || size > MAX_DATABASE_SIZE) return '';
  const content = new Uint8Array(size);
  return decodeUtf8(content, 0, fileSystem.read(node, 0, content));
}
