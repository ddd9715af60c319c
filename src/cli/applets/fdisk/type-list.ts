import { PARTITION_TYPES } from '../../../partition/mbr-type.ts';

const NAME_WIDTH = 15;

/** Names for the types that are asked for most, with their ids. */
const ALIASES: readonly (readonly [name: string, type: number])[] = [
  ['linux', 0x83],
  ['swap', 0x82],
  ['extended', 0x05],
  ['uefi', 0xef],
  ['raid', 0xfd],
  ['lvm', 0x8e],
  ['linuxex', 0x85],
];

/** What `l` shows of an MBR on a terminal of this width. */
export function typeList(width: number): string {
  let text = codeList(PARTITION_TYPES, width);
  text += '\n\nAliases:\n';
  for (const [name, id] of ALIASES) text += `   ${name.padEnd(14)} - ${hexId(id).toUpperCase()}\n`;
  return text;
}

/** Types and their codes in as many columns as fit. */
export function codeList(codes: ReadonlyMap<number, string>, width: number): string {
  const types = [...codes];
  const columnCount = Math.max(1, Math.floor(width / (NAME_WIDTH + 5)));
  const least = Math.floor(types.length / columnCount);
  const surplus = types.length % columnCount;
  let text = '';
  for (let row = 0; row < least + (surplus > 0 ? 1 : 0); row++) {
    const cells: string[] = [];
    // The first columns are one longer where the types do not divide evenly.
    for (let column = 0; column < (row < least ? columnCount : surplus); column++) {
      const [id, name] = types[column * least + Math.min(column, surplus) + row]!;
      cells.push(`${hexId(id)} ${name.slice(0, NAME_WIDTH).padEnd(NAME_WIDTH)}`);
    }
    text += `\n${cells.join('  ')}`;
  }
  return text;
}

/**
 * The type that an answer names: an alias, a name without regard to case and to what is no letter or digit, or a hexadecimal number, of which
 * the low eight bits are written. Undefined for anything else.
 */
export function parseType(answer: string): number | undefined {
  return ALIASES.find(([name]) => name === answer)?.[1] ?? parseCode(PARTITION_TYPES, answer);
}

/** The same without aliases, of other types. */
export function parseCode(codes: ReadonlyMap<number, string>, answer: string): number | undefined {
  const digits = /^(?:0x)?([\da-f]+)$/i.exec(answer)?.[1];
  if (digits !== undefined) return Number(BigInt.asUintN(32, BigInt(`0x${digits}`)));
  const name = plainName(answer);
  return [...codes].find(([, each]) => plainName(each) === name)?.[0];
}

function hexId(id: number): string {
  return id.toString(16).padStart(2, '0');
}

/** A name of a type as it is compared: letters and digits only, in lower case. */
export function plainName(name: string): string {
  return name.replaceAll(/[^\da-z]/gi, '').toLowerCase();
}
