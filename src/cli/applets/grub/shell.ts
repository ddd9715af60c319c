import { GrubError, SilentFailure } from '../../../boot/grub-legacy/grub-error.ts';
import type { HostFile } from '../../../boot/grub-legacy/install.ts';
import { GrubSession, type SessionOptions } from '../../../boot/grub-legacy/session.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { hasCode, isOwnError, UnsupportedError } from '../../../errors.ts';
import { discardingWrites } from './discarding-device.ts';
import type { Io } from '../../io.ts';
import { openDevice } from '../../open-device.ts';
import type { Command, Shell } from './command.ts';
import { COMMANDS, OTHER_COMMANDS } from './commands.ts';
import { printHelp } from './command-help.ts';
import type { MappedDrive } from './device-map.ts';

const BANNER = `

    GNU GRUB  version 0.97  (640K lower / 3072K upper memory)

       [ Minimal BASH-like line editing is supported.   For
         the   first   word,  TAB  lists  possible  command
         completions.  Anywhere else TAB lists the possible
         completions of a device/filename. ]
`;

const PROMPT = 'grub> ';

export interface ShellOptions extends SessionOptions {
  readonly drives: readonly MappedDrive[];
  /** Write nothing, but go on as if it had been written. */
  readonly readOnly: boolean;
  readonly verbose: boolean;
}

/** Reads commands until `quit` or the end of the input. */
export function runShell(io: Io, options: ShellOptions): void {
  const devices: BlockDevice[] = [];
  const hostFiles: BlockDevice[] = [];
  const session = new GrubSession(options);
  const open = (name: string): BlockDevice => {
    const device = openImage(io, name, options.readOnly);
    devices.push(device);
    return device;
  };
  const shell: Shell = {
    session,
    print: (text) => io.stdout.write(text),
    attach(drive, file) {
      if (options.verbose) announce(io, drive, file);
      session.setDrive(drive, file, file === '' ? missing() : translating(() => open(file)));
    },
    openHostFile: (name) => openHostFile(io, name, options.readOnly, hostFiles),
  };
  try {
    // Hard disks first, as GRUB does.
    const order = (drive: number): number => drive ^ 0x80;
    for (const { drive, file } of [...options.drives].sort((a, b) => order(a.drive) - order(b.drive))) {
      attachIfThere(shell, drive, file);
    }
    io.stdout.write(BANNER);
    for (;;) {
      io.stdout.write(PROMPT);
      const line = io.stdin.readLine();
      if (line === undefined) return;
      // A terminal shows what is typed; where there is none GRUB does.
      const typed = line.replaceAll('\t', '');
      if (!io.stdin.isTerminal) io.stdout.write(`${typed}\n`);
      if (runLine(shell, typed) === 'quit') return;
    }
  } finally {
    for (const device of [...devices, ...hostFiles]) device.close();
  }
}

function runLine(shell: Shell, line: string): 'quit' | undefined {
  const [, word = '', text = ''] = /^[ ]*([^ =]*)[ =]*(.*)$/s.exec(line)!;
  if (word === '') return undefined;
  if (word === 'quit') return 'quit';
  try {
    if (word === 'help') printHelp(shell, text);
    else commandNamed(word).run(shell, text);
  } catch (error) {
    if (error instanceof SilentFailure) return undefined;
    if (!(error instanceof GrubError) && !isOwnError(error)) throw error;
    shell.print(`\n${error.message}\n`);
  }
  return undefined;
}

function commandNamed(word: string): Command {
  const command = COMMANDS.find(({ name }) => name === word);
  if (command === undefined && OTHER_COMMANDS.includes(word)) {
    throw new UnsupportedError(
      `The command "${word}" is not supported here: this shell installs GRUB, no more`,
    );
  }
  if (command === undefined) throw new GrubError(27);
  return command;
}

function missing(): never {
  throw new GrubError(15);
}

/** Drives of the map whose image is not there do not exist: Error 21 when they are used. */
function attachIfThere(shell: Shell, drive: number, file: string): void {
  try {
    shell.attach(drive, file);
  } catch (error) {
    if (!(error instanceof GrubError)) throw error;
  }
}

function announce(io: Io, drive: number, file: string): void {
  io.stdout.write(`Attempt to open drive 0x${drive.toString(16)} (${file})\n`);
}

/** For writing where that is allowed, else for reading: then installing is Error 29. */
function openImage(io: Io, name: string, readOnly: boolean): BlockDevice {
  if (readOnly) return discardingWrites(openDevice(io, name, { readOnly: true }));
  try {
    // A boot loader is installed on the device as its files are edited through the mount.
    return openDevice(io, name, { whileMounted: true });
  } catch (error) {
    if (hasCode(error, 'EACCES') || hasCode(error, 'EROFS') || hasCode(error, 'EPERM')) {
      return openDevice(io, name, { readOnly: true });
    }
    throw error;
  }
}

function openHostFile(io: Io, name: string, readOnly: boolean, opened: BlockDevice[]): HostFile {
  return translating(() => {
    const device = openImage(io, name, readOnly);
    opened.push(device);
    return device;
  });
}

/** Whatever keeps a file from being opened, GRUB says that it was not found. */
function translating<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (isOwnError(error) || (error instanceof Error && 'syscall' in error)) {
      throw new GrubError(15, { cause: error });
    }
    throw error;
  }
}
