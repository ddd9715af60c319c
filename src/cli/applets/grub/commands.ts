import { formatDevice, parseDevice } from '../../../boot/grub-legacy/device-name.ts';
import { embed } from '../../../boot/grub-legacy/embed.ts';
import { GrubError } from '../../../boot/grub-legacy/grub-error.ts';
import { formatRuns, openFile } from '../../../boot/grub-legacy/grub-file.ts';
import { install, parseInstall } from '../../../boot/grub-legacy/install.ts';
import { setup } from '../../../boot/grub-legacy/setup.ts';
import { type Command, type Shell, splitWords } from './command.ts';
import { find, geometry } from './drive-commands.ts';
import { compareFiles, printFile } from './file-commands.ts';

const NO_FIRST_DRIVE_WARNING =
  "Warning: the option `d' was not used, but the Stage 1 will be installed on a\n" +
  'different drive than the drive where the Stage 2 resides.\n';

export const COMMANDS: readonly Command[] = [
  {
    name: 'blocklist',
    parameters: 'FILE',
    description: 'Show where FILE lies, as a block list that can be used in place of its name.',
    listed: true,
    run(shell, text) {
      const file = openFile(shell.session, text);
      const given = text.startsWith('(') ? parseDevice(text).device : shell.session.root;
      // GRUB ends the line only when there is something on it.
      shell.print(formatDevice(given) + (file.runs.length === 0 ? '' : `${formatRuns(file)}\n`));
    },
  },
  {
    name: 'cat',
    parameters: 'FILE',
    description: 'Show the content of FILE.',
    listed: true,
    run: (shell, text) => printFile(shell, text),
  },
  {
    name: 'cmp',
    parameters: 'FILE1 FILE2',
    description: 'Compare two files byte by byte and show where they differ.',
    listed: false,
    run: (shell, text) => compareFiles(shell, text),
  },
  {
    name: 'device',
    parameters: 'DRIVE DEVICE',
    description: 'Let the image DEVICE stand for the BIOS drive DRIVE.',
    listed: true,
    run(shell, text) {
      const { device } = parseDevice(text);
      shell.attach(device.drive, text.split(/[ \t]+/)[1] ?? '');
    },
  },
  {
    name: 'embed',
    parameters: 'STAGE1_5 DEVICE',
    description:
      'Write STAGE1_5 into the sectors between the master boot record of DEVICE and its first partition.',
    listed: false,
    run(shell, text) {
      const [file = '', device = ''] = splitWords(text);
      if (!/^[(/0-9+]/.test(file)) throw new GrubError(1);
      openFile(shell.session, file);
      const count = embed(shell.session, file, parseDevice(device).device);
      shell.print(` ${count} sectors are embedded.\n`);
    },
  },
  {
    name: 'find',
    parameters: 'FILENAME',
    description: 'List the devices that hold FILENAME: every floppy, and every partition of every hard disk.',
    listed: true,
    run: find,
  },
  {
    name: 'geometry',
    parameters: 'DRIVE [CYLINDER HEAD SECTOR [TOTAL_SECTOR]]',
    description: 'Show the geometry and the partitions of DRIVE; with numbers, set the geometry first.',
    listed: true,
    run: geometry,
  },
  {
    name: 'install',
    parameters:
      '[--stage2=STAGE2_FILE] [--force-lba] STAGE1 [d] DEVICE STAGE2 [ADDR] [p] [CONFIG_FILE] [REAL_CONFIG_FILE]',
    description:
      'Write STAGE1 into the boot sector of DEVICE so that it loads STAGE2, to the address ADDR. With d it loads ' +
      'from the drive that holds STAGE2 now, without from the drive that was booted. With p STAGE2 is told its ' +
      'partition. CONFIG_FILE is the menu; where STAGE2 is a stage 1.5 it is the real stage 2, and ' +
      'REAL_CONFIG_FILE the menu.',
    listed: false,
    run(shell, text) {
      const warning = install(shell.session, parseInstall(text), (name) => shell.openHostFile(name));
      if (warning === 'd-not-used') {
        shell.print(NO_FIRST_DRIVE_WARNING);
      }
    },
  },
  {
    name: 'root',
    parameters: '[DEVICE [HDBIAS]]',
    description:
      'Make DEVICE the root device, where names without a device are looked up; show what is on it.',
    listed: true,
    run(shell, text) {
      if (text === '') {
        printRoot(shell);
        return;
      }
      const { device } = parseDevice(text);
      shell.session.probe(device);
      shell.session.root = device;
      shell.print(`${shell.session.describeLast(device.partition)}\n`);
    },
  },
  {
    name: 'rootnoverify',
    parameters: '[DEVICE [HDBIAS]]',
    description: 'As root, without a look at the device.',
    listed: true,
    run(shell, text) {
      if (text === '') printRoot(shell);
      else shell.session.setRootUnseen(parseDevice(text).device);
    },
  },
  {
    name: 'setup',
    parameters: '[--prefix=DIR] [--stage2=STAGE2_FILE] [--force-lba] INSTALL_DEVICE [IMAGE_DEVICE]',
    description:
      'Install GRUB on INSTALL_DEVICE: find the stage files in /boot/grub or /grub (or DIR) of the root device (or ' +
      'of IMAGE_DEVICE), embed a stage 1.5 where there is room, and install.',
    listed: true,
    run: (shell, text) => setup(shell.session, text, shell),
  },
];

/** What GRUB's own shell has besides: for the bare machine, or for the partition table. */
export const OTHER_COMMANDS: readonly string[] = (
  'boot chainloader clear color configfile debug default displayapm displaymem dump fallback fstest halt hide ' +
  'hiddenmenu impsprobe initrd ioprobe kernel lock makeactive map md5crypt module modulenounzip pager partnew ' +
  'parttype password pause print read reboot savedefault serial setkey terminal terminfo testload testvbe timeout ' +
  'title unhide uppermem vbeprobe'
).split(' ');

function printRoot(shell: Shell): void {
  const { root } = shell.session;
  shell.print(` ${formatDevice(root)}:${shell.session.describeLast(root.partition)}\n`);
}
