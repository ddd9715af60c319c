import fs from 'node:fs';
import { UsageError } from '../errors.ts';

/** Pre-shared keys work with TLS 1.2 everywhere; with 1.3 they need to say which hash they go with, which such files do not. */
export const PSK_CIPHERS =
  'ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256';

/** Users and their keys: lines `USER:KEY`, the key in hexadecimal, as psktool(1) writes them. UsageError names the line that is wrong. */
export function readPskFile(file: string): Map<string, Buffer> {
  const users = new Map<string, Buffer>();
  for (const [index, line] of fs.readFileSync(file, 'utf8').split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const match = /^(?<user>[^:]+):(?<key>(?:[0-9a-f]{2})+)\s*$/i.exec(line);
    if (match === null)
      throw new UsageError(`${file}, line ${index + 1}: not of the form USER:KEY with a key in hexadecimal`);
    users.set(match.groups!['user']!, Buffer.from(match.groups!['key']!, 'hex'));
  }
  if (users.size === 0) throw new UsageError(`${file} holds no key`);
  return users;
}
