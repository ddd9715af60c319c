import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { referenceFailed, runBoth } from '../support/fdisk-sessions.ts';
import { Dice, Typist } from '../support/fdisk-typist.ts';
import { describeWithTools, memoryFolder } from '../support/tools.ts';

const MIB = 2 ** 20;
const CYLINDER = 255 * 63 * 512;

/** `FDISK_SESSIONS=3000` for a long run. */
const COUNT = Number(process.env['FDISK_SESSIONS'] ?? 20);

interface Kind {
  /** Letters of the main menu and of the expert one, from which commands are drawn. */
  readonly main: string;
  readonly expert: string;
  /** Where it begins. */
  readonly first: readonly string[];
  readonly ending: readonly string[];
  readonly sizes: readonly number[];
}

const ENDING = ['p', 'v', 'F', 'w'];
const SIZES = [MIB, 5 * MIB, 20 * MIB, 100 * MIB, 1024 * MIB, 100 * MIB + 77 * 512];

const KINDS: Readonly<Record<string, Kind>> = {
  'an MBR': {
    main: 'nnnnnnnnndddaattpvFiicompnzlmu',
    expert: 'pvbbFichsdDmrnzM',
    first: [],
    ending: ENDING,
    sizes: [...SIZES, 2880 * 512, 3 * 2 ** 40],
  },
  'the order of logical partitions': {
    main: 'nnnnnnnnnd',
    expert: 'r',
    first: ['n', 'e', '1', '', ''],
    ending: ['p', 'x', 'f', 'p', 'r', 'v', 'p', 'w'],
    sizes: SIZES,
  },
  'a GPT': {
    main: 'nnnnnnnnddddttttpvFilmMMzauc',
    expert: 'nnuilABRSfpvmMcdDzhs',
    first: ['g'],
    ending: ENDING,
    sizes: [...SIZES, 2 ** 44 - MIB],
  },
  'a hybrid MBR': {
    main: 'nnnnddttpvFilmMMMac',
    expert: 'pvbfFidDmrMnuA',
    first: ['g', 'n', '', '', '+5M', 'M'],
    ending: ENDING,
    sizes: SIZES,
  },
  'a BSD disklabel': {
    main: 'nnnnnnnnddddttttppFilmuexxrbwz',
    expert: 'pr',
    first: ['n', 'p', '1', '', '', 't', 'a5', 'b', 'y'],
    ending: ENDING,
    sizes: [...SIZES, 2 ** 44 - MIB],
  },
};

const ARGUMENTS: readonly (readonly string[])[] = [
  [],
  [],
  [],
  ['-c=dos'],
  ['-b', '4096'],
  ['-B'],
  ['-u=cylinders'],
  ['-c=dos', '-u=cylinders'],
];

/** A second session works on what the first one wrote. */
async function runTwice(folder: string, kind: Kind, seed: number): Promise<'same' | 'failed'> {
  const dice = new Dice(seed);
  const size = dice.pick(kind.sizes);
  const args = dice.pick(ARGUMENTS);
  // Less than a cylinder counted in cylinders is less than nothing to the reference.
  const isTiny = size < CYLINDER * (args.includes('4096') ? 8 : 1);
  if (isTiny && args.includes('-u=cylinders')) return 'failed';
  for (const round of [0, 1]) {
    const typist = new Typist({
      seed: 2 * seed + round,
      commandCount: 12,
      sectorCount: size / 512,
      main: isTiny ? kind.main.replaceAll('u', '') : kind.main,
      expert: kind.expert,
      beginning: round === 0 ? kind.first : [],
      ending: kind.ending,
    });
    const session = { keys: '', typist, args, size };
    const { ours, reference, difference } = await runBoth(folder, session, { keep: round === 1 });
    const left = fs.statSync(path.join(folder, 'reference', 'disk.img')).size !== size;
    if (left || referenceFailed(reference)) return 'failed';
    expect({ ...ours, keys: typist.keys }).toEqual({ ...reference, keys: typist.keys });
    expect(difference, typist.keys).toBeUndefined();
  }
  return 'same';
}

describeWithTools(['fdisk'], 'fdisk answers whatever is typed as util-linux does', () => {
  describe.each(Object.entries(KINDS))('in %s', (name, kind) => {
    test(`in ${COUNT} pairs of sessions`, async () => {
      const folder = memoryFolder();
      let failed = 0;
      for (let i = 1; i <= COUNT; i++) {
        if ((await runTwice(folder, kind, 7919 * i + name.length)) === 'failed') failed++;
      }
      // Where the reference itself fails there is nothing to compare with.
      expect(failed).toBeLessThan(COUNT / 2);
    }, 3_600_000);
  });
});
