import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { lostFiles, runWorkload } from '../support/crash-workload.ts';
import { Random } from '../support/random.ts';
import { treeOfVolume } from '../support/ext-driver-trees.ts';
import { cutKinds, RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/**
 * Power cuts during sessions on volumes without a journal, at every flush, and between them with some of the writes lost, kept or torn
 * between blocks. e2fsck finds space and inodes that nobody uses, counts that are too high and nothing else, and every file that was synchronised is there.
 *
 * USERLOOP_CRASH_WORKLOADS: sessions for each kind of volume; USERLOOP_CRASH_OPERATIONS; USERLOOP_SEED.
 */
const WORKLOADS = Number(process.env['USERLOOP_CRASH_WORKLOADS'] ?? 1);
const OPERATIONS = Number(process.env['USERLOOP_CRASH_OPERATIONS'] ?? 40);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 64_000);
const isLongForm = process.env['USERLOOP_CRASH_WORKLOADS'] !== undefined;

const KINDS = [
  { name: 'ext2, 1 KiB blocks', size: '4M', args: ['-t', 'ext2', '-b', '1024'] },
  { name: 'ext2, 4 KiB blocks', size: '8M', args: ['-t', 'ext2', '-b', '4096', '-I', '128'] },
  { name: 'ext4', size: '8M', args: ['-t', 'ext4', '-b', '4096', '-O', '^has_journal'] },
  {
    name: 'ext4, 1 KiB blocks, small groups',
    size: '4M',
    args: ['-t', 'ext4', '-b', '1024', '-g', '1024', '-O', '^has_journal,^metadata_csum,uninit_bg'],
  },
  {
    name: 'ext4, clusters of 8 blocks',
    size: '8M',
    args: ['-t', 'ext4', '-b', '1024', '-O', '^has_journal,bigalloc', '-C', '8192'],
  },
];

/** What costs space at most, and what e2fsck says around it. */
const HARMLESS = [
  /^$/,
  /^Pass \d/,
  /^e2fsck 1\./,
  /FILE SYSTEM WAS MODIFIED/,
  /files \(.*blocks$/,
  /^(Unattached|Unconnected) .*/,
  /^Connect to \/lost\+found\? yes/,
  /^(Fix|Clear|Clear inode)\? yes/,
  /^Inode \d+ ref count is \d+, should be \d+\./,
  /^(Block|Inode) bitmap differences:/,
  // A bitmap and its checksum in the descriptor.
  /^FIXED\.$/,
  /^(Free blocks|Free inodes|Directories) count wrong/,
  // Blocks behind the end.
  /^Inode \d+, i_size is \d+, should be \d+\./,
  /^Inode \d+, i_blocks is \d+, should be \d+\./,
  /^Deleted inode \d+ has zero dtime\./,
  /^'\.\.' in .* is .* should be .*/,
  // What was new in a directory that was.
  /^Entry '[^']*' in \/\?\?\? \(\d+\) has deleted\/unused inode \d+\. {2}Clear\? yes/,
  /^Entry '\.\.' in .* has deleted\/unused inode \d+\. {2}Clear\? yes/,
];

const folder = memoryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'A power cut during a session on a volume without a journal', () => {
  for (const [index, { name, size, args }] of KINDS.entries()) {
    test(`costs space at most: ${name} (seed ${SEED})`, () => {
      const image = path.join(folder, `${index}.img`);
      expect(runTool('mke2fs', ['-q', '-F', ...args, image, size]).status).toBe(0);
      const base = new Uint8Array(fs.readFileSync(image));
      const problems: string[] = [];
      let cuts = 0;
      for (let workload = 0; workload < WORKLOADS; workload++) {
        const seed = SEED + 1000 * index + workload;
        const random = new Random(seed);
        const device = new RecordedDevice(base, Number(args[3]));
        const states = runWorkload(
          device,
          random,
          OPERATIONS + random.below(OPERATIONS),
          {},
          {
            flushesItself: true,
          },
        );
        const perEpoch = Math.ceil(20 / device.flushes);
        const kinds = () => cutKinds(random, perEpoch);
        device.forEachCut(random, kinds, (cut, epoch, kind) => {
          cuts++;
          const what = `seed ${seed}, ${kind} of the writes after flush ${epoch}`;
          fs.writeFileSync(image, cut);
          const { stdout } = runTool('e2fsck', ['-fy', image]);
          const harm = stdout.split('\n').filter((line) => !HARMLESS.some((known) => known.test(line)));
          problems.push(...harm.map((line) => `${what}: ${line}`));
          const mended = MemoryDevice.from(new Uint8Array(fs.readFileSync(image)), { readOnly: true });
          const tree = treeOfVolume(extDriver.open(mended), { xattrs: true });
          problems.push(...lostFiles(states, epoch, tree).map((lost) => `${what}: ${lost}`));
        });
      }
      if (isLongForm) console.log(`${name}: ${WORKLOADS} sessions, ${cuts} cuts`);
      expect(problems.slice(0, 20)).toEqual([]);
    });
  }
});
