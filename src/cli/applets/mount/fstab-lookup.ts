import fs from 'node:fs';
import path from 'node:path';
import { hasCode } from '../../../errors.ts';
import type { MountContext } from './context.ts';
import { type FstabEntry, parseFstab } from './fstab.ts';
import { MountExit, MountFailure } from './mount-failure.ts';

const FSTAB = '/etc/fstab';

/** What mount reads for lack of operands: `--fstab`, USERLOOP_FSTAB or /etc/fstab. */
export class FstabLookup {
  /** As it was named, for messages. */
  readonly file: string;
  readonly #context: MountContext;
  #entries: readonly FstabEntry[] | undefined;

  constructor(context: MountContext, file: string | undefined) {
    this.#context = context;
    const named = file ?? context.io.env['USERLOOP_FSTAB'];
    this.file = named === undefined || named === '' ? FSTAB : named;
  }

  /** Lines that cannot be read are told of and passed over. Absent is an error unless nobody named the file. */
  get entries(): readonly FstabEntry[] {
    if (this.#entries !== undefined) return this.#entries;
    const { entries, badLines } = parseFstab(this.#read());
    for (const line of badLines) this.#context.warn(`${this.file}: parse error at line ${line} -- ignored`);
    return (this.#entries = entries);
  }

  byTarget(name: string): FstabEntry | undefined {
    const target = this.#context.canonical(name);
    return (
      this.entries.find((entry) => entry.target === name) ??
      this.entries.find(
        (entry) => entry.target.startsWith('/') && this.#context.canonical(entry.target) === target,
      )
    );
  }

  /** By the name that is written there, `LABEL=` and the like included, or by the same file. */
  bySource(name: string): FstabEntry | undefined {
    const plain = unquoteTag(name);
    const source = this.#context.canonical(name);
    return (
      this.entries.find((entry) => unquoteTag(entry.source) === plain) ??
      this.entries.find(
        (entry) => entry.source.startsWith('/') && this.#context.canonical(entry.source) === source,
      )
    );
  }

  #read(): string {
    try {
      return fs.readFileSync(path.resolve(this.#context.io.cwd, this.file), 'utf8');
    } catch (error) {
      if (this.file === FSTAB && hasCode(error, 'ENOENT')) return '';
      throw new MountFailure(`${this.file}: failed to parse`, MountExit.usage);
    }
  }
}

/** `LABEL="x"` is the same as `LABEL=x`. */
function unquoteTag(name: string): string {
  return name.replace(/^([A-Z]+)="(.*)"$/, '$1=$2');
}
