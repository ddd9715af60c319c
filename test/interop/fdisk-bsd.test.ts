import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type FdiskSession, runBoth } from '../support/fdisk-sessions.ts';
import { describeWithTools, temporaryFolder } from '../support/tools.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** A slice of FreeBSD of 40 MiB, and its disklabel. */
const SLICE = 'n\np\n1\n\n+40M\nt\na5\nb\ny\n';

const SESSIONS: Readonly<Record<string, FdiskSession>> = {
  'made, shown and written': { keys: `${SLICE}p\ns\nm\nw\nr\np\nw\n`, size: 100 * MIB },
  'from a script': {
    keys: `${SLICE}n\na\n\n+3M\nI\nscript\ny\np\ns\nO\nfolder/dump\nw\nr\nw\n`,
    script:
      'label: bsd\nunit: sectors\nstart=4096, size=2048, type=7\nsize=1M, type=swap\ndisk.img1p8 : start=+, size=100, type=0x17\n2050 100 1ff\ntype=4.2bsd, size=1000K, bootable\nsize=0\nstart=83967, type=zz\n',
    size: 100 * MIB,
  },
  'from a script, on the whole disk': {
    keys: 'I\nscript\ny\np\ns\nw\n',
    script: 'label: bsd\nstart=1000, size=10, type=hpfs\n2000,50M,8\n- 1M 1\n',
    size: 100 * MIB,
  },
  'from a script that does not fit': {
    keys: 'n\np\n1\n\n\nI\nscript\nn\nI\nscript\ny\np\nw\n',
    script: 'label: bsd\nsize=1M\nsize=99G\n',
    size: 100 * MIB,
  },
  'from a script for another kind of table': {
    keys: `${SLICE}I\nscript\np\nw\nr\nw\n`,
    script: 'label: dos\nsize=1M\n',
    size: 100 * MIB,
  },
  refused: { keys: 'n\np\n1\n\n\nt\na5\nb\nn\nb\nx\nno\np\nw\n', size: 100 * MIB },
  'without a partition for it': { keys: 'n\np\n1\n\n\nb\ny\np\nw\n', size: 100 * MIB },
  'the input at its end in the question': { keys: 'n\np\n1\n\n\nt\na5\nb\n', size: 100 * MIB },
  'in a slice of OpenBSD': {
    keys: 'n\np\n2\n4096\n+20M\nt\na6\nb\ny\nn\na\n\n+5M\np\nw\nr\nw\n',
    size: 100 * MIB,
  },
  'in a hidden slice of NetBSD': {
    keys: 'n\np\n3\n\n+20M\nt\nb9\nb\ny\nn\ne\n\n\np\nw\nr\nw\n',
    size: 100 * MIB,
  },
  'four partitions, every type': {
    keys: `${SLICE}n\na\n\n+10M\nn\nb\n30000\n+5M\nn\ne\n50000\n60000\nt\na\n7\nt\nb\n1\nt\ne\n8\nl\np\nw\nr\nw\n`,
    size: 100 * MIB,
  },
  'all sixteen letters, and a seventeenth': {
    keys: `${SLICE}${'n\n\n\n\n'.repeat(13)}n\np\ns\nw\nr\nw\n`,
    size: 100 * MIB,
  },
  'deleted from the end and in between': {
    keys: `${SLICE}n\np\n\n+1M\nn\nh\n\n+1M\nn\na\n\n+1M\nd\np\np\nd\na\np\nd\nc\nd\nd\nd\np\nd\nw\nr\nw\n`,
    size: 100 * MIB,
  },
  'drive data edited': {
    keys: `${SLICE}e\n1000\n7200\n2\n3\n4\n5\n6\ns\ne\n0\n99999\n\n\n\n\n\n\n\ns\nw\nr\nw\n`,
    size: 100 * MIB,
  },
  'linked to other partitions': {
    keys: `n\np\n1\n\n+10M\nt\n6\nn\np\n2\n\n+10M\nt\n2\n7\nn\np\n3\n\n+40M\nt\n3\na5\nb\ny\nx\n1\n\nx\n2\nh\nx\n3\n1\n\np\nw\nr\nw\n`,
    size: 100 * MIB,
  },
  'in cylinders': {
    keys: `${SLICE}u\np\nn\na\n\n3\nn\nb\n2\n+1\nn\n\n\n+8M\np\ni\n\nF\nw\nr\np\nw\n`,
    size: 100 * MIB,
  },
  'answers out of range at each question': {
    keys: `${SLICE}n\nz\n17\n0\nc\na\n2047\n83968\nx\n2048\n2047\n83968\n+99G\n+x\n-99999\n+1M\nt\nz\n17\na\nzz\nt\na\n1ff\nt\na\n100\nd\nz\n9\na\ne\n0\n20000\nx\n1\n70000\n\n\n\n\n4294967296\n1\n\np\nw\nr\nw\n`,
    size: 100 * MIB,
  },
  'with a geometry': {
    keys: `${SLICE}p\ns\nn\na\n\n\nw\nr\nw\n`,
    args: ['-C', '100', '-H', '16', '-S', '63', '-c=nondos'],
    referenceArgs: ['-C', '100', '-H', '16', '-S', '63'],
    size: 100 * MIB,
  },
  'in DOS mode': { keys: `${SLICE}p\nF\nn\na\n\n+1M\nF\nw\nr\nF\nw\n`, args: ['-c=dos'], size: 100 * MIB },
  'on sectors of 4096 bytes': {
    keys: 'n\np\n1\n\n+40M\nt\na5\nb\ny\np\nn\na\n\n+10M\np\ns\nF\nw\nr\nw\n',
    args: ['-b', '4096'],
    size: 100 * MIB,
  },
  'on 20 GiB': { keys: `${SLICE}n\na\n\n\ns\nF\nw\nr\nw\n`, size: 20 * GIB },
  'on 16 TiB': { keys: `${SLICE}n\na\n\n+30M\np\nF\nw\nr\nw\n`, size: 16 * 1024 * GIB - MIB },
  'too small for a cylinder': { keys: 'n\np\n\n\n\nt\na5\nb\ny\np\nn\ns\nw\nr\nw\n', size: 5 * MIB },
  'bootstrap that is not there': { keys: `${SLICE}i\n\ni\nnothing\nw\nr\nw\n`, size: 100 * MIB },
};

