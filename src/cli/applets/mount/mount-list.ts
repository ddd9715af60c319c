import type { MountTableEntry } from '../../../host/mount-table.ts';
import type { MountOption } from './option-list.ts';
import { formatOptionList, parseOptionList } from './option-list.ts';

/** The mount on that directory that is seen: the last one, where several lie over each other. */
export function findByDirectory(
  table: readonly MountTableEntry[],
  directory: string,
): MountTableEntry | undefined {
  return table.findLast((entry) => entry.directory === directory);
}

/** Everything mounted below a mount, and itself: children before their parents, in the order of mounting. */
export function subtree(table: readonly MountTableEntry[], top: MountTableEntry): MountTableEntry[] {
  const children = table.filter((entry) => entry.parent === top.id && entry.id !== top.id);
  return [...children.flatMap((child) => subtree(table, child)), top];
}

/** Of the mount and of the file system in one list, as mount(8) shows it: `ro` when either is, first and once. */
export function shownOptions(entry: MountTableEntry): MountOption[] {
  const both = [...parseOptionList(entry.options), ...parseOptionList(entry.superOptions)];
  const readOnly = both.some(({ name }) => name === 'ro');
  return [
    { name: readOnly ? 'ro' : 'rw', value: undefined },
    ...both.filter(({ name }) => name !== 'ro' && name !== 'rw'),
  ];
}

/** `/dev/loop0 on /mnt type ext2 (rw,relatime) [LABEL]` */
export function formatClassicLine(entry: MountTableEntry, source: string, label = ''): string {
  const options = formatOptionList(shownOptions(entry));
  return `${source} on ${entry.directory} type ${entry.type} (${options})${label === '' ? '' : ` [${label}]`}\n`;
}
