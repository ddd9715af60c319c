import { type AnyFunction, type Callback, type PlainName, later } from './derive.ts';
import { argumentError } from './node-error.ts';
import type { CopyTree, SyncApi } from './sync-api.ts';

/** Calls whose callback also gets the buffers back: `(error, count, buffer)`. */
const GIVE_BUFFER_BACK = new Set(['readSync', 'readvSync', 'writeSync', 'writevSync']);

/** What promisified calls resolve to, where it is more than the first result, as node's own say. */
const RESULT_NAMES: Readonly<Record<string, readonly [count: string, buffers: string]>> = {
  readSync: ['bytesRead', 'buffer'],
  readvSync: ['bytesRead', 'buffers'],
  writeSync: ['bytesWritten', 'buffer'],
  writevSync: ['bytesWritten', 'buffers'],
};

/** Where util.promisify looks (node:util's documentation). */
const PROMISIFY = Symbol.for('nodejs.util.promisify.custom');

export type CallbackName = PlainName<keyof SyncApi<Uint8Array>>;

/** The callback variants; `host/node-fs.ts` gives them node's own types. */
export type CallbackApi = Record<CallbackName, (...args: never[]) => void>;

/** Derives `name` from `nameSync` for each of them: the last argument is the callback. */
export function callbackApi<B extends Uint8Array>(sync: SyncApi<B>, copyTree: CopyTree): CallbackApi {
  const derived: Record<string, AnyFunction> = {};
  for (const [name, call] of Object.entries(sync))
    derived[name.replace(/Sync$/, '')] = withCallback(name, call);
  const realpath = derived['realpath']!;
  return {
    ...derived,
    realpath: Object.assign(realpath, { native: realpath }),
    cp: callbackCopy(copyTree),
  } as unknown as CallbackApi;
}

function withCallback(name: string, call: AnyFunction): AnyFunction {
  function run(...args: unknown[]): void {
    const callback = args.at(-1);
    if (typeof callback !== 'function') {
      // Only close may be called without one.
      if (name === 'closeSync') return void call(...args);
      throw argumentError('ERR_INVALID_ARG_TYPE', 'The "cb" argument must be of type function');
    }
    const given = name === 'readSync' ? readArguments(args.slice(0, -1)) : args.slice(0, -1);
    finish(name, call, given, callback as Callback);
  }
  if (name === 'existsSync') {
    Object.defineProperty(run, PROMISIFY, { value: async (...args: unknown[]) => call(...args) as unknown });
  } else if (RESULT_NAMES[name] !== undefined) {
    const [count, buffers] = RESULT_NAMES[name];
    Object.defineProperty(run, PROMISIFY, {
      value: async (...args: unknown[]) => {
        const given = name === 'readSync' ? readArguments(args) : args;
        return { [count]: call(...given) as unknown, [buffers]: given[1] };
      },
    });
  }
  return run;
}

function callbackCopy(copyTree: CopyTree): AnyFunction {
  return (...args: [...Parameters<CopyTree>, Callback]) => {
    const callback = args.pop() as Callback;
    void copyTree(...(args as unknown as Parameters<CopyTree>)).then(
      () => callback(null),
      (error: unknown) => callback(error),
    );
  };
}

/** A wrong argument is thrown at the caller, as node does; everything else goes to the callback. */
function finish(name: string, call: AnyFunction, args: readonly unknown[], callback: Callback): void {
  let result: unknown;
  try {
    result = call(...args);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    later(() => callback(error));
    return;
  }
  if (name === 'existsSync') later(() => (callback as (there: unknown) => void)(result));
  else if (GIVE_BUFFER_BACK.has(name)) later(() => callback(null, result, args[1]));
  else if (result === undefined && name !== 'mkdirSync') later(() => callback(null));
  else later(() => callback(null, result));
}

/** `read(fd)` and `read(fd, { buffer, … })` bring or need a buffer of their own. */
function readArguments(args: readonly unknown[]): readonly unknown[] {
  const [fd, second, ...rest] = args;
  if (ArrayBuffer.isView(second)) return args;
  const options = (second ?? {}) as { buffer?: ArrayBufferView; offset?: number; length?: number };
  return [fd, options.buffer ?? new Uint8Array(16_384), options, ...rest];
}