describeWithTools(['fdisk'], 'fdisk edits a BSD disklabel as util-linux does', () => {
  const folder = temporaryFolder();

  test.each(Object.entries(SESSIONS))('%s', async (_, session) => {
    const { ours, reference, difference } = await runBoth(folder, session);
    expect(ours).toEqual(reference);
    expect(difference).toBeUndefined();
  });

  test('that an earlier session wrote', async () => {
    await runBoth(folder, SESSIONS['four partitions, every type']!);
    for (const keys of ['b\np\ns\nd\na\nn\nf\n\n\np\nw\nw\nr\nw\n', 'a\nb\nm\np\nw\nr\nw\n', 'b\nq\n']) {
      const { ours, reference, difference } = await runBoth(folder, { keys, size: 0 }, { keep: true });
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    }
  });

  test('of a whole disk', async () => {
    await runBoth(folder, SESSIONS['four partitions, every type']!);
    for (const each of ['ours', 'reference']) {
      const image = path.join(folder, each, 'disk.img');
      const slice = fs.readFileSync(image).subarray(MIB, MIB + 8192);
      fs.writeFileSync(image, slice);
      fs.truncateSync(image, 100 * MIB);
    }
    const runs: [string, string[]][] = [
      ['', ['-l']],
      ['', ['-x']],
      ['', ['-l', '-o', 'slice,type,size']],
      ['', ['-l', '-o', 'Device']],
      ['', ['-l', '-t', 'bsd']],
      ['', ['-l', '-t', 'dos']],
      ['p\nm\ns\nx\nn\n\n\n\np\nF\nd\na\nt\nb\n7\np\nu\np\nq\n', []],
      ['n\nd\n100000\n\np\nw\n', []],
    ];
    for (const [keys, args] of runs) {
      const { ours, reference, difference } = await runBoth(folder, { keys, args, size: 0 }, { keep: true });
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    }
  });

  test('and makes no other table where -t leaves none', async () => {
    const session = { keys: 'p\nm\no\nq\n', args: ['-t', 'bsd'], size: MIB };
    const { ours, reference, difference } = await runBoth(folder, session);
    expect(ours).toEqual(reference);
    expect(difference).toBeUndefined();
  });
});
