import type { Wiping } from './wiping.ts';

export interface SessionOptions {
  /** `-n`: an empty disk gets no table before one is asked for. */
  readonly noAutoTable: boolean;
  readonly wiping: Wiping;
  /** Said before the first question. */
  readonly warnings: readonly string[];
  /** `-o`: what p shows instead of the usual columns. */
  readonly columns?: string;
  /** `--bytes`. */
  readonly inBytes: boolean;
}
