import fs from 'node:fs';
import path from 'node:path';
import { attachDevice, detachDevice } from '../../attach/client.ts';
import type { DeviceState } from '../../attach/device-state.ts';
import { listDevices } from '../../attach/registry.ts';
import { FsError } from '../../errors.ts';
import { readMountTable } from '../../host/mount-table.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { VND_UNITS } from '../shell/device-names.ts';
import { runBsdTool, systemFailure } from './bsd/failure.ts';
import { OPTIONS, parseVnCommand, USAGE, type VnCommand } from './vnconfig/command-line.ts';

type Configure = Extract<VnCommand, { action: 'configure' }>;

export const vnconfig = defineApplet({
  name: 'vnconfig',
  kind: 'applet',
  summary: 'make disk devices of files, as on OpenBSD',
  usage: [
    'vnconfig [-cv] [-t DISKTYPE] [VND_DEV] IMAGE',
    'vnconfig -l [VND_DEV]',
    'vnconfig -u [-v] VND_DEV',
  ],
  description: [
    'Attaches a file as a device: vnd0c is all of it, vnd0i the first partition that is not one of OpenBSD, vnd0j the next one, and so on; a FAT file system without a partition table is vnd0i, too. With an r in front they are the raw devices of OpenBSD, which here are the same.',
    'VND_DEV is vnd0, vnd0c, rvnd0c or svnd0, with /dev/ in front or without; without VND_DEV the first one that is free is taken and its name printed. All forms of the command since OpenBSD 2.2 are understood.',
    'In userloop shell the devices are in /dev for every program. Elsewhere the commands of userloop know them by these names.',
    '-l says for each unit which file it covers, on which device of the host that file is, and its inode.',
  ],
  options: OPTIONS,
  examples: [
    { command: 'vnconfig vnd0 floppy.img', explanation: 'Makes vnd0 of the file.' },
    { command: 'vnconfig floppy.img', explanation: 'The first free one, whose name is printed.' },
    { command: 'vnconfig -l', explanation: 'Lists all units.' },
    { command: 'vnconfig -u vnd0', explanation: 'Detaches it.' },
  ],
  exitStatus: { 0: 'done', 1: 'it could not be done', 4: 'there is no device of that name' },
  notSupported: [
    '-k, -K and -S: encrypted images',
    '-t with other entries of disktab(5) than floppy, floppy3, 3in, floppy5 and 5in',
    "NetBSD's vndconfig, whose raw partition is vnd0d",
  ],
  run(io, argv, calledAs) {
    return runBsdTool(calledAs, io.stderr, USAGE, () => runCommand(io, parseVnCommand(argv), calledAs));
  },
});

async function runCommand(io: Io, command: VnCommand, calledAs: string): Promise<number> {
  switch (command.action) {
    case 'list':
      list(io, command.unit);
      return 0;
    case 'clear':
      try {
        const state = units(io).find(({ unit }) => unit === command.unit);
        if (state === undefined) throw new FsError('ENXIO');
        await detachDevice(state);
      } catch (error) {
        throw systemFailure('VNDIOCCLR', error);
      }
      if (command.verbose) io.stderr.write(`${command.device}: cleared\n`);
      return 0;
    case 'configure':
      await configure(io, command, calledAs);
      return 0;
  }
}

async function configure(io: Io, command: Configure, calledAs: string): Promise<void> {
  let state: DeviceState;
  try {
    const image = fs.realpathSync(path.resolve(io.cwd, command.image));
    // vnd(4) takes nothing else.
    if (!fs.statSync(image).isFile()) {
      throw new FsError('EINVAL', { detail: `${command.image} is not a regular file` });
    }
    state = await attachDevice(io.env, {
      family: 'vnd',
      ...(command.unit === undefined ? {} : { unit: command.unit }),
      source: 'vnode',
      image,
      offset: 0,
      sizeLimit: 0,
      sectorSize: 512,
      readOnly: false,
      autoclear: false,
      partitionScan: false,
      directIo: false,
      sectorsPerTrack: command.sectorsPerTrack,
      heads: command.heads,
      files: true,
    });
  } catch (error) {
    throw systemFailure('VNDIOCSET', error);
  }
  if (state.filesProblem !== undefined) {
    io.stderr.write(
      `${calledAs}: no device files (${state.filesProblem}): only userloop's own commands find ${state.name}\n`,
    );
  }
  if (command.unit === undefined) io.stdout.write(`${state.name}\n`);
  if (command.verbose) {
    io.stderr.write(`${command.device ?? state.name}: ${state.size} bytes on ${command.image}\n`);
  }
}

function units(io: Io): DeviceState[] {
  return listDevices(io.env).filter(({ family }) => family === 'vnd');
}

function list(io: Io, only: number | undefined): void {
  const attached = units(io);
  const count = Math.max(VND_UNITS, ...attached.map(({ unit }) => unit + 1));
  const numbers = only === undefined ? Array.from({ length: count }, (_, unit) => unit) : [only];
  for (const unit of numbers) {
    const state = attached.find((candidate) => candidate.unit === unit);
    const what =
      state === undefined
        ? 'not in use'
        : `covering ${path.basename(state.image)} on ${hostDevice(state)}, inode ${state.imageInode}`;
    io.stdout.write(`vnd${unit}: ${what}\n`);
  }
}

/** The device of the host on which the image's file system is, by its own name: `vda1`. */
function hostDevice(state: DeviceState): string {
  const table = readMountTable();
  const number = BigInt(state.imageDevice);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xffff_f000n);
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffff_ff00n);
  const found =
    table.find(({ device }) => device === `${major}:${minor}`) ??
    // btrfs and its like number their files otherwise than their mounts: the mount that the file is below.
    table
      .filter(({ directory }) => state.image.startsWith(directory === '/' ? '/' : `${directory}/`))
      .sort((a, b) => a.directory.length - b.directory.length)
      .at(-1);
  return found === undefined ? `${major}:${minor}` : path.basename(found.source);
}
