import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import type net from 'node:net';
import { listDevices } from '../../attach/registry.ts';
import {
  endNamespace,
  keeper,
  listShells,
  removeFolder,
  type Shell,
  shellsFolder,
} from '../../attach/shells.ts';
import { FsError, UsageError } from '../../errors.ts';
import { fuseObstacle } from '../../host/fuse-mount.ts';
import {
  enterNamespace,
  findNamespace,
  type NamespaceCommand,
  namespaceObstacle,
} from '../../host/namespace.ts';
import { loadLibC } from '../../host/native-file.ts';
import { programFile } from '../../host/program-file.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import type { Io } from '../io.ts';
import type { ShellMessage, ShellRequest } from '../shell/messages.ts';

/** `userloop shell`: a shell in which /dev/loop0 and its like are there for an ordinary user. */
export const shell = defineApplet({
  name: 'shell',
  kind: 'verb',
  summary: 'open a shell in which loop devices exist and can be mounted, without root',
  usage: [
    'userloop shell [--keep] [-- COMMAND [ARGUMENT]...]',
    'userloop shell --enter N',
    'userloop shell --list',
  ],
  description: [
    'Opens your shell, or runs COMMAND, in a namespace of its own in which you are root. There the devices of all three families are paths that ' +
      'any program can open: /dev/loop0 to /dev/loop7 and /dev/vnd0c to /dev/vnd3c (with rvnd, and the letters a, i and j) from the start, the others, /dev/md0 and partitions, as ' +
      'they appear. losetup, mount, umount, fdisk, mdconfig, newfs_msdos and vnconfig are those of userloop; every other command is the one of the machine, and those which ' +
      'the machine lacks are there, too.',
    'In it /dev is a copy made when it was opened, without the loop devices of the host, and takes no other files: what is written to the name of a partition that has gone fails. /etc/fstab is a copy that can be added to, and /mnt, where you may not write to it, a folder in which directories ' +
      'can be made. Nothing of this is seen outside, and it ends with the shell. All other files are those that are always there, with your rights and no others: being root goes as far as ' +
      'the devices and the mounts.',
    'With entries for you in /etc/subuid and /etc/subgid, and newuidmap, there are 65536 owners for the files on mounted file systems; without, only one.',
    'When the shell ends, what it left mounted is unmounted, and its devices are detached. With --keep they live on; they are reached by NBD on their sockets, and from a shell by --enter.',
    'The exit status is that of the command, and SIGTERM, SIGHUP, SIGINT, SIGUSR1 and SIGUSR2 are passed on to it.',
  ],
  options: [
    { short: 'k', long: 'keep', description: 'leave mounted and attached what is so in the end' },
    {
      short: 'e',
      long: 'enter',
      argument: 'required',
      argumentName: 'N',
      description: 'go into a shell that runs, or was left with --keep, by its number',
    },
    { short: 'l', long: 'list', description: 'list these shells and their devices' },
  ],
  examples: [
    {
      command: 'userloop shell',
      explanation:
        'A shell. In it: losetup /dev/loop0 floppy.img; mkfs -t ext2 /dev/loop0; mount /dev/loop0 /mnt',
    },
    {
      command: 'userloop shell -- make floppy.img',
      explanation: 'Runs a Makefile whose rules use losetup and mount.',
    },
    {
      command: 'userloop shell -- sh build.sh --release',
      explanation: 'The same with a script and its arguments.',
    },
    { command: 'userloop shell --keep', explanation: 'Devices and mounts stay when the shell is left ...' },
    { command: 'userloop shell --enter 4711', explanation: '... and this is the way back to them.' },
  ],
  exitStatus: {
    0: 'the command ended well',
    1: 'the shell could not be opened; it says why, and what works without it',
    2: 'the command line is wrong',
    126: 'the command could not be run',
    127: 'the command was not found',
    128: 'plus the number of the signal that ended the command',
  },
  notSupported: [
    'systems without user namespaces, or without /dev/fuse, or other than Linux',
    'devices that the host gets while the shell is open: they are not in its /dev',
  ],
  async run(io, argv) {
    const given = getopt(argv, shell.options, { permute: false });
    const number = given.value('enter');
    if (given.has('list')) {
      if (given.operands.length > 0) throw new UsageError('--list takes no command');
      return list(io);
    }
    const obstacle = findObstacle();
    if (obstacle !== undefined) return refuse(io, obstacle);
    checkFolder(shellsFolder(io.env));
    const shells = await listShells(io.env);
    const common = {
      shellsFolder: shellsFolder(io.env),
      command: given.operands,
      loginShell: loginShell(io),
      keep: given.has('keep'),
      cwd: fs.existsSync(io.cwd) && io.cwd !== '/proc/self/cwd' ? io.cwd : '',
    };
    if (number !== undefined) {
      const entered = pickShell(shells, number);
      const pid = keeper(entered);
      const { userNamespace } = entered.state;
      const command = pid === undefined ? undefined : enterNamespace(io.env, pid, userNamespace);
      if (command === undefined) return refuse(io, 'The program nsenter of util-linux is not on the PATH');
      const shellNumber = shellNumberOf(entered);
      return runInside(io, command, { ...common, mode: 'enter', shell: shellNumber, userNamespace });
    }
    const answer = findNamespace(io.env);
    if (!answer.possible) return refuse(io, answer.reason);
    const { userNamespace } = answer.command;
    return runInside(io, answer.command, { ...common, mode: 'make', shell: 0, userNamespace });
  },
});

