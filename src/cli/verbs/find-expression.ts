import type { Timestamp } from '../../bytes/time.ts';
import { UsageError } from '../../errors.ts';
import type { Attributes, FileSystem } from '../../filesystem/file-system.ts';
import { resolvePath } from '../../filesystem/path.ts';
import { OpenImages } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { globMatcher } from './glob.ts';
import { openOperand } from './operand.ts';
import { formatMode, parseMode } from './permissions.ts';
import { formatMinute } from './times.ts';
import type { Visit } from './walk.ts';

/** What a test of find(1) sees of one file. */
export interface FindSubject {
  readonly fileSystem: FileSystem;
  readonly visit: Visit;
  readonly attributes: Attributes;
  /** The path as it is printed. */
  readonly shown: string;
  readonly outcome: { prune: boolean; quit: boolean };
  readonly write: (text: string) => void;
}

type Test = (subject: FindSubject) => boolean;

export interface FindExpression {
  readonly test: Test;
  readonly maxDepth: number;
  readonly minDepth: number;
  readonly depthFirst: boolean;
}

/** find(1)'s expression, the part of it that `userloop find --help` names. UsageError for the rest. */
export function parseExpression(io: Io, words: readonly string[], now: Timestamp): FindExpression {
  const parser = new Parser(io, words, now);
  return parser.parse();
}

const TYPES: Readonly<Record<string, Attributes['kind']>> = {
  b: 'block-device',
  c: 'character-device',
  d: 'directory',
  p: 'fifo',
  f: 'file',
  l: 'symlink',
  s: 'socket',
};

/** What `-size` counts in, by its suffix: bytes. */
const SIZE_UNITS: Readonly<Record<string, number>> = {
  c: 1,
  w: 2,
  b: 512,
  k: 1024,
  M: 1 << 20,
  G: 1 << 30,
};

class Parser {
  readonly #io: Io;
  readonly #words: readonly string[];
  readonly #now: Timestamp;
  #at = 0;
  #acts = false;
  #maxDepth = Infinity;
  #minDepth = 0;
  #depthFirst = false;

  constructor(io: Io, words: readonly string[], now: Timestamp) {
    this.#io = io;
    this.#words = words;
    this.#now = now;
  }

  parse(): FindExpression {
    const test: Test = this.#words.length === 0 ? () => true : this.#or();
    if (this.#at < this.#words.length)
      throw new UsageError(`"${this.#words[this.#at]!}" is out of place in the expression`);
    return {
      test: this.#acts ? test : (subject) => test(subject) && print(subject),
      maxDepth: this.#maxDepth,
      minDepth: this.#minDepth,
      depthFirst: this.#depthFirst,
    };
  }

  #or(): Test {
    let left = this.#and();
    while (this.#take('-o', '-or')) {
      const [first, second] = [left, this.#and()];
      left = (subject) => first(subject) || second(subject);
    }
    return left;
  }

  #and(): Test {
    let left = this.#not();
    for (;;) {
      const joined = this.#take('-a', '-and');
      const next = this.#words[this.#at];
      if (!joined && (next === undefined || next === ')' || next === '-o' || next === '-or')) return left;
      const [first, second] = [left, this.#not()];
      left = (subject) => first(subject) && second(subject);
    }
  }

  #not(): Test {
    if (this.#take('!', '-not')) {
      const test = this.#not();
      return (subject) => !test(subject);
    }
    if (this.#take('(')) {
      const test = this.#or();
      if (!this.#take(')')) throw new UsageError('a ")" is missing in the expression');
      return test;
    }
    return this.#primary();
  }

  #primary(): Test {
    const word = this.#words[this.#at++];
    switch (word) {
      case undefined:
        throw new UsageError('the expression ends where a test is expected');
      case '-name':
      case '-iname': {
        const matcher = globMatcher(this.#value(word), { ignoreCase: word === '-iname' });
        return ({ visit }) => matcher(visit.name);
      }
      case '-path':
      case '-ipath': {
        const matcher = globMatcher(this.#value(word), { ignoreCase: word === '-ipath' });
        return ({ visit, shown }) => matcher(visit.path) || matcher(shown);
      }
      case '-type': {
        const kinds = this.#value(word)
          .split(',')
          .map((letter) => {
            const kind = TYPES[letter];
            if (kind === undefined)
              throw new UsageError(`"${letter}" is not a type, expected one of bcdpfls`);
            return kind;
          });
        return ({ visit }) => kinds.includes(visit.kind);
      }
      case '-size':
        return this.#size(this.#value(word));
      case '-empty':
        return ({ fileSystem, attributes }) =>
          attributes.kind === 'directory'
            ? isEmptyDirectory(fileSystem, attributes)
            : attributes.kind === 'file' && attributes.size === 0;
      case '-perm':
        return permissionTest(this.#value(word));
      case '-user':
      case '-uid':
        return this.#number(word, ({ uid }) => uid);
      case '-group':
      case '-gid':
        return this.#number(word, ({ gid }) => gid);
      case '-inum':
        return this.#number(word, ({ node }) => node);
      case '-links':
        return this.#number(word, ({ linkCount }) => linkCount);
      case '-mtime':
        return this.#number(word, ({ mtime }) => Math.floor((this.#now.seconds - mtime.seconds) / 86400));
      case '-mmin':
        return this.#number(word, ({ mtime }) => Math.ceil((this.#now.seconds - mtime.seconds) / 60));
      case '-newer':
        return this.#newer(this.#value(word));
      case '-true':
        return () => true;
      case '-false':
        return () => false;
      case '-print':
        this.#acts = true;
        return print;
      case '-print0':
        this.#acts = true;
        return ({ write, shown }) => {
          write(`${shown}\0`);
          return true;
        };
      case '-ls':
        this.#acts = true;
        return list;
      case '-prune':
        return ({ outcome }) => {
          outcome.prune = true;
          return true;
        };
      case '-quit':
        this.#acts = true;
        return ({ outcome }) => {
          outcome.quit = true;
          return true;
        };
      case '-maxdepth':
        this.#maxDepth = this.#levels(word);
        return () => true;
      case '-mindepth':
        this.#minDepth = this.#levels(word);
        return () => true;
      case '-depth':
        this.#depthFirst = true;
        return () => true;
      default:
        throw new UsageError(`"${word}" is not a test or an action that this find has`);
    }
  }

  #take(...words: string[]): boolean {
    const word = this.#words[this.#at];
    if (word === undefined || !words.includes(word)) return false;
    this.#at++;
    return true;
  }

  #value(word: string): string {
    const value = this.#words[this.#at++];
    if (value === undefined) throw new UsageError(`${word} needs a value`);
    return value;
  }

  #levels(word: string): number {
    const value = this.#value(word);
    if (!/^\d{1,6}$/.test(value)) throw new UsageError(`${word} needs a number, not "${value}"`);
    return Number(value);
  }

