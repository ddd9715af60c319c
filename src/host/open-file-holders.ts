import fs from 'node:fs';

export interface OpenFileHolder {
  readonly pid: number;
  /** The program's name as the kernel keeps it: at most 15 characters. */
  readonly command: string;
  /** The file that it has open. */
  readonly path: string;
}

/** The processes that have one of the files open, this one not counted. Processes of other users are not seen by a plain user. */
export function openFileHolders(paths: readonly string[]): OpenFileHolder[] {
  const wanted = new Set(paths);
  const holders: OpenFileHolder[] = [];
  for (const name of list('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const found = new Set<string>();
    for (const descriptor of list(`/proc/${name}/fd`)) {
      const target = readLink(`/proc/${name}/fd/${descriptor}`);
      if (target !== undefined && wanted.has(target)) found.add(target);
    }
    for (const path of found) holders.push({ pid: Number(name), command: commandOf(name), path });
  }
  return holders;
}

/**
 * The processes that use what is mounted at `directory`: open files, mapped files, a working directory or root in it. This one is not
 * counted. Processes of other users are not seen by a plain user.
 */
export function mountHolders(directory: string): OpenFileHolder[] {
  const isBelow = (target: string | undefined): boolean =>
    target !== undefined && (target === directory || target.startsWith(`${directory}/`));
  const holders: OpenFileHolder[] = [];
  for (const name of list('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const links = ['cwd', 'root', 'exe', ...list(`/proc/${name}/fd`).map((fd) => `fd/${fd}`)];
    links.push(...list(`/proc/${name}/map_files`).map((range) => `map_files/${range}`));
    const found = links.map((link) => readLink(`/proc/${name}/${link}`)).find(isBelow);
    if (found !== undefined) holders.push({ pid: Number(name), command: commandOf(name), path: found });
  }
  return holders;
}

/** Processes and descriptors come and go as they are looked at, and others' are hidden: what cannot be read is not there. */
function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

function readLink(path: string): string | undefined {
  try {
    return fs.readlinkSync(path);
  } catch {
    return undefined;
  }
}

function commandOf(pid: string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd();
  } catch {
    return '';
  }
}
