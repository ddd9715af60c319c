import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FdiskSession, randomGptKeys, runBoth } from '../support/fdisk-sessions.ts';
import { describeWithTools, memoryFolder } from '../support/tools.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const SESSIONS: Readonly<Record<string, FdiskSession>> = {
  'one partition with every default': { keys: 'g\nn\n\n\n\np\nF\nv\nw\n', size: 100 * MIB },
  'three, one in the middle deleted and another put there': {
    keys: 'g\nn\n\n\n+5M\nn\n\n\n+6M\nn\n\n\n+7M\nd\n2\np\nF\nn\n\n\n\np\nv\nw\n',
    size: 100 * MIB,
  },
  'types by number, alias and GUID': {
    keys: 'g\nn\n\n\n+5M\nn\n\n\n\nt\n1\nuefi\nt\n2\n19\nt\n1\nC12A7328-F81F-11D2-BA4B-00A0C93EC93B\nt\n1\nx\ni\n1\np\nl\nw\n',
    size: 100 * MIB,
  },
  'names, UUIDs and attributes': {
    keys: 'g\nn\n\n\n+5M\nn\n\n\n\nx\nn\n1\nfirst one\nu\n2\n11111111-2222-3333-4444-555555555555\nA\n1\nB\n2\nR\n1\nR\n2\nS\n1\n50\nS\n1\n\np\nr\ni\n1\nw\n',
    size: 100 * MIB,
  },
  'another disk GUID and another table length': {
    keys: 'g\nx\ni\n11111111-2222-3333-4444-555555555556\nl\n256\np\nr\nn\n\n\n\nx\nl\n4000\nl\n64\np\nr\nw\n',
    size: 100 * MIB,
  },
  'the order fixed': {
    keys: 'g\nn\n3\n40000\n50000\nn\n5\n10000\n20000\nn\n1\n60000\n\np\nx\nf\np\nf\nr\nw\n',
    size: 100 * MIB,
  },
  'a hybrid MBR': {
    keys: 'g\nn\n\n\n+5M\nM\nm\np\nd\nn\np\n1\n2048\n12287\nn\np\n2\n1\n2000\nt\n2\nee\na\n1\np\nv\nF\nw\nr\np\nv\nw\n',
    size: 100 * MIB,
  },
  'an MBR in place of a GPT and back': { keys: 'g\nn\n\n\n\no\np\ng\np\nw\n', size: 100 * MIB },
  'a floppy': { keys: 'g\nn\n\n\n\np\nv\nF\nw\n', size: 2880 * 512 },
  'the smallest disk for 128 entries': { keys: 'g\nn\n\n\n\np\nv\nF\nw\n', size: 68 * 512 },
  'a smaller one': { keys: 'g\nn\n\n\n\np\nv\nF\nx\np\nD\nr\nw\n', size: 67 * 512 },
  'the smallest of all': { keys: 'g\nn\n\n\n\np\nv\nw\n', size: 6 * 512 },
  '16 TiB': { keys: 'g\nn\n\n\n+10T\nn\n\n\n\np\nv\nF\nw\n', size: 16 * 1024 * GIB - MIB },
  'sectors of 4096 bytes and 16 TiB': {
    keys: 'g\nn\n\n\n+10T\nn\n\n\n\np\nv\nF\nw\n',
    args: ['-b', '4096'],
    size: 16 * 1024 * GIB - MIB,
  },
  'every partition': { keys: `g\nx\nl\n4\nr\n${'n\n\n\n+1M\n'.repeat(5)}p\nw\n`, size: 100 * MIB },
  'the boot code kept': { keys: 'g\nw\n', args: ['-B'], size: MIB },
  'no table at first': { keys: 'p\nm\nn\nx\nm\nd\nD\nr\ng\np\nw\n', args: ['-n'], size: MIB },
};

describeWithTools(['fdisk'], 'fdisk edits a GPT as util-linux does', () => {
  const folder = memoryFolder();

  test.each(Object.entries(SESSIONS))('%s', async (_, session) => {
    const { ours, reference, difference } = await runBoth(folder, session);
    expect(ours).toEqual(reference);
    expect(difference).toBeUndefined();
  });

  test('for a table that an earlier session wrote, on an image that grew since', async () => {
    const first = { keys: 'g\nn\n\n\n+5M\nn\n\n\n+6M\nw\n', size: 50 * MIB };
    await runBoth(folder, first);
    for (const each of ['ours', 'reference']) fs.truncateSync(path.join(folder, each, 'disk.img'), 60 * MIB);
    for (const keys of ['p\nv\nF\nq\n', 'n\n\n\n\np\nv\nw\n', 'x\np\nD\nv\nq\n']) {
      const { ours, reference, difference } = await runBoth(folder, { keys, size: 0 }, { keep: true });
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    }
  });

  test.each([
    ['first header', 512 + 24],
    ['first table', 1024],
    ['second header', 50 * MIB - 512 + 24],
    ['second table', 50 * MIB - 33 * 512],
    ['protective entry', 446 + 13],
  ])('for a table with a damaged %s', async (_, place) => {
    await runBoth(folder, { keys: 'g\nn\n\n\n+5M\nn\n\n\n+6M\nw\n', size: 50 * MIB });
    for (const each of ['ours', 'reference']) {
      const fd = fs.openSync(path.join(folder, each, 'disk.img'), 'r+');
      fs.writeSync(fd, Uint8Array.of(0x77), 0, 1, place);
      fs.closeSync(fd);
    }
    for (const args of [['-l'], ['-x'], []]) {
      const session = { keys: 'p\nv\nF\nn\n\n\n\nw\n', args, size: 0 };
      const { ours, reference, difference } = await runBoth(folder, session, { keep: true });
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    }
  });

  test.each([
    [['-l']],
    [['-x']],
    [['-l', '-o', '+uuid,attrs']],
    [['-l', '-o', 'name,type-uuid,Size']],
    [['-l', '-o', 'Boot']],
    [['-t', 'dos', '-l']],
    [['-t', 'bogus', '-l']],
    [['-l', '-u=cylinders']],
  ])('for %j', async (args) => {
    await runBoth(folder, SESSIONS['names, UUIDs and attributes']!);
    const { ours, reference } = await runBoth(folder, { keys: '', args, size: 0 }, { keep: true });
    expect(ours).toEqual(reference);
  });

  describe('for random keystrokes', () => {
    const sizes = [MIB, 5 * MIB, 20 * MIB, 100 * MIB, GIB];
    test.each(Array.from({ length: 60 }, (_, i) => i + 1))('of seed %i', async (seed) => {
      const size = sizes[seed % sizes.length]!;
      const args = seed % 4 === 3 ? ['-b', '4096'] : [];
      const { ours, reference, difference } = await runBoth(folder, {
        keys: randomGptKeys(seed * 7919, size / 512),
        args,
        size,
      });
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    });
  });
});
