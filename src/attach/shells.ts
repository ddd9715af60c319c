import fs from 'node:fs';
import path from 'node:path';
import { hasCode } from '../errors.ts';
import {
  mountNamespaceOf,
  processArguments,
  processesInMountNamespace,
  processStartTime,
  signalProcess,
} from '../host/process-table.ts';
import { programFile } from '../host/program-file.ts';
import type { Environment } from './environment.ts';
import { runtimeFolder } from './registry.ts';

/**
 * The shells of `userloop shell`: each has a mount namespace and a registry of devices of its own, a folder `shells/PID` in that
 * of the user. What a shell that was killed left behind is ended by whoever looks next.
 */
export interface ShellState {
  /** Of the process that set the shell up and cleans up after it; the shell's number. */
  readonly pid: number;
  readonly startTime: string;
  /** `mnt:[4026532233]` */
  readonly mountNamespace: string;
  readonly userNamespace: boolean;
  /** Left with --keep: its devices live on without it. */
  readonly kept: boolean;
}

export interface Shell {
  readonly state: ShellState;
  /** Its registry: what USERLOOP_RUNTIME_DIR is in it. */
  readonly folder: string;
  /** Of its number: false once it is kept. */
  readonly running: boolean;
}

const STATE = 'shell.json';

/** The folder of the shells of this user, which may not be there. */
export function shellsFolder(env: Environment): string {
  return path.join(runtimeFolder(env), 'shells');
}

export function writeShellState(folder: string, state: ShellState): void {
  const file = path.join(folder, STATE);
  fs.writeFileSync(`${file}.new`, JSON.stringify(state));
  fs.renameSync(`${file}.new`, file);
}

/** The shells that run or are kept, by number. Ends what is left of others. */
export async function listShells(env: Environment): Promise<Shell[]> {
  const folder = shellsFolder(env);
  const shells: Shell[] = [];
  for (const name of namesIn(folder)) {
    const shell = readShell(path.join(folder, name));
    if (shell === undefined) {
      // Its number is that of the process which is just making the folder, or of one that was killed doing so.
      if (processStartTime(Number(name)) === undefined) removeFolder(path.join(folder, name));
    } else if (shell.running || (shell.state.kept && keeper(shell) !== undefined)) shells.push(shell);
    else await endShell(shell);
  }
  return shells.sort((a, b) => a.state.pid - b.state.pid);
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder).filter((name) => /^[1-9]\d*$/.test(name));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

function readShell(folder: string): Shell | undefined {
  try {
    const state = JSON.parse(fs.readFileSync(path.join(folder, STATE), 'utf8')) as ShellState;
    return { state, folder, running: processStartTime(state.pid) === state.startTime };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** A process that is in the shell's namespace, by which that can be entered. */
export function keeper(shell: Shell): number | undefined {
  if (shell.running) return shell.state.pid;
  return processesInMountNamespace(shell.state.mountNamespace)[0];
}

/** Ends every process in the shell's namespace, which takes its mounts along, and removes its folder. */
export async function endShell(shell: Shell): Promise<void> {
  // Our own: then somebody in the shell has come to clean up, and the rest is not to be ended.
  if (shell.state.mountNamespace === mountNamespaceOf('self')) return;
  await endNamespace(shell.state.mountNamespace);
  removeFolder(shell.folder);
}

/** Ends all processes of that mount namespace: the users of devices first, then the processes of those, which write what they hold. */
export async function endNamespace(mountNamespace: string): Promise<void> {
  await endUsers(mountNamespace);
  await endAll(() => processesInMountNamespace(mountNamespace), ['SIGTERM', 'SIGCONT'], 10_000);
}

/** Ends all processes of that mount namespace but this one and those of devices. */
export async function endUsers(mountNamespace: string): Promise<void> {
  const find = (): number[] =>
    processesInMountNamespace(mountNamespace).filter((pid) => pid !== process.pid && !isDeviceProcess(pid));
  // A shell that waits for commands ignores SIGTERM and heeds SIGHUP; what is stopped heeds nothing.
  await endAll(find, ['SIGHUP', 'SIGTERM', 'SIGCONT'], 1000);
}

/** Sends each the signals once; kills what is there after `patience` milliseconds. */
async function endAll(
  find: () => number[],
  signals: readonly NodeJS.Signals[],
  patience: number,
): Promise<void> {
  const asked = new Set<number>();
  const start = Date.now();
  for (let pids = find(); pids.length > 0; pids = find()) {
    const waited = Date.now() - start;
    // In a system call that never ends: nothing helps, and the next command tries again.
    if (waited > patience + 5000) return;
    for (const pid of pids) {
      if (waited > patience) signalProcess(pid, 'SIGKILL');
      else if (!asked.has(pid)) for (const signal of signals) signalProcess(pid, signal);
      asked.add(pid);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Once it is ready it shows what it serves. */
function isDeviceProcess(pid: number): boolean {
  const words = processArguments(pid);
  return words.includes(programFile('device-process')) || /^userloop (loop|md|vnd)\d/.test(words[0] ?? '');
}

/** The folder of a shell whose namespace is gone: what was mounted in it went with that. */
export function removeFolder(folder: string): void {
  fs.rmSync(folder, { recursive: true, force: true });
}
