/** Waits, and does nothing else meanwhile: for commands that have nothing else to do. A signal ends the process as ever. */
export function sleep(seconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}
