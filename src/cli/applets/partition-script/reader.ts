import type { PartitionTemplate } from '../../../partition/partition-template.ts';
import { parseClassicSize } from './size.ts';
import { type ScriptLabel, parseTypeText } from './type.ts';

/** What a line of a script says. */
export type ScriptLine =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'header'; readonly name: string; readonly value: string }
  | { readonly kind: 'unknown header'; readonly name: string }
  | { readonly kind: 'partition'; readonly template: PartitionTemplate }
  | { readonly kind: 'error' };

const HEADERS: readonly string[] = [
  'label',
  'unit',
  'label-id',
  'device',
  'first-lba',
  'last-lba',
  'table-length',
  'grain',
  'sector-size',
];

const LABELS: readonly string[] = ['dos', 'mbr', 'gpt', 'bsd', 'sgi', 'sun'];

/** Thrown by the fields of a line that cannot be understood. */
class BadField extends Error {
  override readonly name = 'BadField';
}

type Template = { -readonly [K in keyof PartitionTemplate]: PartitionTemplate[K] };

/**
 * Reads a script of sfdisk line by line: sfdisk(8), "Input formats". Headers are kept; lines of partitions are given out as templates. Numbers of
 * sectors are those of the device, of `sectorSize` bytes, whatever the script's `sector-size` counted in.
 */
export class ScriptReader {
  readonly headers = new Map<string, string>();
  readonly #sectorSize: number;
  #scriptSectorSize: number | undefined;
  #hasPartitions = false;
  #makesLabel = false;

  constructor(sectorSize: number) {
    this.#sectorSize = sectorSize;
  }

  /** The kind of table that the script makes. */
  get label(): ScriptLabel {
    const label = this.headers.get('label');
    return label === 'gpt' || label === 'bsd' ? label : 'dos';
  }

  /** A header asks for a new label, also where no partition does. */
  get makesLabel(): boolean {
    return this.#makesLabel;
  }

  /** The script counts in sectors of another size than the device. */
  get sizesDiffer(): boolean {
    return this.#scriptSectorSize !== undefined && this.#scriptSectorSize !== this.#sectorSize;
  }

  /** A line without its newline. */
  read(text: string): ScriptLine {
    const line = text.replace(/\r$/, '').replace(/^[ \t]+/, '');
    if (line === '' || line.startsWith('#')) return { kind: 'nothing' };
    const colon = line.indexOf(':');
    if (!this.#hasPartitions && colon > 0 && colon < line.length - 1 && !line.includes('=')) {
      return this.#header(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    }
    try {
      const template = line.includes('=') ? this.#named(line) : this.#positional(line);
      this.#hasPartitions = true;
      return { kind: 'partition', template };
    } catch (error) {
      if (!(error instanceof BadField)) throw error;
      return { kind: 'error' };
    }
  }

  /** The partition of the last line has not been made: headers may follow as if it had not been there. */
  forget(isFirst: boolean): void {
    if (isFirst) this.#hasPartitions = false;
  }

  #header(name: string, value: string): ScriptLine {
    if (name === '' || value === '') return { kind: 'error' };
    if (!HEADERS.includes(name)) return { kind: 'unknown header', name };
    if (name === 'label' && !LABELS.includes(value)) return { kind: 'error' };
    if (name === 'unit' && value !== 'sectors') return { kind: 'error' };
    if (name === 'sector-size') {
      const size = /^\d+$/.test(value) ? Number(value) : Number.NaN;
      if (!(size < 2 ** 32) || size % 512 !== 0) return { kind: 'error' };
      this.#scriptSectorSize = size === 0 ? undefined : size;
    }
    if (name === 'label') this.#makesLabel = true;
    this.headers.set(name, name === 'label' && value === 'mbr' ? 'dos' : value);
    return { kind: 'header', name, value };
  }

