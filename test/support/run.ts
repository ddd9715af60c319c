import { main } from '../../src/cli/main.ts';
import type { Io } from '../../src/cli/io.ts';

export interface RunOptions {
  /** What is typed; a function is asked for each line, and told what was printed so far. */
  readonly stdin?: string | Uint8Array | ((output: string) => string | undefined);
  /** Whether that is what somebody types. Default false. */
  readonly isTerminal?: boolean;
  readonly cwd?: string;
  readonly env?: Record<string, string | undefined>;
}

export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as it was written, for commands that print bytes. */
  readonly bytes: Uint8Array;
}

/** Runs `userloop ARGV…` in this process. */
export async function userloop(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const { stdin } = options;
  let rest = Buffer.from(typeof stdin === 'function' ? '' : (stdin ?? ''));
  const io: Io = {
    stdin: {
      isTerminal: options.isTerminal ?? false,
      readLine() {
        if (typeof stdin === 'function') return stdin(Buffer.concat(out.slice(-8)).toString());
        if (rest.length === 0) return undefined;
        const newline = rest.indexOf(0x0a);
        const end = newline < 0 ? rest.length : newline;
        const line = rest.subarray(0, end).toString();
        rest = rest.subarray(newline < 0 ? end : end + 1);
        return line;
      },
      readAll() {
        const all = rest;
        rest = Buffer.alloc(0);
        return all;
      },
    },
    stdout: {
      isTerminal: false,
      columns: 80,
      write: (content) => void out.push(Buffer.from(content as string)),
    },
    stderr: {
      isTerminal: false,
      columns: 80,
      write: (content) => void err.push(Buffer.from(content as string)),
    },
    cwd: options.cwd ?? process.cwd(),
    env: options.env ?? {},
  };
  const status = await main('userloop', argv, io);
  const bytes = Buffer.concat(out);
  return { status, stdout: bytes.toString(), stderr: Buffer.concat(err).toString(), bytes };
}
