import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../device/block-device.ts';
import { SliceDevice } from '../../device/slice-device.ts';
import { UnsupportedError } from '../../errors.ts';
import { hasIncompatible } from '../../filesystem/ext/format/features.ts';
import { prepareExt, type PreparedExt, writeExt } from '../../filesystem/ext/format/format.ts';
import { journalSize } from '../../filesystem/ext/format/journal.ts';
import { type ExtLayout, initialFreeBlocks } from '../../filesystem/ext/format/layout.ts';
import { NO_ROOM_FOR_JOURNAL } from '../../filesystem/ext/format/new-content.ts';
import { defaultSize } from '../../filesystem/ext/format/parameters.ts';
import type { ExtConfiguration } from '../../filesystem/ext/format/profile.ts';
import { FileDevice } from '../../host/file-device.ts';
import { WriteBehindDevice } from '../../host/write-behind-device.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { refuseAttached } from '../open-device.ts';
import { openVolume } from '../open-volume.ts';
import { attempt, proceedOrFail } from './mke2fs/ask.ts';
import { checkDevice, judgeBadBlocks, readBadBlockList } from './mke2fs/bad-blocks.ts';
import { readConfiguration } from './mke2fs/configuration.ts';
import { type CommandLine, OPTIONS, parseCommandLine } from './mke2fs/command-line.ts';
import { describeContent } from './mke2fs/existing-content.ts';
import type { ExtendedOptions } from './mke2fs/extended-options.ts';
import { Failure } from './e2fsprogs/failure.ts';
import { clockOf } from './mke2fs/identity.ts';
import { parseCount } from './e2fsprogs/numbers.ts';
import { type Content, openContent, populate, refuseToFill } from './mke2fs/populate.ts';
import { plan } from './mke2fs/plan.ts';
import { DONE, printLayout, progress } from './mke2fs/report.ts';
import { errorText, examineTarget, isMounted, type Target } from './mke2fs/target.ts';

export const mke2fs = defineApplet({
  name: 'mke2fs',
  aliases: ['mkfs.ext2', 'mkfs.ext3', 'mkfs.ext4'],
  kind: 'applet',
  summary: 'make an ext2, ext3 or ext4 file system',
  usage: ['mke2fs [OPTION]... DEVICE [SIZE]'],
  description: [
    'Makes an empty ext2, ext3 or ext4 file system on DEVICE, a file, a block device or a partition of an image (IMAGE:N), byte for byte as mke2fs of e2fsprogs 1.47.0 ' +
      'makes it with the same UUID, hash seed and time. SIZE is in KiB, or in blocks where -b is given, or has one of ' +
      'the suffixes k, m, g, t and s (sectors of 512 bytes); a DEVICE that is not there is then made.',
    'Profiles come from the file that MKE2FS_CONFIG names, else from /etc/mke2fs.conf; where there is none, they are those ' +
      'that e2fsprogs ships. E2FSPROGS_FAKE_TIME and SOURCE_DATE_EPOCH take the place of the clock.',
    '-d copies what is in a folder, or in a tar archive (ustar, pax, GNU long names; not compressed), with owners, modes, times, links, devices ' +
      'and extended attributes; root is not needed, since nothing of it is made on the host.',
    'With -S the content of the device is never discarded, unlike mke2fs 1.47.0, which loses by it what -S is to save.',
  ],
  options: OPTIONS,
  examples: [
    {
      command: 'mke2fs -q floppy.img 1440',
      explanation: 'Makes the file of a 1.44 MB floppy with an empty ext2 file system.',
    },
    {
      command: 'mke2fs disk.img:1',
      explanation: 'Formats the first partition of a disk image, without a loop device.',
    },
    {
      command: 'mke2fs -b1024 -E offset=32256 disk.img 503968',
      explanation: 'Likewise, by its place and size.',
    },
    {
      command: 'mkfs.ext4 -L data disk.img',
      explanation: 'An ext4 with a journal and checksums over the whole of disk.img.',
    },
    {
      command: 'mkfs.ext4 -d rootfs.tar disk.img 512m',
      explanation: 'An ext4 of 512 MiB with all that is in an archive.',
    },
    {
      command: 'mkfs.ext2 -L boot -m 0 -I 128 disk.img',
      explanation: 'A label, nothing reserved, small inodes.',
    },
  ],
  exitStatus: { 0: 'the file system was made', 1: 'it was not' },
  notSupported: [
    'a journal on another device (-J device=, -O journal_dev)',
    'the feature quota with bigalloc',
    '-d with the feature mmp',
    '-E desc_size=',
    'making a file in /dev: a device that is not there is refused, also with a size',
    'of mke2fs.conf: [devices], and the relations auto_64-bit_support, force_undo, lazy_journal_init, ' +
      'make_hugefiles and its companions',
    '-z FILE: the undo file',
    'discarding (TRIM) on block devices',
  ],
  run,
});

