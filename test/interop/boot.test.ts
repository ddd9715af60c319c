import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { bootUntil, findKernel, findMemtest, makeInitrd, serialMenu } from '../support/boot-emulator.ts';
import { ALL_STAGES, stageFolder } from '../support/boot-images.ts';
import { GUEST_PARAMETERS } from '../support/linux-guest.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, temporaryFolder } from '../support/tools.ts';

/**
 * From an empty file to a booting image with nothing but our own commands; an emulated PC is the judge. GRUB's stage
 * files and the kernels come from packages of the system.
 */

const MIB = 1 << 20;
/** memtest86+ announces itself so on its serial console. */
const MEMTEST_RUNS = 'Memtest86+';
const LINUX_RUNS = 'userloop-guest-is-up';

/** Tests that need a file of the system: skipped where it is absent, a failure under CI. */
function describeWithFile(file: string | undefined, what: string, body: (file: string) => void): void {
  if (file === undefined && process.env['CI'] === 'true') throw new Error(`Under CI there must be ${what}`);
  describe.skipIf(file === undefined)(`with ${what}`, () => body(file ?? ''));
}

async function must(argv: readonly string[], stdin = ''): Promise<string> {
  const { status, stdout, stderr } = await userloop(argv, { stdin });
  if (status !== 0) throw new Error(`userloop ${argv.join(' ')} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

/** A folder `boot` with GRUB's stage files, a menu and more files, for `cp -r`. */
function makeBootFolder(folder: string, menu: string, files: Readonly<Record<string, string>>): string {
  const boot = path.join(folder, 'boot');
  fs.mkdirSync(path.join(boot, 'grub'), { recursive: true });
  for (const name of ALL_STAGES) {
    fs.copyFileSync(path.join(stageFolder()!, name), path.join(boot, 'grub', name));
  }
  fs.writeFileSync(path.join(boot, 'grub/menu.lst'), menu);
  for (const [name, source] of Object.entries(files)) fs.copyFileSync(source, path.join(boot, name));
  return boot;
}

async function installGrub(image: string, drive: string, root: string): Promise<void> {
  const commands = [`device (${drive}) ${image}`, `root (${root})`, `setup (${drive})`, 'quit', ''];
  expect(await must(['grub', '--batch'], commands.join('\n'))).toContain('succeeded\nDone.\n');
}

async function makeFloppy(image: string, type: 'ext2' | 'fat12', boot: string): Promise<void> {
  await must(['create', image, '1440K']);
  await must(type === 'ext2' ? ['mkfs.ext2', '-q', image] : ['mkfs.fat', '-F12', image]);
  await must(['cp', '-r', boot, `${image}:/`]);
  await installGrub(image, 'fd0', 'fd0');
}

/** A disk of 48 MiB with one partition from sector 2048 on. */
async function makeDisk(image: string, type: 'ext2' | 'fat32', boot: string): Promise<void> {
  await must(['create', image, '48M']);
  await must(['fdisk', image], `o\nn\np\n1\n\n\nt\n${type === 'ext2' ? '83' : 'c'}\na\nw\n`);
  await must(
    type === 'ext2'
      ? ['mkfs.ext2', '-q', '-E', `offset=${MIB}`, image, '47M']
      : ['mkfs.fat', '-F32', '--offset=2048', image, String(47 * 1024)],
  );
  await must(['cp', '-r', boot, `${image}:1:/`]);
  await installGrub(image, 'hd0', 'hd0,0');
}

describeWithTools(['qemu-system-x86_64', 'grub'], 'images made with our tools boot', () => {
  describeWithFile(findMemtest(), 'memtest86+', (memtest) => {
    const menu = serialMenu('memory test of userloop', 'kernel /boot/memtest.bin console=ttyS0,115200');

    for (const type of ['ext2', 'fat12'] as const) {
      test(`an ${type} floppy shows GRUB's menu and loads a kernel`, async () => {
        const folder = temporaryFolder();
        const image = path.join(folder, 'floppy.img');
        await makeFloppy(image, type, makeBootFolder(folder, menu, { 'memtest.bin': memtest }));
        const output = await bootUntil(image, MEMTEST_RUNS, ['--snapshot']);
        expect(output).toContain('memory test of userloop');
        expect(output).toContain(MEMTEST_RUNS);
      });
    }

    test('a hard disk with FAT32 shows the menu and loads a kernel', async () => {
      const folder = temporaryFolder();
      const image = path.join(folder, 'disk.img');
      await makeDisk(image, 'fat32', makeBootFolder(folder, menu, { 'memtest.bin': memtest }));
      const output = await bootUntil(image, MEMTEST_RUNS, ['--snapshot']);
      expect(output).toContain('memory test of userloop');
      expect(output).toContain(MEMTEST_RUNS);
    });
  });

  describeWithFile(findKernel(), 'a Linux kernel', (kernel) => {
    test('a hard disk with ext2 boots Linux with an initial RAM disk', async () => {
      const folder = temporaryFolder();
      const image = path.join(folder, 'disk.img');
      const menu = serialMenu(
        'Linux in userloop',
        `kernel /boot/vmlinuz ${GUEST_PARAMETERS}`,
        'initrd /boot/initrd.gz',
      );
      const files = { vmlinuz: kernel, 'initrd.gz': makeInitrd(folder, LINUX_RUNS) };
      await makeDisk(image, 'ext2', makeBootFolder(folder, menu, files));
      const output = await bootUntil(image, LINUX_RUNS, ['--snapshot', '--memory', '256M']);
      expect(output).toContain('Linux in userloop');
      expect(output).toContain(`\n${LINUX_RUNS}`);
    });
  });
});
