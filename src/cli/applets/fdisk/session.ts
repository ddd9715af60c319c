import { FsError, UsageError } from '../../../errors.ts';
import type { BsdDisklabelEditor } from '../../../partition/bsd-disklabel-editor.ts';
import type { Io } from '../../io.ts';
import { tellKernel } from './tell-kernel.ts';
import { type Column, defaultColumns, parseColumns } from './columns.ts';
import { enterDisklabel, runBsdCommand } from './bsd-commands.ts';
import type { Context } from './dialog-context.ts';
import { Dialog, EndOfInput } from './dialog.ts';
import type { Disk, Label } from './disk.ts';
import { runDosExpert, toggleActive } from './dos-commands.ts';
import {
  addPartition,
  changeGeometry,
  changeType,
  deletePartition,
  fixOrder,
  listTypes,
  printDisklabel,
  printFreeSpace,
  printTable,
  showPartition,
  verify,
} from './generic-commands.ts';
import { runGptExpert } from './gpt-commands.ts';
import { type MenuState, UNSUPPORTED_COMMANDS, isCommand, menuText } from './menu.ts';
import { createDosLabel, createGptLabel, warnOfDosLabel } from './new-label.ts';
import { failureText } from './open-failure.ts';
import { printFirstSector, printLabelData } from './raw-data.ts';
import { ScriptFailure, loadScript, saveScript } from './script-commands.ts';
import type { SessionOptions } from './session-options.ts';

/** The session is over, with this message. */
export class SessionFailure extends Error {
  override readonly name = 'SessionFailure';
}

/** The interactive fdisk: reads a command a line until `w`, `q` or the end of the input. Returns the exit status. */
export function runSession(io: Io, disk: Disk, options: SessionOptions): number {
  return new Session(io, disk, options).run();
}

const WRITE_FAILED = 'failed to write disklabel';

/** A table that is edited, and where its menus are. */
interface Level {
  readonly disk: Disk;
  expert: boolean;
}

class Session {
  readonly #io: Io;
  readonly #dialog: Dialog;
  readonly #options: SessionOptions;
  /** The outermost table first. */
  readonly #levels: Level[];

  constructor(io: Io, disk: Disk, options: SessionOptions) {
    this.#io = io;
    this.#dialog = new Dialog(io);
    this.#options = options;
    this.#levels = [{ disk, expert: false }];
  }

