import { addPartition, applyHeaders, changePartition, partitionCount } from '../partition-script/apply.ts';
import { ScriptReader } from '../partition-script/reader.ts';
import type { PartitionTemplate } from '../../../partition/partition-template.ts';
import type { Disk } from '../fdisk/disk.ts';
import { partitionName, usedPartitions } from '../fdisk/listing.ts';
import { deviceUse } from '../fdisk/opening.ts';
import { backUp } from './backup.ts';
import { partitionNumber } from './command-line.ts';
import { type Context, Failure, openDisk, reasonOf, refuseBsd, writeChanges } from './context.ts';
import { INTERACTIVE_HELP } from './interactive-help.ts';
import { type DataMove, type DataRange, prepareDataMove } from './move-data.ts';
import { showDisk, showLabel, showPartition, showPartitions } from './show.ts';
import { ScriptWiping } from './wiping.ts';

const PROMPT = '>>> ';

/** How a script ends: at its end, by its own word, written after a question on a terminal, given up, or broken off by a line that is none. */
type Outcome = 'end' | 'write' | 'ask' | 'abort' | 'broken';

/** sfdisk without a command: reads a script from standard input and makes the table that it describes. */
export function edit(context: Context, operands: readonly string[]): number {
  const [name, number] = operands;
  if (name === undefined) throw new Failure('no disk device specified');
  let { index } = context.options;
  // The tool counts this one from 0, unlike that of -N.
  if (index === undefined && number !== undefined) index = partitionNumber(number);
  const disk = openDisk(context, name, { readOnly: false });
  try {
    refuseBsd(disk);
    if (context.options.backup) backUp(context, disk);
    return new Script(context, disk, index).run();
  } finally {
    disk.close();
  }
}

class Script {
  readonly #context: Context;
  readonly #disk: Disk;
  readonly #wiping: ScriptWiping;
  readonly #reader: ScriptReader;
  readonly #interactive: boolean;
  /** `-N`: the only partition that changes. */
  readonly #only: number | undefined;
  /** The label that is written is there. */
  #created: boolean;
  /** What the prompt promises. */
  #next: number | undefined;
  #lineCount = 0;
  #partitionCount = 0;

  constructor(context: Context, disk: Disk, only: number | undefined) {
    this.#context = context;
    this.#disk = disk;
    this.#only = only;
    this.#wiping = new ScriptWiping(context);
    this.#reader = new ScriptReader(disk.sectorSize);
    this.#interactive = context.io.stdin.isTerminal;
    this.#created = only !== undefined || context.options.append;
    this.#next = only ?? (context.options.append ? (usedPartitions(disk).at(-1)?.index ?? 0) + 1 : undefined);
  }

