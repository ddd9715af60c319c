import { encodeUtf8 } from '../../bytes/utf8.ts';
import type { Io } from '../io.ts';

/** Writes text in which a byte of a name that is not UTF-8 is a lone surrogate: the byte itself comes out. */
export function print(io: Io, text: string): void {
  io.stdout.write(/\p{Surrogate}/u.test(text) ? encodeUtf8(text) : text);
}

export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Cells of equal width in each column, two spaces apart; `right` names the columns whose text ends at the right edge. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
  gap = ' ',
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, textWidth(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const padding = ' '.repeat(widths[column]! - textWidth(cell));
        if (right.includes(column)) return padding + cell;
        return column === row.length - 1 ? cell : cell + padding;
      })
      .join(gap),
  );
}

/** Cells that a terminal needs: combining marks none, East Asian wide characters and emoji two. */
export function textWidth(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (/\p{Mark}/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}
