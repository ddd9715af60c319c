import { loadLibC } from './native-file.ts';

/** On which processors a thread may run. Linux with koffi only. */
export interface NativeAffinity {
  /** sched_getaffinity(2) of the calling thread: a bit each processor, as many words as the kernel has processors. */
  get(): Uint8Array | undefined;
  /** sched_setaffinity(2). `thread`: its id as the kernel has it, 0 for the calling one. False: not allowed, or gone. */
  set(thread: number, processors: Uint8Array): boolean;
}

/** CPU_SETSIZE / 8: 1024 processors. */
const SET_BYTES = 128;

let calls: NativeAffinity | undefined;

export function nativeAffinity(): NativeAffinity | undefined {
  if (calls !== undefined) return calls;
  const library = loadLibC();
  if (library === undefined) return undefined;
  const getAffinity = library.func('int sched_getaffinity(int, size_t, void *)');
  const setAffinity = library.func('int sched_setaffinity(int, size_t, const void *)');
  calls = {
    get() {
      const set = new Uint8Array(SET_BYTES);
      return getAffinity(0, SET_BYTES, set) === 0 ? set : undefined;
    },
    set: (thread, processors) => setAffinity(thread, SET_BYTES, processors) === 0,
  };
  return calls;
}

/** The numbers of the processors in a set. */
export function processorsOf(set: Uint8Array): number[] {
  const numbers: number[] = [];
  for (let number = 0; number < 8 * set.length; number++) {
    if ((set[number >> 3]! & (1 << (number & 7))) !== 0) numbers.push(number);
  }
  return numbers;
}

export function setOfProcessor(number: number): Uint8Array {
  const set = new Uint8Array(SET_BYTES);
  set[number >> 3] = 1 << (number & 7);
  return set;
}
