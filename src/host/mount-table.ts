import fs from 'node:fs';

/** A line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface MountTableEntry {
  readonly id: number;
  /** The mount on which this one lies. */
  readonly parent: number;
  /** `MAJOR:MINOR`, as st_dev of the files in it. */
  readonly device: string;
  /** What of the file system is mounted: `/` for all of it. For a file that is bound, its path within. */
  readonly root: string;
  /** The mount point, as this process sees it. */
  readonly directory: string;
  /** Of the mount: `rw,nosuid`. */
  readonly options: string;
  /** `ext4`, `fuse.ext2`. */
  readonly type: string;
  readonly source: string;
  /** Of the file system: `rw,errors=continue`. */
  readonly superOptions: string;
}

/** What is mounted in this process's namespace, in the order of mounting; empty where there is no /proc. */
export function readMountTable(): MountTableEntry[] {
  let text: string;
  try {
    text = fs.readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    // Not Linux, or a chroot without /proc: nothing is known of any mount.
    return [];
  }
  return parseMountTable(text);
}

export function parseMountTable(text: string): MountTableEntry[] {
  const entries: MountTableEntry[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    // Any number of optional fields ends with a dash.
    const dash = fields.indexOf('-', 6);
    if (dash < 0) continue;
    entries.push({
      id: Number(fields[0]),
      parent: Number(fields[1]),
      device: fields[2]!,
      root: unescape(fields[3]!),
      directory: unescape(fields[4]!),
      options: fields[5]!,
      type: unescape(fields[dash + 1] ?? ''),
      source: unescape(fields[dash + 2] ?? ''),
      superOptions: fields[dash + 3] ?? '',
    });
  }
  return entries;
}

/** The kernel writes blanks, backslashes and `#` as three octal digits behind a backslash. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
