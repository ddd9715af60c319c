import path from 'node:path';
import { parseSize } from '../../bytes/size.ts';
import type { AttachRequest, ListenRequest } from '../../attach/device-state.ts';
import { type BackendChoice, attachImage, parseBackendChoice } from '../../attach/backend-choice.ts';
import { splitName } from '../../attach/device-names.ts';
import { viewPath } from '../../attach/view-path.ts';
import { SliceDevice } from '../../device/slice-device.ts';
import { UsageError } from '../../errors.ts';
import { FileDevice } from '../../host/file-device.ts';
import { otherSectorSize, readTable } from '../../partition/table.ts';
import { defineApplet } from '../applet.ts';
import { type ParsedArguments, getopt } from '../getopt.ts';
import type { Io } from '../io.ts';
import { checkOperands } from './operand-count.ts';
import { print, printJson } from './print.ts';

/** The port that IANA gives to NBD. */
const NBD_PORT = 10809;

/** `userloop attach`: an image becomes a device. */
export const attach = defineApplet({
  name: 'attach',
  kind: 'verb',
  summary: 'make a device of an image',
  usage: ['userloop attach [OPTION]... IMAGE'],
  description: [
    'Makes a device of the image and prints the path by which programs open it; its partitions are files beside it, with p1, p2 ... behind the name, and follow the partition table as it changes. When it returns, all of them can be opened. The device stays until userloop detach.',
    "Needs no root: a process of this user's serves the device, as files where FUSE can be had, and always as NBD on a unix socket, which --json prints. Root gets the kernel's own loop device where there is one, unless an option asks for what only a process can do.",
    'An image can be attached once for writing, or any number of times for reading. Numbers take the suffixes K, M, G, T.',
  ],
  options: [
    {
      short: 'o',
      long: 'offset',
      argument: 'required',
      argumentName: 'OFFSET',
      description: 'the device starts at this byte of the image',
    },
    {
      long: 'sizelimit',
      argument: 'required',
      argumentName: 'SIZE',
      description: 'and has this many bytes at most',
    },
    { short: 'r', long: 'read-only', description: 'nothing can be written' },
    {
      short: 'b',
      long: 'sector-size',
      argument: 'required',
      argumentName: 'SIZE',
      description:
        'bytes a logical sector: 512, 1024, 2048 or 4096; by default 512, and what the table of the image was made for',
    },
    {
      short: 'P',
      long: 'partscan',
      description: "have the kernel look for partitions; a process of userloop's always does",
    },
    {
      long: 'overlay',
      argument: 'optional',
      argumentName: 'FILE',
      description:
        'leave the image as it is: what is written goes to FILE, which keeps it for the next time, or to memory',
    },
    { long: 'autoclear', description: 'detach when the last program or mount that uses it has gone' },
    {
      long: 'listen',
      argument: 'optional',
      argumentName: 'HOST:PORT',
      description: `serve NBD over TCP, too; 127.0.0.1:${NBD_PORT} by default, port 0 for any that is free`,
    },
    {
      long: 'tls-certificates',
      argument: 'required',
      argumentName: 'DIR',
      description: 'over TCP only with TLS: server-cert.pem, server-key.pem and ca-cert.pem are in DIR',
    },
    {
      long: 'tls-psk',
      argument: 'required',
      argumentName: 'FILE',
      description: "over TCP only with TLS: FILE has lines of USER:KEY, as psktool's",
    },
    {
      long: 'name',
      argument: 'required',
      argumentName: 'NAME',
      description: 'which name it gets: loop3, md0, vnd0; the first free loop device by default',
    },
    {
      long: 'backend',
      argument: 'required',
      argumentName: 'KIND',
      description: "kernel, user, or auto: the kernel's driver or a process of ours",
    },
    { long: 'no-files', description: 'serve NBD only' },
    { long: 'json', description: 'print everything that is known of the device' },
  ],
  examples: [
    { command: 'userloop attach disk.img', explanation: 'prints the path of the device' },
    {
      command: 'mkfs.ext4 $(userloop attach -o 1M disk.img)',
      explanation: 'a partition of which only the place is known',
    },
    {
      command: 'userloop attach --overlay --name loop7 disk.img',
      explanation: 'changes are forgotten when it is detached',
    },
  ],
  notSupported: ['the URI of an NBD export as IMAGE: our commands take it by that name'],
  exitStatus: { 0: 'it is attached', 1: 'it could not be', 2: 'wrong usage' },
  async run(io, argv) {
    const args = getopt(argv, attach.options);
    if (args.operands.length === 2 && args.has('overlay') && args.value('overlay') === undefined)
      throw new UsageError(`the file of an overlay is named with --overlay=FILE, not "--overlay FILE"`);
    checkOperands(args.operands, 1, 1);
    const asked = requestOf(io, args, args.operands[0]!);
    const madeFor = args.has('sector-size') ? undefined : sectorSizeOfImage(asked);
    if (madeFor !== undefined) {
      io.stderr.write(`userloop attach: ${args.operands[0]!} was made for ${madeFor}-byte sectors\n`);
    }
    const request = madeFor === undefined ? asked : { ...asked, sectorSize: madeFor };
    const state = await attachImage(io.env, chosenBackend(args, request), request);
    if (state.filesProblem !== undefined) {
      io.stderr.write(
        `userloop attach: there are no device files: ${state.filesProblem}; userloop's own commands and NBD programs can use ${state.name}\n`,
      );
    }
    if (state.readOnly && !request.readOnly) {
      io.stderr.write(
        `userloop attach: ${args.operands[0]!} cannot be written, so ${state.name} is for reading; --overlay keeps what is written elsewhere\n`,
      );
    }
    if (args.has('json')) printJson(io, (await import('./list.ts')).withPath(state));
    else print(io, `${viewPath(state)}\n`);
    return 0;
  },
});

