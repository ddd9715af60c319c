import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  ALL_STAGES,
  makeDisk,
  makeVolume,
  mustRun,
  NO_STAGE15,
  stageFolder,
} from '../support/boot-images.ts';
import { newFolder } from '../support/new-folder.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/** Every session runs twice, in GRUB's own shell and in ours, each on its own copy of the same images. */

const TOOLS = ['grub', 'mkfs.ext2', 'mkfs.fat', 'debugfs', 'mmd', 'mcopy', 'sfdisk'];
const GRUB = '/boot/grub';

describeWithTools(TOOLS, 'grub and GRUB 0.97 do the same', () => {
  const folder = temporaryFolder();
  const image = (name: string): string => path.join(folder, `${name}.img`);

  beforeAll(() => {
    const volume = { files: ALL_STAGES } as const;
    makeVolume(image('ext2-floppy'), 1440, { ...volume, type: 'ext2', folder: '/grub' });
    makeVolume(image('ext2-floppy-boot'), 1440, { ...volume, type: 'ext2', folder: '/boot/grub' });
    makeVolume(image('ext2-floppy-plain'), 1440, { type: 'ext2', folder: '/grub', files: NO_STAGE15 });
    makeVolume(image('fat12-floppy'), 1440, { ...volume, type: 'fat12', folder: '/boot/grub' });
    makeVolume(image('fat12-floppy-plain'), 2880, { type: 'fat12', folder: '/grub', files: NO_STAGE15 });
    const disk = { ...volume, folder: '/boot/grub' } as const;
    makeDisk(image('ext2-63'), 3072, { ...disk, type: 'ext2', startSector: 63, partitionType: '83' });
    makeDisk(image('ext2-2048'), 4096, { ...disk, type: 'ext2', startSector: 2048, partitionType: '83' });
    makeDisk(image('ext2-no-gap'), 3072, { ...disk, type: 'ext2', startSector: 1, partitionType: '83' });
    makeDisk(image('ext2-gap-19'), 3072, { ...disk, type: 'ext2', startSector: 20, partitionType: 'fd' });
    makeDisk(image('ext2-plain'), 3072, {
      type: 'ext2',
      folder: '/grub',
      files: NO_STAGE15,
      startSector: 63,
      partitionType: '83',
    });
    makeDisk(image('ext4-63'), 12_288, { ...disk, type: 'ext4', startSector: 63, partitionType: '83' });
    makeDisk(image('fat12-63'), 3072, { ...disk, type: 'fat12', startSector: 63, partitionType: '1' });
    makeDisk(image('fat16-63'), 10_240, { ...disk, type: 'fat16', startSector: 63, partitionType: '6' });
    makeDisk(image('fat16-2048'), 16_384, { ...disk, type: 'fat16', startSector: 2048, partitionType: 'e' });
    makeDisk(image('fat32-2048'), 34_816, { ...disk, type: 'fat32', startSector: 2048, partitionType: 'c' });
    makeDisk(image('fat32-no-gap'), 34_816, { ...disk, type: 'fat32', startSector: 1, partitionType: 'b' });
    makeUnusual(folder);
  });

  interface Outcome {
    readonly status: number;
    readonly stdout: string;
    readonly stderr: string;
    readonly images: readonly Buffer[];
  }

  type Drives = Readonly<Record<string, string>>;

  async function run(
    who: 'theirs' | 'ours',
    drives: Drives,
    commands: readonly string[],
    options: readonly string[],
  ): Promise<Outcome> {
    const work = newFolder(path.join(folder, `${who}-`));
    const map = Object.keys(drives).map((drive) => `(${drive}) ${drive}.img\n`);
    fs.writeFileSync(path.join(work, 'device.map'), map.join(''));
    fs.copyFileSync(path.join(stageFolder()!, 'stage2'), path.join(work, 'host-stage2'));
    for (const [drive, name] of Object.entries(drives)) {
      fs.copyFileSync(image(name), path.join(work, `${drive}.img`), fs.constants.COPYFILE_FICLONE);
    }
    const args = ['--batch', '--device-map=device.map', ...options];
    const input = `${commands.join('\n')}\nquit\n`;
    const result =
      who === 'theirs'
        ? runTool('grub', args, { input, cwd: work })
        : await userloop(['grub', ...args], { stdin: input, cwd: work });
    const { status, stdout, stderr } = result;
    const files = [...Object.keys(drives).map((drive) => `${drive}.img`), 'host-stage2'];
    const images = files.map((file) => fs.readFileSync(path.join(work, file)));
    fs.rmSync(work, { recursive: true });
    return { status, stdout, stderr, images };
  }

  /** Runs both, compares everything, and returns what both printed. */
  async function compare(
    drives: Drives,
    commands: readonly string[],
    options: readonly string[] = [],
  ): Promise<string> {
    const theirs = await run('theirs', drives, commands, options);
    const ours = await run('ours', drives, commands, options);
    expect(ours.stdout).toBe(theirs.stdout);
    // GRUB names itself as it was called.
    expect(ours.stderr).toBe(theirs.stderr.replaceAll(/^\S*\/grub: /gm, 'grub: '));
    expect(ours.status).toBe(theirs.status);
    const differing = Object.keys({ ...drives, 'host stage2': '' }).filter(
      (_, index) => !ours.images[index]!.equals(theirs.images[index]!),
    );
    expect(differing).toEqual([]);
    return theirs.stdout;
  }

  describe('setup', () => {
    for (const floppy of [
      'ext2-floppy',
      'ext2-floppy-boot',
      'ext2-floppy-plain',
      'fat12-floppy',
      'fat12-floppy-plain',
    ]) {
      for (const option of ['', '--force-lba ']) {
        test(`${option}installs on the floppy ${floppy}`, async () => {
          const output = await compare({ fd0: floppy }, ['root (fd0)', `setup ${option}(fd0)`, 'root']);
          expect(output).toContain('\nDone.\n');
        });
      }
    }

    const DISKS = ['ext2-63', 'ext2-2048', 'ext2-no-gap', 'ext2-gap-19', 'ext2-plain', 'ext4-63'];
    const FAT_DISKS = ['fat12-63', 'fat16-63', 'fat16-2048'];
    for (const disk of [...DISKS, ...FAT_DISKS]) {
      const forced = ['ext2-63', 'fat16-2048'].includes(disk)
        ? ['--force-lba (hd0)', '--force-lba (hd0,0)']
        : [];
      for (const target of ['(hd0)', '(hd0,0)', ...forced]) {
        test(`${target} on the hard disk ${disk}`, async () => {
          const output = await compare({ hd0: disk }, ['root (hd0,0)', `setup ${target}`, 'root']);
          expect(output).toContain('\nDone.\n');
        });
      }
    }

    test('on a hard disk with FAT32, in both places, and where there is no gap', async () => {
      for (const target of ['(hd0)', '(hd0,0)']) {
        expect(await compare({ hd0: 'fat32-2048' }, ['root (hd0,0)', `setup ${target}`])).toContain(
          '\nDone.\n',
        );
      }
      await compare({ hd0: 'fat32-no-gap' }, ['root (hd0,0)', 'setup --force-lba (hd0)']);
    });

    const drives = { fd0: 'ext2-floppy', hd0: 'ext2-63', hd1: 'fat12-63' };
    for (const command of [
      'setup (hd1)',
      'setup (hd1,0)',
      'setup (fd0)',
      'setup (hd0) (hd1,0)',
      'setup (hd0) (fd0)',
      'setup --prefix=/boot/grub (hd0)',
      'setup --prefix=/boot/grub/ (hd0)',
      'setup --stage2=host-stage2 (hd0,0)',
      'setup --stage2=host-stage2 --force-lba (fd0)',
      'setup --stage2=host-stage2 (hd0)',
    ]) {
      test(`${command}, from one drive to another`, async () => {
        const output = await compare(drives, ['root (hd0,0)', command, 'root']);
        expect(output).toContain('\nDone.\n');
      });
    }

    test('keeps what the boot sectors of a disk and of a volume hold', async () => {
      await compare({ hd0: 'noisy' }, ['root (hd0,0)', 'setup (hd0)']);
      await compare({ hd0: 'noisy' }, ['root (hd0,0)', 'setup (hd0,0)']);
    });

    test('installs from a logical partition', async () => {
      const output = await compare({ hd0: 'logical' }, ['root (hd0,4)', 'setup (hd0)', 'geometry (hd0)']);
      expect(output).toContain('(hd0,4)/boot/grub/stage2');
    });

    test('writes a list of 24 runs and refuses one of 25', async () => {
      const commands = ['root (fd0)', 'blocklist /grub/stage2', 'setup (fd0)'];
      expect(await compare({ fd0: 'fragments-24' }, commands)).toContain('\nDone.\n');
      expect(await compare({ fd0: 'fragments-25' }, commands)).toContain('Error 28');
    });
  });

  describe('install', () => {
    for (const command of [
      `(hd0) ${GRUB}/stage2`,
      `d (hd0) ${GRUB}/stage2 p`,
      `(hd0) ${GRUB}/stage2 0x9000 p /foo`,
      `(hd0,0) ${GRUB}/stage2 0x8000 p (hd0,0)/menu`,
      `(hd0) ${GRUB}/stage2 32768 p /menu /real`,
      `(hd0) ${GRUB}/stage2 p /a  /b   `,
      `(hd0) ${GRUB}/stage2 0x12345678 p`,
      `(hd0) ${GRUB}/stage2 p bogus`,
      `(hd0) ${GRUB}/stage2 bogus`,
      `(hd0) ${GRUB}/e2fs_stage1_5 0x2000 p ${GRUB}/stage2 /foo/menu`,
      `(hd0) ${GRUB}/e2fs_stage1_5 p`,
      `d (hd1) ${GRUB}/e2fs_stage1_5 p (hd0,0)${GRUB}/stage2 /x`,
      `d (hd1) ${GRUB}/e2fs_stage1_5 p (hd1,0)${GRUB}/stage2 /x`,
      `(hd1) ${GRUB}/e2fs_stage1_5 p (hd1,0)${GRUB}/stage2`,
      `(hd0) ${GRUB}/e2fs_stage1_5 p ${GRUB}/fat_stage1_5 /x`,
      `(hd0) ${GRUB}/e2fs_stage1_5 p /nope /x`,
      `(hd0) ${GRUB}/stage1`,
      `(hd0) ${GRUB}/nope`,
      `(hd0) (hd0)1+19 p`,
      `(hd0,3) ${GRUB}/stage2`,
      `(hd5) ${GRUB}/stage2`,
      `hd0 ${GRUB}/stage2`,
      '(hd0)',
    ]) {
      test(`stage1 ${command}`, async () => {
        const drives = { hd0: 'ext2-63', hd1: 'fat12-63' };
        await compare(drives, ['root (hd0,0)', `install ${GRUB}/stage1 ${command}`, 'root']);
        await compare(drives, ['root (hd0,0)', `install --force-lba ${GRUB}/stage1 ${command}`, 'root']);
      });
    }

    test('loads an embedded stage 1.5 by its block list', async () => {
      const commands = ['root (hd0,0)', `embed ${GRUB}/e2fs_stage1_5 (hd0)`];
      for (const list of ['1+19', '1+18', '1+5,6+14', '1+5,8+12']) {
        const command = `install ${GRUB}/stage1 (hd0) (hd0)${list} p ${GRUB}/stage2`;
        await compare({ hd0: 'ext2-63' }, [...commands, command]);
      }
    });

    test('refuses stage files that are too short, of another version, or no stage files', async () => {
      for (const stage of ['empty', 'half', 'one', 'one-and-half', 'two', 'other-version', 'thrice']) {
        const name = `/grub/${stage}`;
        await compare({ fd0: 'odd-stages' }, ['root (fd0)', `install /grub/stage1 (fd0) ${name} p /x`]);
        await compare({ fd0: 'odd-stages' }, ['root (fd0)', `install ${name} (fd0) /grub/stage2 p`]);
      }
    });
  });

  describe('the other commands', () => {
    const drives = { fd0: 'ext2-floppy', hd0: 'ext2-63', hd1: 'fat12-63', hd2: 'logical' };

    test('root and rootnoverify say the same of every device', async () => {
      const names = 'hd0 (hd0 (hd0, (hd0,0 (hd0,0)x (hd0,0)/foo (hd0,a) (hd0,0,a) (fd0) (fd1) (fd0,0) (hd9)';
      const more = '(hd200) (hd0,99) foo (hd0,0) (hd1,0) (hd2,0) (hd2,1) (hd2,4) (hd2,5) (hd7) (hd3,0)';
      const devices = `${names} ${more}`.split(' ');
      await compare(drives, ['root', ...devices.flatMap((device) => [`root ${device}`, 'root'])]);
      await compare(
        drives,
        ['hd0', '(hd0,0)', '(hd1,0)', '(fd0)', '(hd2)', '(hd0,0)x', '(hd2,4)', '(hd7)', '(hd9)'].flatMap(
          (device) => [`rootnoverify ${device}`, 'rootnoverify'],
        ),
      );
    });

    test('setup fails with the same errors', async () => {
      const arguments_ = [
        '--prefix=/grub (hd0)',
        '--prefix= (hd0)',
        '--prefix (hd0)',
        '--foo (hd0)',
        'hd0',
        '',
      ];
      const devices = ['(hd0,1)', '(hd4)', '(hd0) (hd4,0)', '(hd0) (hd2,1)', '--stage2=/nope/x (hd0)'];
      for (const argument of [...arguments_, ...devices]) {
        await compare(drives, [`setup ${argument}`, 'root (hd0,0)', `setup ${argument}`, 'root']);
      }
    });

    test('files are found, listed and compared', async () => {
      await compare(drives, [
        'find /boot/grub/stage1',
        'find /grub/stage1',
        'find /nope',
        'find boot',
        'root (hd0,0)',
        ...[
          '/boot',
          '/boot/',
          `${GRUB}/stage1/`,
          `${GRUB}/stage1/x`,
          '/',
          '',
          'boot',
          '/nope',
          '(hd0,0)',
        ].flatMap((name) => [`cat ${name}`, `blocklist ${name}`]),
        `cat ${GRUB}/stage1`,
        `blocklist ${GRUB}/../grub/./stage2`,
        `blocklist (hd1,0)${GRUB}/stage2`,
        `blocklist (hd1,0)${GRUB.toUpperCase()}/STAGE2`,
        `cmp ${GRUB}/stage1 ${GRUB}/stage2`,
        `cmp ${GRUB}/stage1 (hd1,0)${GRUB}/stage1`,
        'cmp (hd0)0+1 (hd0)1+1',
        'cmp',
        'cmp x y',
      ]);
    });

    test('block lists are read and checked', async () => {
      const lists = '(hd0)0+1,5+2 (hd0)1+1,2+3 (hd0,0)0+1 (hd0)+1 (hd0)1+ (hd0)1 (hd0)1+0 (hd0)1+1x 1+1';
      const far = '(hd0)6143+1 (hd0)6144+1 (hd0)99999999+1 (hd4)0+1 (hd0,3)0+1';
      await compare(drives, [
        'root (hd0,0)',
        ...`${lists} ${far}`.split(' ').map((list) => `blocklist ${list}`),
      ]);
    });

    test('a file system that takes a whole hard disk is none', async () => {
      for (const floppy of ['ext2-floppy', 'fat12-floppy']) {
        await compare({ hd0: floppy }, ['root (hd0)', 'setup (hd0)', 'cat /boot/grub/stage1', 'root']);
      }
    });

    test('embed needs a whole hard disk with room', async () => {
      const stage = `embed (hd0,0)${GRUB}/e2fs_stage1_5`;
      await compare(drives, [`${stage} (hd0,0)`, `${stage} (fd0)`, `${stage} (hd4)`, `${stage} hd0`, stage]);
      for (const disk of ['ext2-63', 'ext2-2048', 'ext2-no-gap', 'ext2-gap-19']) {
        await compare({ hd0: 'ext2-63', hd1: disk }, [`${stage} (hd1)`]);
        await compare({ hd0: 'ext2-63', hd1: disk }, [`embed (hd0,0)${GRUB}/stage2 (hd1)`]);
      }
    });

    test('the geometry is guessed, set, and limits what can be reached', async () => {
      await compare(drives, [
        ...['(hd0)', '(hd1,0)', '(hd2)', '(hd4)', '(fd0)', '', 'hd0'].map((drive) => `geometry ${drive}`),
        ...['10', '10 20', 'a b c', '1 2 30', '0 0 0', '12 34 56 9999'].flatMap((numbers) => [
          `geometry (hd2) ${numbers}`,
          'root (hd2,0)',
        ]),
      ]);
    });

    test('drives of every size are counted alike, beyond 32 bits too', async () => {
      const GIB = 2 ** 30;
      for (const size of [100, 512, 700, 163_840, 1_474_048, 9 * GIB, 1024 * GIB, 2048 * GIB, 3000 * GIB]) {
        const file = path.join(folder, 'sized.img');
        fs.writeFileSync(file, '');
        fs.truncateSync(file, size);
        fs.writeFileSync(path.join(folder, 'sized.map'), '(fd0) sized.img\n(hd0) sized.img\n');
        const args = ['--batch', '--device-map=sized.map'];
        const commands = ['geometry (hd0)', 'root (hd0,0)', 'find /nope', 'geometry (hd0) 1024 255 63'];
        if (size < GIB) commands.push('geometry (fd0)');
        const input = `${commands.join('\n')}\nquit\n`;
        const theirs = runTool('grub', args, { input, cwd: folder });
        const ours = await userloop(['grub', ...args], { stdin: input, cwd: folder });
        expect(ours.stdout).toBe(theirs.stdout);
        fs.rmSync(file);
      }
    });

    test('lines are read as GRUB reads them', async () => {
      await compare(drives, [
        '',
        '   ',
        '  root (hd0,0)',
        '# comment',
        'root=(hd0,0)',
        'root  = (hd0,0)',
        'ROOT (hd0,0)',
        'setup(hd0)',
        'rootx',
        'root (hd0,0) 2',
        'help foo',
        'quitx',
      ]);
    });

    test('device gives a drive another image', async () => {
      await compare(drives, [
        'device (hd3) hd0.img',
        'root (hd3,0)',
        'device (hd4) nope',
        'root (hd4)',
        'device (hd0)',
        'device',
        'device hd0 x',
        'device (hd0) hd1.img more',
        'geometry (hd0)',
        'device (hd5) /tmp',
        'device (hd9) x',
      ]);
    });

    for (const options of [
      ['--read-only'],
      ['--verbose'],
      ['--no-floppy', '--no-pager', '--no-curses', '/dev/loop0'],
      ['--boot-drive=0x80', '--install-partition=0xffff'],
      ['--boot-drive=129'],
      ['--foo'],
      ['--boot-drive'],
      ['--version'],
    ]) {
      test(`with ${options.join(' ')}`, async () => {
        await compare(
          { fd0: 'ext2-floppy', hd0: 'ext2-63' },
          ['root', 'cat /nope', 'setup (hd0,0)'],
          options,
        );
      });
    }

    test('GRUB reads a file system only in a partition of a fitting type', async () => {
      for (const type of ['1', '4', '5', '6', '7', 'b', 'c', 'e', 'f', '11', '1c', '82', '83', 'a5', 'fd']) {
        for (const disk of ['ext2-63', 'fat12-63']) {
          const name = `type-${type}-${disk}`;
          fs.copyFileSync(image(disk), image(name));
          mustRun('sfdisk', ['-q', '--part-type', image(name), '1', type]);
          await compare({ hd0: name }, ['root (hd0,0)', 'geometry (hd0)', 'find /boot/grub/stage1']);
        }
      }
    });
  });

  describe('device maps', () => {
    for (const map of [
      '(hd0) hd0.img',
      '(hd0)hd0.img extra\n',
      '# comment\n\n \t (hd0)\thd0.img\r\n',
      ' # no comment\n',
      '(fd0)\n',
      'fd0 hd0.img\n',
      '(cd) hd0.img\n',
      '(hd) hd0.img\n',
      '(hda) hd0.img\n',
      '(hd0,0) hd0.img\n',
      '(hd0 hd0.img\n',
      '(hd0) hd0.img\n(hd0) hd0.img\n',
      '(hd9) hd0.img\n',
      '(hd0) nope\n(fd0) hd0.img\n',
    ]) {
      test(JSON.stringify(map), async () => {
        fs.writeFileSync(path.join(folder, 'hd0.img'), fs.readFileSync(image('ext2-63')));
        fs.writeFileSync(path.join(folder, 'odd.map'), map);
        const args = ['--batch', '--device-map=odd.map'];
        const input = 'geometry (hd0)\nfind /boot/grub/stage1\nquit\n';
        const theirs = runTool('grub', args, { input, cwd: folder });
        const ours = await userloop(['grub', ...args], { stdin: input, cwd: folder });
        expect({ status: ours.status, stdout: ours.stdout, stderr: ours.stderr }).toEqual(theirs);
      });
    }
  });

  // Root may write whatever the mode says.
  test.skipIf(process.getuid?.() === 0)(
    'an image that may not be written is Error 29 and stays as it is',
    async () => {
      const file = path.join(folder, 'locked.img');
      fs.copyFileSync(image('ext2-63'), file);
      fs.chmodSync(file, 0o444);
      const stdin = 'device (hd0) locked.img\nroot (hd0,0)\nsetup (hd0)\nquit\n';
      const { stdout } = await userloop(['grub', '--batch'], { stdin, cwd: folder });
      expect(stdout).toContain('failed\n\nError 29: Disk write error\n');
      expect(fs.readFileSync(file).equals(fs.readFileSync(image('ext2-63')))).toBe(true);
    },
  );
});

