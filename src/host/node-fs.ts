import { Buffer } from 'node:buffer';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type { FileSystem } from '../filesystem/file-system.ts';
import type { CallbackName } from '../filesystem/node-fs/callback-api.ts';
import { type Codec, unknownEncoding } from '../filesystem/node-fs/codec.ts';
import type { NodeFsOptions } from '../filesystem/node-fs/context.ts';
import { createFace, type Face } from '../filesystem/node-fs/face.ts';
import type { FileHandle } from '../filesystem/node-fs/file-handle.ts';
import type { SyncApi } from '../filesystem/node-fs/sync-api.ts';
import { systemRandom } from './system.ts';

type Node = typeof fs;
/** What `fs.readFileSync` gives in node's types: a Buffer that is not shared between threads. */
type Bytes = Buffer<ArrayBuffer>;

const bufferCodec: Codec<Bytes> = {
  allocate: (length) => Buffer.allocUnsafeSlow(length),
  wrap: (bytes) => Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength),
  decode: (bytes, encoding) => bufferCodec.wrap(bytes).toString(checked(encoding)),
  encode: (text, encoding) => Buffer.from(text, checked(encoding)),
};

function checked(encoding: string): BufferEncoding {
  if (!Buffer.isEncoding(encoding)) throw unknownEncoding(encoding);
  return encoding;
}

type PromisesName = keyof Face<Bytes>['promises'] & keyof Node['promises'];

/** What `nodeFs` gives: the calls of node:fs with node's own types. */
export type NodeFs = Pick<Node, (CallbackName | keyof SyncApi<Bytes>) & keyof Node> &
  Pick<Node, 'createReadStream' | 'createWriteStream'> &
  Omit<Face<Bytes>, keyof Node | 'promises'> & {
    readonly promises: Pick<Node['promises'], PromisesName>;
    readonly constants: Face<Bytes>['constants'];
  };

/**
 * A file system of an image in the shape of `node:fs`: synchronous calls, callbacks, `promises`, streams, `constants`, node's
 * error codes. Any package that takes a custom `fs` works inside an image with it.
 *
 * Calls act as the superuser, paths count from the root of the file system, descriptors are its own and mean nothing to
 * the operating system. `watch` and its kin throw ENOSYS.
 *
 * @example
 * ```ts
 * import { formatDevice, MemoryDevice, nodeFs, openFileSystem } from 'userloop';
 *
 * const device = new MemoryDevice(1440 * 1024);
 * formatDevice(device, 'ext2');
 * using fileSystem = openFileSystem(device);
 * const fs = nodeFs(fileSystem);
 * fs.mkdirSync('/boot/grub', { recursive: true });
 * fs.writeFileSync('/boot/grub/menu.lst', 'timeout 5\n');
 * console.log(fs.readdirSync('/boot', { recursive: true })); // [ 'grub', 'grub/menu.lst' ]
 * await fs.promises.rename('/boot/grub/menu.lst', '/boot/grub/grub.conf');
 * ```
 */
export function nodeFs(fileSystem: FileSystem, options: NodeFsOptions = {}): NodeFs {
  const face = createFace(fileSystem, bufferCodec, { random: systemRandom, ...options });
  const callbacks = face as unknown as Pick<Node, CallbackName & keyof Node>;

  const streams = {
    createReadStream(path: fs.PathLike, given?: ReadOptions) {
      return fs.createReadStream(path, {
        ...(typeof given === 'string' ? { encoding: given } : given),
        fs: callbacks,
      });
    },
    createWriteStream(path: fs.PathLike, given?: WriteOptions) {
      return fs.createWriteStream(path, {
        ...(typeof given === 'string' ? { encoding: given } : given),
        fs: callbacks,
      });
    },
  };
  streams satisfies Pick<Node, keyof typeof streams>;

  async function open(...args: Parameters<typeof face.promises.open>): Promise<fs.promises.FileHandle> {
    return withStreams(await face.promises.open(...args), callbacks);
  }

  face satisfies Pick<Node, keyof SyncApi<Bytes> & keyof Node>;
  const { constants: _numbersOfLinux, ...promises } = { ...face.promises, open };
  promises satisfies Pick<Node['promises'], keyof typeof promises>;
  return { ...face, ...streams, promises: { ...face.promises, open } } as unknown as NodeFs;
}

type ReadOptions = Parameters<Node['createReadStream']>[1];
type WriteOptions = Parameters<Node['createWriteStream']>[1];

/** Node's FileHandle has streams, which the core cannot know. */
function withStreams(
  handle: FileHandle<Bytes>,
  callbacks: Pick<Node, CallbackName & keyof Node>,
): fs.promises.FileHandle {
  const ofHandle = {
    ...callbacks,
    close: (_fd: number, done: fs.NoParamCallback) => void handle.close().then(() => done(null), done),
  } as typeof callbacks;
  const streams = {
    createReadStream: (options: object = {}) =>
      fs.createReadStream('', { ...options, fd: handle.fd, fs: ofHandle }),
    createWriteStream: (options: object = {}) =>
      fs.createWriteStream('', { ...options, fd: handle.fd, fs: ofHandle }),
    readLines: (options: object = {}) =>
      createInterface({ input: streams.createReadStream(options), crlfDelay: Infinity }),
    readableWebStream: () => Readable.toWeb(streams.createReadStream({ autoClose: false })) as ReadableStream,
  };
  return Object.assign(handle, streams) satisfies fs.promises.FileHandle;
}