function requestOf(io: Io, args: ParsedArguments, image: string): AttachRequest {
  const name = args.value('name');
  const wanted = name === undefined ? undefined : splitName(name.replace(/^\/dev\//, ''));
  if (name !== undefined && wanted === undefined)
    throw new UsageError(`"${name}" is no name of a device, expected loopN, mdN or vndN`);
  const overlay = args.has('overlay') ? (args.value('overlay') ?? 'memory') : undefined;
  const listen = listenRequest(io, args);
  const readOnly = args.has('read-only');
  if (readOnly && overlay !== undefined) throw new UsageError('--read-only and --overlay exclude each other');
  return {
    family: wanted?.family ?? 'loop',
    ...(wanted === undefined ? {} : { unit: wanted.unit }),
    source: 'vnode',
    image: path.resolve(io.cwd, image),
    offset: sizeOf(args, 'offset') ?? 0,
    sizeLimit: sizeOf(args, 'sizelimit') ?? 0,
    sectorSize: sizeOf(args, 'sector-size') ?? 512,
    readOnly,
    autoclear: args.has('autoclear'),
    partitionScan: args.has('partscan'),
    directIo: false,
    ...(overlay === undefined
      ? {}
      : { overlay: overlay === 'memory' ? overlay : path.resolve(io.cwd, overlay) }),
    files: !args.has('no-files'),
    ...(listen === undefined ? {} : { listen }),
  };
}

/** What its table tells of an image that was not made for the usual sectors. What cannot be read is for `attach` to refuse. */
function sectorSizeOfImage({ image, offset, sizeLimit }: AttachRequest): number | undefined {
  let file: FileDevice;
  try {
    file = FileDevice.open(image, { readOnly: true });
  } catch {
    return undefined;
  }
  try {
    if (offset >= file.size) return undefined;
    const size = sizeLimit === 0 ? file.size - offset : Math.min(sizeLimit, file.size - offset);
    const device = new SliceDevice(file, offset, size);
    return otherSectorSize(device, readTable(device));
  } finally {
    file.close();
  }
}

function sizeOf(args: ParsedArguments, option: string): number | undefined {
  const text = args.value(option);
  if (text === undefined) return undefined;
  const size = parseSize(text);
  if (size === undefined) throw new UsageError(`--${option} is "${text}", expected a number of bytes`);
  return size;
}

function listenRequest(io: Io, args: ParsedArguments): ListenRequest | undefined {
  const certificates = args.value('tls-certificates');
  const pskFile = args.value('tls-psk');
  if (!args.has('listen')) {
    if (certificates === undefined && pskFile === undefined) return undefined;
    throw new UsageError('TLS is for TCP: name an address with --listen');
  }
  const text = args.value('listen') ?? `127.0.0.1:${NBD_PORT}`;
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? NBD_PORT : Number(digits);
  if (host === undefined || port > 65535)
    throw new UsageError(`--listen is "${text}", expected HOST, HOST:PORT or [ADDRESS]:PORT`);
  const tls = {
    ...(certificates === undefined ? {} : { certificates: path.resolve(io.cwd, certificates) }),
    ...(pskFile === undefined ? {} : { pskFile: path.resolve(io.cwd, pskFile) }),
  };
  return {
    host: host === '' ? '127.0.0.1' : host,
    port,
    ...(Object.keys(tls).length === 0 ? {} : { tls: { ...tls, require: true } }),
  };
}

/** What only a process of ours can do decides where nothing else does. */
function chosenBackend(args: ParsedArguments, request: AttachRequest): BackendChoice | undefined {
  const text = args.value('backend');
  const choice = text === undefined ? undefined : parseBackendChoice(text, '--backend');
  const needs =
    request.family !== 'loop'
      ? `the name ${request.family}`
      : request.overlay !== undefined
        ? '--overlay'
        : request.listen !== undefined
          ? '--listen'
          : request.files
            ? undefined
            : '--no-files';
  if (needs === undefined) return choice;
  if (choice === 'kernel') throw new UsageError(`the kernel's loop devices have no ${needs}`);
  return 'user';
}
