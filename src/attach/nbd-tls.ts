import fs from 'node:fs';
import type net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { UsageError } from '../errors.ts';

/** Where the keys for TLS are: a folder of certificates, a file of pre-shared keys, or both. */
export interface TlsKeys {
  /** With server-cert.pem and server-key.pem, as nbdkit and qemu-nbd have them. */
  readonly certificates?: string;
  /** Lines `USER:KEY`, the key in hexadecimal, as psktool(1) writes them. */
  readonly pskFile?: string;
}

/** TLS 1.2 is what every implementation can with pre-shared keys; 1.3 needs the key to say which hash it goes with. */
const PSK_CIPHERS =
  'ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES256-CBC-SHA384:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-CHACHA20-POLY1305:PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256';

/** Makes TLS connections of plain ones. Reads the keys now, so that what is wrong with them is told at the start. */
export function tlsAcceptor(keys: TlsKeys): (socket: net.Socket) => Promise<tls.TLSSocket> {
  const { certificates, pskFile } = keys;
  if (certificates === undefined && pskFile === undefined)
    throw new UsageError('TLS needs a folder of certificates or a file of pre-shared keys');
  const users = pskFile === undefined ? undefined : readPskFile(pskFile);
  const context = tls.createSecureContext({
    minVersion: 'TLSv1.2',
    ...(certificates === undefined
      ? {}
      : {
          cert: fs.readFileSync(path.join(certificates, 'server-cert.pem')),
          key: fs.readFileSync(path.join(certificates, 'server-key.pem')),
        }),
    ...(users === undefined
      ? {}
      : certificates === undefined
        ? { ciphers: PSK_CIPHERS, maxVersion: 'TLSv1.2' }
        : { ciphers: `${tls.DEFAULT_CIPHERS}:${PSK_CIPHERS}` }),
  });
  return (socket) =>
    new Promise((resolve, reject) => {
      const secure = new tls.TLSSocket(socket, {
        isServer: true,
        secureContext: context,
        requestCert: false,
        ...(users === undefined
          ? {}
          : { pskCallback: (_socket: tls.TLSSocket, identity: string) => users.get(identity) ?? null }),
      } as tls.TLSSocketOptions);
      secure.once('secure', () => resolve(secure));
      secure.once('error', reject);
      secure.once('close', () => reject(new Error('The client has gone in the middle of the TLS handshake')));
    });
}

/** Users and their keys. UsageError names the line that is wrong. */
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
