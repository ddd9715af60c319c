import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type FdiskSession, runBoth } from '../support/fdisk-sessions.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, temporaryFolder } from '../support/tools.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const SESSIONS: Readonly<Record<string, FdiskSession>> = {
  'every question of an MBR answered out of its range': {
    keys: 'n\nq\np\n0\n5\n1a\n1\n2047\n204800\nx\n\n2047\n204800\n+9G\n-9G\n+1Q\n+\n+10M\nn\ne\n1\n\n12288\n1\n30000\n\nn\nl\n20000\n99999\n1\n14336\n\nt\n3\n9\n5\n0x7\na\n4\n0\n2\nd\n7\n5\nx\nc\n0\n1048577\n\nh\n0\n256\n\ns\n0\n64\n\nb\n9\n1\n0\n99999\n\ni\nzz\nr\np\nw\n',
    size: 100 * MIB,
  },
  'every question of a GPT answered out of its range': {
    keys: 'g\nn\n0\n129\n1\n2047\n204767\n\n2047\n204767\n+9G\n-9G\n+10M\nn\n1\n2\n\n+5M\nt\n9\n0\n2\n999\nt\n1\n0\nx\nl\n0\n99999999999\n256\nn\n7\n2\nname\nu\n1\nbad\nS\n2\n47\n64\n48\ni\nbad\nr\nd\n0\n3\n2\np\nw\n',
    size: 100 * MIB,
  },
  'every question of an MBR in cylinders answered out of its range': {
    keys: 'n\np\n1\n0\n99\n1\n0\n99\n+99\n5\nn\ne\n2\n5\n13\n\n99\n\nn\n5\n99\n7\n6\n99\n\nt\n9\n5\nc\nd\n9\n1\np\nw\n',
    args: ['-u=cylinders'],
    size: 100 * MIB,
  },
  'every question of a BSD disklabel answered out of its range': {
    keys: 'n\np\n1\n\n\nt\na5\nb\ny\nn\nz\n9\n0\na\n0\n204800\n9999999\n\n0\n99999999\n+9G\n+20M\nn\nb\n1\n\n1\n\nt\nq\n9\n0\na\n1ff\nzz\n7\ni\nz\n0\na\nd\nz\n9\nb\ne\n-1\n0\n99999999999\n512\n63\n255\n0\n12\n99999999999\n3600\n1\n1\n0\n0\nx\n0\np\ns\nw\nr\nw\n',
    size: 100 * MIB,
  },
  'a flag and a type for a partition that is not there': {
    keys: 'n\np\n1\n\n+5M\nn\np\n3\n\n+5M\na\n2\np\ni\n2\nt\n2\nb\np\nv\nF\nd\n2\nt\n4\nn\np\np\nw\n',
    size: 100 * MIB,
  },
  'gaps of one sector': {
    keys: 'n\np\n1\n2048\n4095\nn\np\n2\n4097\n8000\nF\nn\np\n3\n8002\n9000\nF\np\nv\nw\n',
    size: 100 * MIB,
  },
  'types by name': {
    keys: 'n\np\n1\n\n+5M\nt\nlinux lvm\nt\nLINUX-LVM\nt\nW95 FAT32\nt\nhpfsntfsexfat\nt\nLinuxEx\nt\nefi\nt\n1ff\np\nw\n',
    size: 100 * MIB,
  },
  'GPT types by name': {
    keys: 'g\nn\n\n\n+5M\nt\nefi system\nt\nLinux-root-x86-64\nt\nLINUX SWAP\nt\nUEFI\nt\n0x14\nt\n024\np\nw\n',
    size: 100 * MIB,
  },
  'one extended type for another': {
    keys: 'n\ne\n1\n\n\nn\nl\n\n+5M\nt\n1\nf\np\nF\nn\nw\n',
    size: 100 * MIB,
  },
  'an identifier in every notation': {
    keys: 'x\ni\n010\ni\n0x10\ni\n-1\ni\n0x123456789\ni\n99999999999999999999999\ni\n\np\nw\n',
    size: 100 * MIB,
  },
  'a hybrid MBR with logical partitions': {
    keys: 'g\nn\n\n\n+20M\nM\nn\ne\n2\n10000\n40000\nn\nl\n\n+2M\nn\nl\n\n\np\nF\nv\nw\nr\np\nw\n',
    size: 100 * MIB,
  },
  'a script saved and loaded': {
    keys: 'n\np\n1\n\n+5M\nt\nc\nn\ne\n2\n\n\nn\nl\n\n+5M\nO\nscript\no\np\nI\nscript\np\nw\n',
    size: 100 * MIB,
  },
  'a script of a GPT in place of an MBR': {
    keys: 'g\nn\n\n\n+5M\nt\nuefi\nn\n\n\n\nO\nscript\no\nI\nscript\np\nw\n',
    size: 100 * MIB,
  },
  'scripts that are none': {
    keys: 'I\nabsent\nI\n\nO\nfolder\nO\nfolder/x/y\nO\n\np\nw\n',
    size: 100 * MIB,
  },
  'a script from a disklabel': {
    keys: 'n\np\n1\n\n+9M\nt\na5\nb\ny\nn\na\n\n\nO\nscript\nq\n',
    size: 100 * MIB,
  },
  'columns of its own in the dialog': {
    keys: 'n\np\n1\n\n+5M\np\nx\np\nr\nw\n',
    args: ['-o', 'Device,Size,Id,Type'],
    size: 100 * MIB,
  },
  'more columns in the dialog': {
    keys: 'g\nn\n\n\n+5M\np\nx\np\nr\nw\n',
    args: ['-o', '+UUID'],
    size: 100 * MIB,
  },
  'bytes in the dialog': { keys: 'n\np\n1\n\n+5M\np\nw\n', args: ['--bytes'], size: 100 * MIB },
  'a geometry that is none': {
    keys: 'u\np\nw\n',
    args: ['-H', '300', '-S', '64', '-C', '0', '-c=nondos'],
    referenceArgs: ['-H', '300', '-S', '64', '-C', '0'],
    size: 100 * MIB,
  },
  'the smallest image': { keys: 'n\np\n1\n\n\np\nn\ne\nF\nw\n', size: MIB },
  '16 TiB with sectors of 4096 bytes, in an MBR': {
    keys: 'n\np\n1\n\n+15T\nn\ne\n2\n\n\nn\nl\n\n+1G\np\nF\nv\nw\n',
    args: ['-b', '4096'],
    size: 16 * 1024 * GIB - MIB,
  },
};

