import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { hasCode } from '../errors.ts';

/** QEMU on this machine: where it is, how to get it, and how to run it on our terminal. */

/** The first runs guests of 32 and of 64 bits. */
const PROGRAMS = ['qemu-system-x86_64', 'qemu-system-i386'];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The full name of QEMU for the PC; undefined when it is not on the PATH. */
export function findEmulator(env: Environment): string | undefined {
  const suffixes = process.platform === 'win32' ? ['.exe'] : [''];
  const folders = (env['PATH'] ?? '').split(path.delimiter).filter((folder) => folder !== '');
  for (const program of PROGRAMS) {
    for (const folder of folders) {
      for (const suffix of suffixes) {
        const file = path.join(folder, program + suffix);
        if (mayRun(file)) return file;
      }
    }
  }
  return undefined;
}

function mayRun(file: string): boolean {
  return accessible(file, fs.constants.X_OK) && fs.statSync(file).isFile();
}

/** Whether the processor's own virtualization may be used, which is many times as fast. */
export function kvmUsable(): boolean {
  return process.platform === 'linux' && accessible('/dev/kvm', fs.constants.R_OK | fs.constants.W_OK);
}

function accessible(file: string, mode: number): boolean {
  try {
    fs.accessSync(file, mode);
    return true;
  } catch (error) {
    for (const code of ['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR', 'EROFS', 'ELOOP', 'ENAMETOOLONG']) {
      if (hasCode(error, code)) return false;
    }
    throw error;
  }
}

/** The command that installs QEMU, by what the system calls itself in /etc/os-release. */
const INSTALL_COMMANDS: readonly (readonly [systems: RegExp, command: string])[] = [
  [/\b(debian|ubuntu)\b/, 'apt install qemu-system-x86'],
  [/\b(fedora|rhel|centos)\b/, 'dnf install qemu-system-x86'],
  [/\barch\b/, 'pacman -S qemu-system-x86'],
  [/\balpine\b/, 'apk add qemu-system-x86_64'],
  [/\b(suse|opensuse)\b/, 'zypper install qemu-x86'],
  [/\bgentoo\b/, 'emerge app-emulation/qemu'],
  [/\bnixos\b/, 'nix-shell -p qemu'],
];

/** How to get QEMU on this platform, as the end of a sentence: `install it with: apt install qemu-system-x86`. */
export function emulatorAdvice(
  platform: NodeJS.Platform = process.platform,
  osRelease: string = readOsRelease(),
): string {
  const known: Partial<Record<NodeJS.Platform, string>> = {
    darwin: 'brew install qemu',
    win32: 'winget install SoftwareFreedomConservancy.QEMU',
    freebsd: 'pkg install qemu',
    openbsd: 'pkg_add qemu',
    netbsd: 'pkgin install qemu',
  };
  const names = /^ID=(.*)$/m.exec(osRelease)?.[1] ?? '';
  const relatives = /^ID_LIKE=(.*)$/m.exec(osRelease)?.[1] ?? '';
  const systems = `${names} ${relatives}`.replaceAll('"', '');
  const command = known[platform] ?? INSTALL_COMMANDS.find(([system]) => system.test(systems))?.[1];
  return command === undefined
    ? 'install the package of your system that has qemu-system-x86_64'
    : `install it with: ${command}`;
}

function readOsRelease(): string {
  if (!accessible('/etc/os-release', fs.constants.R_OK)) return '';
  return fs.readFileSync('/etc/os-release', 'utf8');
}

/**
 * Runs a program on our own terminal and returns its exit status, 128 and the signal's number when a signal ended it.
 * Ctrl-C reaches the program as it does us; it decides what that means.
 */
export function runOnTerminal(program: string, args: readonly string[]): Promise<number> {
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  return new Promise<number>((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit' });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : signalNumber(signal)));
    });
  }).finally(() => process.off('SIGINT', ignore));
}

function signalNumber(signal: NodeJS.Signals): number {
  const numbers: Partial<Record<NodeJS.Signals, number>> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGABRT: 6,
    SIGKILL: 9,
    SIGSEGV: 11,
    SIGTERM: 15,
  };
  return numbers[signal] ?? 0;
}
