import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MountStage, describeWithFuse } from '../support/mount-stage.ts';
import { runTool, type ToolResult } from '../support/tools.ts';

const isRoot = process.getuid!() === 0;

const WELCOME =
  '\nWelcome to fdisk (util-linux 2.38.1).\n' +
  'Changes will remain in memory only, until you decide to write them.\n' +
  'Be careful before using the write command.\n\n';

describeWithFuse(
  ['fdisk', 'mke2fs', 'losetup', 'mount', 'umount', 'unshare'],
  'fdisk refuses before the first question',
  () => {
    let stage: MountStage;

    beforeEach(() => {
      stage = new MountStage();
    });

    afterEach(() => stage.clear());

    /** A disk of one partition with a file system, and boot code that must stay. */
    function disk(name = 'disk.img'): string {
      const image = stage.image(name, 20 << 20);
      runTool('fdisk', [image], { input: 'o\nn\np\n1\n\n\nw\n' });
      runTool('mke2fs', ['-q', '-E', `offset=${1 << 20},root_owner=${stage.uid}:${stage.uid}`, image, '19M']);
      return image;
    }

    function digest(image: string): string {
      return createHash('sha256').update(fs.readFileSync(image)).digest('hex');
    }

    /** Both tools that edit: nothing is asked, one line says why, nothing is written; to look is possible all the same. */
    function expectRefusal(name: string, why: string, uid: number, hint?: string): void {
      const run = (...args: string[]): ToolResult =>
        stage.userloop(args, { uid, input: 'o\nn\np\n1\n\n\nw\n' });
      const line = (tool: string): string =>
        `${tool}: cannot open ${name}: ${why}\n${hint === undefined ? '' : `${tool}: ${hint}\n`}`;
      expect(run('fdisk', name)).toEqual({ status: 1, stdout: WELCOME, stderr: line('fdisk') });
      expect(run('sfdisk', name)).toEqual({ status: 1, stdout: '', stderr: line('sfdisk') });
      for (const option of ['-l', '-x']) {
        const looked = run('fdisk', option, name);
        expect(looked).toMatchObject({ status: 0, stderr: '' });
        expect(looked.stdout).toContain('Disklabel type: dos');
      }
    }

    /** What is said of a disk that can be read only. */
    function onlyToLook(name: string): string {
      return `it can only be read: "fdisk -l ${name}" shows its table`;
    }

    function attach(image: string, ...options: string[]): string {
      const { stdout, status } = stage.userloop(['attach', '--backend=user', ...options, image]);
      expect(status).toBe(0);
      return stdout.trim();
    }

    const users: readonly (readonly [string, () => number])[] = [
      ['a plain user', () => stage.uid],
      ...(isRoot ? [['root', () => 0] as const] : []),
    ];

    it('a file that a plain user may only read', () => {
      const image = disk();
      fs.chmodSync(image, 0o444);
      const before = digest(image);
      expectRefusal(image, 'Permission denied', stage.uid, onlyToLook(image));
      expect(digest(image)).toBe(before);
    });

    it('a file that a plain user may not even read, without advice', () => {
      const image = disk();
      fs.chmodSync(image, 0);
      const { status, stderr } = stage.userloop(['fdisk', image], { input: 'w\n' });
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: `fdisk: cannot open ${image}: Permission denied\n`,
      });
    });

    it.skipIf(!isRoot)('a file below a read-only mount, for root as well', () => {
      const image = disk();
      const before = digest(image);
      const inNamespace = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"`;
      const result = stage.run(
        'unshare',
        ['-m', 'sh', '-c', inNamespace, 'sh', stage.folder, process.execPath, 'bin/userloop', 'fdisk', image],
        { uid: 0, cwd: process.cwd(), input: 'n\np\n\n\n\nw\n' },
      );
      expect(result).toEqual({
        status: 1,
        stdout: WELCOME,
        stderr: `fdisk: cannot open ${image}: Read-only file system\nfdisk: ${onlyToLook(image)}\n`,
      });
      expect(digest(image)).toBe(before);
    });

    describe.each(users)('as %s', (_, uid) => {
      it('a device that was attached for reading', () => {
        const image = disk();
        const before = digest(image);
        const device = attach(image, '--read-only');
        expectRefusal(device, 'Read-only file system', stage.uid, onlyToLook(device));
        expect(digest(image)).toBe(before);
      });

      it('an image that is attached, and names the device to take instead', () => {
        const image = disk();
        const before = digest(image);
        const device = attach(image);
        const { status, stdout, stderr } = stage.userloop(['fdisk', image], { uid: uid(), input: 'o\nw\n' });
        expect({ status, stdout }).toEqual({ status: 1, stdout: WELCOME });
        expect(stderr).toMatch(
          new RegExp(
            `^fdisk: cannot open ${image}: Device or resource busy\nfdisk: "${image}" is attached as ${device} \\(process \\d+\\): name that device instead, or detach it first\n$`,
          ),
        );
        expect(digest(image)).toBe(before);
        expect(stage.userloop(['fdisk', '-l', image], { uid: uid() })).toMatchObject({
          status: 0,
          stderr: '',
        });
        // The device itself can be partitioned.
        expect(stage.userloop(['fdisk', device], { input: 'a\nw\n' })).toMatchObject({
          status: 0,
          stderr: '',
        });
      });

      it('an image that is attached in the registry of somebody else', () => {
        const image = disk();
        attach(image);
        const { status, stdout, stderr } = stage.userloop(['fdisk', image], {
          uid: uid(),
          input: 'o\nw\n',
          env: { USERLOOP_RUNTIME_DIR: `${stage.folder}/other` },
        });
        expect({ status, stdout }).toEqual({ status: 1, stdout: WELCOME });
        expect(stderr).toMatch(
          new RegExp(
            `^fdisk: cannot open ${image}: Device or resource busy\nfdisk: "${image}" is locked by .+\n$`,
          ),
        );
      });

      it('an image of which a partition is mounted', () => {
        const image = disk();
        const directory = stage.directory('mnt');
        const mounted = stage.userloop(['mount', '--backend=user', '-o', 'offset=1M', image, directory]);
        expect(mounted).toMatchObject({ status: 0 });
        const before = digest(image);
        const { status, stdout, stderr } = stage.userloop(['fdisk', image], { uid: uid(), input: 'o\nw\n' });
        expect({ status, stdout }).toEqual({ status: 1, stdout: WELCOME });
        expect(stderr).toContain(
          `fdisk: cannot open ${image}: Device or resource busy\nfdisk: "${image}" is attached as `,
        );
        expect(stderr.split('\n')).toHaveLength(3);
        expect(digest(image)).toBe(before);
        expect(stage.userloop(['fdisk', '-l', image], { uid: uid() })).toMatchObject({
          status: 0,
          stderr: '',
        });
      });
    });
  },
);
