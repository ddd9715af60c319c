import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';
import { spawnSync } from './programs.ts';
import { findTool, temporaryFolder, type ToolResult } from './tools.ts';

/**
 * `userloop shell` as an ordinary user has it. When root runs the tests that is a user of no name, who has a copy of the program, since
 * the checkout may be where nobody else can look; and the host's mounted loop devices, which other tests may have, are out of the way.
 */
const NOBODY = 64_321;
const isRoot = process.getuid?.() === 0;
const REPOSITORY = path.resolve(import.meta.dirname, '../..');

/** Ends what root sees mounted of devices whose names the shell has (and has not ended by itself by then), in a mount namespace of its own, then becomes that user. */
const BECOME_USER = `
while read -r source directory rest; do
  case $source in /dev/loop*|/dev/md*|/dev/vnd*) umount -l "$directory" 2>/dev/null || :;; esac
done < /proc/mounts
id=$1
shift
exec setpriv --reuid=$id --regid=$id --clear-groups -- "$@"
`;

let program: string | undefined;

/** bin/userloop where the user can run it. */
function installedProgram(): string {
  if (program !== undefined) return program;
  if (!isRoot) return (program = path.join(REPOSITORY, 'bin/userloop'));
  const copy = path.join(temporaryFolder(), 'p');
  for (const part of ['bin', 'dist/cli', 'package.json', 'node_modules/koffi', 'node_modules/@koromix']) {
    const source = path.join(REPOSITORY, part);
    if (fs.existsSync(source))
      fs.cpSync(source, path.join(copy, part), { recursive: true, dereference: true });
  }
  fs.chmodSync(path.dirname(copy), 0o755);
  return (program = path.join(copy, 'bin/userloop'));
}

export interface ShellRun {
  readonly input?: string;
  readonly cwd?: string;
  /** Instead of what is there otherwise. */
  readonly env?: Readonly<Record<string, string>>;
  /** Options of `userloop shell`. */
  readonly options?: readonly string[];
}

/** A folder of the user's, and shells whose home it is. */
export class ShellUser {
  readonly home: string;
  readonly program = installedProgram();

  readonly #uid: number;

  /** `uid`: as whom, where root runs the tests. fusermount3 takes nobody who has no name. */
  constructor(uid = NOBODY) {
    this.#uid = uid;
    this.home = temporaryFolder();
    fs.chmodSync(this.home, 0o755);
    fs.mkdirSync(this.runtime, { mode: 0o700 });
    if (!isRoot) return;
    for (const folder of [this.home, this.runtime]) fs.chownSync(folder, uid, uid);
  }

  /** The registry of the user. */
  get runtime(): string {
    return path.join(this.home, 'r');
  }

  get environment(): Record<string, string> {
    return {
      PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
      HOME: this.home,
      SHELL: '/bin/sh',
      LC_ALL: 'C.UTF-8',
      TZ: 'UTC',
      USERLOOP_RUNTIME_DIR: this.runtime,
    };
  }

  /** `userloop ARGV…` as the user. */
  userloop(argv: readonly string[], run: ShellRun = {}): ToolResult {
    return this.run([process.execPath, this.program, ...argv], run);
  }

  /** Any program as the user. */
  run(command: readonly string[], run: ShellRun = {}): ToolResult {
    const [program, args] = this.#asUser(command);
    const result = spawnSync(program, args, {
      cwd: run.cwd ?? this.home,
      env: run.env ?? this.environment,
      input: run.input ?? '',
      encoding: 'utf8',
      timeout: 300_000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 26,
    });
    if (result.error !== undefined) throw result.error;
    return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
  }

  /** A script in a shell; it ends with the first command that fails. */
  script(text: string, run: ShellRun = {}): ToolResult {
    return this.userloop(['shell', ...(run.options ?? []), '--', 'sh', '-e', '-c', text], run);
  }

  /** One that goes on. The process is the half of the shell that is outside. */
  start(text: string): ChildProcess {
    const own = [process.execPath, this.program, 'shell', '--', 'sh', '-e', '-c', text];
    const [command, args] = this.#asUser(own);
    return spawn(command, args, { cwd: this.home, env: this.environment, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** The shells in the registry, by number. */
  shells(): string[] {
    const folder = path.join(this.runtime, 'shells');
    return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  }

  /** Every process that was started with this home. */
  processes(): number[] {
    const mark = Buffer.from(`USERLOOP_RUNTIME_DIR=${this.runtime}`);
    return fs
      .readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => readIfThere(`/proc/${pid}/environ`).includes(mark))
      .map(Number);
  }

  /** Ends what a test that failed has left. */
  end(): void {
    for (const pid of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone since.
      }
    }
  }

  #asUser(command: readonly string[]): [string, string[]] {
    if (!isRoot) return [command[0]!, command.slice(1)];
    const wrapped = [
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      BECOME_USER,
      'sh',
      `${this.#uid}`,
      ...command,
    ];
    return [findTool('unshare') ?? 'unshare', wrapped];
  }
}

function readIfThere(file: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch {
    // A process that has ended, or that is not ours.
    return Buffer.alloc(0);
  }
}

let possible: string | undefined;

/** Why there is no shell here; '' where there is. */
function obstacle(): string {
  if (possible !== undefined) return possible;
  if (process.platform !== 'linux') return (possible = 'not Linux');
  const { status, stderr } = new ShellUser().script('true');
  return (possible = status === 0 ? '' : stderr);
}

/** A `describe` block that needs a shell and these programs: skipped without, and under CI a failure. */
export function describeInShell(tools: readonly string[], name: string, body: () => void): void {
  const absent = tools.filter((tool) => findTool(tool) === undefined);
  const reason = absent.length > 0 ? `no ${absent.join(', ')}` : obstacle();
  if (reason !== '' && process.env['CI'] === 'true') {
    throw new Error(`Under CI there must be a shell: ${reason}`);
  }
  describe.skipIf(reason !== '')(
    `${name} [userloop shell${tools.map((tool) => `, ${tool}`).join('')}]`,
    body,
  );
}
