import { UsageError } from '../../../errors.ts';
import type { Label } from './disk.ts';

/** The columns of a table, in the order in which the tool's help lists them; `i` shows those with a place in `details`. */
export interface ColumnShape {
  readonly heading: string;
  readonly left?: boolean;
  /** Taken where the longest text is not shorter than the heading. */
  readonly usual?: number;
}

const EXTENT = {
  device: { heading: 'Device', left: true, usual: 10 },
  start: { heading: 'Start', usual: 5 },
  end: { heading: 'End', usual: 5 },
  sectors: { heading: 'Sectors' },
  size: { heading: 'Size', usual: 5 },
  type: { heading: 'Type', left: true },
  cylinders: { heading: 'Cylinders' },
} as const;

const SHAPES = {
  ...EXTENT,
  id: { heading: 'Id' },
  attrs: { heading: 'Attrs' },
  boot: { heading: 'Boot', left: true },
  endChs: { heading: 'End-C/H/S' },
  startChs: { heading: 'Start-C/H/S' },
  typeUuid: { heading: 'Type-UUID', left: true, usual: 36 },
  uuid: { heading: 'UUID', left: true, usual: 36 },
  name: { heading: 'Name', left: true },
  gptAttrs: { heading: 'Attrs', left: true },
  slice: { heading: 'Slice', left: true },
  bsdType: { heading: 'Type', left: true, usual: 8 },
  fragmentSize: { heading: 'Fsize' },
  blockSize: { heading: 'Bsize' },
  cylindersPerGroup: { heading: 'Cpg' },
} as const satisfies Record<string, ColumnShape>;

export type Column = keyof typeof SHAPES;

export function columnShape(column: Column): ColumnShape {
  return SHAPES[column];
}

const COLUMNS: Readonly<Record<Label['kind'], readonly Column[]>> = {
  dos: [
    'device',
    'start',
    'end',
    'sectors',
    'cylinders',
    'size',
    'type',
    'id',
    'attrs',
    'boot',
    'endChs',
    'startChs',
  ],
  gpt: ['device', 'start', 'end', 'sectors', 'size', 'type', 'typeUuid', 'uuid', 'name', 'gptAttrs'],
  bsd: [
    'slice',
    'start',
    'end',
    'sectors',
    'cylinders',
    'size',
    'bsdType',
    'fragmentSize',
    'blockSize',
    'cylindersPerGroup',
  ],
};

/** The columns that `p` shows; `detailed` for `-x` and the expert menu. */
export function defaultColumns(kind: Label['kind'], cylinders: boolean, detailed: boolean): Column[] {
  if (kind === 'gpt') {
    const extent: Column[] = ['device', 'start', 'end', ...(cylinders ? [] : (['sectors'] as const))];
    return detailed ? [...extent, 'typeUuid', 'uuid', 'name', 'gptAttrs'] : [...extent, 'size', 'type'];
  }
  if (kind === 'bsd') {
    return COLUMNS.bsd.filter((column) => column !== (cylinders ? 'sectors' : 'cylinders'));
  }
  const extent: Column[] = ['device', 'boot', 'start', 'end', cylinders ? 'cylinders' : 'sectors'];
  return detailed
    ? [...extent, 'id', 'type', 'startChs', 'endChs', 'attrs']
    : [...extent, 'size', 'id', 'type'];
}

/** The columns that `i` shows, in its order. */
export function detailColumns(kind: Label['kind']): readonly Column[] {
  return kind !== 'dos'
    ? COLUMNS[kind]
    : [
        'device',
        'boot',
        'start',
        'end',
        'sectors',
        'cylinders',
        'size',
        'id',
        'type',
        'startChs',
        'endChs',
        'attrs',
      ];
}

/** Columns by a list of names in any case, for `-o`; a `+` in front puts them behind the usual ones. */
export function parseColumns(list: string, kind: Label['kind'], usual: readonly Column[]): Column[] {
  const named = list
    .replace(/^\+/, '')
    .split(',')
    .map((name) => {
      const column = COLUMNS[kind].find(
        (candidate) => SHAPES[candidate].heading.toLowerCase() === name.toLowerCase(),
      );
      if (column === undefined) throw new UsageError(`${kind} unknown column: ${name}`, 1);
      return column;
    });
  return list.startsWith('+') ? [...usual, ...named] : named;
}

/** Rows of cells under their headings, padded as the tool pads them. */
export function renderColumns(
  columns: readonly ColumnShape[],
  rows: readonly (readonly string[])[],
): string[] {
  const widths = columns.map(({ heading, usual }, i) => {
    const longest = Math.max(...rows.map((row) => displayWidth(row[i]!)));
    return Math.max(longest >= heading.length ? (usual ?? 0) : 0, heading.length, longest);
  });
  return [columns.map(({ heading }) => heading), ...rows].map((row) =>
    row
      .map((text, i) => {
        const padding = ' '.repeat(widths[i]! - displayWidth(text));
        if (columns[i]!.left !== true) return text === '' && i === row.length - 1 ? '' : padding + text;
        return i === row.length - 1 ? text : text + padding;
      })
      .join(' '),
  );
}

/** Columns on a terminal: East Asian characters and pictures take two, combining marks none. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mn}|\p{Me}/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}
