import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { attachDevice, detachDevice } from '../../src/attach/client.ts';
import type { AttachRequest, DeviceState } from '../../src/attach/device-state.ts';
import { listDevices } from '../../src/attach/registry.ts';
import { loopRequest } from '../support/attached.ts';
import { makeVolume, NO_STAGE15, stageFolder } from '../support/boot-images.ts';
import { serialMenu } from '../support/boot-emulator.ts';
import { userloop } from '../support/run.ts';
import { describeInShell, ShellUser } from '../support/user-shell.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/** `userloop boot` of attached devices, in QEMU. */

let folder: string;
let image: string;
let env: Record<string, string>;

beforeEach(() => {
  folder = temporaryFolder();
  image = path.join(folder, 'floppy.img');
  env = { USERLOOP_RUNTIME_DIR: path.join(folder, 'r'), PATH: process.env['PATH'] ?? '' };
});

afterEach(async () => {
  for (const state of listDevices(env)) await detachDevice(state, { force: true });
});

async function attach(change: Partial<AttachRequest> = {}): Promise<DeviceState> {
  return attachDevice(env, loopRequest(image, { unit: 5, files: false, ...change }));
}

/** A floppy that shows a menu on its serial line. */
async function makeBootable(title: string): Promise<void> {
  makeVolume(image, 1440, { type: 'ext2', folder: '/grub', files: NO_STAGE15 });
  const setup = await userloop(['grub', '--batch'], {
    cwd: folder,
    env,
    stdin: `device (fd0) ${image}\nroot (fd0)\nsetup (fd0)\nquit\n`,
  });
  expect(setup.stdout).toContain('succeeded');
  await writeMenu(image, title);
}

async function writeMenu(name: string, title: string): Promise<void> {
  fs.writeFileSync(path.join(folder, 'menu.lst'), serialMenu(title, 'root (fd0)'));
  const copied = await userloop(['cp', 'menu.lst', `${name}:/grub/menu.lst`], { cwd: folder, env });
  expect(copied).toMatchObject({ status: 0, stderr: '' });
}

async function command(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return userloop(['boot', '--dry-run', '--display', 'none', ...argv], { cwd: folder, env });
}

/** What came over the serial line until the marker did. */
async function bootUntil(marker: string, ...argv: string[]): Promise<string> {
  const { stdout, stderr } = await command(...argv, '--', '-serial', 'stdio', '-monitor', 'none');
  expect(stderr).toBe('');
  const [program = '', ...args] = stdout.trim().split(' ');
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  return new Promise((resolve) => {
    let output = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), 240_000);
    const take = (chunk: Buffer): void => {
      output += chunk.toString('latin1');
      if (output.includes(marker)) child.kill('SIGKILL');
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('close', () => {
      clearTimeout(timer);
      resolve(output);
    });
  });
}

function digest(): string {
  return createHash('sha256').update(fs.readFileSync(image)).digest('hex');
}

describeWithTools(['qemu-system-x86_64', 'mkfs.ext2', 'debugfs'], 'userloop boot of a device', () => {
  it.skipIf(stageFolder() === undefined)(
    'shows what the host has changed, and changes nothing with --overlay and --read-only',
    async () => {
      await makeBootable('First menu');
      await attach();
      const before = digest();
      expect(await bootUntil('First menu', '--overlay', '/dev/loop5')).toContain('First menu');
      expect(await bootUntil('First menu', '--read-only', 'loop5')).toContain('First menu');
      expect(digest()).toBe(before);
      await writeMenu('/dev/loop5', 'Second menu');
      expect(await bootUntil('Second menu', '--overlay', '/dev/loop5')).toContain('Second menu');
      const { nbdSocket } = listDevices(env)[0]!;
      expect(await bootUntil('Second menu', `nbd+unix:///loop5?socket=${nbdSocket}`)).toContain(
        'Second menu',
      );
      expect(runTool('e2fsck', ['-fn', image]).status).toBe(0);
    },
  );

  it('reaches a device, a partition and an export over NBD, and a file as a file', async () => {
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 1440 * 1024);
    const plain = await command(image);
    expect(plain.stdout).toContain(`-drive file=${image},format=raw,if=floppy,index=0 -boot a `);
    const { nbdSocket } = await attach();
    const drive = `file.driver=nbd,file.server.type=unix,file.server.path=${nbdSocket},file.export=loop5,format=raw,if=floppy,index=0`;
    expect((await command('/dev/loop5')).stdout).toContain(`-drive ${drive} -boot a `);
    expect((await command('--overlay', 'loop5')).stdout).toContain(`-drive ${drive},snapshot=on -boot a `);
    expect((await command('-r', 'loop5')).stdout).toContain(`-drive ${drive},readonly=on -boot a `);
    expect((await command('-r', '--disk', 'loop5')).stdout).toContain(`index=0,snapshot=on -boot c `);
    // The file itself is attached: written by two it would be damaged, read it is through the device.
    expect((await command('--overlay', image)).stdout).toContain(`${drive},snapshot=on`);
    const both = await command(image);
    expect(both.status).toBe(1);
    expect(both.stderr).toContain('name that device instead');
  });

  it('refuses to write what is attached for reading', async () => {
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 4 << 20);
    await attach({ readOnly: true });
    const refused = await command('/dev/loop5');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('loop5 is read-only: boot with --overlay or --read-only');
    expect((await command('--overlay', '/dev/loop5')).status).toBe(0);
    expect((await command('--overlay', '--read-only', '/dev/loop5')).status).toBe(2);
  });
});

describeInShell(['mkfs.ext2', 'e2fsck'], 'userloop boot of a mounted device', () => {
  it('is for looking only', () => {
    const user = new ShellUser();
    const { status, stdout, stderr } = user.script(`
      truncate -s 4M disk.img; losetup /dev/loop0 disk.img; mkfs.ext2 -q /dev/loop0
      mkdir /mnt/here; mount /dev/loop0 /mnt/here
      userloop boot --dry-run /dev/loop0 || echo status $?
      userloop boot --dry-run --overlay /dev/loop0
      umount /mnt/here
      userloop boot --dry-run /dev/loop0`);
    user.end();
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr:
        'userloop boot: /dev/loop0 is mounted on /mnt/here: what the guest writes would damage it; ' +
        'unmount it, or boot with --overlay or --read-only\n',
    });
    expect(stdout).toMatch(/^status 1\n.*snapshot=on .*\n.*index=0 -boot c .*\n$/);
  });
});
