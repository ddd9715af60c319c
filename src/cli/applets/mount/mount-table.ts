import fs from 'node:fs';
import { unescapeField } from './fstab.ts';
import type { MountOption } from './option-list.ts';
import { parseOptionList } from './option-list.ts';

/** A line of /proc/self/mountinfo (proc(5)). */
export interface MountTableEntry {
  readonly id: number;
  readonly parent: number;
  /** `7:0` */
  readonly device: string;
  /** What of the file system is mounted; `/` for all of it. */
  readonly root: string;
  readonly target: string;
  readonly type: string;
  readonly source: string;
  /** Of the mount and of the file system in one list, as mount(8) shows it. */
  readonly options: readonly MountOption[];
}

const MOUNT_INFO = '/proc/self/mountinfo';

/** What is mounted now, oldest first. Empty where there is no such table. */
export function readMountTable(): MountTableEntry[] {
  if (!fs.existsSync(MOUNT_INFO)) return [];
  return parseMountInfo(fs.readFileSync(MOUNT_INFO, 'utf8'));
}

export function parseMountInfo(text: string): MountTableEntry[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right] = cut(line, ' - ');
    const [id, parent, device, root, target, options] = left.split(' ');
    if (options === undefined || right === undefined) return [];
    const [type = '', source = '', superOptions = ''] = right.split(' ');
    return [
      {
        id: Number(id),
        parent: Number(parent),
        device: device!,
        root: unescapeField(root!),
        target: unescapeField(target!),
        type: unescapeField(type),
        source: unescapeField(source),
        options: mergeOptions(parseOptionList(unescapeField(options)), parseOptionList(unescapeField(superOptions))),
      },
    ];
  });
}

/** The mount on that directory that is seen: the last one, where several lie over each other. */
export function findByTarget(
  table: readonly MountTableEntry[],
  target: string,
): MountTableEntry | undefined {
  return table.findLast((entry) => entry.target === target);
}

/** Everything mounted below a mount, and itself; what was mounted last comes first, children before their parents. */
export function subtree(table: readonly MountTableEntry[], top: MountTableEntry): MountTableEntry[] {
  const children = table.filter((entry) => entry.parent === top.id && entry.id !== top.id);
  return [...children.flatMap((child) => subtree(table, child)), top];
}

export interface ClassicLine {
  /** In place of the source. */
  readonly source: string;
  /** Shown in brackets behind the options. */
  readonly label?: string;
}

/** `/dev/loop0 on /mnt type ext2 (rw,relatime) [LABEL]` */
export function formatClassicLine(entry: MountTableEntry, line: ClassicLine): string {
  const options = entry.options.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`));
  const label = line.label === undefined || line.label === '' ? '' : ` [${line.label}]`;
  return `${line.source} on ${entry.target} type ${entry.type} (${options.join(',')})${label}\n`;
}

/** Read-only when the mount or the file system is; that comes first and only once. */
function mergeOptions(mount: readonly MountOption[], fileSystem: readonly MountOption[]): MountOption[] {
  const both = [...mount, ...fileSystem];
  const readOnly = both.some(({ name }) => name === 'ro');
  return [
    { name: readOnly ? 'ro' : 'rw', value: undefined },
    ...both.filter(({ name }) => name !== 'ro' && name !== 'rw'),
  ];
}

function cut(text: string, mark: string): [string, string | undefined] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + mark.length)];
}
