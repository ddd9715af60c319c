import childProcess, {
  type ExecFileSyncOptions,
  type SpawnSyncOptions,
  type SpawnSyncReturns,
} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { builtProgram } from './built-program.ts';
import { newFolder } from './new-folder.ts';
import { readMessage, writeMessage } from './pipe-messages.ts';

/**
 * `spawnSync` and `execFileSync` of node:child_process, by way of a small process. To start a program, a process is copied first, and one that runs tests is large:
 * that takes up to 100 ms, and as long the copy holds every file, lock and connection that was open. The small process takes 3 ms and holds none.
 */

export interface ProgramRequest {
  readonly program: string;
  readonly args: readonly string[];
  readonly options: SpawnSyncOptions;
}

export type ProgramResult = Omit<SpawnSyncReturns<string | Buffer>, 'error'> & {
  /** What `error` has. */
  readonly failure?: Readonly<Record<string, unknown>> & { readonly message: string };
};

interface Starter {
  readonly requests: number;
  readonly results: number;
}

let starter: Starter | undefined;

type Text = SpawnSyncOptions & { readonly encoding: BufferEncoding };

export function spawnSync(program: string, args: readonly string[], options: Text): SpawnSyncReturns<string>;
export function spawnSync(
  program: string,
  args?: readonly string[],
  options?: SpawnSyncOptions,
): SpawnSyncReturns<Buffer>;
export function spawnSync(
  program: string,
  args: readonly string[] = [],
  options: SpawnSyncOptions = {},
): SpawnSyncReturns<string | Buffer> {
  // Descriptors are those of this process.
  const { stdio } = options;
  if (Array.isArray(stdio) && stdio.some((each) => typeof each === 'number' && each > 2))
    return childProcess.spawnSync(program, args, options);
  starter ??= start();
  const all = { ...options, cwd: options.cwd ?? process.cwd(), env: { ...(options.env ?? process.env) } };
  writeMessage(starter.requests, { program, args, options: all } satisfies ProgramRequest);
  const answer = readMessage(starter.results) as ProgramResult | undefined;
  if (answer === undefined) throw new Error(`The process that starts programs has ended with ${program}`);
  const { failure, ...result } = answer;
  if (failure === undefined) return result;
  return { ...result, error: Object.assign(new Error(failure.message), failure) };
}

/** Throws where the program fails, and returns what it wrote to its standard output. */
export function execFileSync(
  program: string,
  args: readonly string[],
  options: ExecFileSyncOptions & { readonly encoding: BufferEncoding },
): string;
export function execFileSync(
  program: string,
  args?: readonly string[],
  options?: ExecFileSyncOptions,
): Buffer;
export function execFileSync(
  program: string,
  args: readonly string[] = [],
  options: ExecFileSyncOptions = {},
): string | Buffer {
  const result = spawnSync(program, args, options as SpawnSyncOptions);
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0)
    throw Object.assign(
      new Error(`Command failed: ${[program, ...args].join(' ')}\n${String(result.stderr)}`),
      result,
    );
  return result.stdout;
}

/** Two pipes by name, since those that node makes for a child cannot be waited at. Each is opened at both ends before anybody waits at one. */
function start(): Starter {
  const folder = newFolder(path.join(process.env['USERLOOP_TEST_FOLDER']!, 'programs-'));
  const [requests, results] = [path.join(folder, 'requests'), path.join(folder, 'results')];
  const made = childProcess.spawnSync('mkfifo', [requests, results], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`mkfifo: ${made.error?.message ?? made.stderr}`);
  const [forRequests, forResults] = [openPipe(requests), openPipe(results)];
  const child = childProcess.spawn(process.execPath, [builtProgram('program-starter')], {
    stdio: ['inherit', 'inherit', 'inherit', forRequests.reading, forResults.writing],
  });
  child.unref();
  fs.closeSync(forRequests.reading);
  fs.closeSync(forResults.writing);
  return { requests: forRequests.writing, results: forResults.reading };
}

function openPipe(name: string): { reading: number; writing: number } {
  // Both ways never waits; then there is a writer for the reader and the other way round.
  const both = fs.openSync(name, 'r+');
  const [reading, writing] = [fs.openSync(name, 'r'), fs.openSync(name, 'w')];
  fs.closeSync(both);
  return { reading, writing };
}
