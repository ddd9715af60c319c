import fs from 'node:fs';
import path from 'node:path';
import { attachDevice, changeDevice, detachDevice } from '../../attach/client.ts';
import type { DeviceState } from '../../attach/device-state.ts';
import { listDevices } from '../../attach/registry.ts';
import { FsError, hasCode } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { BsdFailure, runBsdTool, systemFailure } from './bsd/failure.ts';
import { humanizeSize } from './bsd/numbers.ts';
import { type MdCommand, OPTIONS, parseMdCommand, USAGE } from './mdconfig/command-line.ts';

type Attach = Extract<MdCommand, { action: 'attach' }>;
type List = Extract<MdCommand, { action: 'list' }>;

/** What FreeBSD's mdconfig asks its kernel by, and names when that says no. */
const CONTROL = 'ioctl(/dev/mdctl)';

export const mdconfig = defineApplet({
  name: 'mdconfig',
  kind: 'applet',
  summary: 'make devices of files and of memory, as on FreeBSD',
  usage: [
    'mdconfig -a -t TYPE [-n] [-o [no]OPTION]... [-f FILE] [-s SIZE] [-S BYTES] [-u UNIT] [-x SECTORS] [-y HEADS] [-L LABEL]',
    'mdconfig -d -u UNIT [-o [no]force]',
    'mdconfig -r -u UNIT -s SIZE [-o [no]force]',
    'mdconfig -l [-n] [-v] [-f FILE] [-u UNIT]',
    'mdconfig FILE',
  ],
  description: [
    'Attaches a file, or memory, as a device of the name md0, md1 ..., which it prints unless -u has given it. Its partitions are md0s1, md0s2 ...',
    'In userloop shell the devices are /dev/md0 and so on for every program. Elsewhere the commands of userloop know them by these names, and userloop list shows where their files are.',
    'A file that may not be written is attached for reading, with a warning. A file can be attached once for writing; FreeBSD lets it be attached more often, and damaged.',
  ],
  options: OPTIONS,
  examples: [
    { command: 'mdconfig -a -t vnode -f floppy.img', explanation: 'Attaches a file; prints md0.' },
    { command: 'mdconfig -s 64m -u 3', explanation: 'Makes md3, of 64 MiB that go when it is detached.' },
    { command: 'mdconfig -l -v', explanation: 'Lists what is attached.' },
    { command: 'mdconfig -d -u md0', explanation: 'Detaches it.' },
  ],
  exitStatus: { 0: 'done', 1: 'it could not be done', 255: '-l: there is no such unit' },
  notSupported: [
    '-t preload',
    '-o verify, -o reserve and -o mustdealloc',
    '-s of a vnode beyond the end of the file: make the file larger first (truncate -s)',
    '-r of a vnode to any other size than that of its file',
  ],
  run(io, argv, calledAs) {
    return runBsdTool(calledAs, io.stderr, USAGE, () => runCommand(io, parseMdCommand(argv), calledAs));
  },
});

async function runCommand(io: Io, command: MdCommand, calledAs: string): Promise<number> {
  if (command.action === 'list') return list(io, command);
  try {
    if (command.action === 'attach') await attach(io, command, calledAs);
    else if (command.action === 'detach') {
      await detachDevice(requireUnit(io, command.unit), { force: command.force });
    } else await resize(requireUnit(io, command.unit), command.size, command.force);
  } catch (error) {
    throw error instanceof BsdFailure ? error : systemFailure(CONTROL, error);
  }
  return 0;
}

async function attach(io: Io, command: Attach, calledAs: string): Promise<void> {
  const vnode = command.type === 'vnode';
  const { image, size, writable } = vnode
    ? checkFile(io, command)
    : { image: '', size: command.size, writable: true };
  let { readOnly } = command;
  if (!writable && !readOnly) {
    io.stderr.write(`${calledAs}: WARNING: opening backing store: ${image} readonly\n`);
    readOnly = true;
  }
  const sectorSize = command.sectorSize === 0 ? 512 : command.sectorSize;
  if (size < sectorSize) throw new FsError('EINVAL', { detail: `${size} bytes are less than a sector` });
  const state = await attachDevice(io.env, {
    family: 'md',
    ...(command.unit === undefined ? {} : { unit: command.unit }),
    source: command.type,
    image,
    offset: 0,
    // Without a limit it can grow with its file.
    sizeLimit: vnode && command.size === 0 && size % sectorSize === 0 ? 0 : size - (size % sectorSize),
    sectorSize,
    readOnly,
    autoclear: false,
    partitionScan: false,
    directIo: false,
    ...(command.label === '' ? {} : { label: command.label }),
    ...(command.sectorsPerTrack === 0 ? {} : { sectorsPerTrack: command.sectorsPerTrack }),
    ...(command.heads === 0 ? {} : { heads: command.heads }),
    files: true,
  });
  if (state.filesProblem !== undefined) {
    io.stderr.write(
      `${calledAs}: WARNING: no device files (${state.filesProblem}): only userloop's own commands find ${state.name}\n`,
    );
  }
  if (command.unit === undefined) {
    io.stdout.write(`${command.numberOnly ? state.unit : state.name}\n`);
  }
}

