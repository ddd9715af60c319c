/** What a thread that serves does when it has answered everything, and until there is something again. */
export interface Waiting {
  /** There is nothing to do. True: look again at once. */
  missed(): boolean;
  /** There is something to do, for a thread with this id (0: not known). `isLong`: to move much. */
  met(caller: number, isLong: boolean): void;
  /** Milliseconds of sleep after which `rest` is to be called; undefined: not at all. */
  readonly restAfter: number | undefined;
  /** Nothing has come for a while, and the thread sleeps on. */
  rest(): void;
}
