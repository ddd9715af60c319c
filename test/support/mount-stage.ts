import fs from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';
import { readMountTable } from '../../src/host/mount-table.ts';
import { findTool, temporaryFolder, type ToolResult } from './tools.ts';
import { detachKernelLoopsOf } from './kernel-loops.ts';
import { spawnSync } from './programs.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const USERLOOP = path.join(ROOT, 'bin/userloop');
/** Whom root becomes where a plain user is wanted; fusermount3 wants one that has a name. */
const NOBODY = 65534;

export interface StageRun {
  /** As this user, where we are root. */
  readonly uid?: number;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly input?: string;
}

/** A folder in which images are mounted, with a registry of its own, and everything that cleans up after a test. */
export class MountStage {
  readonly folder: string;
  readonly runtime: string;
  /** A plain user: ourselves, or nobody. */
  readonly uid = process.getuid!() === 0 ? NOBODY : process.getuid!();

  constructor() {
    this.folder = fs.realpathSync(temporaryFolder());
    // Others are to look into it, too.
    fs.chmodSync(this.folder, 0o755);
    this.runtime = path.join(this.folder, 'r');
    if (process.getuid!() === 0) fs.chownSync(this.folder, this.uid, this.uid);
  }

  path(name: string): string {
    return path.join(this.folder, name);
  }

  /** An empty directory of the plain user's. */
  directory(name: string): string {
    const directory = this.path(name);
    fs.mkdirSync(directory);
    if (process.getuid!() === 0) fs.chownSync(directory, this.uid, this.uid);
    return directory;
  }

  /** The name of a file of zeros of the plain user's. */
  image(name: string, size: number): string {
    const image = this.path(name);
    fs.writeFileSync(image, '');
    fs.truncateSync(image, size);
    if (process.getuid!() === 0) fs.chownSync(image, this.uid, this.uid);
    return image;
  }

  /** Any program, by default as the plain user. */
  run(program: string, args: readonly string[], options: StageRun = {}): ToolResult {
    const uid = options.uid ?? this.uid;
    const result = spawnSync(findTool(program) ?? program, args, {
      cwd: options.cwd ?? this.folder,
      env: this.environment(options.env),
      encoding: 'utf8',
      timeout: 300_000,
      killSignal: 'SIGKILL',
      ...(options.input !== undefined && { input: options.input }),
      ...(process.getuid!() === 0 && { uid, gid: uid }),
    });
    if (result.error !== undefined) throw result.error;
    return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
  }

  userloop(args: readonly string[], options: StageRun = {}): ToolResult {
    return this.run(process.execPath, [USERLOOP, ...args], options);
  }

  /** A script of the shell in which the classic names are ours. Ends with the first command that fails. */
  script(text: string, options: StageRun = {}): ToolResult {
    return this.run('sh', ['-eu'], { ...options, input: `${this.prelude}\n${text}` });
  }

  /** The names as functions, so that the rest of the machine's programs stay what they are. */
  get prelude(): string {
    const names = ['mount', 'umount', 'losetup'];
    const own = (name: string) => `${name}() { ${process.execPath} ${USERLOOP} ${name} "$@"; }`;
    return [`userloop() { ${process.execPath} ${USERLOOP} "$@"; }`, ...names.map(own)].join('\n');
  }

  environment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
    return {
      ...process.env,
      PATH: `${process.env['PATH']}:/usr/sbin:/sbin`,
      LC_ALL: 'C.UTF-8',
      TZ: 'UTC',
      HOME: this.folder,
      USERLOOP_RUNTIME_DIR: this.runtime,
      USERLOOP_FSTAB: fs.existsSync(this.path('fstab')) ? this.path('fstab') : '/dev/null',
      ...more,
    };
  }

  /** What is mounted below the folder now. */
  mounts(): { directory: string; source: string; type: string; options: string }[] {
    return readMountTable()
      .filter(({ directory }) => directory.startsWith(`${this.folder}/`))
      .map(({ directory, source, type, options }) => ({
        directory: directory.slice(this.folder.length + 1),
        source,
        type,
        options,
      }));
  }

  /** Names of what is attached in the registry of the stage. */
  attached(): string[] {
    if (!fs.existsSync(this.runtime)) return [];
    return fs.readdirSync(this.runtime).filter((name) => /^(?:loop|md|vnd)\d+$/.test(name));
  }

  /** However the test went: nothing stays mounted or attached. */
  async clear(): Promise<void> {
    for (const uid of new Set([this.uid, process.getuid!()])) {
      for (const name of this.attached()) this.userloop(['detach', '--force', name], { uid });
    }
    for (const { directory } of this.mounts().toReversed()) {
      const target = this.path(directory);
      spawnSync(findTool('fusermount3') ?? 'fusermount3', ['-uz', '--', target]);
      if (process.getuid!() === 0) spawnSync(findTool('umount')!, ['-l', '--', target]);
    }
    if (process.getuid!() === 0) await detachKernelLoopsOf(this.folder);
  }
}

/** Why FUSE mounts of a plain user cannot be tested here; undefined when they can. */
export function fuseObstacle(): string | undefined {
  if (!fs.existsSync('/dev/fuse')) return '/dev/fuse';
  if (findTool('fusermount3') === undefined) return 'fusermount3';
  const isPossible = (script: string): boolean =>
    spawnSync(process.execPath, ['-e', script], {
      cwd: ROOT,
      ...(process.getuid!() === 0 && { uid: NOBODY, gid: NOBODY }),
    }).status === 0;
  if (!isPossible('')) return 'a plain user who can run the tests';
  return isPossible('fs.openSync("/dev/fuse", "r+")') ? undefined : '/dev/fuse for a plain user';
}

/** A `describe` block that needs FUSE for a plain user, and these programs. */
export function describeWithFuse(tools: readonly string[], name: string, body: () => void): void {
  const obstacle = fuseObstacle();
  const absent = tools.filter((tool) => findTool(tool) === undefined);
  const missing = [...(obstacle === undefined ? [] : [obstacle]), ...absent];
  if (missing.length > 0 && process.env['CI'] === 'true')
    throw new Error(`Under CI these must be there: ${missing.join(', ')}`);
  describe.skipIf(missing.length > 0)(`${name} [fuse${tools.map((tool) => `, ${tool}`).join('')}]`, body);
}

/** Whether a plain user may make user and mount namespaces. */
export function hasUserNamespaces(): boolean {
  const probe = spawnSync('unshare', ['-Urm', 'true'], {
    ...(process.getuid!() === 0 && { uid: NOBODY, gid: NOBODY }),
  });
  return probe.status === 0;
}
