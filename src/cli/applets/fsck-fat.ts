import type { BlockDevice } from '../../device/block-device.ts';
import { StagingDevice } from '../../device/staging-device.ts';
import { FsError, UsageError } from '../../errors.ts';
import { CheckEnd, type CheckFinding, type CheckObserver, LEAVE } from '../../filesystem/check.ts';
import { checkFat, type FatCheckOptions, type FatCheckResult } from '../../filesystem/fat/check/check.ts';
import { defineApplet } from '../applet.ts';
import { applyStaged, checkUndoFile } from '../check/apply.ts';
import { renderHelp } from '../help.ts';
import type { Io } from '../io.ts';
import { openVolume } from '../open-volume.ts';
import { print } from '../verbs/print.ts';
import {
  type CommandLine,
  NameRefusal,
  OptionConflict,
  OPTIONS,
  parseCommandLine,
} from './fsck-fat/command-line.ts';
import { describeBoot } from './fsck-fat/boot-text.ts';
import { errorText } from './mke2fs/target.ts';

const VERSION = 'fsck.fat 4.2 (2021-01-31)\n';
const Status = { found: 1, usage: 2, open: 6 } as const;
/** Mending can uncover more; the tool itself has to be started again for that. */
const MAX_ROUNDS = 8;

export const fsckFat = defineApplet({
  name: 'fsck.fat',
  aliases: ['fsck.vfat', 'fsck.msdos', 'dosfsck'],
  kind: 'applet',
  summary: 'check and repair a FAT file system',
  usage: ['fsck.fat [OPTION]... DEVICE'],
  description: [
    'Checks a FAT12, FAT16 or FAT32 file system and tells what it finds in the words of fsck.fat of dosfstools 4.2. Repairs are gathered while everything is checked, and written at the end.',
    'userloop check tells the same for people, with numbers. With --undo, what is overwritten is kept; userloop check --restore puts it back.',
  ],
  options: OPTIONS,
  examples: [
    { command: 'fsck.fat -n floppy.img', explanation: 'Tells what is wrong.' },
    {
      command: 'fsck.fat -a --undo before.undo floppy.img',
      explanation: 'Repairs it, and keeps what was there.',
    },
  ],
  exitStatus: { 0: 'nothing had to be repaired', 1: 'something had, or is beyond repair', 2: 'wrong usage' },
  notSupported: ['-A, --variant=atari: the Atari variant'],
  run,
});

