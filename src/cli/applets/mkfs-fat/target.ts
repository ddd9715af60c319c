import fs from 'node:fs';
import path from 'node:path';
import type { BlockDevice } from '../../../device/block-device.ts';
import { FsError, hasCode } from '../../../errors.ts';
import { FileDevice } from '../../../host/file-device.ts';
import { isNbdUri } from '../../../host/nbd-uri.ts';
import type { Io } from '../../io.ts';
import { findAttached, mountsOf } from '../../open-device.ts';
import { findPart, offsetOfPart, openVolume } from '../../open-volume.ts';
import type { CommandLine } from './command-line.ts';
import { Failure, isSystemError, systemErrorText } from './failure.ts';

const BLOCK_SIZE = 1024;

/** Opens or, with `-C`, creates what is to be formatted. */
export function openTarget(io: Io, command: CommandLine): BlockDevice {
  const file = path.resolve(io.cwd, command.target);
  if (command.create) {
    const size = command.blockCount! * BLOCK_SIZE + command.offset * (command.layout.sectorSize ?? 512);
    if (!Number.isSafeInteger(size)) throw new Failure(`unable to resize ${command.target}`);
    try {
      return FileDevice.create(file, size);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (hasCode(error, 'EEXIST')) throw new Failure(`file ${command.target} already exists`);
      const act = error.syscall === 'ftruncate' ? 'resize' : 'create';
      throw new Failure(`unable to ${act} ${command.target}`);
    }
  }
  try {
    // The empty name is not the current folder.
    if (command.target === '') throw new FsError('ENOENT', { syscall: 'open', path: '' });
    // Whether it is mounted is asked, and told in the tool's words, in `checkTarget`.
    return openVolume(io, command.target, { whileMounted: true });
  } catch (error) {
    if (hasCode(error, 'EINVAL')) throw new Failure(`unable to discover size of ${command.target}`);
    if (!isSystemError(error)) throw error;
    throw new Failure(`unable to open ${command.target}: ${systemErrorText(error)}`);
  }
}

/** What the host knows of a target beyond its bytes. */
export interface TargetFacts {
  readonly isRegularFile: boolean;
  /** Start of the partition on its disk, where the target is one. */
  readonly startSector: number;
  /** Bytes; the device does not do with less. */
  readonly sectorSize: number;
  readonly hasPartitions: boolean;
  /** A disk that stays where it is: Windows wants a partition table on it. */
  readonly isFixedDisk: boolean;
}

const REGULAR_FILE: TargetFacts = {
  isRegularFile: true,
  startSector: 0,
  sectorSize: 512,
  hasPartitions: false,
  isFixedDisk: false,
};

/** Refuses what is in use. */
export function checkTarget(io: Io, command: CommandLine, facts: TargetFacts): void {
  if (isMounted(io, command.target)) throw new Failure(`${command.target} contains a mounted filesystem.`);
  if (facts.hasPartitions && !command.force) {
    throw new Failure(
      `Partitions or virtual mappings on device '${command.target}', not making filesystem (use -I to override)`,
    );
  }
}

/** Facts about a block special file come from sysfs, as far as the host has one. */
export function examineTarget(io: Io, target: string): TargetFacts {
  const part = findPart(io, target);
  const attached = part?.attached ?? findAttached(io, target);
  if (attached !== undefined) {
    const { state, view } = attached;
    const isPartition = view.partition !== undefined;
    return {
      isRegularFile: false,
      startSector: isPartition ? Math.floor(view.offset / state.sectorSize) : 0,
      sectorSize: state.sectorSize,
      hasPartitions: !isPartition && state.views.some(({ partition }) => partition !== undefined),
      isFixedDisk: false,
    };
  }
  if (part !== undefined) {
    return {
      ...REGULAR_FILE,
      isRegularFile: false,
      startSector: Math.floor(offsetOfPart(io, target)! / 512),
    };
  }
  if (isNbdUri(target)) return { ...REGULAR_FILE, isRegularFile: false };
  const file = path.resolve(io.cwd, target);
  if (!fs.statSync(file).isBlockDevice()) return REGULAR_FILE;
  const name = path.basename(fs.realpathSync(file));
  const folder = `/sys/class/block/${name}`;
  const isPartition = fs.existsSync(`${folder}/partition`);
  const disk = isPartition ? path.basename(path.dirname(fs.realpathSync(folder))) : name;
  const below = listFolder(folder).filter((entry) => fs.existsSync(`${folder}/${entry}/partition`));
  const isLoop = fs.existsSync(`/sys/class/block/${disk}/loop`) || /^loop\d+$/.test(disk);
  return {
    isRegularFile: false,
    startSector: isPartition ? readNumber(`${folder}/start`, 0) : 0,
    sectorSize: readNumber(`/sys/class/block/${disk}/queue/logical_block_size`, 512),
    hasPartitions: below.length > 0 || listFolder(`${folder}/holders`).length > 0,
    isFixedDisk: !isPartition && !isLoop && readNumber(`${folder}/removable`, 1) === 0,
  };
}

/** Is a file system on it in use? */
function isMounted(io: Io, target: string): boolean {
  const part = findPart(io, target);
  const attached = part?.attached ?? findAttached(io, target);
  if (attached !== undefined) return mountsOf(attached).length > 0;
  const file = path.resolve(io.cwd, target);
  if (part !== undefined || isNbdUri(target) || !fs.existsSync('/proc/self/mounts')) return false;
  const real = fs.realpathSync(file);
  return fs
    .readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .some((line) => unescapeMount(line.split(' ', 1)[0]!) === real);
}

/** Blanks in names stand there as three octal digits. */
function unescapeMount(name: string): string {
  return name.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function listFolder(folder: string): string[] {
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
}

function readNumber(file: string, absent: number): number {
  return fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : absent;
}

/** Bytes to be formatted; more than there are is the caller's own risk, as with the tool. */
export function formattedSize(io: Io, command: CommandLine, deviceSize: number, offset: number): number {
  if (command.create) return command.blockCount! * BLOCK_SIZE;
  if (deviceSize === 0) throw new Failure(`unable to discover size of ${command.target}`);
  const available = deviceSize - offset;
  if (available < 0) {
    throw new Failure(`The device ${command.target} size ${deviceSize} is less then the offset ${offset}`);
  }
  if (command.blockCount === undefined) return available;
  const found = Math.floor(available / BLOCK_SIZE);
  if (command.blockCount > found && findPart(io, command.target) !== undefined) {
    throw new Failure(
      `${command.target} has ${found} blocks of ${BLOCK_SIZE} bytes, not ${command.blockCount}`,
    );
  }
  if (command.blockCount !== found) {
    io.stderr.write(`Warning: block count mismatch: found ${found} but assuming ${command.blockCount}.\n`);
  }
  // A sector that makes no whole KiB at the end of the device counts on top, as with the tool.
  return command.blockCount * BLOCK_SIZE + (available % BLOCK_SIZE);
}

/** The tables may end behind the end of a file, when a block count promises more than there is: then the file grows. */
export function growTo(
  io: Io,
  command: CommandLine,
  device: BlockDevice,
  facts: TargetFacts,
  size: number,
): BlockDevice | undefined {
  if (size <= device.size || !facts.isRegularFile) return undefined;
  const file = path.resolve(io.cwd, command.target);
  fs.truncateSync(file, size);
  return FileDevice.open(file);
}
