import type { ModeArgument, PathArgument } from './arguments.ts';
import { constants } from './constants.ts';
import type { ReadFileOptions, WriteFileOptions } from './content-calls.ts';
import { type AnyFunction, type PlainName, type Promised, promised } from './derive.ts';
import { FileHandle } from './file-handle.ts';
import type { BigIntStats, Stats } from './stats.ts';
import type { StatOptions } from './attribute-calls.ts';
import type { CopyTree, SyncApi } from './sync-api.ts';

type Sync = SyncApi<Uint8Array>;

/** Calls on descriptors have no promise variant: FileHandle has them as methods. */
type DescriptorCall =
  | 'openSync'
  | 'closeSync'
  | 'readSync'
  | 'readvSync'
  | 'writeSync'
  | 'writevSync'
  | 'existsSync'
  | `f${string}Sync`;

/** Calls whose promise variant takes or gives something else than the synchronous one. */
type OwnSignature = 'cpSync' | 'statSync' | 'lstatSync' | 'readFileSync' | 'writeFileSync' | 'appendFileSync';

type Derived<B extends Uint8Array> = {
  [Name in Exclude<keyof Sync, DescriptorCall | OwnSignature> as PlainName<Name>]: Promised<SyncApi<B>[Name]>;
};

type PathOrHandle = PathArgument | { readonly fd: number };
type Chunk = string | ArrayBufferView;
/** Node's types call a stream one by its `pipe`; that it can be iterated shows when it is read. */
type StreamLike = { pipe(...args: never[]): unknown };
type Data = Chunk | Iterable<Chunk> | AsyncIterable<Chunk> | StreamLike;

/** `stat` and `lstat`: a promise has no way to say `throwIfNoEntry: false`. */
interface StatCall {
  (path: PathArgument, options?: StatOptions & { readonly bigint?: false | undefined }): Promise<Stats>;
  (path: PathArgument, options: StatOptions & { readonly bigint: true }): Promise<BigIntStats>;
  (path: PathArgument, options?: StatOptions): Promise<Stats | BigIntStats>;
}

export interface PromisesApi<B extends Uint8Array> extends Derived<B> {
  readonly constants: typeof constants;
  cp: CopyTree;
  stat: StatCall;
  lstat: StatCall;
  open(path: PathArgument, flags?: string | number, mode?: ModeArgument): Promise<FileHandle<B>>;
  readFile(path: PathOrHandle, options?: ReadFileOptions<null> | null): Promise<B>;
  readFile(
    path: PathOrHandle,
    options: (ReadFileOptions<string> & { readonly encoding: string }) | string,
  ): Promise<string>;
  readFile(path: PathOrHandle, options?: ReadFileOptions<string | null> | string | null): Promise<string | B>;
  writeFile(path: PathOrHandle, data: Data, options?: WriteFileOptions): Promise<void>;
  appendFile(path: PathOrHandle, data: Chunk, options?: WriteFileOptions): Promise<void>;
}

/** Derives `fs.promises` from the synchronous calls. */
export function promisesApi<B extends Uint8Array>(sync: SyncApi<B>, cp: CopyTree): PromisesApi<B> {
  const derived: Record<string, AnyFunction> = {};
  for (const [name, call] of Object.entries(sync)) {
    if (/^f(?!orce).*Sync$/.test(name) || DESCRIPTOR_CALLS.has(name)) continue;
    derived[name.replace(/Sync$/, '')] = promised(call as AnyFunction);
  }
  function target(path: PathOrHandle): PathArgument | number {
    return typeof path === 'object' && 'fd' in path ? path.fd : path;
  }
  async function writeFile(path: PathOrHandle, data: Data, options?: WriteFileOptions): Promise<void> {
    if (typeof data === 'string' || ArrayBuffer.isView(data))
      return sync.writeFileSync(target(path), data, options);
    const given = typeof options === 'object' && options !== null ? options : {};
    const encoding = typeof options === 'string' ? options : (given.encoding ?? 'utf8');
    const to = target(path);
    const fd = typeof to === 'number' ? to : sync.openSync(to, given.flag ?? 'w', given.mode);
    try {
      for await (const chunk of data as AsyncIterable<Chunk>) sync.writeFileSync(fd, chunk, encoding);
    } finally {
      if (fd !== to) sync.closeSync(fd);
    }
  }
  return {
    ...(derived as unknown as Derived<B> & Pick<PromisesApi<B>, 'stat' | 'lstat'>),
    constants,
    cp,
    open: async (path, flags, mode) => new FileHandle(sync.openSync(path, flags ?? 'r', mode), sync),
    readFile: promised((path: PathOrHandle, options?: never) =>
      sync.readFileSync(target(path), options),
    ) as unknown as PromisesApi<B>['readFile'],
    writeFile,
    appendFile: async (path, data, options) => sync.appendFileSync(target(path), data, options),
  };
}

const DESCRIPTOR_CALLS = new Set([
  'openSync',
  'closeSync',
  'readSync',
  'readvSync',
  'writeSync',
  'writevSync',
  'existsSync',
]);
