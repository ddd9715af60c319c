import fs from 'node:fs';
import path from 'node:path';
import { parseNumber } from '../../boot/grub-legacy/device-name.ts';
import { GrubError } from '../../boot/grub-legacy/grub-error.ts';
import { UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import { getopt, type ParsedArguments } from '../getopt.ts';
import type { Io } from '../io.ts';
import { OTHER_COMMANDS } from './grub/commands.ts';
import { type MappedDrive, parseDeviceMap } from './grub/device-map.ts';
import { runShell } from './grub/shell.ts';

/** `grub`: the shell of GRUB legacy 0.97. */
export const grub = defineApplet({
  name: 'grub',
  kind: 'applet',
  summary: 'install the GRUB legacy boot loader in disk images, from a shell of commands',
  usage: ['grub [OPTION]... [DEVICE]'],
  description: [
    'Stands in for the shell of GRUB legacy 0.97. Commands are read from standard input. The stage files (stage1, ' +
      'stage2, *_stage1_5) must lie in /boot/grub or /grub of a file system in an image: root makes that the root ' +
      'device, setup installs. Which image stands for which BIOS drive is said by a device map, lines of "(hd0) ' +
      'FILE", or by the command device; without either there are no drives, since none are probed.',
    'An operand is accepted and has no effect, as with the tool that this stands in for.',
  ],
  options: [
    { long: 'batch', description: 'for scripts; this shell is always as plain as that' },
    {
      long: 'boot-drive',
      argument: 'required',
      argumentName: 'DRIVE',
      description: 'drive of the first root device, 0x0 by default',
    },
    {
      long: 'config-file',
      argument: 'required',
      argumentName: 'FILE',
      description: 'refused: no menu is shown',
    },
    {
      long: 'device-map',
      argument: 'required',
      argumentName: 'FILE',
      description: 'read the drives from FILE',
    },
    { long: 'hold', description: 'refused: there is no debugger to wait for' },
    {
      long: 'install-partition',
      argument: 'required',
      argumentName: 'PAR',
      description: 'partition of the first root device, 0x20000 by default',
    },
    { long: 'no-config-file', description: 'no menu, as always here' },
    { long: 'no-curses', description: 'no full-screen display, as always here' },
    { long: 'no-floppy', description: 'do not probe floppy drives; none are probed anyway' },
    { long: 'no-pager', description: 'no pager, as always here' },
    { long: 'preset-menu', description: 'refused: no menu is shown' },
    { long: 'probe-second-floppy', description: 'accepted; no drives are probed' },
    { long: 'read-only', description: 'write nothing, but go on as if it had been written' },
    { long: 'verbose', description: 'say which images are opened' },
    { long: 'version', description: 'print the version of GRUB that this stands in for' },
  ],
  examples: [
    {
      command: "printf 'root (fd0)\\nsetup (fd0)\\nquit\\n' | grub --batch --device-map=device.map",
      explanation: 'make a floppy image bootable; device.map holds the line (fd0) floppy.img',
    },
    {
      command: "printf 'device (hd0) c.img\\nroot (hd0,0)\\nsetup (hd0)\\nquit\\n' | grub --batch",
      explanation: 'make a hard disk image bootable from its first partition',
    },
  ],
  exitStatus: {
    0: 'the shell has ended, whatever its commands said',
    1: 'the command line or the device map is wrong',
  },
  notSupported: [
    `the commands ${OTHER_COMMANDS.join(', ')}`,
    '--config-file, --preset-menu, --hold',
    'partitions of a BSD disklabel, disks with EZ-Drive, and file systems other than FAT and ext2/3/4',
    'completion with the Tab key; descriptions in help are our own',
    'probing the machine for drives, and writing a device map that is not there',
  ],
  run(io, argv) {
    const parsed = parseArguments(io, argv);
    if (parsed === undefined) return 1;
    if (parsed.has('version')) {
      io.stdout.write('grub (GNU GRUB 0.97)\n');
      return 0;
    }
    for (const refused of ['config-file', 'preset-menu', 'hold']) {
      if (parsed.has(refused))
        throw new UsageError(`--${refused} is not supported: this shell shows no menu`, 1);
    }
    let drives: MappedDrive[] = [];
    const map = parsed.value('device-map');
    try {
      if (map !== undefined) {
        drives = parseDeviceMap(fs.readFileSync(path.resolve(io.cwd, map), 'utf8'), map);
      }
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      io.stderr.write(`${error.message}\n`);
      return 1;
    }
    runShell(io, {
      drives,
      readOnly: parsed.has('read-only'),
      verbose: parsed.has('verbose'),
      ...numberOption(parsed, 'boot-drive', 'bootDrive', 0xff),
      ...numberOption(parsed, 'install-partition', 'installPartition', 0xffffff),
    });
    return 0;
  },
});

/** GRUB's own two lines for a wrong command line. */
function parseArguments(io: Io, argv: readonly string[]): ParsedArguments | undefined {
  try {
    return getopt(argv, grub.options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr.write(`grub: ${error.message}\nTry \`\`grub --help'' for more information.\n`);
    return undefined;
  }
}

function numberOption<K extends string>(
  parsed: ParsedArguments,
  option: string,
  key: K,
  maximum: number,
): Partial<Record<K, number>> {
  const text = parsed.value(option);
  if (text === undefined) return {};
  try {
    const { value, rest } = parseNumber(text);
    if (rest === '' && value <= maximum) return { [key]: value } as Partial<Record<K, number>>;
  } catch (error) {
    if (!(error instanceof GrubError)) throw error;
  }
  throw new UsageError(`--${option} is "${text}", expected a number up to 0x${maximum.toString(16)}`, 1);
}
