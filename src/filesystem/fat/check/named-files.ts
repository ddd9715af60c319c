import { UsageError } from '../../../errors.ts';

const NAME = 11;
const BASE = 8;
// eslint-disable-next-line no-control-regex -- control characters are what this is about
const FORBIDDEN = /[\x00-\x1f\x7f-\uffff*?<>|"]/;

/** What is to become of a file with this name. */
interface Wish {
  readonly kind: 'drop' | 'undelete';
  /** The short names of the directories above it, 11 bytes each, as one key. */
  readonly folder: string;
  readonly name: string;
  isDone: boolean;
}

/** Files that the command line names, by their short names. Names have their bytes as characters. */
export class NamedFiles {
  readonly #wishes: Wish[] = [];

  /** Throws UsageError, with the tool's words, for what is no path of short names. */
  constructor(drop: readonly string[] = [], undelete: readonly string[] = []) {
    for (const path of drop) this.#add('drop', path);
    for (const path of undelete) this.#add('undelete', path);
  }

  /** Is the file to be dropped? `raw`: the slot. */
  drops(folder: string, raw: Uint8Array): boolean {
    const name = nameOf(raw);
    return this.#take((wish) => wish.kind === 'drop' && wish.folder === folder && wish.name === name);
  }

  /** A deleted file has lost the first character of its name; this gives it back, as a byte. */
  firstByte(folder: string, raw: Uint8Array): number | undefined {
    const rest = nameOf(raw).slice(1);
    const wish = this.#wishes.find(
      ({ kind, isDone, ...each }) =>
        !isDone && kind === 'undelete' && each.folder === folder && each.name.slice(1) === rest,
    );
    if (wish === undefined) return undefined;
    wish.isDone = true;
    return wish.name.charCodeAt(0);
  }

  /** Those that were not come across: what was to become of them and how they are shown. The last of a folder comes first, as with the tool. */
  *missed(): Iterable<readonly [kind: 'drop' | 'undelete', name: string]> {
    for (const { isDone, kind, name } of inToolOrder(this.#wishes)) if (!isDone) yield [kind, shown(name)];
  }

  /** Names a file that has been found by its long name. */
  markDropped(path: string): void {
    const key = path.toUpperCase();
    for (const wish of this.#wishes)
      if (wish.kind === 'drop' && this.#paths.get(wish) === key) wish.isDone = true;
  }

  readonly #paths = new Map<Wish, string>();

  #take(isWanted: (wish: Wish) => boolean): boolean {
    const wish = this.#wishes.find((each) => !each.isDone && isWanted(each));
    if (wish !== undefined) wish.isDone = true;
    return wish !== undefined;
  }

  #add(kind: Wish['kind'], path: string): void {
    const parts = path.slice(1).split('/').map(shortName);
    const name = parts.pop()!;
    const folder = parts.join('/');
    if (this.#wishes.some((wish) => wish.folder === folder && wish.name === name))
      throw new UsageError(`Ambiguous name: "${shown(name)}"`, 1);
    const wish: Wish = { kind, folder, name, isDone: false };
    this.#wishes.push(wish);
    this.#paths.set(wish, path.toUpperCase());
  }
}

/** A folder stands where its first name was given, and its names with it. */
function inToolOrder(wishes: readonly Wish[], folder = ''): Wish[] {
  const found: Wish[][] = [];
  const seen = new Set<string>();
  for (const wish of wishes) {
    if (wish.folder === folder) found.push([wish]);
    else {
      const below = folder === '' ? wish.folder : wish.folder.slice(folder.length + 1);
      const next = (folder === '' ? '' : `${folder}/`) + below.split('/')[0]!;
      if (seen.has(next)) continue;
      seen.add(next);
      const within = wishes.filter((each) => each.folder === next || each.folder.startsWith(`${next}/`));
      found.push(inToolOrder(within, next));
    }
  }
  return found.reverse().flat();
}

/** The name in a slot. */
export function nameOf(raw: Uint8Array): string {
  return String.fromCharCode(...raw.subarray(0, NAME));
}

/** `F1.TXT` as it is in a slot; what is longer is cut, as by the tool. */
function shortName(text: string): string {
  const plain = text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
  );
  if (FORBIDDEN.test(text))
    throw new UsageError('Invalid character in name. Use \\ooo for special characters.');
  if (text.replaceAll(/\\[0-7]{3}/g, '').includes('\\')) throw new UsageError('Expected three octal digits.');
  const [base = '', extension = '', ...more] = plain.split('.');
  if (more.length > 0) throw new UsageError('Duplicate dots in name.');
  if (plain === '') throw new UsageError('');
  return (
    base.slice(0, BASE).padEnd(BASE) + extension.slice(0, NAME - BASE).padEnd(NAME - BASE)
  ).toUpperCase();
}

function shown(name: string): string {
  const extension = name.slice(BASE).trimEnd();
  return name.slice(0, BASE).trimEnd() + (extension === '' ? '' : `.${extension}`);
}
