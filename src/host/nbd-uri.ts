import path from 'node:path';
import { UsageError } from '../errors.ts';
import { NBD_PORT } from '../nbd/protocol.ts';

/** Where an NBD export is (NetworkBlockDevice/nbd, doc/uri.md, and libnbd's parameters for TLS). */
export interface NbdAddress {
  /** As it was given, without what is secret: for messages. */
  readonly uri: string;
  readonly exportName: string;
  readonly socket?: string;
  readonly host?: string;
  readonly port: number;
  readonly tls?: NbdTlsAddress;
}

export interface NbdTlsAddress {
  /** Folder with ca-cert.pem, and client-cert.pem and client-key.pem where the server wants them. */
  readonly certificates?: string;
  /** File with lines `USER:HEX`. */
  readonly pskFile?: string;
  readonly username?: string;
  /** The name that the server's certificate must have. Default: the host. */
  readonly hostname?: string;
  readonly verifyPeer: boolean;
}

const SCHEME = /^(?<scheme>nbds?(?:\+unix)?):\/\//i;
const PARAMETERS = [
  'socket',
  'tls-certificates',
  'tls-psk-file',
  'tls-username',
  'tls-hostname',
  'tls-verify-peer',
  'tls-type',
];

/** Does the name stand for an NBD export? */
export function isNbdUri(name: string): boolean {
  return SCHEME.test(name);
}

/** Takes a URI apart; relative paths in it count from `cwd`. UsageError says what is wrong with it. */
export function parseNbdUri(uri: string, cwd: string): NbdAddress {
  const scheme = SCHEME.exec(uri)?.groups?.['scheme']?.toLowerCase();
  if (scheme === undefined) throw new UsageError(`'${uri}' is not the URI of an NBD export`);
  const isUnix = scheme.endsWith('+unix');
  const url = parse(uri);
  const parameters = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    if (!PARAMETERS.includes(name) && !name.startsWith('x-'))
      throw new UsageError(
        `'${uri}': the parameter '${name}' is not known (known: ${PARAMETERS.join(', ')})`,
      );
    parameters.set(name, value);
  }
  const socket = parameters.get('socket');
  if (isUnix && (socket === undefined || socket === ''))
    throw new UsageError(`'${uri}': a unix socket must be named, as in nbd+unix:///?socket=PATH`);
  if (!isUnix && socket !== undefined)
    throw new UsageError(`'${uri}': 'socket' goes with the scheme nbd+unix or nbds+unix`);
  if (!isUnix && url.hostname === '') throw new UsageError(`'${uri}': no host is named`);
  const isTls = scheme.startsWith('nbds');
  if (!isTls && [...parameters.keys()].some((name) => name.startsWith('tls-')))
    throw new UsageError(`'${uri}': TLS goes with the scheme nbds or nbds+unix`);
  return {
    uri,
    exportName: decode(url.pathname.replace(/^\//, ''), uri),
    ...(isUnix
      ? { socket: socket!.startsWith('\0') ? socket! : path.resolve(cwd, socket!) }
      : { host: url.hostname.replace(/^\[(.*)\]$/, '$1') }),
    port: url.port === '' ? NBD_PORT : Number(url.port),
    ...(isTls ? { tls: tlsOf(url, parameters, uri, cwd) } : {}),
  };
}

function parse(uri: string): URL {
  try {
    return new URL(uri);
  } catch {
    throw new UsageError(`'${uri}' is not a proper URI`);
  }
}

function decode(text: string, uri: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError(`'${uri}': the name of the export is not properly escaped`);
  }
}

function tlsOf(url: URL, parameters: ReadonlyMap<string, string>, uri: string, cwd: string): NbdTlsAddress {
  const certificates = parameters.get('tls-certificates');
  const pskFile = parameters.get('tls-psk-file');
  if (certificates !== undefined && pskFile !== undefined)
    throw new UsageError(`'${uri}': certificates and pre-shared keys exclude each other`);
  const type = parameters.get('tls-type');
  if (type !== undefined && type !== (pskFile === undefined ? 'x509' : 'psk'))
    throw new UsageError(
      `'${uri}': tls-type is '${type}', '${pskFile === undefined ? 'x509' : 'psk'}' is what the rest means`,
    );
  const verify = parameters.get('tls-verify-peer') ?? '1';
  if (verify !== '0' && verify !== '1')
    throw new UsageError(`'${uri}': tls-verify-peer is '${verify}', it can be 0 or 1`);
  const username =
    parameters.get('tls-username') ?? (url.username === '' ? undefined : decode(url.username, uri));
  const hostname = parameters.get('tls-hostname');
  return {
    ...(certificates === undefined ? {} : { certificates: path.resolve(cwd, certificates) }),
    ...(pskFile === undefined ? {} : { pskFile: path.resolve(cwd, pskFile) }),
    ...(username === undefined ? {} : { username }),
    ...(hostname === undefined ? {} : { hostname }),
    verifyPeer: verify === '1',
  };
}
