import { SliceDevice } from '../../../device/slice-device.ts';
import { FsError } from '../../../errors.ts';
import { gptTypeName } from '../../../partition/gpt-type.ts';
import type { Io } from '../../io.ts';
import { classicListing } from './classic-listing.ts';
import { defaultColumns } from './columns.ts';
import type { Context } from './dialog-context.ts';
import { Dialog, EndOfInput } from './dialog.ts';
import type { Disk } from './disk.ts';
import { changeDosType, chooseUsed, runDosExpert, toggleActive, verifyDos } from './dos-commands.ts';
import { gptTypeList, newGptPartition, parseGptType, runGptExpert, verifyGpt } from './gpt-commands.ts';
import { describeDisk, describeFreeSpace, outOfOrder, partitionDetails, partitionTable } from './listing.ts';
import { type MenuState, UNSUPPORTED_COMMANDS, isCommand, menuText } from './menu.ts';
import { createDosLabel, createGptLabel, warnOfDosLabel } from './new-label.ts';
import { newPartition } from './new-partition.ts';
import { choosePartition } from './partition-choice.ts';
import { printFirstSector, printLabelData } from './raw-data.ts';
import { typeList } from './type-list.ts';
import type { Wiping } from './wiping.ts';

export interface SessionOptions {
  /** The table cannot be written. */
  readonly readOnly: boolean;
  /** `-n`: an empty disk gets no table before one is asked for. */
  readonly noAutoTable: boolean;
  readonly wiping: Wiping;
}

/** The table cannot be written: the session is over. */
export class WriteFailure extends Error {
  override readonly name = 'WriteFailure';
}

/** The interactive fdisk: reads a command a line until `w`, `q` or the end of the input. Returns the exit status. */
export function runSession(io: Io, disk: Disk, options: SessionOptions): number {
  return new Session(io, disk, options).run();
}

class Session {
  readonly #disk: Disk;
  readonly #dialog: Dialog;
  readonly #context: Context;
  readonly #options: SessionOptions;
  #expert = false;
  /** Where the GPT's own menus were, while the MBR beside it is edited. */
  #before = { expert: false, cylinders: false };