function run(io: Io, argv: readonly string[], calledAs: string): number {
  try {
    const command = parseCommandLine(argv);
    io.stdout.write(VERSION);
    if (command === 'help') {
      io.stdout.write(renderHelp(fsckFat));
      return 0;
    }
    try {
      return check(io, command);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      return tellUsage(io, calledAs, error);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (error instanceof NameRefusal) {
      const output = error.exitStatus === 1 ? io.stderr : io.stdout;
      if (error.message !== '') output.write(`${error.message}\n`);
      return error.exitStatus;
    }
    if (error instanceof OptionConflict) {
      io.stderr.write(`${error.message}\n`);
      return Status.usage;
    }
    io.stdout.write(VERSION);
    return tellUsage(io, calledAs, error);
  }
}

function tellUsage(io: Io, calledAs: string, { message }: UsageError): number {
  io.stderr.write(
    `${message === '' ? '' : `${calledAs}: ${message}\n`}Usage: ${calledAs} [OPTIONS] DEVICE\nTry "${calledAs} --help" for more information.\n`,
  );
  return Status.usage;
}

function check(io: Io, command: CommandLine): number {
  let device: BlockDevice;
  try {
    if (command.manner !== 'no') checkUndoFile(io, command.undoFile);
    device = openVolume(io, command.target, { readOnly: command.manner === 'no' });
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    io.stderr.write(`open: ${errorText(error)}\n`);
    return Status.open;
  }
  try {
    return checkDevice(io, command, device);
  } catch (error) {
    if (error instanceof CheckEnd || error instanceof Quit) return Status.found;
    if (error instanceof FsError) io.stderr.write(`${error.message}\n`);
    else throw error;
    return Status.found;
  } finally {
    device.close();
  }
}

/** The person has had enough: nothing is written. */
class Quit extends Error {}

function checkDevice(io: Io, command: CommandLine, device: BlockDevice): number {
  const staged = new StagingDevice(device);
  const talker = new Talker(io, command);
  const options: FatCheckOptions = {
    codePage: command.codePage,
    salvage: command.salvage,
    noSpacesInNames: command.noSpaces,
    table: command.table,
    drop: command.drop,
    undelete: command.undelete,
    upperCaseLabels: command.upperCaseLabels,
    testsClusters: command.testsClusters,
    bootOnly: command.bootOnly,
    verbose: command.verbose,
    ...(command.verbose && { onBoot: (sector, geometry) => print(io, describeBoot(sector, geometry)) }),
    ...(command.list && {
      onFile: (path: string) => print(io, `Checking file ${path}\n`),
    }),
    ...(command.verify && { onStart: () => io.stdout.write('Starting check/repair pass.\n') }),
  };
  if (command.verbose) io.stdout.write('Checking we can access the last sector of the filesystem\n');
  let result: FatCheckResult | undefined;
  try {
    result = checkFat(staged, talker, options);
  } catch (error) {
    const isEnded = error instanceof Quit || error instanceof CheckEnd;
    if (isEnded && command.immediate) applyStaged(io, device, staged, command.undoFile);
    throw error;
  }
  if (result !== undefined && command.manner !== 'no') settle(staged, options);
  if (command.verify) {
    io.stdout.write('Starting verification pass.\n');
    if (result !== undefined) settle(staged, options);
  }
  const isChanged = staged.changes().length > 0;
  if (isChanged) finish(io, command, device, staged);
  if (result !== undefined) {
    const { fileCount, usedClusters, clusterCount } = result;
    print(io, `${command.target}: ${fileCount} files, ${usedClusters}/${clusterCount} clusters\n`);
  }
  return isChanged || talker.hasMended ? Status.found : 0;
}

/** Mends what the first round has uncovered, silently, so that a second run finds nothing. */
function settle(staged: StagingDevice, options: FatCheckOptions): void {
  const { codePage, noSpacesInNames } = options;
  for (let round = 1; round < MAX_ROUNDS; round++) {
    const silent = new SilentObserver();
    checkFat(staged, silent, { codePage: codePage!, noSpacesInNames: noSpacesInNames! });
    if (!silent.hasMended) return;
  }
}

class SilentObserver implements CheckObserver {
  hasMended = false;

  report({ mend }: CheckFinding): number {
    const chosen = mend?.automatic ?? LEAVE;
    if ((mend?.choices[chosen]?.action ?? '') !== '') this.hasMended = true;
    return chosen;
  }

  tell(): void {}
}

function finish(io: Io, command: CommandLine, device: BlockDevice, staged: StagingDevice): void {
  if (command.manner === 'no') {
    io.stdout.write('\nLeaving filesystem unchanged.\n');
    return;
  }
  if (command.immediate) {
    applyStaged(io, device, staged, command.undoFile);
    return;
  }
  io.stdout.write('\n*** Filesystem was changed ***\n');
  if (command.manner === 'ask') {
    io.stdout.write(
      'The changes have not yet been written, you can still choose to leave the\nfilesystem unmodified:\n',
    );
    if (choose(io, ['Write changes', 'Leave filesystem unchanged']) !== 0) return;
  } else io.stdout.write('Writing changes.\n');
  applyStaged(io, device, staged, command.undoFile);
}

/** Prints findings in the tool's words, and asks where a person has a say. */
class Talker implements CheckObserver {
  hasMended = false;
  readonly #io: Io;
  readonly #asks: boolean;
  readonly #isReadOnly: boolean;

  constructor(io: Io, command: CommandLine) {
    this.#io = io;
    this.#asks = command.manner === 'ask';
    this.#isReadOnly = command.manner === 'no';
  }

  report({ toolText, severity, mend }: CheckFinding): number {
    const isError = severity === 'fatal' || toolText.startsWith('Warning: F');
    if (isError) this.#io.stderr.write(toolText);
    else print(this.#io, toolText);
    if (mend === undefined || (severity === 'note' && this.#isReadOnly)) return LEAVE;
    let chosen = mend.automatic;
    if (toolText !== '' && mend.asks && this.#asks) {
      const labels = mend.choices.map(({ label }) => label);
      const canLeave = mend.choices.some(({ action }) => action === '');
      chosen = choose(this.#io, canLeave ? labels : [...labels, 'No action']);
    } else print(this.#io, mend.automaticText);
    if ((mend.choices[chosen]?.action ?? '') !== '') this.hasMended = true;
    return chosen < mend.choices.length ? chosen : LEAVE;
  }

  tell(text: string): void {
    print(this.#io, text);
  }
}

/** Index of what the person has chosen. */
function choose(io: Io, labels: readonly string[]): number {
  const numbers = labels.map((_, index) => `${index + 1}`).join('');
  function list(): void {
    for (const [index, label] of labels.entries()) io.stdout.write(`${index + 1}) ${label}\n`);
  }
  list();
  for (;;) {
    io.stdout.write(`[${numbers}?q]? `);
    const answer = io.stdin.readLine()?.trim();
    if (answer === undefined || answer === 'q') throw new Quit();
    const index = Number(answer) - 1;
    if (/^\d+$/.test(answer) && index >= 0 && index < labels.length) return index;
    if (answer === '?') {
      list();
      io.stdout.write('?) List all choices\nq) Quit fsck\n');
    }
  }
}
