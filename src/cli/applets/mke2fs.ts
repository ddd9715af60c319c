import fs from 'node:fs';
import path from 'node:path';
import { randomUuid } from '../../bytes/uuid.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { SliceDevice } from '../../device/slice-device.ts';
import { FsError, UnsupportedError } from '../../errors.ts';
import { prepareExt, writeExt } from '../../filesystem/ext/format/format.ts';
import { computeLayout, type ExtLayout } from '../../filesystem/ext/format/layout.ts';
import {
  chooseBlockSize,
  CreatorOs,
  defaultSize,
  type FormatExtOptions,
  resolveParameters,
} from '../../filesystem/ext/format/parameters.ts';
import { resolveProfile, usageForSize } from '../../filesystem/ext/format/profile.ts';
import { FileDevice } from '../../host/file-device.ts';
import { systemRandom } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { openDevice, refuseAttached } from '../open-device.ts';
import { checkDevice, judgeBadBlocks, readBadBlockList } from './mke2fs/bad-blocks.ts';
import { type CommandLine, OPTIONS, parseCommandLine, parseCreatorOs } from './mke2fs/command-line.ts';
import { describeContent } from './mke2fs/existing-content.ts';
import { type ExtendedOptions, parseExtendedOptions } from './mke2fs/extended-options.ts';
import { Failure } from './mke2fs/failure.ts';
import { chooseUuid, clockOf } from './mke2fs/identity.ts';
import { parseCount } from './mke2fs/numbers.ts';
import { DONE, printLayout, progress } from './mke2fs/report.ts';
import { errorText, examineTarget, isMounted, type Target } from './mke2fs/target.ts';

export const mke2fs = defineApplet({
  name: 'mke2fs',
  aliases: ['mkfs.ext2', 'mkfs.ext3', 'mkfs.ext4'],
  kind: 'applet',
  summary: 'make an ext2 file system',
  usage: ['mke2fs [OPTION]... DEVICE [SIZE]'],
  description: [
    'Makes an empty ext2 file system on DEVICE, a file or a block device, byte for byte as mke2fs of e2fsprogs 1.47.0 ' +
      'makes it with the same UUID, hash seed and time. SIZE is in KiB, or in blocks where -b is given, or has one of ' +
      'the suffixes k, m, g, t and s (sectors of 512 bytes); a DEVICE that is not there is then made.',
    'The profiles are those of mke2fs.conf as e2fsprogs ships it; no configuration file is read. ' +
      'E2FSPROGS_FAKE_TIME and SOURCE_DATE_EPOCH take the place of the clock.',
    'With -S the content of the device is never discarded, unlike mke2fs 1.47.0, which loses by it what -S is to save.',
  ],
  options: OPTIONS,
  examples: [
    {
      command: 'mke2fs -q floppy.img 1440',
      explanation: 'Makes the file of a 1.44 MB floppy with an empty ext2 file system.',
    },
    {
      command: 'mke2fs -b1024 -E offset=32256 disk.img 503968',
      explanation: 'Formats the first partition of a disk image, without a loop device.',
    },
    {
      command: 'mkfs.ext2 -L boot -m 0 -I 128 disk.img',
      explanation: 'A label, nothing reserved, small inodes.',
    },
  ],
  exitStatus: { 0: 'the file system was made', 1: 'it was not' },
  notSupported: [
    'ext3 and ext4: a journal (-j, -J, -t ext3, -t ext4, mkfs.ext3, mkfs.ext4) and the features of those',
    'features other than dir_index ext_attr filetype large_dir large_file meta_bg ' +
      'resize_inode sparse_super sparse_super2 stable_inodes',
    '-d FOLDER: format first, then fill the image with userloop cp -r FOLDER/. IMAGE:/',
    '-z FILE: the undo file',
    'mke2fs.conf and MKE2FS_CONFIG',
    'discarding (TRIM) on block devices',
  ],
  run,
});

/** What the kernel of most machines can mount. */
const LARGEST_USUAL_BLOCK = 4096;

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
  const type = chooseType(command, calledAs);
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
  const { layout, extended } = plan(io, command, calledAs, type, size, count !== undefined);
  if (command.dryRun) {
    printLayout(io, layout, command.verbose);
    return;
  }
  write(io, command, calledAs, { target, layout, extended, hasContent: deviceSize >= unit });
}

