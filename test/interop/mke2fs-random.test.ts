import { describe, expect, test } from 'vitest';
import { format, MIB, runBoth } from '../support/mke2fs-cases.ts';
import { randomMke2fsCase } from '../support/mke2fs-random.ts';
import { firstUnexpectedDifference } from '../support/resize-runs.ts';
import { describeWithTools } from '../support/tools.ts';

/** `USERLOOP_MKE2FS_CASES=900` for a long run; `USERLOOP_SEED`: the first of them. */
const CASES = Number(process.env['USERLOOP_MKE2FS_CASES'] ?? 80);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 1);
/** Each of them was once not as the reference makes it. */
const FOUND = [
  7066, 7140, 7149, 7164, 7183, 7250, 7255, 7282, 7329, 7452, 7559, 7573, 17_183, 17_368, 17_714, 27_065,
];

/** One thing wrong with a command line each: of two, the same one has to be told. */
const FAULTS: readonly (readonly [option: string, value: string])[] = [
  ['-O', 'bigalloc,^extent,^64bit'],
  ['-O', 'metadata_csum_seed,^metadata_csum'],
  ['-O', '^sparse_super'],
  ['-O', 'meta_bg'],
  ['-O', '^extent'],
  ['-o', 'hurd'],
  ['-r', '0'],
  ['-j', ''],
  ['-C', '4096'],
  ['-b', '8192'],
  ['-g', '128'],
  ['-G', '4'],
  ['-I', '200'],
  ['-I', '128'],
  ['-E', 'resize=100'],
  ['-E', 'quotatype=prjquota'],
  ['-N', '300000'],
];

describeWithTools(['mke2fs'], 'mke2fs', () => {
  describe('on command lines by chance does what the reference does', () => {
    const seeds = [...FOUND, ...Array.from({ length: CASES }, (_, i) => SEED + i)];
    for (const seed of seeds) {
      const one = randomMke2fsCase(seed);
      test(`seed ${seed}: ${one.name}`, async () => {
        const { theirs, ours, files } = await runBoth(one);
        expect([ours.status, ours.stderr, ours.stdout]).toEqual([
          theirs.status,
          theirs.stderr,
          theirs.stdout,
        ]);
        // What its cache of eight blocks has driven out by then is not always counted as it counts.
        if (theirs.status === 0) expect(firstUnexpectedDifference(files[1], files[0])).toBeUndefined();
      });
    }
  });

  describe('of two faults tells the one that the reference tells', () => {
    for (const [index, [option, value]] of FAULTS.entries()) {
      test(`${option} ${value} and another`, async () => {
        for (const [other, otherValue] of FAULTS.slice(index)) {
          if (other === option && option !== '-O') continue;
          const both =
            other === option ? [option, `${value},${otherValue}`] : [option, value, other, otherValue];
          const one = format(20 * MIB, `-t ext4 -F ${both.join(' ')}`);
          const { theirs, ours } = await runBoth(one);
          expect([ours.status, ours.stderr, ours.stdout], one.name).toEqual([
            theirs.status,
            theirs.stderr,
            theirs.stdout,
          ]);
        }
      });
    }
  });
});
