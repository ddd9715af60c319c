import { UsageError } from '../../errors.ts';
import { type Applet, defineApplet } from '../applet.ts';
import { getopt, type ParsedArguments } from '../getopt.ts';
import { renderHelp } from '../help.ts';
import type { Io } from '../io.ts';
import { backUpCommand } from './sfdisk/backup.ts';
import { activate, deletePartitions, diskId, partitionField, relocate, reorder } from './sfdisk/changes.ts';
import { OPTIONS, readOptions } from './sfdisk/command-line.ts';
import { type Context, Failure } from './sfdisk/context.ts';
import { edit } from './sfdisk/edit.ts';
import { dump, listDisks, listFree, listTypes, showGeometry, showSize, verify } from './sfdisk/lists.ts';
import { Talk } from './sfdisk/talk.ts';

export const sfdisk: Applet = defineApplet({
  name: 'sfdisk',
  kind: 'applet',
  summary: 'make and change the partition table (MBR or GPT) of a disk image by a script',
  usage: ['sfdisk [OPTION]... DISK [[-N] NUMBER]', 'sfdisk [OPTION]... COMMAND DISK [ARGUMENT]...'],
  description: [
    'Without a command, sfdisk reads from standard input the lines of a script and makes the table that they describe. A line of the form START SIZE TYPE BOOTABLE makes a partition; what is left out or "-" is chosen. The form "start=…, size=…, type=…, name=…, uuid=…, attrs=…, bootable" says the same. Lines such as "label: gpt" come first. Numbers are sectors, with a suffix (10M, 4GiB) bytes. What --dump prints is a script.',
    'With -N, one partition changes: what the line does not say stays as it is, "+" enlarges it, "+SIZE" and "-SIZE" change its size, or its start, by that much.',
    'Types are hexadecimal numbers (MBR), GUIDs (GPT), names, aliases (linux, swap, extended, home, uefi, raid, lvm), or their letters (L, S, Ex, H, U, R, V).',
    'The size of sectors is found out from a table that is there; --sector-size says which a new table on a file is for.',
  ],
  options: OPTIONS,
  examples: [
    {
      command: "printf ',10M,L,*\\n,,S\\n' | sfdisk c.img",
      explanation: 'Two partitions: a bootable one of 10 MiB, and swap over the rest.',
    },
    {
      command: 'sfdisk -d a.img | sfdisk b.img',
      explanation: 'Give b.img the table of a.img.',
    },
    {
      command: "echo '+100M,' | sfdisk -N 1 --move-data=move.log c.img",
      explanation: 'Move partition 1 and its data up by 100 MiB, and keep a log of it.',
    },
    { command: 'sfdisk --delete c.img 2', explanation: 'Delete the second partition.' },
  ],
  exitStatus: { 0: 'success', 1: 'something is wrong, or nothing was written' },
  notSupported: [
    'Sun, SGI and BSD tables',
    '--color=always; -Y other than dos',
    'moving a logical partition before its boot record, which the tool does by writing a wrong start',
  ],
  run(io, argv) {
    try {
      return run(io, getopt(argv, OPTIONS));
    } catch (error) {
      if (error instanceof Failure) {
        if (error.message !== '') io.stderr.write(`sfdisk: ${error.message}\n`);
        return 1;
      }
      if (!(error instanceof UsageError)) throw error;
      const hint = /^(invalid option|unrecognized|option )/.test(error.message);
      io.stderr.write(
        `sfdisk: ${error.message}\n${hint ? "Try 'sfdisk --help' for more information.\n" : ''}`,
      );
      return 1;
    }
  },
});

function run(io: Io, parsed: ParsedArguments): number {
  if (parsed.has('help')) {
    io.stdout.write(renderHelp(sfdisk));
    return 0;
  }
  if (parsed.has('version')) {
    io.stdout.write('sfdisk from util-linux 2.38.1\n');
    return 0;
  }
  const options = readOptions(parsed);
  for (const warning of options.warnings) io.stderr.write(`sfdisk: ${warning}\n`);
  const context: Context = { io, talk: new Talk(io, options.quiet), options };
  return runCommand(context, parsed.operands);
}

function runCommand(context: Context, operands: readonly string[]): number {
  switch (context.options.command) {
    case 'edit':
      return edit(context, operands);
    case 'activate':
      return activate(context, operands);
    case 'dump':
    case 'json':
      return dump(context, operands);
    case 'backup-pt-sectors':
      return backUpCommand(context, operands);
    case 'show-geometry':
      return showGeometry(context, operands);
    case 'list':
      return listDisks(context, operands);
    case 'list-free':
      return listFree(context, operands);
    case 'reorder':
      return reorder(context, operands);
    case 'show-size':
      return showSize(context, operands);
    case 'list-types':
      return listTypes(context);
    case 'verify':
      return verify(context, operands);
    case 'delete':
      return deletePartitions(context, operands);
    case 'disk-id':
      return diskId(context, operands);
    case 'relocate':
      return relocate(context, operands);
    default:
      return partitionField(context, operands);
  }
}