  #number(word: string, of: (attributes: Attributes) => number): Test {
    const text = this.#value(word);
    const match = /^([-+]?)(\d{1,15})$/.exec(text);
    if (match === null) throw new UsageError(`${word} needs [+-]NUMBER, not "${text}"`);
    const compare = comparison(match[1]!, Number(match[2]));
    return ({ attributes }) => compare(of(attributes));
  }

  #size(text: string): Test {
    const match = /^([-+]?)(\d{1,15})([cwbkMG]?)$/.exec(text);
    if (match === null) throw new UsageError(`-size needs [+-]NUMBER[cwbkMG], not "${text}"`);
    const unit = SIZE_UNITS[match[3] === '' ? 'b' : match[3]!]!;
    const compare = comparison(match[1]!, Number(match[2]));
    // As find(1): sizes are rounded up to whole units before they are compared.
    return ({ attributes }) => compare(Math.ceil(attributes.size / unit));
  }

  #newer(text: string): Test {
    using images = new OpenImages(this.#io);
    const { fileSystem, path } = openOperand(this.#io, images, text);
    const { mtime } = fileSystem.attributes(resolvePath(fileSystem, path));
    return ({ attributes }) =>
      attributes.mtime.seconds > mtime.seconds ||
      (attributes.mtime.seconds === mtime.seconds && attributes.mtime.nanoseconds > mtime.nanoseconds);
  }
}

function comparison(sign: string, wanted: number): (value: number) => boolean {
  if (sign === '+') return (value) => value > wanted;
  if (sign === '-') return (value) => value < wanted;
  return (value) => value === wanted;
}

function permissionTest(text: string): Test {
  const sign = /^[-/]/.exec(text)?.[0] ?? '';
  const wanted = parseMode(text.slice(sign.length), 0)(0, false);
  if (sign === '-') return ({ attributes }) => (attributes.mode & wanted) === wanted;
  if (sign === '/') return ({ attributes }) => wanted === 0 || (attributes.mode & wanted) !== 0;
  return ({ attributes }) => attributes.mode === wanted;
}

function isEmptyDirectory(fileSystem: FileSystem, { node }: Attributes): boolean {
  for (const _entry of fileSystem.entries(node)) return false;
  return true;
}

function print({ write, shown }: FindSubject): boolean {
  write(`${shown}\n`);
  return true;
}

function list({ write, shown, attributes, fileSystem }: FindSubject): boolean {
  const { node, kind, mode, linkCount, uid, gid, size, allocated, mtime } = attributes;
  const target = kind === 'symlink' ? ` -> ${fileSystem.readLink(node)}` : '';
  write(
    `${`${node}`.padStart(9)} ${`${Math.ceil(allocated / 1024)}`.padStart(6)} ${formatMode(kind, mode)} ${`${linkCount}`.padStart(3)} ${`${uid}`.padEnd(8)} ${`${gid}`.padEnd(8)} ${`${size}`.padStart(8)} ${formatMinute(mtime)} ${shown}${target}\n`,
  );
  return true;
}
