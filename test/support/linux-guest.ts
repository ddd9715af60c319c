import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { findKernel } from './boot-emulator.ts';
import { execFileSync, spawnSync } from './programs.ts';
import { findTool, temporaryFolder } from './tools.ts';

/**
 * A Linux kernel of Debian's in an emulator, as a judge with what the kernel of this machine may not have: its FAT driver, its NBD client, its
 * reader of partition tables.
 */
export interface LinuxGuest {
  readonly kernel: string;
  /** Where its modules are, as below /lib/modules/VERSION. */
  readonly modules: string;
}

export interface GuestRun {
  /** Commands for busybox' shell, as root; what they print is the result. */
  readonly script: string;
  /** Images that the guest has as /dev/vda, /dev/vdb and so on. */
  readonly drives?: readonly {
    readonly image: string;
    readonly readOnly?: boolean;
    readonly sectorSize?: number;
  }[];
  /** In the order in which they are loaded, with all that they need. */
  readonly modules?: readonly string[];
  /** Programs of this machine that the script uses, beside busybox. */
  readonly programs?: readonly string[];
  /** The guest reaches this machine's loopback as 10.0.2.2. */
  readonly network?: boolean;
  /** A unix socket of this machine, which the guest, with a network, reaches at `SOCKET_ADDRESS`: each connection there is one here. */
  readonly socket?: string;
}

export const SOCKET_ADDRESS = '10.0.2.100:10809';

export const DISK_MODULES = ['virtio_blk'] as const;
export const NETWORK_MODULES = ['virtio_net'] as const;
export const FAT_MODULES = ['nls_cp437', 'nls_iso8859-1', 'nls_utf8', 'vfat'] as const;

const BUS_MODULES = ['virtio_pci'];
const BEGIN = '<<<begin>>>';
const END = '<<<end>>>';

/** Undefined where scripts/reference-tools.mjs has not put one. */
export function findGuest(): LinuxGuest | undefined {
  const kernel = findKernel();
  if (kernel === undefined) return undefined;
  const modules = path.join(
    path.dirname(kernel),
    `modules-${path.basename(kernel).slice('vmlinuz-'.length)}`,
  );
  return fs.existsSync(path.join(modules, 'modules.order')) ? { kernel, modules } : undefined;
}

/** The kernel measures at its start whether its timer ticks, and gives up where a busy host does not let it: that is not asked here. */
export const GUEST_PARAMETERS = 'console=ttyS0 quiet panic=-1 no_timer_check';

/** Boots, runs the script and returns what it printed. Without KVM: nested virtualization does not run everywhere. */
export function runInGuest(guest: LinuxGuest, run: GuestRun): string {
  const { stdout, stderr, error } = spawnSync(findTool('qemu-system-x86_64')!, guestArguments(guest, run), {
    encoding: 'latin1',
    timeout: 480_000,
    maxBuffer: 1 << 26,
  });
  const text = stdout.replaceAll('\r', '');
  const begin = text.lastIndexOf(BEGIN);
  const end = text.lastIndexOf(END);
  if (error !== undefined || begin < 0 || end < begin) {
    throw new Error(
      `The guest did not come to its end: ${String(error ?? '')}\n${text.slice(-3000)}${stderr}`,
    );
  }
  return text.slice(begin + BEGIN.length + 1, end);
}

/** Boots, and so many milliseconds after the script has printed `mark` ends the emulator at once: what the guest has not written by then it never does. */
export async function runAndKillGuest(
  guest: LinuxGuest,
  run: GuestRun,
  mark: string,
  delay: number,
): Promise<string> {
  const child = spawn(findTool('qemu-system-x86_64')!, guestArguments(guest, run), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  let isMarked = false;
  const boot = setTimeout(() => child.kill('SIGKILL'), 480_000);
  child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
    if (isMarked || !text.includes(mark)) return;
    isMarked = true;
    setTimeout(() => child.kill('SIGKILL'), delay);
  });
  await new Promise((resolve) => child.on('close', resolve));
  clearTimeout(boot);
  if (!isMarked) throw new Error(`The guest did not print ${mark}:\n${text.slice(-3000)}`);
  return text;
}

