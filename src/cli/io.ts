import fs from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { hasCode, hostErrorText } from '../errors.ts';

/** What a command sees of the world; tests inject their own (test/support/run.ts). */
export interface Io {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Absolute. Relative names on the command line count from here. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Input {
  readonly isTerminal: boolean;
  /** The next line without its newline; undefined at the end. */
  readLine(): string | undefined;
  /** Everything up to the end, as bytes. */
  readAll(): Uint8Array;
}

export interface Output {
  readonly isTerminal: boolean;
  /** Width of the terminal, 80 where there is none. */
  readonly columns: number;
  write(content: string | Uint8Array): void;
}

/** The reader of our output has gone: the command ends quietly with this status, as a shell reports SIGPIPE. */
const BROKEN_PIPE_STATUS = 141;

/**
 * Standard output takes no more. Not a problem with any file that a command works on, so none of the four families: it ends the command, which
 * closes on the way what it has open.
 */
export class LostOutputError extends Error {
  override readonly name = 'LostOutputError';

  get isBrokenPipe(): boolean {
    return hasCode(this.cause, 'EPIPE');
  }
}

/** Says that output was lost, unless its reader has gone; returns the exit status, `status` where it was said. */
export function reportLostOutput(io: Io, prefix: string, error: LostOutputError, status = 1): number {
  if (error.isBrokenPipe) return BROKEN_PIPE_STATUS;
  io.stderr.write(`${prefix}: write error: ${error.message}\n`);
  return status;
}

class FileOutput implements Output {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get isTerminal(): boolean {
    return this.#stream?.isTTY === true;
  }

  get columns(): number {
    return this.#stream?.columns ?? 80;
  }

  write(content: string | Uint8Array): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    for (let done = 0; done < bytes.length;) {
      try {
        done += fs.writeSync(this.#fd, bytes, done);
      } catch (error) {
        if (hasCode(error, 'EAGAIN')) {
          sleep(5);
          continue;
        }
        if (this.#fd === 1) throw new LostOutputError(hostErrorText(error as Error), { cause: error });
        // Whoever would hear of it has gone; what cannot be told is no reason to leave the work undone.
        if (hasCode(error, 'EPIPE')) process.exit(BROKEN_PIPE_STATUS);
        return;
      }
    }
  }

  get #stream(): NodeJS.WriteStream | undefined {
    return this.#fd === 1 ? process.stdout : process.stderr;
  }
}

/** Reads a descriptor to the byte that it needs and no further, so that what follows can be left to a child. */
class FileInput implements Input {
  readonly #fd: number;
  readonly #decoder = new StringDecoder('utf8');
  readonly #chunk = new Uint8Array(1 << 16);
  #pending = '';
  #ended = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get isTerminal(): boolean {
    return process.stdin.isTTY === true;
  }

  readLine(): string | undefined {
    for (;;) {
      const newline = this.#pending.indexOf('\n');
      if (newline >= 0) {
        const line = this.#pending.slice(0, newline);
        this.#pending = this.#pending.slice(newline + 1);
        return line;
      }
      if (this.#ended) {
        if (this.#pending === '') return undefined;
        const line = this.#pending;
        this.#pending = '';
        return line;
      }
      const count = this.#fill();
      if (count === 0) this.#ended = true;
      else this.#pending += this.#decoder.write(Buffer.from(this.#chunk.buffer, 0, count));
    }
  }

  readAll(): Uint8Array {
    const parts: Uint8Array[] = [Buffer.from(this.#pending)];
    this.#pending = '';
    for (let count = this.#fill(); count > 0; count = this.#fill()) parts.push(this.#chunk.slice(0, count));
    this.#ended = true;
    return Buffer.concat(parts);
  }

  #fill(): number {
    for (;;) {
      try {
        return fs.readSync(this.#fd, this.#chunk, 0, this.#chunk.length, null);
      } catch (error) {
        if (hasCode(error, 'EOF')) return 0;
        if (!hasCode(error, 'EAGAIN')) throw error;
        sleep(5);
      }
    }
  }
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

export function processIo(): Io {
  return {
    stdin: new FileInput(0),
    stdout: new FileOutput(1),
    stderr: new FileOutput(2),
    cwd: currentFolder(),
    env: process.env,
  };
}

function currentFolder(): string {
  try {
    return process.cwd();
  } catch (error) {
    // It was deleted. This leads to it all the same, and names in it are then not found.
    if (hasCode(error, 'ENOENT') && process.platform === 'linux') return '/proc/self/cwd';
    throw error;
  }
}
