import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { hasCode } from '../errors.ts';
import type { Environment } from './emulator.ts';

/**
 * A namespace of mounts for a process and its children, in which an ordinary user is root. Node has threads of its own
 * and thus cannot go into a new user namespace (unshare(2): EINVAL); unshare(1) and nsenter(1) of util-linux start us in one.
 */

/** The start of a command line: what follows runs in the namespace. */
export interface NamespaceCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** False for root, who needs none: owners and device nodes stay what they are. */
  readonly userNamespace: boolean;
}

export type NamespaceAnswer =
  | { readonly possible: true; readonly command: NamespaceCommand }
  /** Why not, as a sentence without a full stop. */
  | { readonly possible: false; readonly reason: string };

/** Slave: what the host mounts later is seen inside, nothing that is mounted inside is seen outside. */
const MOUNTS = ['--mount', '--propagation', 'slave'];

/** Tries the ways in, best first: as root, with the user's range of subordinate owners, with one owner. */
export function findNamespace(env: Environment): NamespaceAnswer {
  const unshare = findProgram(env, 'unshare');
  if (unshare === undefined) {
    return { possible: false, reason: 'The program unshare of util-linux is not on the PATH' };
  }
  const ways: { args: string[]; userNamespace: boolean }[] = [];
  if (process.geteuid?.() === 0) ways.push({ args: MOUNTS, userNamespace: false });
  else if (findProgram(env, 'newuidmap') !== undefined) {
    ways.push({ args: ['--user', '--map-root-user', '--map-auto', ...MOUNTS], userNamespace: true });
  }
  ways.push({ args: ['--user', '--map-root-user', ...MOUNTS], userNamespace: true });
  let complaint = '';
  for (const { args, userNamespace } of ways) {
    const result = spawnSync(unshare, [...args, 'true'], {
      env: { ...env, LC_ALL: 'C' },
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    if (result.status === 0) return { possible: true, command: { program: unshare, args, userNamespace } };
    complaint = result.error?.message ?? result.stderr.trim().split('\n')[0] ?? '';
  }
  return { possible: false, reason: `${complaint}${namespaceObstacle()}` };
}

/** Into the namespaces of a process of ours. */
export function enterNamespace(
  env: Environment,
  pid: number,
  userNamespace: boolean,
): NamespaceCommand | undefined {
  const nsenter = findProgram(env, 'nsenter');
  if (nsenter === undefined) return undefined;
  const user = userNamespace ? ['--user', '--preserve-credentials'] : [];
  return { program: nsenter, args: ['--target', String(pid), ...user, '--mount'], userNamespace };
}

/** What of this system's settings forbids user namespaces, as the end of a sentence; '' when none is known to. */
export function namespaceObstacle(): string {
  if (setting('user/max_user_namespaces') === '0') {
    return '; user.max_user_namespaces is 0 here (sysctl user.max_user_namespaces=10000 allows them)';
  }
  if (setting('kernel/unprivileged_userns_clone') === '0') {
    return '; kernel.unprivileged_userns_clone is 0 here (sysctl kernel.unprivileged_userns_clone=1 allows them)';
  }
  if (setting('kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return (
      '; AppArmor takes the rights in them away here ' +
      '(sysctl kernel.apparmor_restrict_unprivileged_userns=0 gives them back)'
    );
  }
  if (inContainer()) return "; the container's seccomp profile or capabilities may forbid them";
  return '';
}

function setting(name: string): string | undefined {
  try {
    return fs.readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch (error) {
    // Not every kernel has every setting.
    for (const code of ['ENOENT', 'EACCES', 'ENOTDIR']) if (hasCode(error, code)) return undefined;
    throw error;
  }
}

/** Marks that Docker, Podman and systemd-nspawn leave. */
function inContainer(): boolean {
  return ['/.dockerenv', '/run/.containerenv', '/run/host/container-manager'].some((file) =>
    fs.existsSync(file),
  );
}

/** Where administrators' programs are, whether PATH says so or not. */
export const SYSTEM_FOLDERS: readonly string[] = [
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
  '/usr/bin',
  '/bin',
];

/** The first program of that name on PATH, or in the system's own folders. */
export function findProgram(env: Environment, name: string): string | undefined {
  const folders = [...(env['PATH'] ?? '').split(':').filter((folder) => folder !== ''), ...SYSTEM_FOLDERS];
  return folders.map((folder) => path.join(folder, name)).find(isProgram);
}

function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch (error) {
    for (const code of ['ENOENT', 'EACCES', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EPERM']) {
      if (hasCode(error, code)) return false;
    }
    throw error;
  }
}