  run(): number {
    const { talk, options } = this.#context;
    const disk = this.#disk;
    if (this.#only !== undefined) this.#checkPartition(this.#only);
    const before =
      options.moveData === undefined || this.#only === undefined
        ? undefined
        : disk.label!.editor.partition(this.#only);
    if (this.#interactive) {
      talk.info('\nWelcome to sfdisk (util-linux 2.38.1).');
      talk.info(
        'Changes will remain in memory only, until you decide to write them.\nBe careful before using the write command.\n',
      );
    }
    if (options.checkUse) this.#checkUse();
    this.#wiping.mentionDisk(disk);
    if (!talk.quiet) {
      showDisk(this.#context, disk);
      if (disk.label !== undefined) {
        showLabel(this.#context, disk);
        talk.info('\nOld situation:');
        showPartitions(this.#context, disk);
      }
    }
    const label = options.label ?? disk.label?.kind ?? 'dos';
    this.#reader.headers.set('label', label);
    if (this.#interactive) {
      if (disk.label === undefined && options.label === undefined) {
        talk.info(
          `\nsfdisk is going to create a new '${label}' disk label.\nUse 'label: <name>' before you define a first partition\nto override the default.`,
        );
      }
      talk.info("\nType 'help' to get more information.\n");
    } else talk.info('');
    const outcome = this.#read();
    return this.#finish(outcome, before);
  }

  #checkPartition(index: number): void {
    const { talk } = this.#context;
    const disk = this.#disk;
    const what = `${disk.name}: cannot modify partition ${index + 1}`;
    if (disk.label === undefined) throw new Failure(`${what}: no partition table was found`);
    const count = partitionCount(disk);
    if (index < 0 || index > count) {
      throw new Failure(`${what}: partition table contains only ${count} partitions`);
    }
    const used = usedPartitions(disk).some((partition) => partition.index === index);
    if (!used) talk.warn(`warning: ${disk.name}: partition ${index + 1} is not defined yet`);
  }

  #checkUse(): void {
    const { io, talk, options } = this.#context;
    if (!talk.quiet) talk.print('Checking that no-one is using this disk right now ...');
    const use = deviceUse(io, this.#disk.name);
    if (use === undefined) {
      if (!talk.quiet) talk.print(' OK\n\n');
      return;
    }
    if (!talk.quiet) talk.print(' FAILED\n\n');
    talk.warn(
      'This disk is currently in use - repartitioning is probably a bad idea.\n' +
        'Umount all file systems, and swapoff all swap partitions on this disk.\n' +
        'Use the --no-reread flag to suppress this check.\n',
    );
    if (!options.force) throw new Failure(`Use the --force flag to overrule all checks.\nsfdisk: ${use}`);
  }

  #read(): Outcome {
    const { talk } = this.#context;
    let asked = false;
    for (;;) {
      if (
        this.#created &&
        this.#only === undefined &&
        this.#next === partitionCount(this.#disk) &&
        usedPartitions(this.#disk).length === this.#next &&
        this.#disk.editor?.extendedIndex === undefined
      ) {
        talk.info('All partitions used.');
        return 'ask';
      }
      const prompt = this.#created ? `${partitionName(this.#disk.name, (this.#next ?? 0) + 1)}: ` : PROMPT;
      const text = asked ? this.#context.io.stdin.readLine() : this.#ask(prompt);
      asked = false;
      if (text === undefined) {
        talk.info('Done.');
        return this.#interactive ? 'ask' : 'end';
      }
      this.#lineCount++;
      const line = this.#reader.read(text);
      switch (line.kind) {
        case 'nothing':
          asked = !this.#interactive;
          continue;
        case 'unknown header':
          talk.warn(`Unknown script header '${line.name}' -- ignore.`);
          continue;
        case 'header':
          if (line.name === 'sector-size' && this.#reader.sizesDiffer) {
            talk.warn(
              'The script and device sector size differ; the sizes will be recalculated to match the device.',
            );
          }
          if (this.#isUnsupportedLabel()) return 'abort';
          talk.info('Script header accepted.');
          continue;
        case 'error': {
          const outcome = this.#command(text.trim());
          if (outcome !== undefined) return outcome;
          continue;
        }
        case 'partition': {
          const outcome = this.#partition(line.template);
          if (outcome !== undefined) return outcome;
        }
      }
    }
  }

  #ask(prompt: string): string | undefined {
    const { io, talk } = this.#context;
    return talk.quiet && !this.#interactive ? io.stdin.readLine() : talk.ask(prompt);
  }

  /** SGI, Sun and BSD labels are what the tool has and we do not. */
  #isUnsupportedLabel(): boolean {
    const label = this.#reader.headers.get('label');
    if (label === 'dos' || label === 'gpt') return false;
    this.#context.talk.warn(`Tables of type '${label}' are not supported`);
    return true;
  }

  /** A line that is no part of a script. Undefined where the reading goes on. */
  #command(text: string): Outcome | undefined {
    const { talk } = this.#context;
    switch (text) {
      case 'print':
        if (this.#disk.label !== undefined)
          showPartitions(this.#context, this.#disk, this.#wiping.announce());
        return undefined;
      case 'help':
        talk.print(INTERACTIVE_HELP);
        return undefined;
      case 'write':
        return 'write';
      case 'quit':
        return 'ask';
      case 'abort':
        return 'abort';
      default:
        talk.warn(`${this.#interactive ? '' : `line ${this.#lineCount}: `}unsupported command`);
        return this.#interactive ? undefined : 'broken';
    }
  }

  /** Undefined where the reading goes on. */
  #partition(template: PartitionTemplate): Outcome | undefined {
    const { talk } = this.#context;
    const disk = this.#disk;
    if (!this.#created) {
      try {
        applyHeaders(disk, this.#reader.headers, talk);
        this.#created = true;
        this.#wiping.mentionTable(disk);
        // The line has been read behind the other prompt.
        if (!talk.quiet && !this.#interactive) talk.print(`${partitionName(disk.name, 1)}: `);
      } catch (error) {
        talk.warn(`Failed to apply script headers, disk label not created: ${reasonOf(error)}`);
        return this.#failed();
      }
    }
    if (this.#only !== undefined) {
      try {
        changePartition(disk, this.#only, template, talk);
        return 'ask';
      } catch (error) {
        reasonOf(error);
        return 'abort';
      }
    }
    try {
      const index = addPartition(disk, template, talk);
      this.#partitionCount++;
      this.#wiping.mentionPartition(disk, index);
      if (this.#interactive) showPartition(this.#context, disk, index);
      this.#next = index + 1;
      return undefined;
    } catch (error) {
      talk.warn(`Failed to add #${(this.#next ?? 0) + 1} partition: ${reasonOf(error)}`);
      return this.#failed();
    }
  }

  /** On a terminal one may try again. */
  #failed(): Outcome | undefined {
    this.#reader.forget(this.#partitionCount === 0);
    return this.#interactive ? undefined : 'abort';
  }

  #finish(outcome: Outcome, before: DataRange | undefined): number {
    const { talk } = this.#context;
    const disk = this.#disk;
    if ((outcome === 'end' || outcome === 'write') && !this.#created && this.#reader.makesLabel) {
      try {
        applyHeaders(disk, this.#reader.headers, talk);
      } catch (error) {
        reasonOf(error);
        talk.warn('Failed to apply script headers, disk label not created.');
        talk.info('Leaving.\n');
        return 1;
      }
    }
    if (outcome !== 'abort' && !talk.quiet) {
      talk.info('\nNew situation:');
      if (disk.label !== undefined) {
        showLabel(this.#context, disk);
        showPartitions(this.#context, disk, this.#wiping.announce());
      }
    }
    if (outcome === 'abort' || outcome === 'broken') {
      talk.info('Leaving.\n');
      return 1;
    }
    if (outcome === 'ask' && this.#interactive && !talk.askYesNo('Do you want to write this to disk?')) {
      talk.info('Leaving.');
      return 0;
    }
    const move = before === undefined ? undefined : prepareDataMove(this.#context, disk, this.#only!, before);
    try {
      this.#write(move);
    } finally {
      move?.close();
    }
    return 0;
  }

  /** The data first: a crash before the table is written leaves the table that the log speaks of. */
  #write(move: DataMove | undefined): void {
    const { talk, options } = this.#context;
    if (move !== undefined && options.noAct) {
      talk.info('Your data has not been moved (--no-act).');
      return;
    }
    writeChanges(this.#context, this.#disk, (device) => {
      this.#wiping.wipe(device);
      move?.run(device);
    });
  }
}
