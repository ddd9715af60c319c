import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DAMAGES, damage, GOOD_VOLUMES, goodVolume } from '../support/fat-damage.ts';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** Seeds of each kind of damage to each volume; `CHECK_SEEDS=20` for a long run, from `CHECK_FIRST` on. */
const SEEDS = Number(process.env['CHECK_SEEDS'] ?? 1);
const FIRST = Number(process.env['CHECK_FIRST'] ?? 0);

/** What the tool's words are about. */
const KINDS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['copies differ', /FATs (differ|appear)|FAT appears/],
  ['out of range', /out of range|beyond limit|Bad start cluster/],
  ['chain and size', /cluster chain length/],
  ['free or bad in chain', /Contains a/],
  ['circular', /Circular/],
  ['cross link', /share clusters/],
  ['lost', /Reclaimed/],
  ['directory', /Start does point|non-zero size|'\.\.?' entry|a dot with/],
  ['name', /Bad short file name|large number of bad/],
  ['duplicate', /Duplicate/],
  ['long name', /long file ?name|LFN/],
  ['label', /abel /],
  ['dirty', /Dirty/],
  ['free count', /Free cluster summary/],
  ['FSInfo', /FSINFO/],
  ['backup', /backup/],
];

function kindsOf(text: string): Set<string> {
  return new Set(KINDS.filter(([, pattern]) => pattern.test(text)).map(([kind]) => kind));
}

describeWithTools(['fsck.fat'], 'fsck.fat beside the reference tool', () => {
  const folder = memoryFolder();
  const file = path.join(folder, 'image');

  it('agrees on good volumes to the letter', async () => {
    for (const [, size, options] of GOOD_VOLUMES) {
      fs.writeFileSync(file, goodVolume(size, options));
      for (const flags of [['-n'], ['-n', '-v'], ['-n', '-l'], ['-n', '-V'], ['-a'], ['-n', '-b']]) {
        const theirs = runTool('fsck.fat', [...flags, file]);
        const ours = await userloop(['fsck.fat', ...flags, file]);
        expect({ ...ours, bytes: undefined }, flags.join(' ')).toEqual({ ...theirs, bytes: undefined });
      }
    }
  });

  for (const [index, kind] of Object.keys(DAMAGES).entries()) {
    it(`agrees on ${kind}, and repairs it to the reference's content`, async () => {
      for (const [name, size, options] of GOOD_VOLUMES) {
        const good = goodVolume(size, options);
        for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
          const image = damage(good, kind, seededRandom(1 + seed * 1000 + index));
          const where = `${name}, seed ${seed}`;
          fs.writeFileSync(file, image);
          const theirs = runTool('fsck.fat', ['-n', file]);
          const ours = await userloop(['fsck.fat', '-n', file]);
          expect(Buffer.compare(fs.readFileSync(file), image), where).toBe(0);
          // It stops at a bad cluster in a chain; nothing can be compared then.
          if (/Internal error/.test(theirs.stderr + theirs.stdout)) continue;
          const texts = `${where}\n${theirs.stdout}${theirs.stderr}\n--- ours\n${ours.stdout}${ours.stderr}`;
          const isRefused = ours.stdout.split('\n').length <= 2 && ours.stderr !== '';
          expect(ours.status, texts).toBe(theirs.status === 0 && isRefused ? 1 : theirs.status);
          if (isRefused || !/ clusters$/m.test(theirs.stdout)) continue;
          const [theirKinds, ourKinds] = [kindsOf(theirs.stdout), kindsOf(ours.stdout)];
          // What the tool cuts off it frees at once, and what it frees it may have taken from another file.
          for (const both of [theirKinds, ourKinds]) {
            both.delete('lost');
            if (!theirKinds.has('chain and size')) continue;
            both.delete('free or bad in chain');
            both.delete('free count');
          }
          expect([...ourKinds], texts).toEqual([...theirKinds]);
          const repairedByTool = runTool('fsck.fat', ['-a', file]);
          const toolBytes = fs.readFileSync(file);
          const isToolDone = runTool('fsck.fat', ['-n', file]).status === 0;
          fs.writeFileSync(file, image);
          const repaired = await userloop(['fsck.fat', '-a', file]);
          // What a mend uncovers the tool leaves to its next run. An entry that is deleted keeps its start here.
          if (isToolDone && repaired.stdout === repairedByTool.stdout && kind !== 'a dot entry')
            expect(Buffer.compare(fs.readFileSync(file), toolBytes), where).toBe(0);
          expect(repaired.status, where).toBeLessThanOrEqual(1);
          const again = runTool('fsck.fat', ['-n', file]);
          expect(again.status, `${where}\n${texts}\n--- repaired\n${again.stdout}${again.stderr}`).toBe(0);
        }
      }
    });
  }

  it('does not ask again with -w, and keeps what was agreed to', async () => {
    const image = Uint8Array.from(goodVolume(GOOD_VOLUMES[0]![1], GOOD_VOLUMES[0]![2]));
    // A link in the first FAT alone: it leads nowhere, and the FATs differ.
    image[512 + 4] = 0x44;
    for (const flags of ['-aw', '-w', '-rw', '-nw', '-bw']) {
      fs.writeFileSync(file, image);
      const input = '1\n1\n1\n1\n';
      const theirs = runTool('fsck.fat', [flags, file], { input });
      const repaired = fs.readFileSync(file);
      fs.writeFileSync(file, image);
      const ours = await userloop(['fsck.fat', flags, file], { stdin: input });
      const texts = `${flags}\n${theirs.stdout}${theirs.stderr}--- ours\n${ours.stdout}${ours.stderr}`;
      expect(ours.status, texts).toBe(theirs.status);
      // A person is offered more here than by the tool.
      if (flags !== '-w' && flags !== '-rw')
        expect([ours.stdout, ours.stderr], texts).toEqual([theirs.stdout, theirs.stderr]);
      expect(ours.stdout, texts).not.toContain('Write changes');
      // The time of a file that is made of what was lost is another.
      const isWritten = Buffer.compare(fs.readFileSync(file), image) !== 0;
      expect(isWritten, texts).toBe(Buffer.compare(repaired, image) !== 0);
      if (isWritten) expect(runTool('fsck.fat', ['-n', file]).status, texts).toBe(0);
    }
    fs.writeFileSync(file, image);
    expect((await userloop(['fsck.fat', '-r', file], { stdin: '1\nq\n' })).status).toBe(1);
    expect(Buffer.compare(fs.readFileSync(file), image)).toBe(0);
  });

  it('keeps what a repair overwrites, and puts it back', async () => {
    for (const [name, size, options] of GOOD_VOLUMES) {
      const image = damage(goodVolume(size, options), 'a link to another file', seededRandom(7));
      fs.writeFileSync(file, image);
      const undo = path.join(folder, `${name}.undo`);
      expect((await userloop(['fsck.fat', '-a', '--undo', undo, file])).status).toBe(1);
      expect(Buffer.compare(fs.readFileSync(file), image)).not.toBe(0);
      expect((await userloop(['check', '--restore', undo, file])).status).toBe(0);
      expect(Buffer.compare(fs.readFileSync(file), image)).toBe(0);
    }
  });
});
