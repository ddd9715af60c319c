import { UsageError } from '../../../errors.ts';

/** A column of the listing, as losetup names it. */
export interface Column {
  readonly name: ColumnName;
  /** Of its values in JSON. */
  readonly type: 'text' | 'number' | 'boolean';
  readonly right: boolean;
  readonly description: string;
}

export type ColumnName =
  | 'NAME'
  | 'AUTOCLEAR'
  | 'BACK-FILE'
  | 'BACK-INO'
  | 'BACK-MAJ:MIN'
  | 'MAJ:MIN'
  | 'OFFSET'
  | 'PARTSCAN'
  | 'RO'
  | 'SIZELIMIT'
  | 'DIO'
  | 'LOG-SEC';

function column(
  name: ColumnName,
  type: Column['type'],
  description: string,
  right = type !== 'text',
): Column {
  return { name, type, right, description };
}

export const COLUMNS: readonly Column[] = [
  column('NAME', 'text', 'loop device name'),
  column('AUTOCLEAR', 'boolean', 'autoclear flag set'),
  column('BACK-FILE', 'text', 'device backing file'),
  column('BACK-INO', 'number', 'backing file inode number'),
  column('BACK-MAJ:MIN', 'text', 'backing file major:minor device number'),
  column('MAJ:MIN', 'text', 'loop device major:minor number'),
  column('OFFSET', 'number', 'offset from the beginning'),
  column('PARTSCAN', 'boolean', 'partscan flag set'),
  column('RO', 'boolean', 'read-only device'),
  column('SIZELIMIT', 'number', 'size limit of the file in bytes'),
  column('DIO', 'boolean', 'access backing file with direct-io'),
  column('LOG-SEC', 'number', 'logical sector size in bytes'),
];

const DEFAULT: readonly ColumnName[] = [
  'NAME',
  'SIZELIMIT',
  'OFFSET',
  'AUTOCLEAR',
  'RO',
  'BACK-FILE',
  'DIO',
  'LOG-SEC',
];

/**
 * What `-O` asks for: names with commas between, a `+` before them adds to the usual ones. Names are told apart without regard
 * to case. An empty name is an error without a word, as the tool has it.
 */
export function chooseColumns(all: boolean, list: string | undefined): readonly Column[] {
  const usual = all ? COLUMNS : DEFAULT.map(find);
  if (list === undefined) return usual;
  const added = list.startsWith('+');
  const text = added ? list.slice(1) : list;
  const names = text.split(',');
  // A comma at the very end is taken for a part of the last name.
  if (names.length > 1 && names.at(-1) === '') names.splice(-2, 2, `${names.at(-2)},`);
  if (names.includes('')) throw new UsageError('', 1);
  const chosen = names.map(find);
  return added ? [...usual, ...chosen] : chosen;
}

function find(name: string): Column {
  const found = COLUMNS.find((each) => each.name === name.toUpperCase());
  if (found === undefined) throw new UsageError(`unknown column: ${name}`, 1);
  return found;
}
