import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { FileDevice } from '../../src/host/file-device.ts';
import { PARTITION_TYPES } from '../../src/partition/mbr-type.ts';
import { readMbr } from '../../src/partition/mbr.ts';
import { execFileSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, findTool, runTool, temporaryFolder } from '../support/tools.ts';

const KEYS =
  'n\np\n1\n\n+5M\na\nt\nc\nn\ne\n2\n\n\nn\nl\n\n+3M\nn\nl\n\n+4M\nn\nl\n\n+5M\nd\n5\nn\nl\n\n+2M\nw\n';

interface Sfdisk {
  readonly partitiontable: {
    readonly id: string;
    readonly partitions: readonly {
      node: string;
      start: number;
      size: number;
      type: string;
      bootable?: boolean;
    }[];
  };
}

describeWithTools(['sfdisk', 'fdisk'], 'The partition table as others see it', () => {
  const folder = temporaryFolder();

  test('sfdisk reads from our fdisk the partitions that we read', async () => {
    for (const args of [[], ['-c=dos'], ['-C100', '-H16', '-S63']]) {
      const image = path.join(folder, 'ours.img');
      fs.writeFileSync(image, '');
      fs.truncateSync(image, 50 << 20);
      await userloop(['fdisk', ...args, image], { stdin: KEYS });
      const { partitiontable } = JSON.parse(runTool('sfdisk', ['-J', image]).stdout) as Sfdisk;
      const device = FileDevice.open(image, { readOnly: true });
      const table = readMbr(device)!;
      device.close();
      expect(partitiontable.partitions).toHaveLength(5);
      expect(
        partitiontable.partitions.map(({ node, start, size, type, bootable }) => [
          Number(node.slice(image.length)),
          start,
          size,
          Number.parseInt(type, 16),
          bootable === true,
        ]),
      ).toEqual(
        table.partitions.map(({ number, startSector, sectorCount, type, active }) => [
          number,
          startSector,
          sectorCount,
          type,
          active,
        ]),
      );
      expect(Number(partitiontable.id)).toBe(table.diskIdentifier);
      expect(table.findings).toEqual([]);
      expect(runTool('sfdisk', ['--verify', image]).stderr).not.toContain('overlap');
    }
  });

  test('we read from sfdisk what it was told', () => {
    const image = path.join(folder, 'theirs.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 50 << 20);
    const script =
      'label: dos\nlabel-id: 0x89abcdef\n' +
      'start=2048, size=4096, type=83, bootable\nstart=8192, size=60000, type=f\n' +
      'start=10240, size=1000, type=82\nstart=20480, size=3000, type=c\n';
    expect(runTool('sfdisk', ['-q', image], { input: script }).status).toBe(0);
    const device = FileDevice.open(image, { readOnly: true });
    const table = readMbr(device)!;
    device.close();
    expect(table.diskIdentifier).toBe(0x89abcdef);
    expect(
      table.partitions.map(({ number, kind, type, active, startSector, sectorCount }) => [
        number,
        kind,
        type,
        active,
        startSector,
        sectorCount,
      ]),
    ).toEqual([
      [1, 'primary', 0x83, true, 2048, 4096],
      [2, 'extended', 0x0f, false, 8192, 60000],
      [5, 'logical', 0x82, false, 10240, 1000],
      [6, 'logical', 0x0c, false, 20480, 3000],
    ]);
  });

  test('the types have the names, and stand in the order, of its list', () => {
    const lines = runTool('sfdisk', ['--list-types', '--label', 'dos']).stdout.split('\n').slice(2);
    const expected = lines
      .filter((line) => line.trim() !== '')
      .map((line) => [Number.parseInt(line.slice(0, 3), 16), line.slice(4)]);
    expect([...PARTITION_TYPES]).toEqual(expected);
  });

  // Needs the kernel's loop driver, and the right to use it.
  const mayLoop =
    process.getuid?.() === 0 && fs.existsSync('/dev/loop-control') && findTool('losetup') !== undefined;
  test.skipIf(!mayLoop || findTool('mke2fs') === undefined)(
    'an image is not edited behind the back of the kernel, which has it in a loop device with something mounted',
    async () => {
      const image = path.join(folder, 'busy.img');
      const directory = path.join(folder, 'busy');
      fs.mkdirSync(directory);
      fs.writeFileSync(image, '');
      fs.truncateSync(image, 20 << 20);
      await userloop(['fdisk', image], { stdin: 'n\np\n1\n\n\nw\n' });
      runTool('mke2fs', ['-q', '-E', `offset=${1 << 20}`, image, '19M']);
      const run = (...args: string[]): string =>
        execFileSync(findTool(args[0]!)!, args.slice(1), { encoding: 'utf8' });
      // The partition by its place: a kernel without the MBR's driver makes no device for it.
      const loop = run('losetup', '-o', '1M', '-f', '--show', image).trim();
      try {
        run('mount', '-t', 'ext4', loop, directory);
        const before = fs.readFileSync(image);
        for (const tool of ['fdisk', 'sfdisk']) {
          const { status, stdout, stderr } = await userloop([tool, image], { stdin: 'o\nw\n' });
          expect(status).toBe(1);
          expect(stdout).not.toContain('ommand (m for help)');
          expect(stderr).toBe(
            `${tool}: cannot open ${image}: Device or resource busy\n${tool}: "${image}" is attached as ${loop}: name that device instead, or detach it first\n`,
          );
        }
        expect(await userloop(['fdisk', '-l', image])).toMatchObject({ status: 0, stderr: '' });
        expect(fs.readFileSync(image).equals(before)).toBe(true);
        // The device itself is only warned of, as the tool does.
        const { stderr } = await userloop(['fdisk', loop], { stdin: 'q\n' });
        const reference = runTool('fdisk', [loop], { input: 'q\n' });
        expect(reference.stderr).toContain('This disk is currently in use');
        expect(stderr).toBe(reference.stderr);
      } finally {
        if (runTool('umount', [directory]).status !== 0) runTool('umount', ['-l', directory]);
        run('losetup', '-d', loop);
      }
    },
  );

  test.skipIf(!mayLoop)('the kernel finds the same partitions', async (context) => {
    const image = path.join(folder, 'kernel.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 50 << 20);
    await userloop(['fdisk', image], { stdin: KEYS });
    const device = FileDevice.open(image, { readOnly: true });
    const { partitions } = readMbr(device)!;
    device.close();
    const loop = execFileSync(findTool('losetup')!, ['-P', '-f', '--show', image], {
      encoding: 'utf8',
    }).trim();
    try {
      const name = path.basename(loop);
      // A kernel without the MBR's driver (CONFIG_MSDOS_PARTITION) reads none from anybody's disk.
      if (fs.readdirSync(`/sys/block/${name}`).every((entry) => !entry.startsWith(`${name}p`)))
        context.skip();
      const seen = fs
        .readdirSync(`/sys/block/${name}`)
        .filter((entry) => entry.startsWith(`${name}p`))
        .map((entry) => {
          const value = (file: string): number =>
            Number(fs.readFileSync(`/sys/block/${name}/${entry}/${file}`, 'utf8'));
          return [value('partition'), value('start'), value('size')];
        })
        .sort((a, b) => a[0]! - b[0]!);
      expect(seen.filter(([number]) => number !== 2)).toEqual(
        partitions
          .filter(({ kind }) => kind !== 'extended')
          .map(({ number, startSector, sectorCount }) => [number, startSector, sectorCount]),
      );
    } finally {
      execFileSync(findTool('losetup')!, ['-d', loop]);
    }
  });
});

describe('What libblkid takes for no table', () => {
  test('is none for us: a FAT volume that holds a table of itself', () => {
    if (findTool('mkfs.fat') === undefined) return;
    const image = path.join(temporaryFolder(), 'fat.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 40 << 20);
    for (const args of [[], ['-F32', '--mbr=y'], ['-F16'], ['-F12', '-s64']]) {
      expect(runTool('mkfs.fat', [...args, image]).status).toBe(0);
      const device = FileDevice.open(image, { readOnly: true });
      expect(readMbr(device)).toBeUndefined();
      device.close();
    }
  });
});
