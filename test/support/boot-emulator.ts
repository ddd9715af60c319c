import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { userloop } from './run.ts';
import { mustRun } from './boot-images.ts';
import { findTool } from './tools.ts';

/** What a booted image says on its serial line, and kernels that say something. */

/** A kernel is known by where scripts/reference-tools.mjs puts one, or by Debian's own place. */
export function findKernel(): string | undefined {
  const cache = path.join(
    process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'),
    'userloop-test',
  );
  for (const folder of [cache, '/boot']) {
    const found = listFolder(folder).find((name) => name.startsWith('vmlinuz-') && name.endsWith('amd64'));
    if (found !== undefined && readable(path.join(folder, found))) return path.join(folder, found);
  }
  return undefined;
}

export function findMemtest(): string | undefined {
  return ['/boot/memtest86+x64.bin', '/boot/memtest86+ia32.bin'].find(readable);
}

function listFolder(folder: string): string[] {
  return fs.existsSync(folder) ? fs.readdirSync(folder).sort() : [];
}

function readable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.R_OK);
    return true;
  } catch {
    // Absent or not ours to read: no kernel for us.
    return false;
  }
}

/** An initial RAM disk whose only program prints a line and turns the machine off. */
export function makeInitrd(folder: string, line: string): string {
  const root = path.join(folder, 'initrd-root');
  fs.mkdirSync(path.join(root, 'bin'), { recursive: true });
  fs.copyFileSync(findTool('busybox')!, path.join(root, 'bin/busybox'));
  fs.writeFileSync(
    path.join(root, 'init'),
    `#!/bin/busybox sh\necho "${line}"\nexec /bin/busybox poweroff -f\n`,
    { mode: 0o755 },
  );
  const initrd = path.join(folder, 'initrd.gz');
  mustRun('sh', ['-c', `cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 > "$2"`, 'sh', root, initrd]);
  return initrd;
}

/** A menu on the serial line, with one entry that is booted at once. */
export function serialMenu(title: string, ...commands: readonly string[]): string {
  const lines = ['serial --unit=0 --speed=9600', 'terminal --timeout=0 serial', 'default 0', 'timeout 1'];
  return [...lines, `title ${title}`, ...commands, ''].join('\n');
}

/**
 * Boots the image with the command that `userloop boot` would run, and returns what came over the serial line until
 * `marker` was there, or until the time was up. The emulator is ended in any case. Without KVM: nested
 * virtualization, as in CI, does not run every kernel.
 */
export async function bootUntil(
  image: string,
  marker: string,
  options: readonly string[] = [],
  timeoutSeconds = 360,
): Promise<string> {
  const boot = ['boot', '--dry-run', '--display', 'none', ...options, image];
  const { stdout } = await userloop([...boot, '--', '-serial', 'stdio', '-monitor', 'none', '-no-reboot'], {
    env: process.env,
  });
  const [program = '', ...args] = stdout.trim().split(' ');
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  return new Promise<string>((resolve, reject) => {
    let output = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutSeconds * 1000);
    const take = (chunk: Buffer): void => {
      output += chunk.toString('latin1');
      if (output.includes(marker)) child.kill('SIGKILL');
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      resolve(output);
    });
  });
}
