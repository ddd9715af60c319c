import { isExtendedType, partitionTypeName } from '../../../partition/mbr-type.ts';
import { SliceDevice } from '../../../device/slice-device.ts';
import { checkMbr } from '../../../partition/mbr-check.ts';
import type { Io } from '../../io.ts';
import { classicListing } from './classic-listing.ts';
import { Dialog, EndOfInput } from './dialog.ts';
import type { Disk } from './disk.ts';
import { humanSize } from './human-size.ts';
import {
  defaultColumns,
  describeDisk,
  describeFreeSpace,
  outOfOrder,
  partitionDetails,
  partitionTable,
} from './listing.ts';
import { EXPERT_MENU, MAIN_MENU, UNSUPPORTED_COMMANDS } from './menu.ts';
import { newPartition } from './new-partition.ts';
import { choosePartition } from './partition-choice.ts';
import { fileSystemSignature } from './signature.ts';
import { parseType, typeList } from './type-list.ts';

export interface SessionOptions {
  /** The table cannot be written. */
  readonly readOnly: boolean;
}

/** The interactive fdisk: reads a command a line until `w`, `q` or the end of the input. Returns the exit status. */
export function runSession(io: Io, disk: Disk, options: SessionOptions): number {
  return new Session(io, disk, options).run();
}

class Session {
  readonly #io: Io;
  readonly #disk: Disk;
  readonly #dialog: Dialog;
  readonly #options: SessionOptions;
  #expert = false;

  constructor(io: Io, disk: Disk, options: SessionOptions) {
    this.#io = io;
    this.#disk = disk;
    this.#dialog = new Dialog(io);
    this.#options = options;
  }

  run(): number {
    this.#welcome();
    for (;;) {
      const reply = this.#dialog.reply(`\n${this.#expert ? 'Expert command' : 'Command'} (m for help): `);
      const command = reply?.[0];
      if (reply === undefined || command === 'q') {
        this.#dialog.print('\n');
        return 0;
      }
      if (command === undefined) {
        this.#dialog.warn('');
        continue;
      }
      try {
        if (this.#expert ? this.#runExpert(command) : this.#runMain(command)) {
          this.#dialog.print('\n');
          return 0;
        }
      } catch (error) {
        // The input ended within a question: the menu finds that out, too, and leaves.
        if (!(error instanceof EndOfInput)) throw error;
      }
    }
  }

  #welcome(): void {
    const dialog = this.#dialog;
    const disk = this.#disk;
    dialog.print(
      '\nWelcome to fdisk (util-linux 2.38.1).\n' +
        'Changes will remain in memory only, until you decide to write them.\n' +
        'Be careful before using the write command.\n\n',
    );
    if (this.#options.readOnly) dialog.warn('Device is open in read-only mode.');
    if (disk.editor !== undefined) this.#warnOfLabel();
    for (const warning of disk.editor?.warnings ?? []) dialog.warn(warning);
    const signature = disk.options.mentionSignatures ? fileSystemSignature(disk.device) : undefined;
    if (signature !== undefined) {
      dialog.warn(
        `The device contains '${signature}' signature and it may remain on the device. ` +
          'It is recommended to wipe the device with wipefs(8) or fdisk --wipe, in order to avoid possible collisions.',
      );
    }
    if (disk.editor === undefined) {
      dialog.info('Device does not contain a recognized partition table.');
      this.#create();
    }
  }

