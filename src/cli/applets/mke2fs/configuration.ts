import fs from 'node:fs';
import { type ExtConfiguration, SHIPPED_CONFIGURATION } from '../../../filesystem/ext/format/profile.ts';
import { hasCode } from '../../../errors.ts';
import { Failure } from '../e2fsprogs/failure.ts';

const CONFIGURATION_FILE = '/etc/mke2fs.conf';

/** What MKE2FS_CONFIG names, else /etc/mke2fs.conf; the configuration that e2fsprogs ships where there is no such file. */
export function readConfiguration(env: Readonly<Record<string, string | undefined>>): ExtConfiguration {
  const file = env['MKE2FS_CONFIG'] ?? CONFIGURATION_FILE;
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return SHIPPED_CONFIGURATION;
    throw new Failure(
      `Couldn't init profile successfully (error: ${(error as NodeJS.ErrnoException).errno}).\n`,
    );
  }
  return parseConfiguration(text, file);
}

/** Sections in brackets, `name = value`, and `name = {` to `}` for a group of such: mke2fs.conf(5). The first value of a name counts. */
export function parseConfiguration(text: string, file: string): ExtConfiguration {
  const defaults: Record<string, string> = {};
  const types: Record<string, Record<string, string>> = {};
  let section = '';
  // Groups that are open: the first within [fs_types] is a type.
  const open: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const refuse = (): never => {
      throw new Failure(
        `Syntax error in mke2fs config file (${file}, line #${index + 1})\n\t${SYNTAX_ERROR}\n`,
      );
    };
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue;
    const heading = /^\[(.*)\]\*?$/.exec(trimmed);
    if (heading !== null) {
      if (open.length > 0) refuse();
      section = heading[1]!;
      continue;
    }
    if (/^\}\*?$/.test(trimmed)) {
      if (open.pop() === undefined) refuse();
      continue;
    }
    const relation = /^([^\s=]+)\s*=\s*(.*)$/.exec(trimmed);
    if (relation === null || section === '') return refuse();
    const [, name, value] = relation;
    if (value === '{') {
      open.push(name!);
      if (section === 'fs_types' && open.length === 1) types[name!] ??= {};
    } else if (section === 'defaults' && open.length === 0) defaults[name!] ??= unquote(value!);
    else if (section === 'fs_types' && open.length === 1) types[open[0]!]![name!] ??= unquote(value!);
  }
  return { defaults, types };
}

const SYNTAX_ERROR = 'Syntax error in profile relation';

function unquote(value: string): string {
  if (!value.startsWith('"')) return value;
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', b: '\b' };
  const inner = /^"((?:[^"\\]|\\.)*)/.exec(value)![1]!;
  return inner.replace(/\\(.)/g, (_, letter: string) => escapes[letter] ?? letter);
}