function chooseType(command: CommandLine, calledAs: string): 'ext2' | 'ext3' | 'ext4' {
  const type = command.type ?? (calledAs.startsWith('mkfs.ext') ? calledAs.slice('mkfs.'.length) : 'ext2');
  if (type === 'ext2' || type === 'ext3' || type === 'ext4') return type;
  const hint = type === 'ext4dev' ? 'You probably need to install an updated mke2fs.conf file.\n\n' : '';
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

function askAboutContent(io: Io, command: CommandLine, target: Target): void {
  const device = openDevice(io, target.name, { readOnly: true });
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
  const device = openDevice(io, target.name, { readOnly: true });
  device.close();
  return device.size;
}

function plan(
  io: Io,
  command: CommandLine,
  calledAs: string,
  type: 'ext2' | 'ext3' | 'ext4',
  wholeSize: number,
  sized: boolean,
): { layout: ExtLayout; extended: ExtendedOptions } {
  const name = command.device!;
  const creatorOs = command.creatorOs === undefined ? undefined : parseCreatorOs(command.creatorOs);
  if (command.creatorOs !== undefined && creatorOs === undefined)
    throw new Failure(`${calledAs}: unknown os - ${command.creatorOs}\n`);
  // What lies before an offset counts for the choice of the profile, though not for the volume.
  const usageBySize = usageForSize(wholeSize);
  const usage = command.usage ?? (usageBySize === undefined ? [] : [usageBySize]);
  const profile = resolveProfile(type, usage, wholeSize, creatorOs === CreatorOs.hurd);
  for (const unknown of profile.unknown) {
    io.stderr.write(`\nWarning: the fs_type ${unknown} is not defined in mke2fs.conf\n\n`);
  }
  if (command.verbose) {
    const names = profile.names.map((part) => `'${part}'`).join(', ');
    io.stdout.write(`fs_types for mke2fs.conf resolution: ${names}\n`);
  }
  const blockSize = chooseBlockSize(profile, command);
  const blockCount = Math.floor(wholeSize / blockSize);
  if (blockCount > 0xffff_ffff) {
    throw new Failure(
      `${calledAs}: Size of device (0x${blockCount.toString(16)} blocks) ${name} too big to be expressed\n` +
        `\tin 32 bits using a blocksize of ${blockSize}.\n`,
    );
  }
  if (blockSize > LARGEST_USUAL_BLOCK) {
    const tooBig = `${blockSize}-byte blocks too big for system (max ${LARGEST_USUAL_BLOCK})`;
    io.stderr.write(command.force ? `Warning: ${tooBig}, forced to continue\n` : `${calledAs}: ${tooBig}\n`);
    if (!command.force) proceedOrFail(io);
  }
  const extended = parseExtendedOptions(io, command.extended, blockSize, blockCount);
  let size = wholeSize;
  if (extended.offset !== undefined && extended.offset > 0 && !sized) {
    size -= Math.floor(extended.offset / blockSize) * blockSize;
    if (size <= 0)
      throw new Failure(
        `${name}: Not enough space to build proposed filesystem while setting up superblock\n`,
      );
    io.stderr.write(
      '\nWarning: offset specified without an explicit file system size.\n' +
        `Creating a file system with ${Math.floor(size / blockSize)} blocks but this might\nnot be what you want.\n\n`,
    );
  }
  if (command.flexGroups)
    throw new Failure(`${calledAs}: Flex_bg feature not enabled, so flex_bg size may not be specified\n`);
  const now = clockOf(io.env)();
  const uuid = chooseUuid(command.uuid, now);
  const options = formatOptions({ ...command, usage }, extended, type, creatorOs, {
    // A UUID that cannot be read is complained of last.
    uuid: uuid ?? new Uint8Array(16),
    hashSeed: extended.hashSeed ?? randomUuid(systemRandom),
    now,
  });
  const warnOfSmallInodes = (): void => {
    if ((command.inodeSize ?? profile.inodeSize) === 128 && creatorOs !== CreatorOs.hurd)
      io.stdout.write('128-byte inodes cannot handle dates beyond 2038 and are deprecated\n');
  };
  const parameters = attempt(
    () => resolveParameters(size, options),
    (detail) => {
      if (detail.startsWith('inode_size (')) warnOfSmallInodes();
      // The tool names itself before what it says in lower case.
      return `${/^[a-z]/.test(detail) ? `${calledAs}: ` : ''}${detail}\n`;
    },
  );
  warnOfSmallInodes();
  const layout = attempt(
    () => computeLayout(parameters),
    (detail) => `${name}: ${detail} while setting up superblock\n`,
  );
  if (uuid === undefined) throw new Failure(`${name}: could not parse UUID: ${command.uuid}\n\n`);
  return { layout, extended };
}

function formatOptions(
  command: CommandLine,
  extended: ExtendedOptions,
  type: 'ext2' | 'ext3' | 'ext4',
  creatorOs: number | undefined,
  identity: Pick<FormatExtOptions, 'uuid' | 'hashSeed' | 'now'>,
): FormatExtOptions {
  const { rootOwner } = extended;
  return dropAbsent({
    ...identity,
    type,
    usage: command.usage,
    blockSize: command.blockSize,
    minimumBlockSize: command.minimumBlockSize,
    features: command.features,
    inodeSize: command.inodeSize,
    inodeRatio: command.inodeRatio,
    inodeCount: command.inodeCount,
    blocksPerGroup: command.blocksPerGroup,
    reservedPercent: command.reservedPercent,
    revision: command.revision,
    label: command.label,
    lastMounted: command.lastMounted,
    errorBehavior: command.errorBehavior,
    creatorOs,
    resize: extended.resize,
    stride: extended.stride,
    stripeWidth: extended.stripeWidth,
    backupSuperblocks: extended.backupSuperblocks,
    rootOwner:
      rootOwner === 'caller' ? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } : rootOwner,
    testFileSystem: extended.testFileSystem,
  });
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** An option that was not given is no option. */
function dropAbsent<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
}