  /** What is said of a table when it is read and when it is made. */
  #warnOfLabel(): void {
    const { layout, options } = this.#disk;
    if (this.#disk.geometryMatters && layout.geometry.cylinders === 0) {
      this.#dialog.warn('Incomplete geometry setting.\nYou can set geometry from the extra functions menu.');
    }
    if (layout.dosCompatible && !options.classic) this.#dialog.warn('DOS-compatible mode is deprecated.');
    if (this.#disk.cylinders) this.#dialog.warn('Cylinders as display units are deprecated.');
    const limit = 0xffff_ffff;
    if (layout.sectorCount > limit) {
      const size = layout.sectorCount * layout.sectorSize;
      this.#dialog.warn(
        `The size of this disk is ${humanSize(size, { digits: 1, long: true })} (${size} bytes). ` +
          `DOS partition table format cannot be used on drives for volumes larger than ${limit * layout.sectorSize} ` +
          `bytes for ${layout.sectorSize}-byte sectors. Use GUID partition table format (GPT).`,
      );
    }
  }

  #create(): void {
    this.#disk.createTable();
    this.#warnOfLabel();
    const identifier = hexIdentifier(this.#disk.editor!.diskIdentifier);
    this.#dialog.info(`Created a new DOS (MBR) disklabel with disk identifier ${identifier}.`);
  }

  /** Returns whether the session is over. */
  #runMain(command: string): boolean {
    const disk = this.#disk;
    const dialog = this.#dialog;
    switch (command) {
      case 'm':
        dialog.print(MAIN_MENU);
        break;
      case 'o':
        this.#create();
        break;
      case 'n':
        this.#add();
        break;
      case 'd': {
        const index = choosePartition(disk, dialog);
        if (index === undefined) break;
        if (!disk.editor!.partition(index).used) {
          dialog.warn(`Could not delete partition ${index + 1}`);
          break;
        }
        disk.editor!.delete(index);
        dialog.info(`Partition ${index + 1} has been deleted.`);
        break;
      }
      case 'a':
        this.#toggleActive();
        break;
      case 't':
        this.#changeType();
        break;
      case 'l':
        dialog.print(typeList(this.#io.stdout.columns));
        break;
      case 'i': {
        const index = this.#chooseUsed();
        if (index !== undefined) dialog.info(partitionDetails(disk, index).join('\n'));
        break;
      }
      case 'p':
        this.#print(false);
        break;
      case 'v':
        this.#verify();
        break;
      case 'F':
        this.#printFreeSpace();
        break;
      case 'u':
        disk.cylinders = !disk.cylinders;
        dialog.info(
          disk.cylinders
            ? 'Changing display/entry units to cylinders (DEPRECATED!).'
            : 'Changing display/entry units to sectors.',
        );
        break;
      case 'c':
        disk.setDosCompatible(!disk.layout.dosCompatible);
        dialog.info(
          disk.layout.dosCompatible
            ? 'DOS Compatibility flag is set (DEPRECATED!)'
            : 'DOS Compatibility flag is not set',
        );
        break;
      case 'x':
        this.#expert = true;
        break;
      case 'w':
        return this.#write();
      default:
        this.#refuse(command, 'main');
    }
    return false;
  }

  #runExpert(command: string): boolean {
    switch (command) {
      case 'm':
        this.#dialog.print(EXPERT_MENU);
        break;
      case 'r':
        this.#expert = false;
        break;
      case 'p':
        this.#print(true);
        break;
      case 'v':
        this.#verify();
        break;
      case 'i':
        this.#changeIdentifier();
        break;
      default:
        this.#refuse(command, 'expert');
    }
    return false;
  }

  #refuse(command: string, menu: 'main' | 'expert'): void {
    const what = UNSUPPORTED_COMMANDS[menu][command];
    this.#dialog.warn(
      what === undefined ? `${command}: unknown command` : `${command}: ${what}: not supported yet`,
    );
  }

  #add(): void {
    const disk = this.#disk;
    const index = newPartition(disk, this.#dialog);
    if (index === undefined || !disk.options.mentionSignatures) return;
    const { startSector, sectorCount } = disk.editor!.partition(index);
    const { sectorSize } = disk.layout;
    const place = new SliceDevice(disk.device, startSector * sectorSize, sectorCount * sectorSize);
    const signature = fileSystemSignature(place);
    if (signature !== undefined) {
      this.#dialog.warn(`Partition #${index + 1} contains a ${signature} signature.`);
    }
  }

  /** A partition that is there; the prompt's range may hold numbers that have none. */
  #chooseUsed(): number | undefined {
    const index = choosePartition(this.#disk, this.#dialog);
    if (index === undefined || this.#disk.editor!.partition(index).used) return index;
    this.#dialog.warn(`Partition ${index + 1} does not exist yet!`);
    return undefined;
  }

  #toggleActive(): void {
    const editor = this.#disk.editor!;
    const index = this.#chooseUsed();
    if (index === undefined) return;
    if (editor.partition(index).extended) {
      this.#dialog.warn(`Partition ${index + 1}: is an extended partition.`);
    }
    const state = editor.toggleActive(index) ? 'enabled' : 'disabled';
    this.#dialog.info(`The bootable flag on partition ${index + 1} is ${state} now.`);
  }

  #changeType(): void {
    const dialog = this.#dialog;
    const editor = this.#disk.editor!;
    const index = this.#chooseUsed();
    if (index === undefined) return;
    let answer: string | undefined;
    do {
      answer = dialog.reply('Hex code or alias (type L to list all): ');
      if (answer === undefined) throw new EndOfInput();
      if (answer === 'l' || answer === 'L') dialog.print(typeList(this.#io.stdout.columns));
    } while (answer === '' || answer === 'l' || answer === 'L');
    const type = parseType(answer);
    const before = editor.partition(index).entry.type;
    if (isExtendedType(before) !== isExtendedType(type) && index >= 4) {
      dialog.warn('You cannot change a partition into an extended one or vice versa. Delete it first.');
      return;
    }
    const logicalCount = editor.partitions.slice(4).filter(({ used }) => used).length;
    if (index === editor.extendedIndex && !isExtendedType(type) && logicalCount > 0) {
      dialog.warn(
        'Cannot change type of the extended partition which is already used by logical partitions. Delete logical partitions first.',
      );
      return;
    }
    if (type === 0) {
      dialog.warn('Type 0 means free space to many systems. Having partitions of type 0 is probably unwise.');
    }
    editor.setType(index, type);
    dialog.info(
      `Changed type of partition '${partitionTypeName(before)}' to '${answer === '0' || type !== 0 ? partitionTypeName(type) : 'unknown'}'.`,
    );
  }

  #changeIdentifier(): void {
    const editor = this.#disk.editor!;
    const before = hexIdentifier(editor.diskIdentifier);
    const answer = this.#dialog.ask('\nEnter the new disk identifier: ');
    const identifier = /^(0x[\da-f]+|\d+)$/i.test(answer) ? Number(answer) : Number.NaN;
    if (!(identifier <= 0xffff_ffff)) {
      this.#dialog.warn('Incorrect value.');
      return;
    }
    editor.diskIdentifier = identifier;
    this.#dialog.info(`Disk identifier changed from ${before} to ${hexIdentifier(identifier)}.`);
  }

  #print(detailed: boolean): void {
    const disk = this.#disk;
    if (disk.options.classic && !detailed) {
      this.#dialog.info(classicListing(disk).join('\n'));
      return;
    }
    this.#dialog.info(describeDisk(disk).join('\n'));
    const table = partitionTable(disk, defaultColumns(disk.cylinders, detailed), false);
    if (table.length > 0) this.#dialog.print(`\n${table.join('\n')}\n`);
    if (outOfOrder(disk)) {
      this.#dialog.print('\n');
      this.#dialog.info('Partition table entries are not in disk order.');
    }
  }

  #printFreeSpace(): void {
    const { heading, table } = describeFreeSpace(this.#disk);
    this.#dialog.info(heading.join('\n'));
    if (table.length > 0) this.#dialog.print(`\n${table.join('\n')}\n`);
  }

  #verify(): void {
    const { layout } = this.#disk;
    if (this.#disk.geometryMatters && layout.geometry.cylinders === 0) {
      this.#dialog.warn('Incomplete geometry setting.');
      return;
    }
    const { errors, allocatedSectors } = checkMbr(this.#disk.editor!);
    for (const error of errors) this.#dialog.warn(error);
    if (errors.length > 0) {
      this.#dialog.warn(`${errors.length} error${errors.length === 1 ? '' : 's'} detected.`);
      return;
    }
    this.#dialog.info('No errors detected.');
    if (allocatedSectors > layout.sectorCount) {
      this.#dialog.info(
        `Total allocated sectors ${allocatedSectors} greater than the maximum ${layout.sectorCount}.`,
      );
    } else if (allocatedSectors < layout.sectorCount) {
      this.#dialog.info(
        `Remaining ${layout.sectorCount - allocatedSectors} unallocated ${layout.sectorSize}-byte sectors.`,
      );
    }
  }

  #write(): boolean {
    if (this.#options.readOnly) {
      this.#dialog.warn('Device is open in read-only mode.');
      return false;
    }
    this.#disk.write();
    this.#dialog.info('The partition table has been altered.');
    this.#dialog.info('Syncing disks.');
    return true;
  }
}

function hexIdentifier(identifier: number): string {
  return `0x${identifier.toString(16).padStart(8, '0')}`;
}