/** Images that need more than one recipe: noise in the boot sectors, logical partitions, fragments, odd stage files. */
function makeUnusual(folder: string): void {
  const image = (name: string): string => path.join(folder, `${name}.img`);
  const stages = stageFolder()!;

  const noisy = fs.readFileSync(image('ext2-63'));
  noisy.fill(0xa5, 0, 440);
  noisy.fill(0x5a, 512, 63 * 512);
  noisy.fill(0xc3, 63 * 512, 65 * 512);
  fs.writeFileSync(image('noisy'), noisy);

  fs.writeFileSync(image('logical'), '');
  fs.truncateSync(image('logical'), 6 << 20);
  const table = [
    'label-id: 0x1badcafe',
    'start=63,size=2000,type=6',
    'start=2100,size=9000,type=5',
    'start=2163,size=4000,type=83',
    'start=6500,size=4000,type=83',
  ];
  mustRun('sfdisk', ['-q', '--no-reread', '--force', image('logical')], `${table.join('\n')}\n`);
  const volume = path.join(folder, 'logical.volume');
  makeVolume(volume, 2000, { type: 'ext2', folder: '/boot/grub', files: ALL_STAGES });
  mustRun('dd', [`if=${volume}`, `of=${image('logical')}`, 'bs=512', 'seek=2163', 'conv=notrunc']);

  for (const runs of [24, 25]) makeFragments(image(`fragments-${runs}`), folder, runs);

  makeVolume(image('odd-stages'), 1440, { type: 'ext2', folder: '/grub', files: ALL_STAGES });
  const stage2 = fs.readFileSync(path.join(stages, 'stage2'));
  const otherVersion = Buffer.from(stage2);
  otherVersion[0x206] = 4;
  const odd: Record<string, Buffer> = {
    empty: stage2.subarray(0, 0),
    half: stage2.subarray(0, 256),
    one: stage2.subarray(0, 512),
    'one-and-half': stage2.subarray(0, 700),
    two: stage2.subarray(0, 1024),
    'other-version': otherVersion,
    thrice: Buffer.concat([stage2, stage2, stage2]),
  };
  for (const [name, content] of Object.entries(odd)) {
    fs.writeFileSync(path.join(folder, name), content);
    mustRun('debugfs', ['-w', '-R', `write ${folder}/${name} /grub/${name}`, image('odd-stages')]);
  }
}

/** An ext2 floppy on which stage2 lies in so many runs: its blocks fill the gaps that removed files left. */
function makeFragments(file: string, folder: string, runs: number): void {
  makeVolume(file, 1440, { type: 'ext2', folder: '/grub', files: ['stage1'] });
  const filler = path.join(folder, 'filler');
  fs.writeFileSync(filler, Buffer.alloc(1024, 1));
  const script: string[] = [];
  for (let i = 1; i <= 120; i++) script.push(`write ${filler} f${i}`);
  for (let i = 1; i <= 2 * runs; i += 2) script.push(`rm f${i}`);
  script.push(`write ${stageFolder()!}/stage2 grub/stage2`);
  mustRun('debugfs', ['-w', '-f', '-', file], `${script.join('\n')}\n`);
}
