// The programs that judge ours, from Debian's packages: installed when this is root on a machine with apt.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/** A program of each package, and the package. */
const TOOLS = [
  ['mkfs.fat', 'dosfstools'],
  ['mke2fs', 'e2fsprogs'],
  ['mcopy', 'mtools'],
  ['fdisk', 'fdisk'],
  ['sfdisk', 'fdisk'],
  ['grub', 'grub-legacy'],
  ['qemu-system-i386', 'qemu-system-x86'],
  ['getfattr', 'attr'],
  ['cpio', 'cpio'],
  ['busybox', 'busybox-static'],
  ['unshare', 'util-linux'],
  ['nbdinfo', 'libnbd-bin'],
  ['nbdkit', 'nbdkit'],
  ['nbd-client', 'nbd-client'],
  ['socat', 'socat'],
  ['qemu-img', 'qemu-utils'],
  ['fusermount3', 'fuse3'],
  ['fuse2fs', 'fuse2fs'],
  ['fio', 'fio'],
  ['stress-ng', 'stress-ng'],
  ['newuidmap', 'uidmap'],
  ['parted', 'parted'],
  ['sgdisk', 'gdisk'],
  ['rsync', 'rsync'],
  ['git', 'git'],
  ['sqlite3', 'sqlite3'],
  ['gcc', 'gcc'],
  ['certtool', 'gnutls-bin'],
  ['repquota', 'quota'],
  ['groff', 'groff-base'],
  ['fish', 'fish'],
  ['zsh', 'zsh'],
];

const FOLDERS = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin'];

function absentPackages() {
  return TOOLS.filter(([program]) => !FOLDERS.some((folder) => existsSync(`${folder}/${program}`))).map(
    ([, name]) => name,
  );
}

/** Debian's small kernel for virtual machines: a kernel for the images of the tests to boot. Needs no root. */
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';

/** Parts of that kernel that are modules and that tests load: directories and files below its /lib/modules/VERSION/kernel. */
const MODULES = [
  'drivers/block',
  'drivers/virtio',
  'drivers/net/virtio_net.ko',
  'drivers/net/net_failover.ko',
  'net/core/failover.ko',
  'fs/fat',
  'fs/nls',
  'fs/quota',
];

/** test/support/boot-emulator.ts and linux-guest.ts look for the kernel here, too. */
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'userloop-test');

function fetchKernel() {
  const isKernel = (name) => name.startsWith('vmlinuz-') && name.endsWith('amd64');
  const kernels = existsSync(CACHE) ? readdirSync(CACHE).filter(isKernel) : [];
  const hasModules = (name) =>
    MODULES.every((module) => existsSync(join(CACHE, name.replace('vmlinuz', 'modules'), module)));
  if (kernels.some(hasModules)) return;
  console.log('Fetching a kernel for the images of the tests to boot …');
  const folder = mkdtempSync(join(tmpdir(), 'userloop-kernel-'));
  const run = (program, args) => spawnSync(program, args, { cwd: folder, encoding: 'utf8' }).stdout ?? '';
  // The package of that name only depends on the one that holds the kernel.
  let depends = run('apt-cache', ['depends', '--important', KERNEL_PACKAGE]);
  if (depends === '') {
    // The lists of packages may never have been fetched here.
    run('apt-get', ['-q', 'update']);
    depends = run('apt-cache', ['depends', '--important', KERNEL_PACKAGE]);
  }
  const [, real] = /Depends: (linux-image-\S+)/.exec(depends) ?? [];
  if (real !== undefined) run('apt-get', ['-q', 'download', real]);
  const archive = readdirSync(folder).find((name) => name.endsWith('.deb'));
  if (archive === undefined) console.log(`The package ${KERNEL_PACKAGE} is not to be had here`);
  else {
    mkdirSync(CACHE, { recursive: true });
    for (const name of kernels) rmSync(join(CACHE, name));
    const extract =
      'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --strip-components=2 --wildcards "./boot/vmlinuz-*"';
    run('sh', ['-c', extract, 'sh', archive, CACHE]);
    const version = readdirSync(CACHE).find(isKernel)?.slice('vmlinuz-'.length);
    const modules = join(CACHE, `modules-${version}`);
    mkdirSync(modules, { recursive: true });
    const unpack =
      'cd "$1" && shift && archive=$1 && shift && dpkg-deb --fsys-tarfile "$archive" | tar -x --strip-components=5 "$@" && find . -name "*.ko" > modules.order';
    run('sh', [
      '-c',
      unpack,
      'sh',
      modules,
      join(folder, archive),
      ...MODULES.map((name) => `./lib/modules/${version}/kernel/${name}`),
    ]);
  }
  rmSync(folder, { recursive: true });
}

/** What udev does wherever it runs. Tests have plain users mount, and the machine of a container may not have it. */
function openFuse() {
  if (process.getuid?.() !== 0 || !existsSync('/dev/fuse') || (statSync('/dev/fuse').mode & 0o777) === 0o666)
    return;
  console.log('Opening /dev/fuse to every user, as udev does …');
  chmodSync('/dev/fuse', 0o666);
}

export function fetchReferenceTools() {
  fetchTools();
  openFuse();
  // Only where tools are installed as well, or where their absence is a failure: a test run fetches nothing unasked.
  const wanted = process.getuid?.() === 0 || process.env['CI'] === 'true';
  if (wanted && existsSync('/usr/bin/apt-get')) fetchKernel();
}

function fetchTools() {
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
