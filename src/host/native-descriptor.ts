import { viewOf } from '../bytes/struct.ts';
import { lastErrno, nativeError } from './native-error.ts';
import { loadLibC } from './native-file.ts';
import { addressOf, fixedMemory } from './native-memory.ts';

/** Descriptors passed over unix sockets. Linux with koffi only. */
export interface DescriptorPassing {
  /** Two ends of a stream socket; closed on exec. */
  socketPair(): [number, number];
  /** The descriptor that has come over the socket, closed on exec; undefined when nothing has come or the peer is gone. Does not wait. */
  receiveDescriptor(socket: number): number | undefined;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** Bytes of `struct msghdr` and of a control message with one descriptor, LP64: recvmsg(2), cmsg(3). */
const MSGHDR_SIZE = 56;
const CMSG_SIZE = 24;
const CMSG_DATA = 16;
/** Where the parts lie in one piece of memory: the header, the vector, the control message, the byte that comes with it. */
const VECTOR = MSGHDR_SIZE;
const CONTROL = VECTOR + 16;
const BYTE = CONTROL + CMSG_SIZE;
const EAGAIN = 11;

let calls: DescriptorPassing | undefined;

/** Undefined where libc cannot be called. */
export function descriptorPassing(): DescriptorPassing | undefined {
  if (calls !== undefined) return calls;
  const library = loadLibC();
  if (library === undefined) return undefined;
  const socketpair = library.func('int socketpair(int, int, int, void *)');
  const recvmsg = library.func('intptr_t recvmsg(int, void *, int)');
  calls = {
    socketPair() {
      const ends = new Int32Array(2);
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) !== 0) throw nativeError('socketpair');
      return [ends[0]!, ends[1]!];
    },
    receiveDescriptor(socket) {
      const memory = fixedMemory(MSGHDR_SIZE + 16 + CMSG_SIZE + 8);
      const view = viewOf(memory);
      const base = addressOf(memory);
      // msg_iov with one byte, msg_control with room for one descriptor.
      view.setBigUint64(16, base + BigInt(VECTOR), true);
      view.setBigUint64(24, 1n, true);
      view.setBigUint64(32, base + BigInt(CONTROL), true);
      view.setBigUint64(40, BigInt(CMSG_SIZE), true);
      view.setBigUint64(VECTOR, base + BigInt(BYTE), true);
      view.setBigUint64(VECTOR + 8, 1n, true);
      const received = Number(recvmsg(socket, memory, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
      if (received < 0) {
        if (lastErrno() === EAGAIN) return undefined;
        throw nativeError('recvmsg');
      }
      if (received === 0 || view.getBigUint64(40, true) < BigInt(CMSG_DATA + 4)) return undefined;
      const isDescriptor =
        view.getInt32(CONTROL + 8, true) === SOL_SOCKET && view.getInt32(CONTROL + 12, true) === SCM_RIGHTS;
      return isDescriptor ? view.getInt32(CONTROL + CMSG_DATA, true) : undefined;
    },
  };
  return calls;
}
