import fs from 'node:fs';
import path from 'node:path';
import { isOwnError, UsageError } from '../../errors.ts';
import { readMountTable } from '../../host/mount-table.ts';
import { listDevices } from '../../attach/registry.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { reasonOf } from '../verbs/failure.ts';
import { MountContext } from './mount/context.ts';
import { failureText, MountExit, MountFailure } from './mount/mount-failure.ts';
import { subtree } from './mount/mount-list.ts';
import { matchesOptionPattern } from './mount/option-pattern.ts';
import { parseOptionList } from './mount/option-list.ts';
import { mountMatchesTypeList } from './mount/type-list.ts';
import { parseUmountCommand, UMOUNT_OPTIONS, type UmountCommand } from './umount/command-line.ts';
import { allTargets, findMount, found, type FoundMount } from './umount/find-mount.ts';
import { unmount } from './umount/unmount.ts';

export const umount = defineApplet({
  name: 'umount',
  kind: 'applet',
  summary: 'unmount file systems',
  usage: ['umount [OPTION]... DIR|IMAGE|DEVICE...', 'umount -a [-t LIST]'],
  description: [
    'Ends mounts, named by their directory, their device or the image that was mounted; of several mounts of one image the last is ' +
      'meant. Everything is written when it returns, and a device that was made for the mount is gone. What the kernel or another ' +
      'program has mounted can be unmounted, too, with the rights that this takes: root, or for FUSE the user who mounted it.',
    "With -a, root with the kernel's loop devices unmounts everything that is not in use, as the classic tool does; everybody else, and " +
      'userloop shell, what userloop has mounted.',
    'A directory in use (a program has its working directory or a file open there) is not unmounted: "target is busy". With -l it goes ' +
      'out of sight at once and ends with the last user.',
  ],
  options: UMOUNT_OPTIONS,
  examples: [
    { command: 'umount /mnt/wherever', explanation: 'Ends the mount on a directory.' },
    { command: 'umount c.img', explanation: 'Ends the last mount of an image.' },
    { command: 'umount -d /dev/loop0', explanation: 'Ends the mount of a device and detaches the device.' },
  ],
  exitStatus: {
    0: 'unmounted',
    1: 'wrong usage, or no permission',
    2: 'the system failed',
    32: 'the unmount failed',
    64: 'some succeeded, others failed',
  },
  notSupported: ['-N, and helpers (umount.TYPE)'],
  run,
});

const VERSION = 'umount from util-linux 2.38.1 (userloop)\n';

async function run(io: Io, argv: readonly string[], calledAs: string): Promise<number> {
  try {
    return await execute(io, parseUmountCommand(argv));
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr.write(`${calledAs}: ${error.message}\nTry '${calledAs} --help' for more information.\n`);
      return MountExit.usage;
    }
    if (!isOwnError(error) && !(error instanceof Error && 'syscall' in error)) throw error;
    io.stderr.write(`${calledAs}: ${reasonOf(error)}\n`);
    return MountExit.system;
  }
}

async function execute(io: Io, command: UmountCommand): Promise<number> {
  const context = new MountContext(io, { program: 'umount', ...command });
  switch (command.action) {
    case 'help': {
      const { renderHelp } = await import('../help.ts');
      io.stdout.write(renderHelp(umount));
      return MountExit.success;
    }
    case 'version':
      io.stdout.write(VERSION);
      return MountExit.success;
    case 'all':
      return unmountAll(context, command);
    case 'named': {
      let status: number = MountExit.success;
      for (const name of command.names) {
        status |= await guarded(context, () => unmountNamed(context, command, name));
      }
      return status;
    }
  }
}

/** Runs `body`; prints the MountFailure that it throws and gives its status. */
async function guarded(context: MountContext, body: () => Promise<void>): Promise<number> {
  try {
    await body();
    return MountExit.success;
  } catch (error) {
    if (!(error instanceof MountFailure)) throw error;
    if (!(error instanceof QuietFailure)) context.io.stderr.write(failureText(context.program, error));
    return error.status;
  }
}

async function unmountNamed(context: MountContext, command: UmountCommand, name: string): Promise<void> {
  const mounts = command.allTargets ? targetsOf(context, name) : [mountOf(context, command, name)];
  for (const mount of mounts) {
    if (mount === undefined) continue;
    for (const each of command.recursive ? withChildren(context, mount) : [mount]) {
      await unmount(context, command, each);
    }
  }
}

/** Undefined: nothing to do, without a word. */
function mountOf(context: MountContext, command: UmountCommand, name: string): FoundMount | undefined {
  const mount = findMount(context, name);
  if (mount !== undefined) return mount;
  if (command.fake) return { directory: name, source: '', server: undefined, entry: undefined };
  if (command.recursive) {
    const isThere = fs.existsSync(path.resolve(context.io.cwd, name));
    throw new MountFailure(`${name}: not ${isThere ? 'mounted' : 'found'}`, MountExit.usage);
  }
  if (!isThereAtAll(context, name)) throw new MountFailure(`${name}: no mount point specified.`);
  if (command.quiet) throw new QuietFailure();
  throw new MountFailure(`${name}: not mounted.`);
}

/** `-q`: the status tells, and nothing else. */
class QuietFailure extends MountFailure {
  constructor() {
    super('');
  }
}

function isThereAtAll(context: MountContext, name: string): boolean {
  try {
    const file = path.resolve(context.io.cwd, name);
    return name !== '' && fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined;
  } catch {
    // There, but not for us to look at.
    return true;
  }
}

function targetsOf(context: MountContext, name: string): FoundMount[] {
  const targets = allTargets(context, findMount(context, name)?.directory ?? name);
  if (targets.length === 0) throw new MountFailure(`${name}: not mounted`, MountExit.usage);
  return targets;
}

function withChildren(context: MountContext, mount: FoundMount): FoundMount[] {
  if (mount.entry === undefined) return [mount];
  const servers = listDevices(context.io.env);
  return subtree(readMountTable(), mount.entry).map((entry) => found(entry, servers));
}

/** The last first. What the system itself lives on is left alone, as the classic tool does. */
async function unmountAll(context: MountContext, command: UmountCommand): Promise<number> {
  const servers = listDevices(context.io.env);
  const isMachine = context.isSuperuser && context.backend.kind === 'kernel';
  let status: number = MountExit.success;
  for (const entry of readMountTable().toReversed()) {
    if (SYSTEM_TYPES.includes(entry.type)) continue;
    // Who has no machine to take down means the own mounts; so does the root of userloop shell.
    if (!isMachine && found(entry, servers).server === undefined) continue;
    const isWanted =
      (command.types === undefined || mountMatchesTypeList(entry.type, command.types)) &&
      (command.optionPattern === undefined ||
        matchesOptionPattern(
          parseOptionList(`${entry.options},${entry.superOptions}`),
          command.optionPattern,
        ));
    if (!isWanted) {
      if (context.verbose) context.io.stdout.write(`${entry.directory.padEnd(25)}: ignored\n`);
      continue;
    }
    status |= await guarded(context, () => unmount(context, command, found(entry, servers)));
  }
  return status;
}

/** umount(8), -a: "All the filesystems described in /proc/self/mountinfo are unmounted, except the proc, devfs, devpts, sysfs, rpc_pipefs and nfsd filesystems." */
const SYSTEM_TYPES = [
  'proc',
  'devfs',
  'devpts',
  'sysfs',
  'rpc_pipefs',
  'nfsd',
  'devtmpfs',
  'cgroup',
  'cgroup2',
];