/** As many as are expected where nobody has counted them. */
const MANY_FILES = 1000;
/** There where the kernel zeroes tables of inodes itself. */
const LAZY_KERNEL = '/sys/fs/ext4/features/lazy_itable_init';

function run(io: Io, argv: readonly string[], calledAs: string): number {
  try {
    const command = parseCommandLine(io, argv, calledAs);
    if (command.version) io.stderr.write('\tUsing EXT2FS Library version 1.47.0\n');
    else make(io, command, calledAs);
    return 0;
  } catch (error) {
    if (error instanceof Failure) io[error.stream].write(error.message);
    else if (error instanceof UnsupportedError) io.stderr.write(`${calledAs}: ${error.message}\n`);
    else throw error;
    return 1;
  }
}

function make(io: Io, command: CommandLine, calledAs: string): void {
  const configuration = readConfiguration(io.env);
  const type = chooseType(command, calledAs, configuration);
  const name = command.device!;
  const unit = command.blockSize ?? 1024;
  const count = command.size === undefined ? undefined : parseCount(command.size, unit);
  if (count === 0) throw new Failure(`${calledAs}: invalid blocks '${command.size}' on device '${name}'\n`);
  const target = checkTarget(io, command, calledAs, count !== undefined);
  const deviceSize = target.kind === 'block device' ? sizeOfBlockDevice(io, target) : target.size;
  const size = count === undefined ? defaultSize(deviceSize, unit) : count * unit;
  if (size === 0) throw new Failure(deviceSizeIsZero(calledAs));
  if (target.kind === 'block device' && size > deviceSize && !command.force) {
    io.stderr.write(`${calledAs}: Filesystem larger than apparent device size.\n`);
    proceedOrFail(io);
  }
  const { layout, extended } = plan(io, command, calledAs, {
    type,
    configuration,
    wholeSize: size,
    sized: count !== undefined,
  });
  if (command.dryRun) {
    printLayout(io, layout, command.verbose);
    return;
  }
  if (command.source !== undefined) refuseToFill(layout, calledAs);
  const content = command.source === undefined ? undefined : openContent(io, command.source, calledAs);
  try {
    write(io, command, calledAs, { target, content, layout, extended, hasContent: deviceSize >= unit });
  } finally {
    content?.close();
  }
}

/** ext2 needs no words in the configuration; the others are what it makes of them. */
function chooseType(
  command: CommandLine,
  calledAs: string,
  configuration: ExtConfiguration,
): 'ext2' | 'ext3' | 'ext4' {
  const type = command.type ?? (calledAs.startsWith('mkfs.ext') ? calledAs.slice('mkfs.'.length) : 'ext2');
  if (type === 'ext2') return type;
  if (Object.hasOwn(configuration.types, type) && (type === 'ext3' || type === 'ext4')) return type;
  const hint = ['ext3', 'ext4', 'ext4dev'].includes(type)
    ? 'You probably need to install an updated mke2fs.conf file.\n\n'
    : '';
  throw new Failure(
    `\nYour mke2fs.conf file does not define the ${type} filesystem type.\n${hint}Aborting...\n`,
    'stdout',
  );
}