/** The file's whole name, the size that counts, and whether it may be written to. */
function checkFile(io: Io, command: Attach): { image: string; size: number; writable: boolean } {
  const { file } = command;
  let image: string;
  try {
    image = fs.realpathSync(path.resolve(io.cwd, file));
  } catch (error) {
    throw systemFailure(`could not find full path for ${file}`, error);
  }
  let available: number;
  try {
    const stats = fs.statSync(image);
    if (!stats.isFile()) throw new BsdFailure(`${file} is not a regular file`);
    fs.accessSync(image, fs.constants.R_OK);
    available = stats.size;
  } catch (error) {
    throw error instanceof BsdFailure ? error : systemFailure(`could not open ${file}`, error);
  }
  if (command.size > available) {
    throw new BsdFailure(
      `${file} has ${available} bytes, -s asks for ${command.size}; make it larger first: truncate -s ${command.size} ${file}`,
    );
  }
  return { image, size: command.size === 0 ? available : command.size, writable: mayWrite(image) };
}

function mayWrite(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.W_OK);
    return true;
  } catch (error) {
    for (const code of ['EACCES', 'EPERM', 'EROFS']) if (hasCode(error, code)) return false;
    throw error;
  }
}

function units(io: Io): DeviceState[] {
  return listDevices(io.env).filter(({ family }) => family === 'md');
}

function requireUnit(io: Io, unit: number): DeviceState {
  const found = units(io).find((state) => state.unit === unit);
  if (found === undefined) throw new FsError('ENOENT');
  return found;
}

/** As md(4) has it: smaller only when forced, and not what malloc has made. */
async function resize(state: DeviceState, size: number, force: boolean): Promise<void> {
  if (size < state.sectorSize)
    throw new FsError('EINVAL', { detail: `${size} bytes are less than a sector` });
  if (size < state.size && !force) {
    throw new FsError('EBUSY', { detail: `it has ${state.size} bytes; -o force takes some away` });
  }
  if (state.source === 'malloc') throw new FsError('EOPNOTSUPP');
  if (state.source === 'swap' && size % 4096 !== 0) {
    throw new BsdFailure(`${CONTROL}: Numerical argument out of domain (${size} bytes are no whole pages)`);
  }
  if (state.source !== 'vnode') {
    await changeDevice(state, { resize: size });
    return;
  }
  const available = fs.statSync(state.image).size;
  if (size !== available) {
    throw new BsdFailure(
      `${state.image} has ${available} bytes, -s asks for ${size}; change the file first: truncate -s ${size} ${state.image}`,
    );
  }
  const { size: now } = await changeDevice(state, { resize: true });
  if (now < size)
    throw new BsdFailure(`${state.name} was attached with a size of ${now} bytes (-s), and keeps it`);
}

function list(io: Io, command: List): number {
  let file: string | undefined;
  if (command.file !== undefined) {
    try {
      file = fs.realpathSync(path.resolve(io.cwd, command.file));
    } catch (error) {
      throw systemFailure('realpath', error);
    }
  }
  const found = units(io).filter(
    ({ unit, image }) =>
      (command.units === undefined || command.units.includes(String(unit))) &&
      (file === undefined || image === file),
  );
  const details = command.verbose || (command.units !== undefined && file === undefined);
  const names = found.map((state) => {
    const name = command.numberOnly ? String(state.unit) : state.name;
    return details
      ? [name, state.source, humanizeSize(state.size), state.image || '-', state.label ?? ''].join('\t')
      : name;
  });
  if (details || command.units !== undefined) io.stdout.write(names.map((name) => `${name}\n`).join(''));
  else if (names.length > 0) io.stdout.write(`${names.map((name) => `${name} `).join('')}\n`);
  // All of none is no failure.
  return found.length > 0 || (command.units === undefined && file === undefined) ? 0 : 255;
}