  constructor(io: Io, disk: Disk, options: SessionOptions) {
    this.#disk = disk;
    this.#dialog = new Dialog(io);
    this.#context = { io, disk, dialog: this.#dialog };
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
        if (this.#run(command)) {
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
    if (disk.label?.kind === 'dos') warnOfDosLabel(disk, dialog);
    for (const { kind, text } of disk.messages) {
      if (kind === 'information') dialog.info(text);
      else dialog.warn(text);
    }
    if (disk.gpt?.hybrid === true) {
      dialog.warn(
        "A hybrid GPT was detected. You have to sync the hybrid MBR manually (expert command 'M').",
      );
    }
    this.#options.wiping.mentionDisk(disk, dialog);
    if (disk.label === undefined) {
      dialog.info('Device does not contain a recognized partition table.');
      if (!this.#options.noAutoTable) this.#createDos();
    }
  }

  #createDos(): void {
    createDosLabel(this.#disk, this.#dialog);
  }

  #createGpt(): void {
    try {
      createGptLabel(this.#disk, this.#dialog);
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
      this.#dialog.warn(`Failed to create 'gpt' disk label: ${error.text}`);
    }
  }

  get #menuState(): MenuState {
    const { label, parent } = this.#disk;
    return { label: label?.kind, expert: this.#expert, nested: parent !== undefined };
  }

  /** Returns whether the session is over. */
  #run(command: string): boolean {
    const state = this.#menuState;
    const unsupported = this.#expert ? undefined : UNSUPPORTED_COMMANDS[command];
    if (!isCommand(state, command)) {
      this.#dialog.warn(`${command}: unknown command`);
      return false;
    }
    if (unsupported !== undefined) {
      this.#dialog.warn(`${command}: ${unsupported}: not supported yet`);
      return false;
    }
    if (command === 'm') {
      this.#dialog.print(menuText(state));
      if (state.nested) {
        this.#dialog.info("You're editing nested 'dos' partition table, primary partition table is 'gpt'.");
      }
      return false;
    }
    if (command === 'w') return this.#write();
    if (this.#expert) this.#runExpert(command);
    else this.#runMain(command);
    return false;
  }

  #runMain(command: string): void {
    const disk = this.#disk;
    const dialog = this.#dialog;
    const { label } = disk;
    switch (command) {
      case 'o':
      case 'g':
        if (command === 'o') this.#createDos();
        else this.#createGpt();
        this.#options.wiping.mentionTable(disk, dialog);
        return;
      case 'u':
        disk.cylinders = !disk.cylinders;
        dialog.info(
          disk.cylinders
            ? 'Changing display/entry units to cylinders (DEPRECATED!).'
            : 'Changing display/entry units to sectors.',
        );
        return;
      case 'x':
        this.#expert = true;
        return;
      case 'p':
        this.#print(false);
        return;
      default:
        if (label === undefined) return;
    }
    switch (command) {
      case 'n':
        this.#add();
        return;
      case 'd':
        this.#delete();
        return;
      case 't':
        if (label.kind === 'gpt') this.#changeGptType();
        else changeDosType(this.#context);
        return;
      case 'l':
        dialog.print(label.kind === 'gpt' ? gptTypeList() : typeList(this.#context.io.stdout.columns));
        return;
      case 'i': {
        const index = chooseUsed(this.#context);
        if (index !== undefined) dialog.info(partitionDetails(disk, index).join('\n'));
        return;
      }
      case 'v':
        this.#verify();
        return;
      case 'F':
        this.#printFreeSpace();
        return;
      case 'a':
        toggleActive(this.#context);
        return;
      case 'c':
        disk.setDosCompatible(!disk.layout.dosCompatible);
        dialog.info(
          disk.layout.dosCompatible
            ? 'DOS Compatibility flag is set (DEPRECATED!)'
            : 'DOS Compatibility flag is not set',
        );
        return;
      case 'M':
        this.#toggleHybrid();
        return;
      case 'r':
        this.#leaveHybrid();
    }
  }

  #runExpert(command: string): void {
    const disk = this.#disk;
    const { label } = disk;
    switch (command) {
      case 'r':
        this.#expert = false;
        return;
      case 'p':
        this.#print(true);
        return;
      case 'v':
        this.#verify();
        return;
      case 'd':
        printFirstSector(this.#context);
        return;
      case 'D':
        printLabelData(this.#context);
        return;
      case 'c':
      case 'h':
      case 's':
        this.#changeGeometry(command);
        return;
      case 'M':
        this.#toggleHybrid();
        return;
      case 'f':
        if (label === undefined) return;
        this.#dialog.info(
          label.editor.sort() ? 'Partitions order fixed.' : 'Nothing to do. Ordering is correct already.',
        );
        return;
      default:
        if (label?.kind === 'gpt') runGptExpert(this.#context, label.editor, command);
        else if (label?.kind === 'dos') runDosExpert(this.#context, command);
    }
  }

  /** The MBR beside a GPT has menus of its own, with its own main and expert one. */
  #toggleHybrid(): void {
    if (this.#disk.parent !== undefined) {
      this.#leaveHybrid();
      return;
    }
    this.#disk.enterHybrid();
    this.#before = { expert: this.#expert, cylinders: this.#disk.cylinders };
    this.#dialog.info('Entering protective/hybrid MBR disklabel.');
  }

  #leaveHybrid(): void {
    this.#disk.leaveHybrid();
    this.#expert = this.#before.expert;
    this.#disk.cylinders = this.#before.cylinders;
    this.#dialog.info('Leaving nested disklabel.');
  }

  #add(): void {
    const disk = this.#disk;
    const { label } = disk;
    const index =
      label?.kind === 'gpt' ? newGptPartition(this.#context, label.editor) : newPartition(disk, this.#dialog);
    if (index === undefined) return;
    const { startSector, sectorCount } = label!.editor.partition(index);
    const { sectorSize } = disk.layout;
    if ((startSector + sectorCount) * sectorSize > disk.device.size) return;
    const place = new SliceDevice(disk.device, startSector * sectorSize, sectorCount * sectorSize);
    this.#options.wiping.mentionPartition(place, startSector * sectorSize, index, this.#dialog);
  }

  #delete(): void {
    const { editor } = this.#disk.label!;
    const index = choosePartition(this.#disk, this.#dialog);
    if (index === undefined) return;
    if (!editor.partition(index).used) {
      this.#dialog.warn(`Could not delete partition ${index + 1}`);
      return;
    }
    this.#options.wiping.forget(index);
    editor.delete(index);
    this.#dialog.info(`Partition ${index + 1} has been deleted.`);
  }

  #changeGptType(): void {
    const dialog = this.#dialog;
    const editor = this.#disk.gpt!;
    const index = chooseUsed(this.#context);
    if (index === undefined) return;
    const before = gptTypeName(editor.partition(index).type);
    for (;;) {
      const answer = dialog.reply('Partition type or alias (type L to list all): ');
      if (answer === undefined) {
        dialog.info(`Type of partition ${index + 1} is unchanged: ${before}.`);
        return;
      }
      if (answer === 'l' || answer === 'L') dialog.print(gptTypeList());
      else if (answer !== '') {
        const type = parseGptType(answer);
        if (type === undefined) dialog.info(`Type of partition ${index + 1} is unchanged: ${before}.`);
        else {
          editor.setPartition(index, { type });
          dialog.info(`Changed type of partition '${before}' to '${gptTypeName(type)}'.`);
        }
        return;
      }
    }
  }

  #changeGeometry(command: 'c' | 'h' | 's'): void {
    const disk = this.#disk;
    const { cylinders, heads, sectorsPerTrack } = disk.layout.geometry;
    const ask = (prompt: string, high: number, fallback: number): number =>
      this.#dialog.askNumber({ prompt, low: 1, high, fallback });
    if (command === 'c') disk.setGeometry({ cylinders: ask('Number of cylinders', 1_048_576, cylinders) });
    else if (command === 'h') disk.setGeometry({ heads: ask('Number of heads', 255, heads) });
    else disk.setGeometry({ sectorsPerTrack: ask('Number of sectors', 63, sectorsPerTrack) });
  }

  #print(detailed: boolean): void {
    const disk = this.#disk;
    const dialog = this.#dialog;
    if (disk.options.classic && !detailed && disk.editor !== undefined) {
      dialog.info(classicListing(disk).join('\n'));
      return;
    }
    dialog.info(describeDisk(disk, detailed).join('\n'));
    if (disk.label === undefined) return;
    const table = partitionTable(disk, defaultColumns(disk.label.kind, disk.cylinders, detailed), false);
    if (table.length > 0) dialog.print(`\n${table.join('\n')}\n`);
    for (const line of this.#options.wiping.announce()) {
      dialog.print('\n');
      dialog.info(line);
    }
    if (outOfOrder(disk)) {
      dialog.print('\n');
      dialog.info('Partition table entries are not in disk order.');
    }
  }

  #printFreeSpace(): void {
    const { heading, table } = describeFreeSpace(this.#disk);
    this.#dialog.info(heading.join('\n'));
    if (table.length > 0) this.#dialog.print(`\n${table.join('\n')}\n`);
  }

  #verify(): void {
    const { label } = this.#disk;
    if (label?.kind === 'gpt') verifyGpt(this.#context, label.editor);
    else if (label !== undefined) verifyDos(this.#context);
  }

  #write(): boolean {
    const disk = this.#disk;
    if (this.#options.readOnly) {
      this.#dialog.warn('Device is open in read-only mode.');
      return false;
    }
    if (disk.label === undefined) throw new WriteFailure('Success');
    if (disk.gpt?.overlap() !== undefined) throw new WriteFailure(new FsError('EINVAL').text);
    if (disk.gpt?.hybrid === true) this.#dialog.warn('The device contains hybrid MBR -- writing GPT only.');
    try {
      disk.write((device) => this.#options.wiping.wipe(device));
    } catch (error) {
      if (error instanceof FsError) throw new WriteFailure(error.text);
      throw error;
    }
    this.#dialog.info('The partition table has been altered.');
    // The MBR beside a GPT is written at once, and work goes on.
    if (disk.parent !== undefined) return false;
    this.#dialog.info('Syncing disks.');
    return true;
  }
}
