import { isOwnError, UsageError } from '../../errors.ts';
import { readMountTable } from '../../host/mount-table.ts';
import { MountFlag } from '../../host/native-mount.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { reasonOf } from '../verbs/failure.ts';
import {
  ExclusiveOptions,
  MOUNT_OPTIONS,
  type MountCommand,
  parseMountCommand,
} from './mount/command-line.ts';
import { MountContext } from './mount/context.ts';
import { FstabLookup } from './mount/fstab-lookup.ts';
import { checkUserMay, entryJob, findEntry } from './mount/fstab-mount.ts';
import { listMounts } from './mount/list-mounts.ts';
import { mountAll } from './mount/mount-all.ts';
import { failureText, MountExit, MountFailure } from './mount/mount-failure.ts';
import { findByDirectory, shownOptions } from './mount/mount-list.ts';
import { mountOne } from './mount/mount-one.ts';
import { type MountWishes, mountWishes } from './mount/mount-wishes.ts';
import { type MountOption, parseOptionList } from './mount/option-list.ts';

export const mount = defineApplet({
  name: 'mount',
  kind: 'applet',
  summary: 'mount a file system of an image or a device',
  usage: [
    'mount [OPTION]... SOURCE DIR',
    'mount [OPTION]... SOURCE|DIR',
    'mount -a [OPTION]...',
    'mount [-l] [-t LIST]',
  ],
  description: [
    'Shows the files of a FAT12, FAT16, FAT32, ext2, ext3 or ext4 file system in the directory DIR, for every program. SOURCE is an image ' +
      '(IMAGE, IMAGE:N for partition N, IMAGE@OFFSET for what starts at that byte), a device (/dev/loop0, /dev/loop0p1, /dev/md0, ' +
      '/dev/vnd0i), LABEL=TEXT or UUID=TEXT of an attached device. An image becomes a device that goes ' +
      'with the mount; a second mount of the same part of an image uses the device of the first. An image whose only file system lies in ' +
      'a partition needs no number.',
    'Root with a usable /dev/loop-control has the kernel do it where the kernel knows the file system, as the classic tool does. Everybody ' +
      'else, and root with --backend=user, gets a FUSE mount served by userloop: that needs /dev/fuse and fusermount3 (package fuse3), a ' +
      'directory that belongs to the user, and an image that the user may write, or read for a read-only mount. In userloop shell it needs ' +
      'no fusermount3.',
    'In a FUSE mount of a user who is not root only this user gets in, and may read and change every file, whoever owns it and whatever its mode: the image is ' +
      "the user's. With -o default_permissions owners and modes count as in a mount of the kernel's; with -o allow_other, which takes user_allow_other in /etc/fuse.conf, " +
      'others get in, too, and owners and modes count for all. For root both are the default.',
    'With one operand, the rest comes from fstab (/etc/fstab, or the file that --fstab or the variable USERLOOP_FSTAB names). Users other ' +
      'than root may mount only entries with the option user, users, owner or group there; user and users imply noexec, nosuid and nodev ' +
      'unless later options say otherwise. Images that are named on the command line need no entry: they are mounted with the ' +
      "user's own rights.",
    'Without operands the mounts of this machine are listed.',
    'Options (-o) for every file system: ro rw exec noexec suid nosuid dev nodev sync async dirsync atime noatime nodiratime relatime strictatime, loop, ' +
      'loop=/dev/loopN, offset=BYTES and sizelimit=BYTES (with K, M, G …), partition=N, uid= and gid= (names or numbers), ' +
      'remount, bind, rbind, move, allow_other, default_permissions, writeback_cache, and those of fstab: user users owner group noauto nofail defaults. Of FAT: umask= fmask= dmask= ' +
      '(octal), fat=12|16|32 (the type that it must be), quiet, showexec, tz=UTC, time_offset=MINUTES, flush, and check=normal, ' +
      'codepage=437, iocharset=utf8, utf8, shortname=mixed, conv=binary, errors=continue, nodots, which are how it is. Of ext: data=ordered|writeback, commit=SECONDS, discard, barrier=0|1, nobarrier, grpid, journal_checksum, quota, usrquota, grpquota and prjquota (limits bind who is not root; use is counted in any case), noquota, noload ' +
      '(with ro), and errors=continue (with ro remount-ro), bsddf, nodelalloc, auto_da_alloc, user_xattr, noacl, nocheck, which are how it is. What starts with x- or X- and ' +
      'comment= is for others. All other options are refused by name.',
  ],
  options: MOUNT_OPTIONS,
  examples: [
    { command: 'mount disk.img:1 mnt', explanation: 'Shows partition 1 of an image in mnt.' },
    {
      command: 'mount -text2 -oloop=/dev/loop0,offset=32256 c.img /mnt/wherever',
      explanation: 'Attaches what starts at byte 32256 as /dev/loop0 and mounts it.',
    },
    {
      command: 'mount /dev/loop0 /mnt -t msdos -o fat=12',
      explanation: 'Mounts a device, provided that it holds FAT12.',
    },
    { command: 'mount -o ro,partition=2 disk.img mnt', explanation: 'Looks without changing anything.' },
  ],
  exitStatus: {
    0: 'mounted',
    1: 'wrong usage, or no permission',
    2: 'the system failed',
    32: 'the mount failed',
    64: 'with -a: some were mounted, others failed',
  },
  notSupported: [
    '-F, -N, -s, --options-mode, --options-source, helpers (mount.TYPE), network file systems',
    'NBD exports: userloop ls, cat, cp and the rest take nbd:// and nbd+unix:// without a mount',
    '-o X-mount.* other than X-mount.mkdir, encryption=, verity',
    'without the kernel: mand, nosymfollow, lazytime, iversion',
    '-t msdos hides no long names: msdos and vfat are the same',
    'users: a user other than root unmounts only what the same user mounted',
    'remount of what userloop serves: other than by root, and anything but ro, rw, nosuid, nodev, noexec and noatime',
  ],
  run,
});

