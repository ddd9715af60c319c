import { type BlockDevice, type Extent, checkRange, checkWritable } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import { type Handshake, type NegotiatedExport, clientHandshake } from '../nbd/client-handshake.ts';
import { ClientSession } from '../nbd/client-session.ts';
import { Command, ExportFlag } from '../nbd/protocol.ts';
import { type ClosableStream, DescriptorStream } from './blocking-stream.ts';
import { nativeSockets } from './native-socket.ts';
import { type NbdAddress, parseNbdUri } from './nbd-uri.ts';
import { WorkerStream } from './worker-stream.ts';

export interface OpenNbdOptions {
  readonly readOnly?: boolean;
  /** Logical sector, bytes. Default 512. */
  readonly sectorSize?: number;
  /** Where relative paths of the URI count from. Default: the process's folder. */
  readonly cwd?: string;
}

/** Connects to an NBD export: `nbd+unix:///NAME?socket=PATH`, `nbd://HOST[:PORT]/NAME`, `nbds://…`. Errors name the URI. */
export function openNbdDevice(uri: string, options: OpenNbdOptions = {}): BlockDevice {
  const address = parseNbdUri(uri, options.cwd ?? process.cwd());
  let stream: ClosableStream | undefined;
  try {
    stream = connect(address);
    const exported = drive(
      stream,
      address,
      clientHandshake({
        exportName: address.exportName,
        tls: address.tls === undefined ? 'none' : 'require',
      }),
    );
    return new NbdClientDevice(stream, exported, address.uri, options);
  } catch (error) {
    stream?.close();
    if (error instanceof FsError || !(error instanceof Error)) throw error;
    throw new FsError('EIO', { syscall: 'connect', path: address.uri, detail: error.message, cause: error });
  }
}

function connect(address: NbdAddress): ClosableStream {
  const sockets = nativeSockets();
  if (sockets === undefined || address.tls !== undefined) return new WorkerStream(address);
  const fd =
    address.socket === undefined
      ? sockets.connectTcp(address.host!, address.port)
      : sockets.connectUnix(address.socket);
  return new DescriptorStream(fd, (each) => {
    // A process that another thread is just starting may hold a copy: the server is to see the end all the same.
    sockets.shutdown(each, 'both');
    sockets.close(each);
  });
}

/** Does what the handshake asks for, on a blocking stream. */
function drive<Result>(stream: ClosableStream, address: NbdAddress, handshake: Handshake<Result>): Result {
  let received: Uint8Array | undefined;
  for (;;) {
    const step = handshake.next(received);
    received = undefined;
    if (step.done === true) return step.value;
    if (step.value.kind === 'send') stream.send(step.value.bytes);
    else if (step.value.kind === 'receive') stream.receive((received = new Uint8Array(step.value.length)));
    else stream.startTls!(address.tls!);
  }
}

/** Block status is asked for that much at once, so that an answer stays small. */
const STATUS_STEP = 1 << 30;
/** TRIM and WRITE_ZEROES without extended headers: 32 bits, less what keeps every alignment. */
const COMMAND_STEP = 2 ** 32 - 65536;
/** A large transfer is cut in pieces that stay in the processor's cache. */
const TRANSFER_STEP = 4 << 20;

