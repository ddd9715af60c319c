import fs from 'node:fs';
import path from 'node:path';
import type { Timestamp } from '../../bytes/time.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { SliceDevice } from '../../device/slice-device.ts';
import { FsError, UsageError } from '../../errors.ts';
import { prepareMessage } from '../../filesystem/fat/format/boot-message.ts';
import type { FormatNote } from '../../filesystem/fat/format/format-note.ts';
import { encodeLabel } from '../../filesystem/fat/format/label.ts';
import { metadataEnd } from '../../filesystem/fat/format/layout.ts';
import { chooseFatBits, planFormat } from '../../filesystem/fat/format/plan.ts';
import { writeFormat } from '../../filesystem/fat/format.ts';
import { clockFromEnvironment, systemUtcOffsetMinutes } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import { renderHelp } from '../help.ts';
import type { Io } from '../io.ts';
import { findBadBlocks } from './mkfs-fat/bad-blocks.ts';
import { type CommandLine, CommandLineError, OPTIONS, parseCommandLine } from './mkfs-fat/command-line.ts';
import { Failure, isSystemError, systemErrorText } from './mkfs-fat/failure.ts';
import { describeLayout, lineOf } from './mkfs-fat/report.ts';
import {
  checkTarget,
  examineTarget,
  formattedSize,
  growTo,
  openTarget,
  type TargetFacts,
} from './mkfs-fat/target.ts';

/** `--invariant`: 2015-03-14T09:26:53Z, and a number that is as good as any. */
const INVARIANT_TIME: Timestamp = { seconds: 1_426_325_213, nanoseconds: 0 };
const INVARIANT_VOLUME_ID = 0x1234abcd;
/** The complaints that the tool ends with two newlines. */
const BLANK_LINE_AFTER = /are not allowed$|Atari format$/;

export const mkfsFat = defineApplet({
  name: 'mkfs.fat',
  aliases: ['mkdosfs', 'mkfs.vfat', 'mkfs.msdos'],
  kind: 'applet',
  summary: 'make a FAT12, FAT16 or FAT32 file system',
  usage: ['mkfs.fat [OPTION]... DEVICE [BLOCK-COUNT]'],
  description: [
    'Makes an empty FAT file system on DEVICE, a file, a block device or a partition of an image (IMAGE:N), byte for byte as mkfs.fat of dosfstools 4.2 ' +
      'makes it. BLOCK-COUNT is the size in KiB; without it the whole device is used.',
    'Numbers may be written in decimal, in octal with a leading 0 or in hexadecimal with a leading 0x. Without ' +
      '--invariant, the environment variable SOURCE_DATE_EPOCH takes the place of the clock.',
  ],
  options: OPTIONS,
  examples: [
    {
      command: 'mkfs.fat -C -n BOOT floppy.img 1440',
      explanation: 'Makes the file of a 1.44 MB floppy with an empty FAT12 file system.',
    },
    {
      command: 'mkfs.fat disk.img:1',
      explanation:
        'Formats the first partition of a disk image, with its start as the hidden sectors, and nothing outside of it.',
    },
    {
      command: 'mkfs.fat -F32 --offset 2048 disk.img',
      explanation: 'Formats from sector 2048 to the end of a disk image, without a loop device.',
    },
  ],
  exitStatus: { 0: 'the file system was made', 1: 'it was not' },
  notSupported: [
    'labels with characters beyond ASCII in code pages other than 437 and 850',
    'reserved sectors or root directory entries that alignment rounds up past 65535: dosfstools writes 0',
    'the geometry that a block device reports (HDIO_GETGEO): it follows from the size',
  ],
  run,
});

function run(io: Io, argv: readonly string[], calledAs: string): number {
  io.stdout.write('mkfs.fat 4.2 (2021-01-31)\n');
  const usage = `Usage: ${calledAs} [OPTIONS] TARGET [BLOCKS]\nTry "${calledAs} --help" for more information.\n`;
  try {
    const command = parseCommandLine(argv);
    if (command === 'help') io.stdout.write(renderHelp(mkfsFat));
    else format(io, command, calledAs);
    return 0;
  } catch (error) {
    if (error instanceof CommandLineError) {
      io[error.stream].write(`${error.message}\n`);
      io.stderr.write(usage);
    } else if (error instanceof UsageError) {
      io.stderr.write(`${calledAs}: ${error.message}\n${usage}`);
    } else if (error instanceof Failure || (error instanceof FsError && error.syscall === 'format')) {
      const message = error instanceof FsError ? (error.detail ?? error.text) : error.message;
      io.stderr.write(`${calledAs}: ${message}\n${BLANK_LINE_AFTER.test(message) ? '\n' : ''}`);
    } else throw error;
    return 1;
  }
}

