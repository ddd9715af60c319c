import fs from 'node:fs';
import type { Accounts } from './listing.ts';

/** The users and groups of this machine, from /etc/passwd and /etc/group; none where there are no such files. */
export const HOST_ACCOUNTS: Accounts = {
  user: (uid) => nameOf('/etc/passwd', uid),
  group: (gid) => nameOf('/etc/group', gid),
};

function nameOf(file: string, id: number): string | undefined {
  if (!fs.existsSync(file)) return undefined;
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const [name, , number] = line.split(':');
    if (number === `${id}`) return name;
  }
  return undefined;
}
