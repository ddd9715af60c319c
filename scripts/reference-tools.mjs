// The programs that judge ours, from Debian's packages: installed when this is root on a machine with apt.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** A program of each package, and the package. */
const TOOLS = [
  ['mkfs.fat', 'dosfstools'],
  ['mke2fs', 'e2fsprogs'],
  ['mcopy', 'mtools'],
  ['fdisk', 'fdisk'],
  ['grub', 'grub-legacy'],
  ['qemu-system-i386', 'qemu-system-x86'],
  ['getfattr', 'attr'],
  ['cpio', 'cpio'],
  ['busybox', 'busybox-static'],
  ['unshare', 'util-linux'],
];

const FOLDERS = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin'];

function absentPackages() {
  return TOOLS.filter(([program]) => !FOLDERS.some((folder) => existsSync(`${folder}/${program}`))).map(
    ([, name]) => name,
  );
}

export function fetchReferenceTools() {
  const packages = absentPackages();
  if (!existsSync('/boot/memtest86+x64.bin') && !existsSync('/boot/memtest86+ia32.bin'))
    packages.push('memtest86+');
  if (packages.length === 0) return;
  const mayInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  if (!mayInstall) {
    console.log(`Reference tools that are absent here, so their tests are skipped: ${packages.join(', ')}`);
    return;
  }
  console.log(`Installing the reference tools: ${packages.join(', ')} …`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('apt-get', ['-q', 'update'], { env, stdio: 'ignore' });
  spawnSync('apt-get', ['-q', 'install', '-y', '--no-install-recommends', ...packages], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
