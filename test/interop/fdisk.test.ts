import { describe, expect, test } from 'vitest';
import { type FdiskSession, randomKeys, runBoth } from '../support/fdisk-sessions.ts';
import { describeWithTools, memoryFolder } from '../support/tools.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const SESSIONS: Readonly<Record<string, FdiskSession>> = {
  'one partition with every default': { keys: 'o\nn\n\n\n\n\np\nw\n', size: 100 * MIB },
  'nothing at all': { keys: '', size: 100 * MIB },
  'quitting after changes': { keys: 'n\n\n\n\n\nq\n', size: 100 * MIB },
  'three primaries, one active, types by number and by alias': {
    keys: 'o\nn\np\n1\n\n+10M\nn\np\n2\n\n+20M\nn\np\n3\n\n\na\n2\nt\n1\nc\nt\n2\nswap\ni\n2\np\nv\nw\n',
    size: 100 * MIB,
  },
  'an extended partition and logical ones over the rest': {
    keys: 'n\np\n\n\n+10M\nn\ne\n\n\n\nn\n\n+5M\nn\n\n+5M\nn\n\n\np\nv\nF\nw\n',
    size: 100 * MIB,
  },
  'the first logical partition deleted': {
    keys: 'n\ne\n1\n\n\nn\nl\n\n+5M\nn\nl\n\n+6M\nn\nl\n\n+7M\nd\n5\np\nv\nw\n',
    size: 100 * MIB,
  },
  'a logical partition in the middle deleted and another put in its place': {
    keys: 'n\ne\n1\n\n\nn\n\n+5M\nn\n\n+6M\nn\n\n+7M\nd\n6\np\nn\n\n\np\nw\n'.replaceAll(
      'n\n\n+',
      'n\nl\n\n+',
    ),
    size: 100 * MIB,
  },
  'the last logical partition deleted': {
    keys: 'n\ne\n1\n\n\nn\nl\n\n+5M\nn\nl\n\n+6M\nd\n6\np\nw\n',
    size: 100 * MIB,
  },
  'all logical partitions deleted': {
    keys: 'n\ne\n1\n\n\nn\nl\n\n+5M\nn\nl\n\n+6M\nd\n5\nd\n5\np\nv\nw\n',
    size: 100 * MIB,
  },
  'the extended partition deleted with all in it': {
    keys: 'n\np\n1\n\n+1M\nn\ne\n2\n\n\nn\nl\n\n+5M\nn\nl\n\n+6M\nd\n2\np\nF\nw\n',
    size: 100 * MIB,
  },
  'an extended partition without any': { keys: 'n\ne\n4\n\n+40M\np\nw\n', size: 100 * MIB },
  'logical partitions out of order': {
    keys: 'n\ne\n1\n\n+20M\nn\nl\n\n10000\nn\nl\n20000\n25000\nn\nl\n\n\nn\nl\n\n\np\nF\nw\n',
    size: 100 * MIB,
  },
  'four primaries and a fifth refused': {
    keys: 'n\np\n1\n5000\n6000\nn\np\n2\n8000\n9000\nn\np\n3\n2048\n\nn\np\n7000\n\nn\np\nw\n',
    size: 100 * MIB,
  },
  'a start in the middle of a partition': {
    keys: 'n\np\n1\n5000\n6000\nn\np\n2\n5500\n8000\n9000\np\nw\n',
    size: 100 * MIB,
  },
  'wrong answers everywhere': {
    keys: 'z\nzz\n\nn\nx\np\n9\n0\n1\n1\nabc\n2048\n+\n+z\n5x\n-5\np\nd\nt\nzz\nw\n',
    size: 100 * MIB,
  },
  'the end of the input in the middle of a question': { keys: 'n\np\n', size: 100 * MIB },
  'sizes in every unit': {
    keys: 'n\np\n1\n\n+5MB\nn\np\n2\n\n+5MiB\nn\np\n3\n\n+2.5M\nn\np\n\n-1M\np\nw\n',
    size: 100 * MIB,
  },
  'a floppy, too small to align': { keys: 'n\n\n\n\n\np\nv\nF\nw\n', size: 2880 * 512 },
  'a single sector': { keys: 'n\np\nv\nw\n', size: 512 },
  'the last size that is not aligned and the first that is': {
    keys: 'n\np\n\n\n\np\nw\n',
    size: 8193 * 512,
  },
  'more than 2 TiB, warned of and cut': {
    keys: 'o\nn\np\n1\n\n+20G\nn\np\n2\n\n+1T\nn\ne\n4\n\n\np\nw\n',
    size: 3 * 1024 * GIB,
  },
  'DOS mode': { keys: 'o\nn\n\n\n\n\na\np\nv\nw\n', args: ['-c=dos'], size: 100 * MIB },
  'DOS mode with logical partitions': {
    keys: 'n\np\n\n\n+1G\nn\ne\n\n\n\nn\nl\n\n+100M\nn\nl\n\n\np\nv\nF\nw\n',
    args: ['-c=dos'],
    size: 20 * GIB,
  },
  'DOS mode without a single cylinder': { keys: 'o\nn\np\nv\nF\nw\n', args: ['-c=dos'], size: MIB },
  'DOS mode switched on and off': {
    keys: 'c\np\nn\np\n1\n\n+5M\nc\np\nn\np\n2\n\n+5M\np\nv\nw\n',
    size: 100 * MIB,
  },
  'cylinders shown': { keys: 'n\np\n1\n\n+5M\nu\np\ni\nu\np\nw\n', size: 100 * MIB },
  'cylinders asked for on the command line': { keys: 'p\nq\n', args: ['-u=cylinders'], size: 100 * MIB },
  'another number of heads': {
    keys: 'n\np\n\n\n\np\nw\n',
    args: ['-H', '16', '-S', '63', '-c=nondos'],
    referenceArgs: ['-H', '16', '-S', '63'],
    size: 100 * MIB,
  },
  'sectors of 4096 bytes': {
    keys: 'n\np\n\n\n+5M\nn\ne\n\n\n\nn\nl\n\n+3M\np\nv\nF\nw\n',
    args: ['-b', '4096'],
    size: 100 * MIB,
  },
  'the identifier changed': { keys: 'x\np\ni\n0x1234\np\nv\nr\np\nw\n', size: 100 * MIB },
  'help and types': { keys: 'm\nl\nx\nm\nr\n', size: 100 * MIB },
};

