import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import type { Holder } from '../../src/attach/device-state.ts';
import { builtProgram } from './built-program.ts';
import { spawnSync } from './programs.ts';
import { findTool, runTool, temporaryFolder, type ToolResult } from './tools.ts';

/** Tests of device files: they are served by a process of their own (serve-device-files.ts), as programs that wait for them may block this one. */

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The served files need the built worker. */
function serverProgram(): string {
  if (!fs.existsSync(`${root}dist/cli/device-files-worker.cjs`)) throw new Error('Run npm run build first');
  return builtProgram('serve-device-files');
}

/** How the serving process comes by its mount. */
export type FilesWay = 'root' | 'user' | 'namespace';

/** A user who is not root, for tests that root runs. */
const PLAIN_USER = 65534;

/** Undefined: it can be had here; else what is missing. */
export function missingFor(way: FilesWay): string | undefined {
  try {
    fs.closeSync(fs.openSync('/dev/fuse', 'r+'));
  } catch (error) {
    return `/dev/fuse: ${String(error)}`;
  }
  if (way === 'root' && process.getuid!() !== 0) return 'root';
  if (way === 'user' && findTool('fusermount3') === undefined) return 'fusermount3';
  if (way === 'namespace' && spawnSync('unshare', ['-Urm', 'true']).status !== 0) return 'user namespaces';
  return undefined;
}

export function describeFiles(way: FilesWay, tools: readonly string[], name: string, body: () => void): void {
  const missing = [missingFor(way), ...tools.filter((tool) => findTool(tool) === undefined)].filter(
    (what) => what !== undefined,
  );
  if (missing.length > 0 && process.env['CI'] === 'true' && missing[0] !== 'root')
    throw new Error(`Under CI these must be there: ${missing.join(', ')}`);
  describe.skipIf(missing.length > 0)(`${name} [${way}${tools.map((tool) => `, ${tool}`).join('')}]`, body);
}

export interface ServedSettings {
  /** Bytes of the image, which is made. */
  readonly size: number;
  readonly family?: string;
  readonly unit?: number;
  readonly offset?: number;
  readonly deviceSize?: number;
  readonly readOnly?: boolean;
  readonly publishMilliseconds?: number;
}

export class ServedFiles {
  readonly image: string;
  readonly folder: string;
  readonly way: FilesWay;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(image: string, folder: string, way: FilesWay, child: ChildProcess) {
    this.image = image;
    this.folder = folder;
    this.way = way;
    this.#process = child;
    this.#lines = readline.createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  static async start(way: FilesWay, settings: ServedSettings): Promise<ServedFiles> {
    const base = temporaryFolder();
    const image = path.join(base, 'image');
    const folder = path.join(base, 'files');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, settings.size);
    fs.mkdirSync(folder);
    const uid = way === 'user' && process.getuid!() === 0 ? PLAIN_USER : process.getuid!();
    for (const name of [base, image, folder]) fs.chownSync(name, uid, uid);
    const { deviceSize, ...rest } = settings;
    const options = { ...rest, image, folder, size: deviceSize };
    const prefix = way === 'namespace' ? ['unshare', '-Urm', '--propagation', 'private'] : [];
    const [command, ...args] = [...prefix, process.execPath, serverProgram(), JSON.stringify(options)];
    const child = spawn(command!, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      ...(way === 'user' ? { uid, gid: uid } : {}),
    });
    const files = new ServedFiles(image, folder, way, child);
    const first = await files.#next();
    if ('error' in first) {
      await files.stop();
      throw new Error(String(first['error']));
    }
    return files;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  file(name = 'loop0'): string {
    return path.join(this.folder, name);
  }

  /** Sends a command to the serving process. */
  async ask(command: string): Promise<unknown> {
    this.#process.stdin!.write(`${command}\n`);
    const answer = await this.#next();
    if ('error' in answer) throw new Error(String(answer['error']));
    return answer['result'];
  }

  holders(): Promise<Holder[]> {
    return this.ask('holders') as Promise<Holder[]>;
  }

  /** Runs a tool as the user, and in the namespace, of the mount, in its folder. */
  run(tool: string, args: readonly string[], input?: string): ToolResult {
    const options = input === undefined ? {} : { input };
    const program = findTool(tool) ?? tool;
    if (this.way === 'root') return runTool(program, args, { ...options, cwd: this.folder });
    // Nobody else, root included, may enter the folder of a user's mount, and the namespace's is not seen from here.
    const there = [`--chdir=${this.folder}`, program, ...args];
    if (this.way === 'user') {
      const user = process.getuid!() === 0 ? { uid: PLAIN_USER, gid: PLAIN_USER } : {};
      return runTool('env', there, { ...options, ...user });
    }
    const enter = ['-t', String(this.pid), '-U', '-m', '--preserve-credentials', 'env'];
    return runTool('nsenter', [...enter, ...there], options);
  }

  /** The names in the folder, as the user of the mount sees them. */
  names(): string[] {
    return this.run('ls', ['-1']).stdout.trim().split('\n');
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null) {
      const ended = new Promise((resolve) => this.#process.once('close', resolve));
      this.#process.stdin!.end();
      const timer = setTimeout(() => this.#process.kill('SIGKILL'), 120_000);
      await ended;
      clearTimeout(timer);
    }
    fs.rmSync(path.dirname(this.image), { recursive: true, force: true });
  }

  async #next(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#lines.next();
    if (done === true) return { error: 'the process has ended' };
    return JSON.parse(value as string) as Record<string, unknown>;
  }
}

/** Is anything mounted at or below the folder? In this mount namespace. */
export function isMounted(folder: string): boolean {
  return fs.readFileSync('/proc/self/mounts', 'latin1').includes(` ${folder}`);
}