  /** `[DEVICE :] start=2048, size=10M, type=L, bootable`. */
  #named(line: string): PartitionTemplate {
    const template: Template = { wholeSpace: true };
    const colon = line.indexOf(':');
    let rest = line;
    if (colon >= 0 && colon < line.indexOf('=')) {
      const number = Number(/(\d+)\s*$/.exec(line.slice(0, colon))?.[1] ?? 0);
      if (number > 0) template.index = number - 1;
      rest = line.slice(colon + 1);
    }
    for (rest = skipBlanks(rest); rest !== ''; rest = skipBlanks(rest)) {
      const key = /^(start=|size=|attrs=|uuid=|name=|type=|id=|bootable)/i.exec(rest)?.[0];
      if (key === undefined) throw new BadField();
      const field = key.toLowerCase();
      if (field !== 'bootable') rest = rest.slice(key.length);
      // Nothing behind the last `=` leaves a number to its default.
      if (rest === '' && (field === 'start=' || field === 'size=')) break;
      const token = nextToken(rest);
      rest = token.rest;
      switch (field) {
        case 'start=':
          if (token.text !== '' && token.text !== '-') this.#start(token.text, template);
          break;
        case 'size=':
          if (token.text !== '' && token.text !== '-') this.#size(token.text, template);
          break;
        case 'attrs=':
          template.attributes = token.text;
          break;
        case 'uuid=':
          template.uuid = token.text;
          break;
        case 'name=':
          template.name = unescapeName(token.text);
          break;
        case 'bootable':
          if (token.text.toLowerCase() !== field) throw new BadField();
          template.bootable = true;
          break;
        default:
          template.type = this.#type(token.text);
      }
    }
    return template;
  }

  /** `START SIZE TYPE BOOTABLE`, with blanks, commas or semicolons between. */
  #positional(line: string): PartitionTemplate {
    const template: Template = { wholeSpace: true };
    let rest = line;
    for (let item = 0; rest !== ''; item++) {
      rest = skipBlanks(rest);
      const absent = /^[,;]/.test(rest) || rest === '';
      if (item > 3) return template;
      if (absent) {
        rest = rest.slice(1);
        continue;
      }
      const token = nextToken(rest);
      rest = token.rest;
      if (item === 3) {
        if (token.text !== '*' && token.text !== '-' && token.text !== '+') throw new BadField();
        template.bootable = token.text !== '-';
      } else if (token.text === '-') continue;
      else if (item === 0) this.#start(token.text, template);
      else if (item === 1) this.#size(token.text, template);
      else template.type = this.#type(token.text);
    }
    return template;
  }

  #start(text: string, template: Template): void {
    if (text === '+') {
      delete template.startSector;
      template.startMove = 'down';
      return;
    }
    if (text[0] === '-') template.startMove = 'down';
    else if (text[0] === '+') template.startMove = 'up';
    template.startSector = this.#sectors(text).sectors;
  }

  #size(text: string, template: Template): void {
    if (text === '+') {
      delete template.sectorCount;
      template.resize = 'enlarge';
      template.wholeSpace = true;
      return;
    }
    if (text[0] === '-') template.resize = 'reduce';
    else if (text[0] === '+') template.resize = 'enlarge';
    const { sectors, suffixed } = this.#sectors(text);
    template.sectorCount = sectors;
    template.exactSize = !suffixed;
    template.wholeSpace = false;
  }

  /** Bytes are cut to whole sectors of the device; sectors are the script's. */
  #sectors(text: string): { readonly sectors: number; readonly suffixed: boolean } {
    const size = parseClassicSize(/^[+-]/.test(text) ? text.slice(1) : text);
    if (size === undefined) throw new BadField();
    const { value, suffixed } = size;
    if (suffixed) return { sectors: Math.floor(value / this.#sectorSize), suffixed };
    if (this.#scriptSectorSize === undefined) return { sectors: value, suffixed };
    return { sectors: Math.floor((value * this.#scriptSectorSize) / this.#sectorSize), suffixed };
  }

  /** An MBR takes what it does not understand for type 0; a GPT refuses it when the partition is made. */
  #type(text: string): number | string {
    const type = parseTypeText(this.label, text, 'script');
    return type ?? (this.label === 'dos' ? 0 : text);
  }
}

function skipBlanks(text: string): string {
  return text.replace(/^[ \t]+/, '');
}

/** Text up to a blank, comma or semicolon, or between quotes; what follows it, without the separator. */
function nextToken(text: string): { readonly text: string; readonly rest: string } {
  const match =
    /^[ \t]*(?:"([^"]*)"|([^",; \t]+))(?:[ \t]*[,;][ \t]*|[ \t]+|$)/.exec(text) ??
    /^[ \t]*()()[,;][ \t]*/.exec(text);
  if (match === null) throw new BadField();
  return { text: match[1] ?? match[2] ?? '', rest: text.slice(match[0].length) };
}

/** `\x20` is a byte by its number. */
function unescapeName(name: string): string {
  if (!/\\x[\da-f]{2}/i.test(name)) return name;
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  for (const [part, hex] of name.matchAll(/\\x([\da-f]{2})|[^\\]+|\\/gi)) {
    if (hex === undefined) bytes.push(...encoder.encode(part));
    else bytes.push(Number.parseInt(hex, 16));
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
