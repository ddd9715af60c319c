/**
 * The synchronous calls are the only ones that are written out; the callback and the promise variants follow from them.
 * These types carry each overload across.
 */

// oxlint-disable-next-line typescript/no-explicit-any -- the widest function type there is; `unknown` would refuse every function
export type AnyFunction = (...args: any[]) => any;

/** `readFileSync` as `readFile`. */
export type PlainName<Name> = Name extends `${infer Plain}Sync` ? Plain : never;

/** A function of up to five overloads that gives the same results as promises. */
export type Promised<F> = F extends {
  (...args: infer A1): infer R1;
  (...args: infer A2): infer R2;
  (...args: infer A3): infer R3;
  (...args: infer A4): infer R4;
  (...args: infer A5): infer R5;
}
  ? ((...args: A1) => Promise<R1>) &
      ((...args: A2) => Promise<R2>) &
      ((...args: A3) => Promise<R3>) &
      ((...args: A4) => Promise<R4>) &
      ((...args: A5) => Promise<R5>)
  : never;

/** Does its work at once and settles afterwards; what is thrown, also for a wrong argument, rejects. */
export function promised<F extends AnyFunction>(call: F): Promised<F> {
  return (async (...args: Parameters<F>) => call(...args) as unknown) as unknown as Promised<F>;
}

export type Callback = (error: unknown, ...results: unknown[]) => void;

/** Runs a task after the caller has returned. */
export function later(task: () => void): void {
  void Promise.resolve().then(task);
}
