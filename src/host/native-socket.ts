import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { encodeUtf8 } from '../bytes/utf8.ts';
import { loadLibC } from './native-file.ts';
import { nativeError } from './native-error.ts';

/**
 * Blocking sockets, which node does not have: connected here, they are read and written by `fs.readSync` and `fs.writeSync`
 * like any descriptor. Needs koffi; undefined where that is absent.
 */
export interface NativeSockets {
  /** Connects to a unix socket. Its path has at most 107 bytes; a leading NUL means the abstract name space. */
  connectUnix(path: string): number;
  /** Tries every address of the host in turn. */
  connectTcp(host: string, port: number): number;
  /** Of what was connected here: node keeps no account of it. */
  close(fd: number): void;
  /** shutdown(2): whoever waits for bytes from the socket reads its end. `both`: nobody waits to send any more, either. */
  shutdown(fd: number, direction: 'read' | 'both'): void;
  /** The process at the other end of a unix socket; undefined where that is not known. */
  peerProcess(fd: number): number | undefined;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SHUT_RD = 0;
const SHUT_RDWR = 2;
/** sun_path has 108 bytes, of which the last is NUL. */
export const MAX_SOCKET_PATH = 107;

let sockets: NativeSockets | undefined;

export function nativeSockets(): NativeSockets | undefined {
  if (sockets !== undefined) return sockets;
  const libc = loadLibC();
  if (libc === undefined) return undefined;
  const socket = libc.func('socket', 'int', ['int', 'int', 'int']);
  const connect = libc.func('connect', 'int', ['int', 'void *', 'uint32_t']);
  const close = libc.func('close', 'int', ['int']);
  const shutdown = libc.func('shutdown', 'int', ['int', 'int']);
  const getsockopt = libc.func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);
  let resolve: ReturnType<typeof resolver> | undefined;
  const setsockopt = libc.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32_t']);

  function open(family: number, address: Uint8Array, name: string): number {
    const fd = Number(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd < 0) throw nativeError('socket', { path: name });
    if (connect(fd, address, address.length) === 0) return fd;
    const error = nativeError('connect', { path: name });
    close(fd);
    throw error;
  }

  sockets = {
    connectUnix: (path) => open(AF_UNIX, unixAddress(path), path),
    connectTcp(host, port) {
      let failure: unknown;
      resolve ??= resolver(libc);
      for (const address of resolve(host, port)) {
        try {
          const fd = open(new Uint16Array(address.buffer, 0, 1)[0]!, address, `${host}:${port}`);
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, new Int32Array([1]), 4);
          return fd;
        } catch (error) {
          failure = error;
        }
      }
      throw failure;
    },
    close: (fd) => void close(fd),
    shutdown(fd, direction) {
      shutdown(fd, direction === 'read' ? SHUT_RD : SHUT_RDWR);
    },
    peerProcess(fd) {
      // struct ucred: pid, uid, gid.
      const credentials = new Int32Array(3);
      if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, Uint32Array.of(12)) !== 0) return undefined;
      return credentials[0] === 0 ? undefined : credentials[0];
    },
  };
  return sockets;
}

/** struct sockaddr_un. */
function unixAddress(path: string): Uint8Array {
  const name = encodeUtf8(path);
  if (name.length > MAX_SOCKET_PATH)
    throw new RangeError(
      `The path of a socket has at most ${MAX_SOCKET_PATH} bytes, this one has ${name.length}: ${path}`,
    );
  const isAbstract = name[0] === 0;
  const address = new Uint8Array(2 + name.length + (isAbstract ? 0 : 1));
  new Uint16Array(address.buffer, 0, 1)[0] = AF_UNIX;
  address.set(name, 2);
  return address;
}

interface AddressInfo {
  readonly ai_addrlen: number;
  readonly ai_addr: unknown;
  readonly ai_next: unknown;
}

/** getaddrinfo(3): the addresses of a host as struct sockaddr, in the system's order of preference. */
function resolver(libc: Koffi.LibraryHandle): (host: string, port: number) => Uint8Array[] {
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  const layout = koffi.struct({
    ai_flags: 'int',
    ai_family: 'int',
    ai_socktype: 'int',
    ai_protocol: 'int',
    ai_addrlen: 'uint32_t',
    ai_addr: 'void *',
    ai_canonname: 'void *',
    ai_next: 'void *',
  });
  const getaddrinfo = libc.func('getaddrinfo', 'int', [
    'str',
    'str',
    koffi.pointer(layout),
    koffi.out(koffi.pointer('void *')),
  ]);
  const freeaddrinfo = libc.func('freeaddrinfo', 'void', ['void *']);
  const gaiStrerror = libc.func('gai_strerror', 'str', ['int']);
  const hints = {
    ai_flags: 0,
    ai_family: 0,
    ai_socktype: SOCK_STREAM,
    ai_protocol: IPPROTO_TCP,
    ai_addrlen: 0,
    ai_addr: null,
    ai_canonname: null,
    ai_next: null,
  };
  return (host, port) => {
    const list: unknown[] = [null];
    const status = Number(getaddrinfo(host, String(port), hints, list));
    if (status !== 0) throw new Error(`Cannot find the host ${host}: ${String(gaiStrerror(status))}`);
    const found: Uint8Array[] = [];
    for (let at = list[0]; at !== null && at !== undefined;) {
      const info = koffi.decode(at, layout) as AddressInfo;
      found.push(
        Uint8Array.from(koffi.decode(info.ai_addr, 'uint8_t', info.ai_addrlen) as ArrayLike<number>),
      );
      at = info.ai_next;
    }
    freeaddrinfo(list[0]);
    return found;
  };
}
