import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { seededRandom } from '../support/fat-driver-model.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

const JOURNAL_UUID = '01020304-0506-0708-090a-0b0c0d0e0f10';
/** A block that nobody uses. */
const FIRST = 6000;

describeWithTools(['e2fsck', 'mke2fs', 'debugfs'], 'e2fsck on a journal on another device', () => {
  const folder = memoryFolder();
  const at = (name: string): string => path.join(folder, name);

  /** A volume whose journal, elsewhere, has transactions that write blocks. */
  function makeVolume(blockSize: number): void {
    for (const name of ['volume', 'journal']) fs.rmSync(at(name), { force: true });
    const made = [
      ['-O', 'journal_dev', '-b', `${blockSize}`, '-U', JOURNAL_UUID, at('journal'), '16M'],
      ['-t', 'ext4', '-O', '^has_journal', '-b', `${blockSize}`, at('volume'), '32M'],
    ].map((args) => runTool('mke2fs', ['-q', '-F', ...args]).status);
    expect(made).toEqual([0, 0]);
    for (const change of [`ssv journal_uuid ${JOURNAL_UUID}`, 'ssv journal_dev 0x700', 'feature has_journal'])
      runTool('debugfs', ['-w', '-R', change, at('volume')]);
    const random = seededRandom(blockSize);
    const lines = [`jo -c -f ${at('journal')}`];
    for (let transaction = 0; transaction < 3; transaction++) {
      const content = Uint8Array.from({ length: 4 * blockSize }, () => random(256));
      // One that looks like a block of the log.
      content.set([0xc0, 0x3b, 0x39, 0x98], blockSize);
      fs.writeFileSync(at(`content-${transaction}`), content);
      const blocks = Array.from({ length: 4 }, (_, index) => FIRST + 2 * transaction + index);
      lines.push(`jw -b ${blocks.join(',')} ${at(`content-${transaction}`)}`);
    }
    fs.writeFileSync(at('commands'), `${lines.join('\n')}\njc\n`);
    runTool('debugfs', ['-w', '-f', at('commands'), at('volume')]);
    const features = runTool('debugfs', ['-R', 'features', at('volume')]).stdout;
    expect(features).toContain('needs_recovery');
  }

  for (const blockSize of [1024, 4096]) {
    it(`replays it as the tool does: blocks of ${blockSize}`, async () => {
      makeVolume(blockSize);
      const good = [fs.readFileSync(at('volume')), fs.readFileSync(at('journal'))] as const;
      const outcomes: unknown[] = [];
      for (const run of [
        (argv: string[]) => runTool('e2fsck', argv),
        (argv: string[]) => userloop(['e2fsck', ...argv]),
      ]) {
        fs.writeFileSync(at('volume'), good[0]);
        fs.writeFileSync(at('journal'), good[1]);
        const { status, stdout } = await run(['-fy', '-j', at('journal'), at('volume')]);
        const { stdout: again } = runTool('debugfs', ['-R', 'features', at('volume')]);
        const written = fs.readFileSync(at('volume')).subarray(FIRST * blockSize, (FIRST + 10) * blockSize);
        expect(written.some((byte) => byte !== 0)).toBe(true);
        const log = fs.readFileSync(at('journal'));
        outcomes.push([status, stdout, again, Buffer.from(written).toString('hex'), log.toString('hex')]);
      }
      expect(outcomes[1]).toEqual(outcomes[0]);
    });
  }

  it('refuses without it, and with that of another volume, by its UUID', async () => {
    makeVolume(1024);
    const good = fs.readFileSync(at('volume'));
    const other = fs.readFileSync(at('journal'));
    other[1024 + 0x68]! ^= 1;
    fs.writeFileSync(at('other'), other);
    for (const [more, why] of [
      [[], /01020304-0506/],
      [['-j', at('other')], /01020304-0506/],
      [['-j', at('volume')], /journal_dev/],
      [['-j', at('missing')], /No such file/],
      [['-z', at('undo'), '-j', at('journal')], /-z.*-j.* not supported/],
    ] as const) {
      const { status, stderr } = await userloop(['e2fsck', '-fy', ...more, at('volume')]);
      expect(status, stderr).toBe(more.length === 4 ? 16 : 8);
      expect(stderr).toMatch(why);
      expect(Buffer.compare(fs.readFileSync(at('volume')), good)).toBe(0);
    }
    const made = await userloop(['mkdir', `${at('volume')}:/new`]);
    expect(made.stderr).toContain(JOURNAL_UUID);
    expect(made.status).toBe(1);
  });
});