describeWithTools(['fdisk'], 'fdisk says and writes what util-linux says and writes', () => {
  const folder = memoryFolder();

  test.each(Object.entries(SESSIONS))('%s', async (_, session) => {
    const { ours, reference, difference } = await runBoth(folder, session);
    expect(ours).toEqual(reference);
    expect(difference).toBeUndefined();
  });

  test('for a disk whose geometry only the table knows', async () => {
    await runBoth(folder, {
      keys: 'n\np\n1\n\n+10M\nn\np\n2\n\n\nw\n',
      args: ['-C203', '-H16', '-S63'],
      referenceArgs: ['-c=dos', '-C203', '-H16', '-S63'],
      size: 100 * MIB,
    });
    const { ours, reference, difference } = await runBoth(
      folder,
      { keys: 'p\nv\nd\n2\nn\np\n2\n\n\np\nw\n', args: ['-c=dos'], size: 100 * MIB },
      { keep: true },
    );
    expect(reference.stdout).toContain('16 heads, 63 sectors/track');
    expect(ours).toEqual(reference);
    expect(difference).toBeUndefined();
  });

  test('for a second session on what the first one wrote', async () => {
    await runBoth(folder, SESSIONS['logical partitions out of order']!);
    for (const keys of ['p\nv\nF\nd\n7\nd\n5\np\nn\nl\n\n+1M\np\nw\n', 'd\n1\nn\n\n\n\n\np\nw\n']) {
      const { ours, reference, difference } = await runBoth(
        folder,
        { keys, size: 100 * MIB },
        { keep: true },
      );
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    }
  });

  // A geometry on the command line changes our listing, not the bytes.
  test.each([
    ['the article', 'o\nn\np\n1\n\n\na\np\nw\n', ['-u', '-C1000', '-S63', '-H16'], 516096000],
    [
      'two and logical ones',
      'n\np\n1\n\n+90M\nn\ne\n2\n\n\nn\nl\n\n+50M\nn\nl\n\n\nw\n',
      ['-C1000', '-S63', '-H16'],
      516096000,
    ],
    ['past cylinder 1023', 'n\np\n1\n\n+1G\nn\np\n2\n\n\nw\n', ['-H16', '-S63'], 20 * GIB],
    [
      '32 sectors a track',
      'n\np\n1\n\n+9M\nn\ne\n2\n\n\nn\nl\n\n\nw\n',
      ['-C', '100', '-H', '64', '-S', '32'],
      100 * MIB,
    ],
  ] as const)('to the byte with a geometry: %s', async (_, keys, args, size) => {
    const { ours, difference } = await runBoth(folder, {
      keys,
      args,
      referenceArgs: ['-c=dos', ...args],
      size,
    });
    expect(ours.status).toBe(0);
    expect(difference).toBeUndefined();
  });

  describe('for random keystrokes', () => {
    const sizes = [5 * MIB, 20 * MIB, 100 * MIB, GIB];
    const modes = [[], ['-c=dos'], ['-b', '4096'], ['-B']];
    test.each(Array.from({ length: 60 }, (_, i) => i + 1))('of seed %i', async (seed) => {
      const size = sizes[seed % sizes.length]!;
      const args = modes[Math.floor(seed / 4) % modes.length]!;
      const { ours, reference, difference } = await runBoth(folder, {
        keys: randomKeys(seed * 7919, size / 512),
        args,
        size,
      });
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    });
  });

  test.each([
    [['-l']],
    [['-x']],
    [['-l', '--bytes']],
    [['-l', '-o', 'id,DEVICE,Type,size']],
    [['-s']],
    [['-l', '-u=cylinders']],
  ])('for %j', async (args) => {
    await runBoth(folder, SESSIONS['logical partitions out of order']!);
    const { ours, reference } = await runBoth(folder, { keys: '', args, size: 0 }, { keep: true });
    expect(ours).toEqual(reference);
  });

  test.each([[['-Z']], [['-b', '513']], [['-c=x']], [['-C', 'x']], [['/nonexistent/disk']], [['--unknown']]])(
    'for a wrong command line: %j',
    async (args) => {
      await runBoth(folder, { keys: 'o\nw\n', size: MIB });
      const { ours, reference } = await runBoth(folder, { keys: '', args, size: 0 }, { keep: true });
      expect(ours).toEqual(reference);
    },
  );
});
