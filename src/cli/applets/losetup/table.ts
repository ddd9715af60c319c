import { encodeUtf8 } from '../../../bytes/utf8.ts';
import { textWidth } from '../../verbs/print.ts';
import type { Column } from './columns.ts';

/** The listing in the three forms that util-linux' tools give their tables: for people, for scripts, and as JSON. */

/** A cell by its column; undefined where there is nothing to tell. */
export type Row = readonly (string | undefined)[];

/** Columns as wide as the widest cell, headings included, and a blank between; the last one has no padding. */
export function renderTable(columns: readonly Column[], rows: readonly Row[], headings: boolean): string {
  if (rows.length === 0) return '';
  const lines = [
    columns.map(({ name }) => name as string),
    ...rows.map((row) => row.map((cell) => printable(cell ?? ''))),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => textWidth(cells[index]!))));
  const text = lines.map((cells) =>
    cells
      .map((cell, index) => {
        const padding = ' '.repeat(widths[index]! - textWidth(cell));
        if (columns[index]!.right) return padding + cell;
        return index === columns.length - 1 ? cell : cell + padding;
      })
      .join(' '),
  );
  return text.slice(headings ? 0 : 1).join('\n') + '\n';
}

/** A blank between the cells, and whatever is not plain ASCII in them as `\x20`. */
export function renderRaw(columns: readonly Column[], rows: readonly Row[], headings: boolean): string {
  if (rows.length === 0) return '';
  const lines = rows.map((row) => row.map((cell) => hexEscaped(cell ?? '')).join(' '));
  if (headings) lines.unshift(columns.map(({ name }) => name).join(' '));
  return lines.join('\n') + '\n';
}

export function renderJson(columns: readonly Column[], rows: readonly Row[]): string {
  const objects = rows.map((row) => {
    const members = columns.map(
      ({ name, type }, index) =>
        `         ${JSON.stringify(name.toLowerCase())}: ${jsonValue(type, row[index])}`,
    );
    return `{\n${members.join(',\n')}\n      }`;
  });
  const body = objects.length === 0 ? '' : `      ${objects.join(',')}`;
  return `{\n   "loopdevices": [\n${body}\n   ]\n}\n`;
}

function jsonValue(type: Column['type'], cell: string | undefined): string {
  if (type === 'boolean') return cell === '1' ? 'true' : 'false';
  if (cell === undefined) return 'null';
  return type === 'number' ? cell : jsonText(cell);
}

/** A byte that is not UTF-8 stays what it is, which JSON.stringify would not let it. */
function jsonText(text: string): string {
  return text
    .split(/(\p{Surrogate})/u)
    .map((part, index) => (index % 2 === 1 ? part : JSON.stringify(part).slice(1, -1)))
    .join('')
    .replace(/^|$/g, '"');
}

/** What a terminal cannot show, as `\x0a`; so are bytes that are not UTF-8. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Surrogate}]/gu, hexBytes);
}

function hexEscaped(text: string): string {
  return text.replaceAll(/[^!-[\]-~]/gu, hexBytes);
}

function hexBytes(character: string): string {
  return [...encodeUtf8(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