function guestArguments(guest: LinuxGuest, run: GuestRun): string[] {
  const folder = temporaryFolder();
  const initrd = path.join(folder, 'initrd');
  buildInitrd(guest, run, path.join(folder, 'root'), initrd);
  const drives = (run.drives ?? []).flatMap(({ image, readOnly, sectorSize = 512 }, index) => [
    '-drive',
    `file=${image},format=raw,if=none,id=d${index}${readOnly === true ? ',readonly=on' : ''}`,
    '-device',
    `virtio-blk-pci,drive=d${index},logical_block_size=${sectorSize},physical_block_size=${sectorSize}`,
  ]);
  const forward =
    run.socket === undefined
      ? ''
      : `,guestfwd=tcp:${SOCKET_ADDRESS}-cmd:${findTool('socat')!} - UNIX-CONNECT:${run.socket}`;
  const network =
    run.network === true
      ? ['-netdev', `user,id=n0${forward}`, '-device', 'virtio-net-pci,netdev=n0']
      : ['-nic', 'none'];
  const args = ['-m', '512', '-nographic', '-no-reboot', '-nodefaults', '-serial', 'stdio'];
  const boot = ['-kernel', guest.kernel, '-initrd', initrd, '-append', GUEST_PARAMETERS];
  return [...args, ...boot, ...drives, ...network];
}

function buildInitrd(guest: LinuxGuest, run: GuestRun, root: string, initrd: string): void {
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'mnt', 'lib', 'lib64', 'modules'])
    fs.mkdirSync(path.join(root, name), { recursive: true });
  fs.copyFileSync(findTool('busybox')!, path.join(root, 'bin/busybox'));
  const loads = withDependencies(guest, [...BUS_MODULES, ...(run.modules ?? [])]).map((file, index) => {
    fs.copyFileSync(file, path.join(root, `modules/${index}.ko`));
    return `insmod /modules/${index}.ko || echo "cannot load ${path.basename(file)}"`;
  });
  for (const program of run.programs ?? []) addProgram(root, findTool(program)!);
  const init = [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'export PATH=/bin',
    'mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /tmp',
    ...loads,
    ...(run.network === true
      ? ['ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0']
      : []),
    `echo '${BEGIN}'`,
    `( ${run.script}\n) 2>&1`,
    `echo '${END}'`,
    'poweroff -f',
  ];
  fs.writeFileSync(path.join(root, 'init'), `${init.join('\n')}\n`, { mode: 0o755 });
  execFileSync('sh', ['-c', 'cd "$1" && find . | cpio -o -H newc --quiet > "$2"', 'sh', root, initrd]);
}

/** The program with the libraries that it needs, under their own paths; names of busybox' stand behind it. */
function addProgram(root: string, program: string): void {
  const listed = execFileSync('ldd', [program], { encoding: 'utf8' });
  const libraries = [...listed.matchAll(/(\/\S+)\s+\(0x/g)].map(([, file]) => file!);
  for (const file of libraries) {
    const place = path.join(root, file);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    fs.copyFileSync(fs.realpathSync(file), place);
  }
  fs.copyFileSync(program, path.join(root, 'bin', path.basename(program)));
}

/** Files of the modules and of all that they depend on, first what is needed first. */
function withDependencies({ modules }: LinuxGuest, wanted: readonly string[]): string[] {
  const files = new Map<string, string>();
  for (const line of fs.readFileSync(path.join(modules, 'modules.order'), 'utf8').split('\n')) {
    if (line !== '') files.set(nameOf(line), path.join(modules, line));
  }
  const done = new Set<string>();
  const add = (name: string): void => {
    const file = files.get(name);
    // Built into the kernel.
    if (file === undefined || done.has(file)) return;
    const [, needed = ''] = /\0depends=([^\0]*)\0/.exec(fs.readFileSync(file, 'latin1')) ?? [];
    for (const other of needed.split(',')) if (other !== '') add(nameOf(other));
    done.add(file);
  };
  for (const name of wanted) add(nameOf(name));
  return [...done];
}

function nameOf(module: string): string {
  return path.basename(module, '.ko').replaceAll('-', '_');
}
