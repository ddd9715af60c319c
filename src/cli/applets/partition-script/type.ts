import { BSD_TYPES, BSD_UNUSED } from '../../../partition/bsd-type.ts';
import { GPT_ALIASES, GPT_TYPES } from '../../../partition/gpt-type.ts';
import { formatGuid, parseGuid } from '../../../partition/guid.ts';
import { PARTITION_TYPES } from '../../../partition/mbr-type.ts';

/** The kinds of tables that a script can ask for. */
export type ScriptLabel = 'dos' | 'gpt' | 'bsd';

interface Shorthand {
  readonly shortcut: string | undefined;
  readonly alias: string;
  readonly type: number;
}

const DOS_SHORTHANDS: readonly Shorthand[] = [
  { shortcut: 'L', alias: 'linux', type: 0x83 },
  { shortcut: 'S', alias: 'swap', type: 0x82 },
  { shortcut: 'Ex', alias: 'extended', type: 0x05 },
  { shortcut: 'U', alias: 'uefi', type: 0xef },
  { shortcut: 'R', alias: 'raid', type: 0xfd },
  { shortcut: 'V', alias: 'lvm', type: 0x8e },
  { shortcut: 'X', alias: 'linuxex', type: 0x85 },
  { shortcut: 'E', alias: 'extended', type: 0x05 },
];

/**
 * The type that a text names: for an MBR its id, for a GPT a GUID, for a disklabel its number. A shortcut (`L`), an alias (`linux`), a hexadecimal number or a GUID, or the
 * name, of which letters and digits count. In scripts a shortcut is what is thought of first, on the command line last. Undefined for what is
 * none of these.
 */
export function parseTypeText(
  label: ScriptLabel,
  text: string,
  place: 'script' | 'command line',
): number | string | undefined {
  if (label === 'bsd') return bsdType(text);
  const short = label === 'dos' ? dosShorthand(text) : gptShorthand(text);
  const data = label === 'dos' ? hexadecimal(text) : guid(text);
  return (place === 'script' ? (short ?? data) : (data ?? short)) ?? byName(label, text);
}

/** What is no type, or more than a byte, is none. */
function bsdType(text: string): number {
  const match = /^\s*(?:0x)?([\da-f]+)$/i.exec(text);
  const code = match === null ? undefined : Number.parseInt(match[1]!, 16);
  if (code !== undefined) return code > 0xff ? BSD_UNUSED : code;
  const wanted = canonical(text);
  for (const [type, name] of BSD_TYPES) if (canonical(name) === wanted) return type;
  return BSD_UNUSED;
}

function dosShorthand(text: string): number | undefined {
  return DOS_SHORTHANDS.find(({ shortcut, alias }) => shortcut === text || alias === text)?.type;
}

function gptShorthand(text: string): string | undefined {
  return GPT_ALIASES.find(({ shortcut, name }) => shortcut === text || name === text)?.guid;
}

/** The last two digits count. */
function hexadecimal(text: string): number | undefined {
  const match = /^\s*([+-]?)(?:0x)?([\da-f]+)$/i.exec(text);
  if (match === null) return undefined;
  const value = Number.parseInt(match[2]!.slice(-2), 16);
  return match[1] === '-' ? -value & 0xff : value;
}

function guid(text: string): string | undefined {
  const bytes = parseGuid(text);
  return bytes === undefined ? undefined : formatGuid(bytes);
}

function byName(label: ScriptLabel, text: string): number | string | undefined {
  const wanted = canonical(text);
  if (label === 'gpt') return GPT_TYPES.find(([, name]) => canonical(name) === wanted)?.[0];
  for (const [type, name] of PARTITION_TYPES) if (canonical(name) === wanted) return type;
  return undefined;
}

function canonical(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z\d]/g, '');
}
