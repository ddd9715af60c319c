import fs from 'node:fs';

/** Number of a user or group of this machine, by name or number. Undefined when there is none of that name. */
export function accountId(text: string, kind: 'user' | 'group'): number | undefined {
  if (/^\d{1,10}$/.test(text)) {
    const id = Number(text);
    return id <= 0xffff_fffe ? id : undefined;
  }
  const field = entriesOf(kind).find(([name]) => name === text)?.[2];
  return field !== undefined && /^\d{1,10}$/.test(field) ? Number(field) : undefined;
}

/** The groups of this process' user. */
export function isMemberOf(gid: number): boolean {
  return (process.getgroups?.() ?? []).includes(gid) || process.getegid?.() === gid;
}

function entriesOf(kind: 'user' | 'group'): string[][] {
  const file = kind === 'user' ? '/etc/passwd' : '/etc/group';
  try {
    return fs
      .readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  } catch {
    // A container without the file knows no names.
    return [];
  }
}
