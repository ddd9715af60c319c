/** fnmatch(3) patterns: `*`, `?`, `[a-z]`, `[!a-z]`, `[[:digit:]]`, `\` before what stands for itself. */

const CLASSES: Readonly<Record<string, string>> = {
  alnum: 'a-zA-Z0-9',
  alpha: 'a-zA-Z',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '\\x21-\\x7e',
  lower: 'a-z',
  print: '\\x20-\\x7e',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  xdigit: '0-9a-fA-F',
};

/** A function that says whether a text matches the pattern as a whole; `*` and `?` match `/`, too, as for find's -path. */
export function globMatcher(
  pattern: string,
  options: { readonly ignoreCase?: boolean } = {},
): (text: string) => boolean {
  let source = '';
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i]!;
    // Runs of stars are one star: a pattern must not cost exponential time.
    if (character === '*') source += source.endsWith('.*') ? '' : '.*';
    else if (character === '?') source += '.';
    else if (character === '\\' && i + 1 < pattern.length) source += literal(pattern[++i]!);
    else if (character === '[') {
      const set = bracket(pattern, i);
      if (set === undefined) source += '\\[';
      else {
        source += set.source;
        i = set.end;
      }
    } else source += literal(character);
  }
  const expression = new RegExp(`^${source}$`, options.ignoreCase === true ? 'is' : 's');
  return (text) => expression.test(text);
}

function bracket(pattern: string, start: number): { source: string; end: number } | undefined {
  let at = start + 1;
  const negated = pattern[at] === '!' || pattern[at] === '^';
  if (negated) at++;
  let body = '';
  for (let first = true; at < pattern.length; first = false) {
    const character = pattern[at]!;
    if (character === ']' && !first) return { source: `[${negated ? '^' : ''}${body}]`, end: at };
    const named = /^\[:([a-z]+):\]/.exec(pattern.slice(at));
    if (named !== null && CLASSES[named[1]!] !== undefined) {
      body += CLASSES[named[1]!]!;
      at += named[0].length;
      continue;
    }
    if (character === '-' && !first && pattern[at + 1] !== ']' && at + 1 < pattern.length) {
      // A range that runs backwards matches nothing and must not break the expression.
      if (pattern[at + 1]! < pattern[at - 1]!) return { source: '(?!)', end: pattern.indexOf(']', at) };
      body += '-';
    } else body += literal(character);
    at++;
  }
  return undefined;
}

function literal(character: string): string {
  return /[\\^$.*+?()[\]{}|/-]/.test(character) ? `\\${character}` : character;
}
