import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { bsdPartitions } from '../../src/partition/nested-bsd.ts';
import { readTable } from '../../src/partition/table.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/** The partitions of an image by libblkid, which numbers them as the kernel does. */
function listed(file: string): string[] {
  return runTool('partx', ['-g', '-o', 'NR,START,SECTORS', file])
    .stdout.split('\n')
    .map((line) => line.trim().replaceAll(/\s+/g, ' '))
    .filter((line) => line !== '');
}

function ours(file: string): string[] {
  const device = FileDevice.open(file, { readOnly: true });
  try {
    const table = readTable(device);
    return [...(table?.partitions ?? []), ...bsdPartitions(device, table)].map(
      ({ number, startSector, sectorCount }) => `${number} ${startSector} ${sectorCount}`,
    );
  } finally {
    device.close();
  }
}

describeWithTools(['fdisk', 'partx'], 'the partitions of BSD disklabels are those of libblkid', () => {
  const folder = temporaryFolder();
  const label = 'b\ny\nn\na\n\n+10M\nt\na\n7\nn\ne\n40000\n+1M\nt\ne\n1\nn\nf\n\n\nt\nf\n8\n';

  test.each([
    ['in a slice of FreeBSD', `n\np\n1\n\n+60M\nt\na5\n${label}w\nr\nw\n`],
    ['in a slice of OpenBSD', `n\np\n1\n\n+60M\nt\na6\n${label}w\nr\nw\n`],
    ['in a slice of NetBSD', `n\np\n1\n\n+60M\nt\na9\n${label}w\nr\nw\n`],
    [
      'behind logical partitions',
      `n\np\n2\n\n+60M\nt\na6\nn\ne\n3\n\n\nn\nl\n\n+5M\nn\nl\n\n+5M\n${label}w\nr\nw\n`,
    ],
    ['with d typed, which leaves the slice', `n\np\n1\n\n+60M\nt\na5\n${label}t\nd\n7\nw\nr\nw\n`],
    ['with an empty slice beside', `n\np\n1\n\n+60M\nt\na5\nn\np\n2\n\n\nt\n2\na6\n${label}w\nr\nw\n`],
  ])('%s', (name, keys) => {
    const file = path.join(folder, `${name.replaceAll(' ', '-')}.img`);
    fs.writeFileSync(file, '');
    fs.truncateSync(file, 100 << 20);
    runTool('fdisk', [file], { input: keys });
    const there = listed(file);
    expect(there.length).toBeGreaterThan(2);
    expect(ours(file)).toEqual(there);
  });

  test('of a whole disk', () => {
    const [sliced, file] = [path.join(folder, 'sliced.img'), path.join(folder, 'whole.img')];
    fs.writeFileSync(sliced, '');
    fs.truncateSync(sliced, 100 << 20);
    runTool('fdisk', [sliced], { input: `n\np\n1\n\n+60M\nt\na5\n${label}w\nr\nw\n` });
    fs.writeFileSync(file, fs.readFileSync(sliced).subarray(2048 * 512, 2048 * 512 + 8192));
    fs.truncateSync(file, 100 << 20);
    const there = listed(file);
    expect(there.length).toBe(3);
    expect(ours(file)).toEqual(there);
  });
});

/** Start, length and type of what a label of a whole disk has, by libfdisk, which has a reader of its own; of libblkid's it has nothing. */
function byFdisk(file: string): string[] {
  return runTool('fdisk', ['-l', '-o', 'Slice,Start,Sectors', file])
    .stdout.split('\n')
    .map((line) => /^([a-p]) +(\d+) +(\d+)$/.exec(line.trim()))
    .filter((match) => match !== null)
    .map(([, letter, start, sectors]) => `${letter} ${start} ${sectors}`);
}

describeWithTools(
  ['fdisk', 'partx'],
  'a BSD disklabel of ours is for libblkid and libfdisk what we say',
  () => {
    const folder = temporaryFolder();
    const label = 'b\ny\nn\na\n\n+10M\nt\na\n7\nn\ne\n40000\n+1M\nt\ne\n1\nn\nf\n\n\nt\nf\n8\n';

    test.each(['a5', 'a6', 'a9'])('in a slice of type %s, and copied to a whole disk', async (type) => {
      const [sliced, whole] = [path.join(folder, `${type}.img`), path.join(folder, `${type}-whole.img`)];
      fs.writeFileSync(sliced, '');
      fs.truncateSync(sliced, 100 << 20);
      const keys = `n\np\n1\n\n+60M\nt\n${type}\n${label}w\nr\nw\n`;
      expect(await userloop(['fdisk', sliced], { stdin: keys })).toMatchObject({ status: 0 });
      fs.writeFileSync(whole, fs.readFileSync(sliced).subarray(2048 * 512, 2048 * 512 + 8192));
      fs.truncateSync(whole, 100 << 20);
      for (const file of [sliced, whole]) {
        const there = listed(file);
        expect(there.length).toBeGreaterThan(2);
        expect(ours(file)).toEqual(there);
      }
      const { stdout } = await userloop(['fdisk', '-l', '-o', 'Slice,Start,Sectors', whole]);
      const told = byFdisk(whole);
      // a, c, d, e and f.
      expect(told).toHaveLength(5);
      expect(told.slice(0, 1)).toEqual(['a 2048 20481']);
      for (const line of told) expect(stdout).toMatch(new RegExp(`^${line.replaceAll(' ', ' +')}$`, 'm'));
    });
  },
);