/** Everything that stands against writing there. */
function checkTarget(io: Io, command: CommandLine, calledAs: string, sized: boolean): Target {
  const name = command.device!;
  const target = examineTarget(io, name);
  if (target.kind === 'absent') {
    if (!sized) throw new Failure(`The file ${name} does not exist and no size was specified.\n`);
    // Root could: a partition that has gone would become a file that takes its place.
    if (path.dirname(target.path) === '/dev')
      throw new Failure(`The device ${name} does not exist; no file is made in /dev.\n`);
    if (!fs.existsSync(path.dirname(target.path)))
      throw new Failure(`${calledAs}: No such file or directory while trying to determine filesystem size\n`);
    if (command.dryRun)
      throw new Failure(
        `${calledAs}: No such file or directory while trying to determine hardware sector size\n`,
      );
    io.stdout.write(`Creating regular file ${name}\n`);
    return target;
  }
  if (target.kind === 'other') {
    if (!sized) throw new Failure(deviceSizeIsZero(calledAs));
    const reason = fs.statSync(target.path).isDirectory()
      ? 'Is a directory'
      : 'Inappropriate ioctl for device';
    throw new Failure(
      `warning: Unable to get device geometry for ${name}\n${name}: ${reason} while setting up superblock\n`,
    );
  }
  if (target.isPart === true) requirePart(io, command, calledAs);
  if (io.stdin.isTerminal && io.stdout.isTerminal) askAboutContent(io, command, target);
  if (target.kind === 'file') refuseAttached(io, name);
  if (isMounted(target)) throw new Failure(`${name} is mounted; will not make a filesystem here!\n`);
  try {
    // An attached device, and an export, tell that themselves.
    if (target.attached === undefined && fs.existsSync(target.path))
      fs.accessSync(target.path, fs.constants.R_OK | fs.constants.W_OK);
  } catch (error) {
    throw new Failure(`${name}: ${errorText(error)} while setting up superblock\n`);
  }
  return target;
}

/** The partition must be there, and nobody else use the image. */
function requirePart(io: Io, { device: name, dryRun }: CommandLine, calledAs: string): void {
  try {
    openVolume(io, name!, { readOnly: dryRun }).close();
  } catch (error) {
    throw new Failure(`${calledAs}: ${name}: ${errorText(error)}\n`);
  }
}

function askAboutContent(io: Io, command: CommandLine, target: Target): void {
  const device = openVolume(io, target.name, { readOnly: true });
  let content: string | undefined;
  try {
    content = describeContent(device, target.name);
  } finally {
    device.close();
  }
  if (content === undefined) return;
  io.stdout.write(content);
  if (!command.force) proceedOrFail(io);
}

function sizeOfBlockDevice(io: Io, target: Target): number {
  const device = openVolume(io, target.name, { readOnly: true });
  device.close();
  return device.size;
}

function write(
  io: Io,
  command: CommandLine,
  calledAs: string,
  job: {
    target: Target;
    content: Content | undefined;
    layout: ExtLayout;
    extended: ExtendedOptions;
    hasContent: boolean;
  },
): void {
  const { target, content, layout, extended, hasContent } = job;
  const { superblockOnly, quiet, verbose } = command;
  const tell = (text: string): void => {
    if (!quiet) io.stdout.write(text);
  };
  // Of a block device only the tables are zeroed: node has no way to discard there.
  const discard = target.kind === 'file' && !superblockOnly && extended.discard !== false && hasContent;
  if (extended.storageZeroed === true && verbose)
    io.stdout.write('Assuming the storage device is prezeroed - skipping inode table and journal wipe\n');
  if (discard) {
    tell(progress('Discarding device blocks: ', layout.blockCount, DONE));
    if (verbose) io.stdout.write('Discard succeeded and will return 0s - skipping inode table wipe\n');
  }
  if (!quiet) printLayout(io, layout, verbose);
  const listed =
    command.badBlocksFile === undefined ? [] : readBadBlockList(io, command.badBlocksFile, layout);
  judgeBadBlocks(io, listed, layout);
  const device = openFor(io, target, layout, extended.offset ?? 0, content !== undefined);
  // It takes a moment until that is ready.
  if (content !== undefined) device.copier?.(MANY_FILES);
  try {
    const volume = new SliceDevice(device, extended.offset ?? 0);
    const badBlocks = [...listed, ...findBadBlocks(io, command, layout, volume)];
    const packed = layout.parameters.packedMetaBlocks && hasIncompatible(layout.features, 'flex_bg');
    tell(
      packed
        ? `Allocating group tables: ${DONE}`
        : progress('Allocating group tables: ', layout.groupCount, DONE),
    );
    if (superblockOnly) {
      io.stdout.write(`${target.name} may be further corrupted by superblock rewrite\n`);
      if (!command.force) proceedOrFail(io);
    } else tell(progress('Writing inode tables: ', layout.groupCount, DONE));
    const options = {
      badBlocks,
      superblockOnly,
      discard,
      zeroed: extended.storageZeroed === true,
      lazyInodeTables: extended.lazyInodeTables ?? fs.existsSync(LAZY_KERNEL),
      lazyJournal: extended.lazyJournal === true || extended.storageZeroed === true,
    };
    const prepared = attempt(
      () => prepareExt(layout, options),
      (detail) => {
        if (detail.endsWith(NO_ROOM_FOR_JOURNAL)) tellOfJournalSize(layout, tell);
        return `${/^(Could|cannot)/.test(detail) ? `${calledAs}: ` : ''}${detail}\n`;
      },
    );
    tellOfJournal(io, prepared, command, tell);
    writeExt(volume, prepared, options);
    if (content !== undefined) {
      tell('Copying files into the device: ');
      const clock = clockOf(io.env);
      populate(io, volume, content, { calledAs, clock, keepXattrs: extended.copyXattrs !== false });
      tell('done\n');
    }
    tell(
      progress('Writing superblocks and filesystem accounting information: ', layout.groupCount, 'done\n\n'),
    );
  } finally {
    device.close();
  }
}