  get #level(): Level {
    return this.#levels.at(-1)!;
  }

  get #disk(): Disk {
    return this.#level.disk;
  }

  get #context(): Context {
    return { io: this.#io, disk: this.#disk, dialog: this.#dialog, wiping: this.#options.wiping };
  }

  run(): number {
    this.#welcome();
    for (;;) {
      const menu = this.#level.expert ? 'Expert command' : 'Command';
      const reply = this.#dialog.reply(`\n${menu} (m for help): `);
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
        const status = this.#run(command);
        if (status !== undefined) {
          this.#dialog.print('\n');
          return status;
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
    this.#sayWhatWasRead();
    for (const warning of this.#options.warnings) dialog.warn(warning);
    this.#options.wiping.mentionDisk(disk, dialog);
    if (disk.gpt?.hybrid === true) {
      dialog.warn(
        "A hybrid GPT was detected. You have to sync the hybrid MBR manually (expert command 'M').",
      );
    }
    this.#requireTable();
    if (this.#options.columns !== undefined && disk.label !== undefined) this.#columns(false);
  }

  /** The columns of `-o`; undefined where the usual ones are meant. */
  #columns(detailed: boolean): readonly Column[] | undefined {
    const { label, cylinders } = this.#disk;
    const { columns } = this.#options;
    if (columns === undefined || label === undefined || this.#disk.parent !== undefined) return undefined;
    try {
      return parseColumns(columns, label.kind, defaultColumns(label.kind, cylinders, detailed));
    } catch (error) {
      if (error instanceof UsageError) throw new SessionFailure(error.message);
      throw error;
    }
  }

  #print(detailed: boolean): void {
    const columns = this.#columns(detailed);
    printTable(this.#context, {
      detailed,
      ...(columns === undefined ? {} : { columns }),
      inBytes: this.#options.inBytes || (detailed && columns !== undefined),
    });
  }

  #sayWhatWasRead(): void {
    const disk = this.#disk;
    if (disk.label?.kind === 'dos') warnOfDosLabel(disk, this.#dialog);
    for (const { kind, text } of disk.messages) {
      if (kind === 'information') this.#dialog.info(text);
      else this.#dialog.warn(text);
    }
  }

  #requireTable(): void {
    const { label, options } = this.#disk;
    if (label !== undefined) return;
    this.#dialog.info('Device does not contain a recognized partition table.');
    // Where -t leaves another kind only, there is nothing to make, and the tool does not say so.
    const makes = options.type === undefined || options.type === 'dos';
    if (makes && !this.#options.noAutoTable) this.#create('dos', options.type);
  }

  /** `only`: the kind of table that `-t` has left. */
  #create(kind: 'dos' | 'gpt', only: Label['kind'] | undefined): boolean {
    try {
      if (only !== undefined && only !== kind) throw new FsError('EINVAL');
      if (kind === 'dos') createDosLabel(this.#disk, this.#dialog);
      else createGptLabel(this.#disk, this.#dialog);
      return true;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#dialog.warn(`Failed to create '${kind}' disk label: ${error.text}`);
      return false;
    }
  }

  get #menuState(): MenuState {
    const { label, parent } = this.#disk;
    return { label: label?.kind, expert: this.#level.expert, outer: parent?.label?.kind };
  }

  /** The exit status where the session is over. */
  #run(command: string): number | undefined {
    const state = this.#menuState;
    const unsupported = state.expert || state.label === 'bsd' ? undefined : UNSUPPORTED_COMMANDS[command];
    if (!isCommand(state, command)) {
      this.#dialog.warn(`${command}: unknown command`);
      return undefined;
    }
    if (unsupported !== undefined) {
      this.#dialog.warn(`${command}: ${unsupported}: not supported yet`);
      return undefined;
    }
    if (command === 'm') {
      this.#dialog.print(menuText(state));
      if (state.outer !== undefined) {
        this.#dialog.info(
          `You're editing nested '${state.label}' partition table, primary partition table is '${state.outer}'.`,
        );
      }
      return undefined;
    }
    if (command === 'w') return this.#write();
    if (state.expert) this.#runExpert(command);
    else this.#runMain(command);
    return undefined;
  }

  #runMain(command: string): void {
    const disk = this.#disk;
    const { label } = disk;
    switch (command) {
      case 'o':
      case 'g':
        this.#create(command === 'o' ? 'dos' : 'gpt', disk.options.type);
        this.#options.wiping.mentionTable(disk, this.#dialog);
        return;
      case 'u':
        disk.cylinders = !disk.cylinders;
        this.#dialog.info(
          disk.cylinders
            ? 'Changing display/entry units to cylinders (DEPRECATED!).'
            : 'Changing display/entry units to sectors.',
        );
        return;
      case 'p':
        this.#print(false);
        return;
      case 'I':
        this.#loadScript();
        return;
      default:
        if (label?.kind === 'bsd') this.#runBsd(command, label.editor);
        else if (command === 'x') this.#level.expert = true;
        else if (label !== undefined) this.#runTable(command);
    }
  }

  #runBsd(command: string, editor: BsdDisklabelEditor): void {
    if (command === 's') printDisklabel(this.#context);
    else if (!runBsdCommand(this.#context, editor, command)) this.#runTable(command);
  }

  #runTable(command: string): void {
    const context = this.#context;
    const { disk } = context;
    switch (command) {
      case 'n':
        addPartition(context);
        return;
      case 'd':
        deletePartition(context);
        return;
      case 't':
        changeType(context);
        return;
      case 'l':
        listTypes(context);
        return;
      case 'i':
        showPartition(context);
        return;
      case 'v':
        verify(context);
        return;
      case 'F':
        printFreeSpace(context);
        return;
      case 'O':
        saveScript(context);
        return;
      case 'a':
        toggleActive(context);
        return;
      case 'b': {
        const nested = enterDisklabel(context);
        if (nested !== undefined) this.#levels.push({ disk: nested, expert: false });
        return;
      }
      case 'c':
        disk.setDosCompatible(!disk.dosMode);
        this.#dialog.info(
          disk.dosMode ? 'DOS Compatibility flag is set (DEPRECATED!)' : 'DOS Compatibility flag is not set',
        );
        return;
      case 'M':
        this.#toggleHybrid();
        return;
      case 'r':
        this.#leave();
    }
  }

  #runExpert(command: string): void {
    const context = this.#context;
    const { label } = context.disk;
    switch (command) {
      case 'r':
        this.#level.expert = false;
        return;
      case 'p':
        this.#print(true);
        return;
      case 'v':
        verify(context);
        return;
      case 'd':
        printFirstSector(context);
        return;
      case 'D':
        printLabelData(context);
        return;
      case 'c':
      case 'h':
      case 's':
        changeGeometry(context, command);
        return;
      case 'M':
        this.#toggleHybrid();
        return;
      case 'f':
        fixOrder(context);
        return;
      default:
        if (label?.kind === 'gpt') runGptExpert(context, label.editor, command);
        else if (label?.kind === 'dos') runDosExpert(context, command);
    }
  }

  /** The MBR beside a GPT has menus of its own, with its own main and expert one. */
  #toggleHybrid(): void {
    const disk = this.#disk;
    if (disk.parent !== undefined) {
      this.#leave();
      return;
    }
    this.#levels.push({ disk: disk.nestHybrid(), expert: this.#level.expert });
    this.#sayWhatWasRead();
    this.#dialog.info('Entering protective/hybrid MBR disklabel.');
  }

  #leave(): void {
    this.#dialog.info('Leaving nested disklabel.');
    this.#levels.pop();
  }

  #loadScript(): void {
    const disk = this.#disk;
    try {
      loadScript(this.#context);
    } catch (error) {
      if (!(error instanceof ScriptFailure)) throw error;
      this.#dialog.warn('Resetting fdisk!');
      if (disk.parent !== undefined) {
        // Here the tool crashes.
        this.#leave();
        return;
      }
      disk.reload();
      this.#sayWhatWasRead();
      this.#requireTable();
    }
  }

  /** The exit status where the session ends with it. */
  #write(): number | undefined {
    const disk = this.#disk;
    const dialog = this.#dialog;
    const { wiping } = this.#options;
    if (disk.label === undefined) throw new SessionFailure(`${WRITE_FAILED}: Success`);
    if (disk.gpt?.overlap() !== undefined)
      throw new SessionFailure(`${WRITE_FAILED}: ${new FsError('EINVAL').text}`);
    if (disk.gpt?.hybrid === true) dialog.warn('The device contains hybrid MBR -- writing GPT only.');
    try {
      disk.write((device) => wiping.wipe(device));
    } catch (error) {
      const text = failureText(error);
      throw text === undefined ? error : new SessionFailure(`${WRITE_FAILED}: ${text}`);
    }
    if (disk.bsd !== undefined) {
      const outer =
        disk.parent?.editor?.changed !== true
          ? ''
          : `  (Don't forget to write the ${disk.parent.name} disklabel too.)`;
      dialog.info('Syncing disks.');
      dialog.info(`Disklabel written to ${disk.name}.${outer}`);
    }
    dialog.info('The partition table has been altered.');
    // What is within another table is written at once, and work goes on.
    if (disk.parent !== undefined) return undefined;
    if (!tellKernel(this.#io, disk.name, dialog)) return 1;
    dialog.info('Syncing disks.');
    return 0;
  }
}