const VERSION = 'mount from util-linux 2.38.1 (userloop)\n';

async function run(io: Io, argv: readonly string[], calledAs: string): Promise<number> {
  let command: MountCommand;
  try {
    command = parseMountCommand(argv);
    return await execute(io, command);
  } catch (error) {
    if (error instanceof MountFailure) {
      io.stderr.write(failureText(calledAs, error));
      return error.status;
    }
    if (error instanceof UsageError) {
      const hint =
        error instanceof ExclusiveOptions ? '' : `Try '${calledAs} --help' for more information.\n`;
      io.stderr.write(`${calledAs}: ${error.message}\n${hint}`);
      return MountExit.usage;
    }
    if (!isOwnError(error) && !(error instanceof Error && 'syscall' in error)) throw error;
    io.stderr.write(`${calledAs}: ${reasonOf(error)}\n`);
    return MountExit.system;
  }
}

async function execute(io: Io, command: MountCommand): Promise<number> {
  const context = new MountContext(io, { program: 'mount', ...command });
  switch (command.action) {
    case 'help': {
      const { renderHelp } = await import('../help.ts');
      io.stdout.write(renderHelp(mount));
      return MountExit.success;
    }
    case 'version':
      io.stdout.write(VERSION);
      return MountExit.success;
    case 'list':
      listMounts(context, { types: command.types, labels: command.showLabels });
      return MountExit.success;
    case 'all':
      return mountAll(context, new FstabLookup(context, command.fstab), command);
    case 'mount':
      await mountNamed(context, command);
      return MountExit.success;
  }
}

async function mountNamed(context: MountContext, command: MountCommand): Promise<void> {
  const { source, target, types, options, targetPrefix } = command;
  if (source !== undefined && target !== undefined) {
    const at = targetPrefix + target;
    await mountOne(context, { source, target: at, types, wishes: mountWishes(options, at) });
    return;
  }
  const either = command.either ?? target;
  if (either !== undefined && changesMount(mountWishes(options, either))) {
    await mountOne(context, {
      source: 'none',
      target: either,
      types,
      wishes: mountWishes([...optionsOfMount(context, command, either), ...options], either),
    });
    return;
  }
  const entry = findEntry(new FstabLookup(context, command.fstab), command);
  const job = entryJob(entry, { options, types });
  checkUserMay(context, job, entry);
  await mountOne(context, { ...job, target: targetPrefix + job.target });
}

/** What is mounted already needs no source. */
function changesMount({ operation, propagation }: MountWishes): boolean {
  return (operation & MountFlag.remount) !== 0 || propagation.length > 0;
}

/** Those that remount starts from: what fstab says of the directory, else how it is mounted now. */
function optionsOfMount(
  context: MountContext,
  command: MountCommand,
  directory: string,
): readonly MountOption[] {
  if (!command.options.some(({ name }) => name === 'remount')) return [];
  const entry = new FstabLookup(context, command.fstab).byTarget(directory);
  if (entry !== undefined) return entry.options;
  const mounted = findByDirectory(readMountTable(), context.canonical(directory));
  if (mounted === undefined) return [];
  // A FUSE file system has options that only its first mount takes.
  return mounted.type.startsWith('fuse.') ? parseOptionList(mounted.options) : shownOptions(mounted);
}