/** An NBD export. Requests that are not aligned as the server demands are widened here. */
class NbdClientDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #session: ClientSession;
  readonly #stream: ClosableStream;
  readonly #flags: number;
  readonly #block: number;
  readonly #step: number;
  #closed = false;

  constructor(stream: ClosableStream, exported: NegotiatedExport, name: string, options: OpenNbdOptions) {
    this.#flags = exported.flags;
    const serverReadOnly = (exported.flags & ExportFlag.readOnly) !== 0;
    if (serverReadOnly && options.readOnly === false)
      throw new FsError('EROFS', { syscall: 'open', path: name, detail: 'the export is read-only' });
    this.#session = new ClientSession(stream, exported, name);
    this.#stream = stream;
    this.#block = exported.minimumBlock;
    this.#step = Math.max(this.#block, Math.min(TRANSFER_STEP, exported.maximumPayload) & ~(this.#block - 1));
    this.size = exported.size - (exported.size % this.#block);
    this.sectorSize = options.sectorSize ?? Math.max(512, this.#block);
    this.readOnly = serverReadOnly || options.readOnly === true;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    this.#inPieces(offset, into.length, this.#step, (at, length, whole) => {
      const part = into.subarray(at - offset, at - offset + length);
      if (whole) this.#session.read(at, part);
      else this.#withBlock(at, (block, start) => part.set(block.subarray(start, start + length)));
    });
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    this.#inPieces(offset, from.length, this.#step, (at, length, whole) => {
      const part = from.subarray(at - offset, at - offset + length);
      if (whole) this.#session.write(at, part);
      else
        this.#withBlock(at, (block, start) => {
          block.set(part, start);
          this.#session.write(at - start, block);
        });
    });
  }

  zero(offset: number, length: number): void {
    checkWritable(this, 'zero');
    checkRange(this, 'zero', offset, length);
    const canZero = (this.#flags & ExportFlag.sendWriteZeroes) !== 0;
    this.#inPieces(offset, length, canZero ? COMMAND_STEP : this.#step, (at, count, whole) => {
      if (whole && canZero) this.#session.command('zero', Command.writeZeroes, 0, at, count);
      else this.write(at, new Uint8Array(count));
    });
  }

  discard(offset: number, length: number): void {
    checkWritable(this, 'discard');
    checkRange(this, 'discard', offset, length);
    if ((this.#flags & ExportFlag.sendTrim) === 0) return;
    this.#inPieces(offset, length, COMMAND_STEP, (at, count, whole) => {
      // Half a block cannot be given back; that is no loss, as discarding is a hint.
      if (whole) this.#session.command('discard', Command.trim, 0, at, count);
    });
  }

  *extents(offset: number, length: number): Iterable<Extent> {
    checkRange(this, 'extents', offset, length);
    const end = offset + length;
    if (length > 0 && this.#session.export.baseAllocation === undefined) {
      yield { offset, length, kind: 'data' };
      return;
    }
    for (let at = offset; at < end;) {
      const start = at - (at % this.#block);
      const wanted = Math.ceil((Math.min(STATUS_STEP, end - at) + at - start) / this.#block) * this.#block;
      for (const extent of this.#session.blockStatus(start, wanted)) {
        const from = Math.max(extent.offset, at);
        const to = Math.min(extent.offset + extent.length, end);
        if (to <= from) continue;
        yield { offset: from, length: to - from, kind: extent.kind };
        at = to;
      }
    }
  }

  flush(): void {
    if (this.readOnly || (this.#flags & ExportFlag.sendFlush) === 0) return;
    this.#session.command('flush', Command.flush, 0, 0, 0);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#session.disconnect();
    } catch {
      // The server has gone first; there is nobody left to say goodbye to.
    } finally {
      this.#stream.close();
    }
  }

  /** Cuts a range into whole blocks of at most `step` bytes, and what is less than a block at its ends. */
  #inPieces(
    offset: number,
    length: number,
    step: number,
    body: (offset: number, length: number, whole: boolean) => void,
  ): void {
    const block = this.#block;
    const end = offset + length;
    for (let at = offset; at < end;) {
      const within = at % block;
      const left = end - at;
      if (within === 0 && left >= block) {
        const count = Math.min(step, left - (left % block));
        body(at, count, true);
        at += count;
      } else {
        const count = Math.min(block - within, left);
        body(at, count, false);
        at += count;
      }
    }
  }

  #withBlock(offset: number, body: (block: Uint8Array, start: number) => void): void {
    const block = new Uint8Array(this.#block);
    const start = offset % this.#block;
    this.#session.read(offset - start, block);
    body(block, start);
  }
}
