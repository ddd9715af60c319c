import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type AddOptions, PartitionTable, type TableKind } from '../../src/partition/partition-table.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { DISK_MODULES, findGuest, runInGuest } from '../support/linux-guest.ts';
import { describeWithTools, findTool, runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();

interface Place {
  readonly number: number;
  /** Bytes. */
  readonly offset: number;
  readonly size: number;
}

/** Numerical Recipes' generator. */
function generator(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** An image whose table has been filled, emptied in part, resized and filled again. */
function randomImage(kind: TableKind, sectorSize: number, seed: number): { image: string; places: Place[] } {
  const random = generator(seed);
  const image = path.join(folder, `${kind}-${sectorSize}-${seed}.img`);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, (64 + random(64)) * (1 << 20) * (sectorSize / 512));
  const device = FileDevice.open(image, { sectorSize });
  const table = PartitionTable.create(device, kind, {
    random: (into) => into.set(Uint8Array.from(into, () => random(256))),
  });
  const attempt = (body: () => void): void => {
    try {
      body();
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOSPC') throw error;
    }
  };
  const align = (): AddOptions['align'] => [undefined, undefined, 4096, '64KiB', 'cylinder'][random(5)];
  const size = (): number => (1 + random(8)) * (1 << 20) * (sectorSize / 512) + random(3) * sectorSize;
  const add = (options: AddOptions): void =>
    attempt(() =>
      table.add({
        ...options,
        size: options.size ?? size(),
        ...(align() === undefined ? {} : { align: align()! }),
      }),
    );
  for (let count = random(4); count > 0; count--) add({});
  if (kind === 'mbr' && random(3) > 0) {
    add({ kind: 'extended', size: 40 * (1 << 20) * (sectorSize / 512) });
    if (table.partitions.some((each) => each.kind === 'extended')) {
      for (let count = 1 + random(6); count > 0; count--) add({ kind: 'logical' });
    }
  } else
    for (let count = random(8); count > 0; count--)
      attempt(() => add(kind === 'gpt' ? { name: `part ${count}` } : {}));
  for (let count = random(4); count > 0 && table.partitions.length > 0; count--) {
    const { number } = table.partitions[random(table.partitions.length)]!;
    attempt(() => (random(2) === 0 ? table.remove(number) : table.resize(number, { size: size() })));
  }
  table.write();
  const places = table.partitions.map(({ number, offset, size: bytes }) => ({ number, offset, size: bytes }));
  device.close();
  return { image, places };
}

describeWithTools(['sgdisk', 'parted', 'sfdisk', 'partx', 'fdisk'], 'A PartitionTable', () => {
  test.each(['mbr', 'gpt'] as const)('writes an %s that others find sound, and as it was meant', (kind) => {
    let count = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const { image, places } = randomImage(kind, 512, seed);
      const json = JSON.parse(runTool('sfdisk', ['-J', image]).stdout) as {
        partitiontable: { partitions?: { node: string; start: number; size: number }[] };
      };
      const theirs = (json.partitiontable.partitions ?? []).map(({ node, start, size }) => ({
        number: Number(node.slice(image.length)),
        offset: start * 512,
        size: size * 512,
      }));
      expect(theirs).toEqual(places);
      for (const [tool, args] of [
        ['sfdisk', ['-V', image]],
        ['fdisk', ['-l', image]],
        ['parted', ['-s', image, 'print']],
      ] as const) {
        expect(runTool(tool, args)).toMatchObject({ status: 0, stderr: '' });
      }
      if (kind === 'gpt') expect(runTool('sgdisk', ['-v', image]).stdout).toContain('No problems found');
      if (places.length > 0) {
        const lines = runTool('partx', ['-g', '-b', '-o', 'NR,START,SECTORS', image])
          .stdout.trim()
          .split('\n');
        expect(lines.map((line) => line.trim().split(/\s+/).map(Number))).toEqual(
          // util-linux' blkid tells of the first two sectors of an extended partition, as the kernel does.
          places.map(({ number, offset, size }) => [
            number,
            offset / 512,
            expect.toSatisfy((n: number) => n === size / 512 || n === 2),
          ]),
        );
      }
      count += places.length;
      fs.rmSync(image);
    }
    expect(count).toBeGreaterThan(30);
  });
});

const guest = findGuest();
const absent = ['qemu-system-x86_64', 'busybox', 'cpio', 'losetup', 'mke2fs'].filter(
  (tool) => findTool(tool) === undefined,
);

describe.skipIf(guest === undefined || absent.length > 0)(
  'A PartitionTable, for a Linux kernel in an emulator',
  () => {
    test('has the partitions that were meant, on 30 images', () => {
      const tree = path.join(folder, 'tables');
      fs.mkdirSync(tree);
      const wanted = new Map<string, string[]>();
      for (let seed = 1; seed <= 10; seed++) {
        for (const [kind, sectorSize] of [
          ['mbr', 512],
          ['gpt', 512],
          ['gpt', 4096],
        ] as const) {
          const { image, places } = randomImage(kind, sectorSize, 100 + seed);
          const name = path.basename(image, '.img');
          fs.renameSync(image, path.join(tree, `${name}.img`));
          wanted.set(
            name,
            places.map(({ number, offset, size }) => `${number} ${offset / 512} ${size / 512}`),
          );
        }
      }
      const disk = path.join(folder, 'tables.img');
      // Sparse as they are: the file system holds nothing but their tables.
      expect(runTool('mke2fs', ['-q', '-t', 'ext4', '-d', tree, disk, '256M']).status).toBe(0);
      const output = runInGuest(guest!, {
        modules: [...DISK_MODULES, 'loop'],
        programs: ['losetup'],
        drives: [{ image: disk, readOnly: true }],
        script: `
        mount -t ext4 -o ro /dev/vda /mnt
        for f in /mnt/*.img; do
          n=$(basename $f .img); b=\${n#*-}; b=\${b%-*}
          d=$(/bin/losetup -r -P -b $b -f --show $f); d=\${d#/dev/}
          for p in /sys/class/block/$d/$d*; do
            [ -d $p ] && echo "$n $(cat $p/partition $p/start $p/size | tr "\\n" " ")"
          done
          /bin/losetup -d /dev/$d
        done`,
      });
      let count = 0;
      for (const [name, places] of wanted) {
        const found = output
          .split('\n')
          .filter((line) => line.startsWith(`${name} `))
          .map((line) => line.slice(name.length + 1).trim())
          .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
        // Of an extended partition the kernel shows 1 KiB.
        const isExtended = (index: number): boolean => found[index]?.endsWith(' 2') === true;
        expect([name, ...found]).toEqual([
          name,
          ...places.map((place, index) => (isExtended(index) ? place.replace(/\d+$/, '2') : place)),
        ]);
        count += found.length;
      }
      expect(count).toBeGreaterThan(90);
    });
  },
);