function findObstacle(): string | undefined {
  if (process.platform !== 'linux') return `Mount namespaces are Linux', and this is ${process.platform}`;
  if (loadLibC() === undefined)
    return 'The optional package koffi, by which mount(2) is called, is not installed';
  if (!fs.existsSync('/dev/fuse'))
    return 'There is no /dev/fuse here (modprobe fuse; in a container: --device /dev/fuse)';
  return fuseObstacle();
}

function refuse(io: Io, reason: string): number {
  io.stderr.write(
    `userloop shell: ${reason}\n` +
      'Without it: mkfs, fdisk, grub and their like of userloop work on images and their partitions as they are (userloop applets), userloop ls, cat, cp, rm ... IMAGE:N:/path ' +
      'on the files in them, and userloop attach IMAGE serves one as a device by NBD.\n',
  );
  return 1;
}

/** The address of a unix socket has room for this many bytes (unix(7)). */
const SOCKET_PATH_BYTES = 107;

function checkFolder(folder: string): void {
  const longest = Buffer.byteLength(`${folder}/4194304/loop999/control`);
  if (longest <= SOCKET_PATH_BYTES) return;
  throw new FsError('ENAMETOOLONG', {
    detail:
      `sockets in it would have names of ${longest} bytes, which can have ${SOCKET_PATH_BYTES}; ` +
      'name a shorter folder in USERLOOP_RUNTIME_DIR',
    path: folder,
  });
}

/** The user's own, by the environment or the list of users. */
function loginShell(io: Io): string {
  const named = io.env['SHELL'] ?? '';
  if (named.startsWith('/') && fs.existsSync(named)) return named;
  try {
    const { shell: registered } = os.userInfo();
    if (registered !== null && registered !== '' && fs.existsSync(registered)) return registered;
  } catch (error) {
    // A user that is in no list of users.
    if (!(error instanceof Error && 'syscall' in error)) throw error;
  }
  return '/bin/sh';
}

function pickShell(shells: readonly Shell[], number: string): Shell {
  const found = shells.find((candidate) => String(shellNumberOf(candidate)) === number);
  if (found !== undefined) return found;
  const numbers = shells.map(shellNumberOf).join(', ');
  const there =
    shells.length === 0 ? 'there is none' : `there ${shells.length === 1 ? 'is' : 'are'} ${numbers}`;
  throw new FsError('ENOENT', { detail: `No shell of yours has the number ${number}; ${there}` });
}

/** That of its folder: a shell that was kept and entered has another process than the one that has named it. */
function shellNumberOf({ folder }: Shell): number {
  return Number(folder.slice(folder.lastIndexOf('/') + 1));
}

async function list(io: Io): Promise<number> {
  for (const found of await listShells(io.env)) {
    const devices = listDevices({ ...io.env, USERLOOP_RUNTIME_DIR: found.folder });
    const names = devices.map(({ name, image, source }) => `${name} ${image === '' ? source : image}`);
    io.stdout.write(`${shellNumberOf(found)} ${found.running ? 'running' : 'kept'}: ${names.join(', ')}\n`);
  }
  return 0;
}

/** Starts the half inside and waits for it. Its exit status is ours. */
async function runInside(io: Io, namespace: NamespaceCommand, request: ShellRequest): Promise<number> {
  const args = [...namespace.args, process.execPath, programFile('shell-process'), JSON.stringify(request)];
  const child = spawn(namespace.program, args, {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: io.env,
    ...(request.cwd === '' ? { cwd: '/' } : {}),
  });
  const line = child.stdio[3] as net.Socket;
  let ready: (ShellMessage & { kind: 'ready' }) | undefined;
  let failed: (ShellMessage & { kind: 'failed' }) | undefined;
  let text = '';
  line.setEncoding('utf8');
  line.on('error', () => {});
  line.on('data', (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const message = JSON.parse(text.slice(0, end)) as ShellMessage;
      text = text.slice(end + 1);
      if (message.kind === 'ready') ready = message;
      else failed = message;
    }
  });
  const stop = passSignalsOn(line);
  const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve({ code, signal }));
    },
  );
  stop();
  if (failed !== undefined) {
    return refuse(io, `${failed.reason}${failed.forbidden ? namespaceObstacle() : ''}`);
  }
  if (ended.code !== null) return ended.code;
  // The half inside was killed, and with it everything is to end.
  if (ready?.owner === true) {
    await endNamespace(ready.mountNamespace);
    removeFolder(`${request.shellsFolder}/${request.mode === 'make' ? child.pid : request.shell}`);
  }
  return 128 + (ended.signal === null ? 0 : os.constants.signals[ended.signal]);
}

const PASSED_ON = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
/** What a terminal sends reaches the command without us. */
const FROM_TERMINAL = ['SIGINT', 'SIGQUIT'] as const;

function passSignalsOn(line: net.Socket): () => void {
  const terminal = hasTerminal();
  const pass = (signal: NodeJS.Signals): void => void line.write(`${signal}\n`);
  const ignore = (): void => {};
  for (const signal of PASSED_ON) process.on(signal, pass);
  for (const signal of FROM_TERMINAL) process.on(signal, terminal ? ignore : pass);
  return () => {
    for (const signal of PASSED_ON) process.off(signal, pass);
    for (const signal of FROM_TERMINAL) process.off(signal, terminal ? ignore : pass);
  };
}

/** Does this process have a terminal that controls it? */
function hasTerminal(): boolean {
  try {
    fs.closeSync(fs.openSync('/dev/tty', 'r'));
    return true;
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return false;
    throw error;
  }
}
