import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import util from 'node:util';
import { listDevices } from '../../attach/registry.ts';
import { openWatchPoint } from '../../attach/shell-watch.ts';
import { endUsers, removeFolder, writeShellState, type ShellState } from '../../attach/shells.ts';
import { hasCode } from '../../errors.ts';
import { makeFolders } from '../../host/make-folders.ts';
import { findProgram } from '../../host/namespace.ts';
import { mountNamespaceOf, processStartTime } from '../../host/process-table.ts';
import { programFile } from '../../host/program-file.ts';
import { shellEnvironment } from './environment.ts';
import { furnishNamespace } from './furnish.ts';
import { closeDevices, describeKept } from './leave.ts';
import { LINE_DESCRIPTOR, type ShellMessage, type ShellRequest } from './messages.ts';
import { promptingShell } from './prompt.ts';

/**
 * The program inside of the namespace: unshare(1) or nsenter(1) starts it there. It furnishes the namespace, runs the command
 * or the user's own shell, and cleans up when that has ended.
 */

const request = JSON.parse(process.argv[2]!) as ShellRequest;
const line = new net.Socket({ fd: LINE_DESCRIPTOR, readable: true, writable: true });

/** The half outside was killed. */
let abandoned = false;

async function runShell(): Promise<number> {
  let state: ShellState;
  let folder: string;
  try {
    ({ state, folder } = request.mode === 'make' ? makeShell() : enterShell());
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    const forbidden = hasCode(error, 'EPERM') || hasCode(error, 'EACCES');
    await send({ kind: 'failed', reason: error.message, forbidden });
    return 1;
  }
  const owner = state.pid === process.pid;
  await send({ kind: 'ready', mountNamespace: state.mountNamespace, owner });
  const env = shellEnvironment(process.env, { pid: Number(path.basename(folder)), folder });
  if (!owner) return runCommand(env);
  const watch = await openWatchPoint(folder);
  const status = await runCommand(env);
  if (abandoned) await endUsers(state.mountNamespace);
  const devices = listDevices(env);
  if (request.keep && !abandoned && devices.length > 0) {
    writeShellState(folder, { ...state, kept: true });
    await watch.keep();
    say(describeKept(devices, Number(path.basename(folder))));
    return status;
  }
  const failures = await closeDevices(env);
  for (const failure of failures) complain(failure);
  watch.close();
  // What is still there has something mounted in its folder.
  if (failures.length === 0) removeFolder(folder);
  return status;
}

function send(message: ShellMessage): Promise<void> {
  return new Promise((resolve) => {
    // The other half may be gone already: then there is nobody to tell.
    line.write(`${JSON.stringify(message)}\n`, () => resolve());
  });
}

function makeShell(): { state: ShellState; folder: string } {
  const folder = path.join(request.shellsFolder, String(process.pid));
  const staging = path.join(folder, 'staging');
  removeFolder(folder);
  makeFolders(staging, 0o700);
  try {
    furnishNamespace({ staging, program: path.resolve(programFile('userloop'), '../../../bin/userloop') });
    // Folders that were replaced are still the old ones for who was in them.
    if (request.cwd !== '') process.chdir(request.cwd);
    const state: ShellState = {
      pid: process.pid,
      startTime: processStartTime(process.pid) ?? '',
      mountNamespace: mountNamespaceOf('self') ?? '',
      userNamespace: request.userNamespace,
      kept: false,
    };
    fs.rmdirSync(staging);
    writeShellState(folder, state);
    return { state, folder };
  } catch (error) {
    removeFolder(folder);
    throw error;
  }
}

function enterShell(): { state: ShellState; folder: string } {
  const folder = path.join(request.shellsFolder, String(request.shell));
  const state = JSON.parse(fs.readFileSync(path.join(folder, 'shell.json'), 'utf8')) as ShellState;
  // nsenter leaves us at the root.
  if (request.cwd !== '') {
    try {
      process.chdir(request.cwd);
    } catch (error) {
      if (!(error instanceof Error && 'syscall' in error)) throw error;
    }
  }
  if (processStartTime(state.pid) === state.startTime) return { state, folder };
  // It was kept: from now on it is ours.
  const ours = { ...state, pid: process.pid, startTime: processStartTime(process.pid) ?? '', kept: false };
  writeShellState(folder, ours);
  return { state: ours, folder };
}

/** Its exit status: 128 and the signal's number when one ended it. */
function runCommand(env: Record<string, string | undefined>): Promise<number> {
  const interactive = request.command.length === 0;
  const prompting = interactive ? promptingShell(request.loginShell, env) : undefined;
  const [program = '', ...args] = prompting?.command ?? request.command;
  const child = spawn(program, args, { stdio: 'inherit', env: { ...env, ...prompting?.env } });
  // From the terminal they reach the command as well as us; sent to the half outside it sends them on.
  process.on('SIGINT', () => {});
  process.on('SIGQUIT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) {
    process.on(signal, () => child.kill(signal));
  }
  line.on('data', (names: Buffer) => {
    for (const name of names.toString('latin1').trim().split('\n')) child.kill(name as NodeJS.Signals);
  });
  // The half outside was killed: the terminal, or whoever has started us, has gone.
  line.on('close', () => {
    abandoned = true;
    child.kill('SIGHUP');
    child.kill('SIGCONT');
  });
  line.on('error', () => {});
  return new Promise((resolve) => {
    child.on('error', (error) => {
      const code = 'code' in error ? String(error.code) : '';
      // A folder of PATH that may not be read hides that the program is in none.
      const absent = code === 'ENOENT' || (!program.includes('/') && findProgram(env, program) === undefined);
      complain(`${program}: ${absent ? 'command not found' : systemText(error)}`);
      resolve(absent ? 127 : 126);
    });
    child.on('exit', (status, signal) =>
      resolve(status ?? 128 + (signal === null ? 0 : os.constants.signals[signal])),
    );
  });
}

/** `permission denied`, where the system's error has such a text. */
function systemText(error: Error): string {
  const errno = 'errno' in error ? Number(error.errno) : 0;
  return util.getSystemErrorMap().get(errno)?.[1] ?? error.message;
}

function complain(text: string): void {
  say(`userloop shell: ${text}\n`);
}

function say(text: string): void {
  try {
    fs.writeSync(2, text);
  } catch (error) {
    // The terminal has gone.
    if (!hasCode(error, 'EIO') && !hasCode(error, 'EPIPE')) throw error;
  }
}

process.exitCode = await runShell();
line.destroy();