describeWithTools(['fdisk'], 'fdisk answers what a session may hold', () => {
  const folder = temporaryFolder();

  test.each(Object.entries(SESSIONS))('%s', async (name, session) => {
    const { ours, reference, difference } = await runBoth(folder, session);
    expect(ours).toEqual(reference);
    expect(difference).toBeUndefined();
    const [mine, theirs] = ['ours', 'reference'].map((each) => path.join(folder, each, 'script')) as [
      string,
      string,
    ];
    if (!name.includes('script') || !fs.existsSync(theirs)) return;
    const masked = (file: string): string =>
      fs.readFileSync(file, 'utf8').replaceAll(/(label-id: |uuid=)[\da-fx-]+/gi, '$1…');
    expect(masked(mine)).toBe(masked(theirs));
  });

  test.each(Object.entries(SESSIONS).filter(([name]) => name.includes('out of its range')))(
    '%s: each answer is complained of, and the question is put again',
    async (_, { keys, args = [], size }) => {
      const image = path.join(folder, 'range.img');
      fs.writeFileSync(image, '');
      fs.truncateSync(image, size);
      const { stdout, stderr } = await userloop(['fdisk', ...args, image], { stdin: keys });
      const complaints = stderr.split('\n').filter((line) => line === 'Value out of range.').length;
      const prompts = stdout.split(/\n|(?<=\): )/).filter((piece) => piece.endsWith('): '));
      const again = prompts.filter((prompt, i) => prompt === prompts[i - 1] && !prompt.includes('ommand'));
      // Some are no value at all, of which the tool says nothing before it asks again.
      expect(complaints).toBeGreaterThanOrEqual(10);
      expect(again.length).toBeGreaterThanOrEqual(complaints);
    },
  );

  test('tells of an image that is shorter than its table', async () => {
    const image = path.join(folder, 'shrunk.img');
    for (const label of ['o', 'g']) {
      fs.writeFileSync(image, '');
      fs.truncateSync(image, 100 * MIB);
      await userloop(['fdisk', image], { stdin: `${label}\nn\n\n\n\n${label === 'o' ? '\n' : ''}w\n` });
      fs.truncateSync(image, 4 * MIB);
      const { status, stderr } = await userloop(['fdisk', image], { stdin: 'p\nq\n' });
      expect(status).toBe(0);
      expect(stderr).toContain(
        'the table names sectors up to 204799, the disk ends with sector 8191: it was longer when it was partitioned',
      );
      expect(stderr.includes(`"userloop inspect --repair ${image}"`)).toBe(label === 'g');
      expect((await userloop(['fdisk', '-l', image])).stderr).toContain(
        'it was longer when it was partitioned',
      );
    }
  });

  test('tells of a BSD disklabel that is longer than its disk, but not of one that was copied out of its partition', async () => {
    const image = path.join(folder, 'disklabel.img');
    const slice = path.join(folder, 'slice.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 100 * MIB);
    await userloop(['fdisk', image], { stdin: 'n\np\n1\n\n\nt\na5\nb\ny\nn\na\n\n\nw\nr\nw\n' });
    fs.writeFileSync(slice, fs.readFileSync(image).subarray(MIB));
    expect(await userloop(['fdisk', '-l', slice])).toMatchObject({ status: 0, stderr: '' });
    fs.truncateSync(slice, 4 * MIB);
    const { stdout, stderr } = await userloop(['fdisk', '-l', slice]);
    expect(stdout).toContain('Disklabel type: bsd');
    expect(stderr).toContain('the table names sectors up to 202751, the disk ends with sector 8191');
  });

  test('writes nothing where a boot record would lie past the end', async () => {
    const image = path.join(folder, 'past.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 100 * MIB);
    await userloop(['fdisk', image], { stdin: 'n\ne\n1\n100000\n\nw\n' });
    fs.truncateSync(image, 4 * MIB);
    const before = fs.readFileSync(image);
    const { status, stderr } = await userloop(['fdisk', image], { stdin: 'a\nw\n' });
    expect(status).toBe(1);
    expect(stderr).toContain('fdisk: failed to write disklabel: No space left on device\n');
    expect(fs.readFileSync(image).equals(before)).toBe(true);
  });
});