function format(io: Io, command: CommandLine, calledAs: string): void {
  const clock = command.invariant ? () => INVARIANT_TIME : clockFromEnvironment(io.env);
  const bootMessage = readBootMessage(io, command);
  if (command.create && command.blockCount === undefined) throw new Failure('Need intended size with -C.');
  if (command.check && command.badBlocksFile !== undefined) throw new Failure('-c and -l are incompatible');
  const now = clock();
  const volumeId = command.volumeId ?? (command.invariant ? INVARIANT_VOLUME_ID : volumeIdOfTime(now));
  const reproducible = command.invariant || (io.env['SOURCE_DATE_EPOCH'] ?? '') !== '';

  const device = openTarget(io, command);
  let grown: BlockDevice | undefined;
  try {
    const facts = examineTarget(io, command.target);
    checkTarget(io, command, facts);
    const sectorSize = chooseSectorSize(io, command, facts);
    const size = formattedSize(io, command, device.size, command.offset * (sectorSize ?? 512));
    function note(decision: FormatNote): void {
      const line = lineOf(decision);
      if (command.verbosity >= line.verbosity) io[line.stream].write(`${line.text}\n`);
    }
    const chosenBits = chooseFatBits(device.size, command.layout, note);
    const label = checkLabel(io, command, calledAs);
    const layout = planFormat(
      size,
      {
        hiddenSectors: facts.startSector,
        ...command.layout,
        ...(sectorSize !== undefined && { sectorSize }),
        volumeId,
        mediumSize: device.size,
        ...(bootMessage !== undefined && { bootMessage }),
        mbr: command.mbr === 'yes' || (command.mbr === 'auto' && facts.isFixedDisk),
      },
      chosenBits,
      note,
    );
    // The tool counts in what the sector has become by now: on Atari that may be more than it began with.
    const offset = command.offset * layout.sectorSize;
    if (command.verbosity >= 1) io.stdout.write(`${describeLayout(command.target, layout, label)}\n`);
    const badBlocks = findBadBlocks(io, command, layout, device, offset);
    grown = growTo(io, command, device, facts, offset + metadataEnd(layout));
    writeFormat(new SliceDevice(grown ?? device, offset), layout, {
      ...(label !== undefined && { label }),
      codePage: command.codePage,
      created: now,
      utcOffsetMinutes: reproducible ? 0 : systemUtcOffsetMinutes(),
      ...(bootMessage !== undefined && { bootMessage }),
      diskSignature: volumeId,
      badBlocks,
    });
  } finally {
    grown?.close();
    device.close();
  }
}

/** As dosfstools makes it: the low 12 bits of the seconds over the microseconds. */
function volumeIdOfTime(time: Timestamp): number {
  return (((time.seconds & 0xfff) << 20) | Math.floor(time.nanoseconds / 1000)) >>> 0;
}

function readBootMessage(io: Io, command: CommandLine): Uint8Array | undefined {
  if (command.messageFile === undefined) return undefined;
  let text: Uint8Array;
  try {
    text =
      command.messageFile === '-'
        ? io.stdin.readAll()
        : fs.readFileSync(path.resolve(io.cwd, command.messageFile));
  } catch (error) {
    // The tool says so and goes on with its own message.
    if (!isSystemError(error)) throw error;
    io.stderr.write(`${command.messageFile}: ${systemErrorText(error)}\n`);
    return undefined;
  }
  const { message, truncated } = prepareMessage(text);
  if (truncated) io.stdout.write('Warning: message too long; truncated\n');
  return message;
}

/** The label as it is to be written; undefined for none. */
function checkLabel(io: Io, command: CommandLine, calledAs: string): string | undefined {
  if (command.label === undefined) return undefined;
  const { bytes, hasLowerCase, problem, missing } = encodeLabel(command.label, command.codePage);
  if (missing !== undefined) {
    const first = Buffer.from(missing)[0]!.toString(16).toUpperCase();
    io.stderr.write(
      `Cannot convert input sequence '\\x${first}' from codeset 'UTF-8' to 'CP${command.codePage.number}': ` +
        'Invalid or incomplete multibyte or wide character\n',
    );
    throw new Failure('Error when processing label');
  }
  if (hasLowerCase) {
    io.stderr.write(`${calledAs}: Warning: lowercase labels might not work properly on some systems\n`);
  }
  if (problem !== undefined) throw new Failure(problem);
  return bytes === undefined ? undefined : command.label.replace(/ +$/, '');
}

/** Undefined when neither the command line nor the device says. */
function chooseSectorSize(io: Io, command: CommandLine, facts: TargetFacts): number | undefined {
  let { sectorSize } = command.layout;
  if (facts.sectorSize > (sectorSize ?? 512)) {
    if (sectorSize !== undefined) {
      io.stderr.write(`Warning: sector size was set to ${facts.sectorSize} (minimal for this device)\n`);
    }
    sectorSize = facts.sectorSize;
  }
  if (sectorSize !== undefined && sectorSize > 4096) {
    io.stderr.write(
      `Warning: sector size ${sectorSize} > 4096 is non-standard, filesystem may not be usable\n`,
    );
  }
  return sectorSize;
}