function tellOfJournalSize(layout: ExtLayout, tell: (text: string) => void): void {
  const { blocks, fastCommitBlocks } = journalSize(layout, initialFreeBlocks(layout))!;
  tell(`Creating journal (${blocks + fastCommitBlocks} blocks): `);
}

/** The journal, and what else the tool makes in words. */
function tellOfJournal(
  io: Io,
  { volume, superblockOnly }: PreparedExt,
  { quiet, device }: CommandLine,
  tell: (text: string) => void,
): void {
  if (volume.superblockFields.journalInode !== undefined) {
    if (superblockOnly) io.stdout.write('Skipping journal creation in super-only mode\n');
    else {
      tell(`Creating journal (${volume.journalBlocks} blocks): `);
      // Where the journal is to start, block 0 is asked for, which is in no group.
      const { parameters, features, firstDataBlock } = volume.layout;
      const isAtStart = parameters.packedMetaBlocks || parameters.options.journal?.location === 0;
      if (isAtStart && hasIncompatible(features, 'extent') && firstDataBlock > 0) {
        io.stderr.write(
          `Illegal block number passed to ext2fs_test_block_bitmap #0 for block bitmap for ${device}\n`,
        );
      }
      tell('done\n');
    }
  }
  const { mmpInterval } = volume.superblockFields;
  if (mmpInterval !== undefined && !quiet) {
    io.stdout.write(`Multiple mount protection is enabled with update interval ${mmpInterval} seconds.\n`);
  }
}

function findBadBlocks(
  io: Io,
  command: CommandLine,
  layout: ExtLayout,
  volume: BlockDevice,
): readonly number[] {
  if (command.check === 0) return [];
  const writing = command.check > 1;
  if (command.verbose) {
    const flags = `${command.quiet ? '' : ' -s'}${writing ? ' -w' : ''}`;
    io.stdout.write(
      `Running command: badblocks -b ${layout.blockSize} -X${flags} ${command.device} ${layout.blockCount - 1}\n`,
    );
  }
  const bad = checkDevice(io, volume, layout, { write: writing, quiet: command.quiet }).filter(
    (block) => block >= layout.firstDataBlock,
  );
  judgeBadBlocks(io, bad, layout);
  return bad;
}

/** The device, long enough for the volume where that can be had. */
function openFor(
  io: Io,
  target: Target,
  layout: ExtLayout,
  offset: number,
  writeBehind: boolean,
): BlockDevice {
  const end = offset + layout.blockCount * layout.blockSize;
  if (target.kind === 'absent') {
    const device = FileDevice.create(target.path, end);
    return writeBehind ? new WriteBehindDevice(device) : device;
  }
  if (target.kind === 'file' && target.size < end) fs.truncateSync(target.path, end);
  const device = openVolume(io, target.name, { writeBehind });
  if (target.isPart === true && end > device.size) {
    device.close();
    throw new Failure(`${target.name} has ${device.size} bytes; the file system would end at byte ${end}\n`);
  }
  return device;
}

function deviceSizeIsZero(calledAs: string): string {
  return (
    `${calledAs}: Device size reported to be zero.  Invalid partition specified, or\n` +
    "\tpartition table wasn't reread after running fdisk, due to\n" +
    '\ta modified partition being busy and in use.  You may need to reboot\n' +
    '\tto re-read your partition table.\n\n'
  );
}
