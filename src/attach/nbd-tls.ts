import fs from 'node:fs';
import type net from 'node:net';
import path from 'node:path';
import type tlsModule from 'node:tls';
import { UsageError } from '../errors.ts';
import { PSK_CIPHERS, readPskFile } from '../host/tls-psk.ts';

/** Where the keys for TLS are: a folder of certificates, a file of pre-shared keys, or both. */
export interface TlsKeys {
  /** With server-cert.pem and server-key.pem, as nbdkit and qemu-nbd have them. */
  readonly certificates?: string;
  /** Lines `USER:KEY`, the key in hexadecimal, as psktool(1) writes them. */
  readonly pskFile?: string;
}

/** Makes TLS connections of plain ones. Reads the keys now, so that what is wrong with them is told at the start. */
export function tlsAcceptor(keys: TlsKeys): (socket: net.Socket) => Promise<tlsModule.TLSSocket> {
  // Few devices want it, and to load it takes a while.
  const tls = process.getBuiltinModule('node:tls');
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
      : {
          // Who offers keys is asked for them, everybody else gets the certificate.
          // Node's own list takes them away again.
          ciphers:
            certificates === undefined
              ? PSK_CIPHERS
              : `${PSK_CIPHERS}:${tls.DEFAULT_CIPHERS.replace(':!PSK', '')}`,
          honorCipherOrder: true,
          maxVersion: 'TLSv1.2',
        }),
  });
  return (socket) =>
    new Promise((resolve, reject) => {
      const secure = new tls.TLSSocket(socket, {
        isServer: true,
        secureContext: context,
        requestCert: false,
        ...(users === undefined
          ? {}
          : { pskCallback: (_socket: tlsModule.TLSSocket, identity: string) => users.get(identity) ?? null }),
      } as tlsModule.TLSSocketOptions);
      secure.once('secure', () => resolve(secure));
      secure.once('error', reject);
      secure.once('close', () => reject(new Error('The client has gone in the middle of the TLS handshake')));
    });
}