function write(
  io: Io,
  command: CommandLine,
  calledAs: string,
  job: { target: Target; layout: ExtLayout; extended: ExtendedOptions; hasContent: boolean },
): void {
  const { target, layout, extended, hasContent } = job;
  const { superblockOnly, quiet, verbose } = command;
  const tell = (text: string): void => {
    if (!quiet) io.stdout.write(text);
  };
  // Of a block device only the tables are zeroed: node has no way to discard there.
  const discard =
    target.kind === 'file' && !superblockOnly && (extended.discard ?? command.discard ?? true) && hasContent;
  if (discard) {
    tell(progress('Discarding device blocks: ', layout.blockCount, DONE));
    if (verbose) io.stdout.write('Discard succeeded and will return 0s - skipping inode table wipe\n');
  }
  if (!quiet) printLayout(io, layout, verbose);
  const listed =
    command.badBlocksFile === undefined ? [] : readBadBlockList(io, command.badBlocksFile, layout);
  judgeBadBlocks(io, listed, layout);
  const device = openFor(io, target, layout, extended.offset ?? 0);
  try {
    const volume = new SliceDevice(device, extended.offset ?? 0);
    const badBlocks = [...listed, ...findBadBlocks(io, command, layout, volume)];
    tell(progress('Allocating group tables: ', layout.groupCount, DONE));
    if (superblockOnly) {
      io.stdout.write(`${target.name} may be further corrupted by superblock rewrite\n`);
      if (!command.force) proceedOrFail(io);
    } else tell(progress('Writing inode tables: ', layout.groupCount, DONE));
    const options = { badBlocks, superblockOnly, discard };
    const prepared = attempt(
      () => prepareExt(layout, options),
      (detail) => `${detail.startsWith('Could not') ? `${calledAs}: ` : ''}${detail}\n`,
    );
    writeExt(volume, prepared, options);
    tell(
      progress('Writing superblocks and filesystem accounting information: ', layout.groupCount, 'done\n\n'),
    );
  } finally {
    device.close();
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
function openFor(io: Io, target: Target, layout: ExtLayout, offset: number): BlockDevice {
  const end = offset + layout.blockCount * layout.blockSize;
  if (target.kind === 'absent') return FileDevice.create(target.path, end);
  if (target.kind === 'file' && target.size < end) fs.truncateSync(target.path, end);
  return openDevice(io, target.name);
}

/** Runs the core; what it says of wrong options becomes the tool's message. */
function attempt<T>(work: () => T, message: (detail: string) => string): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof FsError && error.detail !== undefined && error.syscall === undefined)
      throw new Failure(message(error.detail));
    throw error;
  }
}

function deviceSizeIsZero(calledAs: string): string {
  return (
    `${calledAs}: Device size reported to be zero.  Invalid partition specified, or\n` +
    "\tpartition table wasn't reread after running fdisk, due to\n" +
    '\ta modified partition being busy and in use.  You may need to reboot\n' +
    '\tto re-read your partition table.\n\n'
  );
}

function proceedOrFail(io: Io): void {
  io.stdout.write('Proceed anyway? (y,N) ');
  if (!/^y/i.test(io.stdin.readLine() ?? '')) throw new Failure('\n', 'stdout');
}
