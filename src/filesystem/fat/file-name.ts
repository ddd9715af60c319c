import { FsError } from '../../errors.ts';
import { MAX_NAME_LENGTH } from './long-name.ts';

/** Characters that no FAT name may have, long or short: Microsoft FAT specification 1.03, section 7.4. */
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f"*/:<>?\\|]/;
// eslint-disable-next-line no-control-regex
const ASCII = /^[\u0000-\u007f]*$/;
/** Most names: ASCII without anything that has to be looked at more closely. */
const HARMLESS =
  /^[\w\-+,;=@~#$%&'(){}[\]^!`][\w\-+,;=@~#$%&'(){}[\]^!` .]{0,253}[\w\-+,;=@~#$%&'(){}[\]^!`]$/;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/**
 * Throws when FAT cannot hold `name`: ENAMETOOLONG beyond 255 UTF-16 units, EINVAL for the rest, where Linux' vfat
 * says the same. One thing differs: Linux drops trailing dots without a word, here the name is refused, since
 * otherwise two names of a tree could silently become one.
 */
export function checkFileName(name: string, syscall: string): void {
  const problem = nameProblem(name);
  if (problem === undefined) return;
  const code = name.length > MAX_NAME_LENGTH ? 'ENAMETOOLONG' : 'EINVAL';
  throw new FsError(code, { syscall, path: name, detail: problem });
}

function nameProblem(name: string): string | undefined {
  if (HARMLESS.test(name)) return undefined;
  if (name === '' || name === '.' || name === '..') return `FAT reserves the name "${name}"`;
  if (name.length > MAX_NAME_LENGTH) {
    return `the name has ${name.length} UTF-16 units, FAT allows ${MAX_NAME_LENGTH}`;
  }
  const forbidden = FORBIDDEN.exec(name)?.[0];
  if (forbidden !== undefined) return `FAT allows no ${nameOf(forbidden)} in a name`;
  if (/[. ]$/.test(name)) return `FAT allows no ${name.endsWith('.') ? 'dot' : 'space'} at the end of a name`;
  if (/^[. ]+$/.test(name)) return 'FAT allows no name of dots and spaces alone';
  if (LONE_SURROGATE.test(name)) return 'the name is not Unicode text, which FAT needs';
  return undefined;
}

function nameOf(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x20 ? `control character 0x${code.toString(16).padStart(2, '0')}` : character;
}

/** Names that fold to the same text are the same name. */
export function foldName(name: string): string {
  if (ASCII.test(name)) return name.toUpperCase();
  let folded = '';
  for (let i = 0; i < name.length; i++) folded += upperCase(name[i]!);
  return folded;
}

/**
 * Unicode's simple upper case of one UTF-16 unit, which is what Windows keeps in its table: what would become several
 * characters, or ASCII out of something else, stays.
 */
export function upperCase(unit: string): string {
  const upper = unit.toUpperCase();
  return upper.length === 1 && (upper > '\u007f' || unit <= '\u007f') ? upper : unit;
}
