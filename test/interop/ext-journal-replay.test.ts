import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { hasCode } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { recover } from '../../src/filesystem/ext/journal/recovery.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { makeDebugfsJournal, randomNumbers, runOnKernelMount } from '../support/dirty-journals.ts';
import { treeOfVolume, type TreeLines, withPlainFolders } from '../support/ext-driver-trees.ts';
import { describeWithKernelLoops } from '../support/kernel-loops.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/** Each kind of journal is tried with this many seeds. */
const SEEDS = Number(process.env['USERLOOP_JOURNAL_SEEDS'] ?? 2);

const KINDS = [
  {
    name: 'ext3, 1 KiB blocks',
    type: 'ext3',
    blockSize: 1024,
    features: 'none,has_journal,filetype',
    open: '',
  },
  { name: 'ext3, 4 KiB blocks', type: 'ext3', blockSize: 4096, features: 'has_journal', open: '' },
  { name: 'ext4, 64bit', type: 'ext4', blockSize: 4096, features: '64bit,^metadata_csum', open: '' },
  {
    name: 'ext4, checksums of version 2',
    type: 'ext4',
    blockSize: 1024,
    features: '^64bit',
    open: '-c -v 2',
  },
  {
    name: 'ext4, checksums of version 2, 64bit',
    type: 'ext4',
    blockSize: 2048,
    features: '64bit',
    open: '-c -v 2',
  },
  { name: 'ext4, checksums of version 3', type: 'ext4', blockSize: 4096, features: '64bit', open: '-c -v 3' },
  {
    name: 'ext4, checksums of version 3, 1 KiB blocks',
    type: 'ext4',
    blockSize: 1024,
    features: '^64bit',
    open: '-c -v 3',
  },
] as const;

/** KiB of `[first, end)` in which our reading of a dirty image differs from what a tool made of it. */
function differences(dirty: string, replayed: string, first: number, end: number): number[] {
  const base = FileDevice.open(dirty, { readOnly: true });
  const expected = fs.readFileSync(replayed);
  const recovered = recover(base, 'read');
  expect(recovered.problem).toBeUndefined();
  const found = new Uint8Array(base.size);
  recovered.device.read(0, found);
  const result: number[] = [];
  for (let at = first; at < end; at += 1024) {
    if (Buffer.compare(found.subarray(at, at + 1024), expected.subarray(at, at + 1024)) !== 0)
      result.push(at);
  }
  base.close();
  return result;
}

describeWithTools(['mke2fs', 'debugfs', 'e2fsck'], 'A journal that debugfs wrote', () => {
  for (const kind of KINDS) {
    test(`${kind.name}: what is read is what e2fsck makes of it, and the file stays as it is`, () => {
      let replayedBlocks = 0;
      for (let seed = 1; seed <= SEEDS; seed++) {
        const image = makeDebugfsJournal({ ...kind, seed });
        const before = fs.readFileSync(image);
        const replayed = `${image}.replayed`;
        fs.copyFileSync(image, replayed);
        const { stdout } = runTool('e2fsck', ['-p', '-E', 'journal_only', replayed]);
        expect(stdout).toContain('recovering journal');
        // The blocks that debugfs changes lie here; before are journal and superblock.
        expect(
          differences(image, replayed, 14 << 20, (14 << 20) + 300 * kind.blockSize),
          `seed ${seed}`,
        ).toEqual([]);
        expect(Buffer.compare(fs.readFileSync(image), before)).toBe(0);
        replayedBlocks += fs
          .readFileSync(replayed)
          .subarray(14 << 20)
          .some((byte) => byte !== 0)
          ? 1
          : 0;
        fs.rmSync(path.dirname(image), { recursive: true });
      }
      expect(replayedBlocks).toBeGreaterThan(0);
    });
  }
});

/** Names, content, holes, attributes, and deletions of what was there: what gives revoke records. */
const WORKLOAD = `
  for i in $(seq 1 40); do mkdir $M/d$i; head -c $((i * 3000)) /dev/urandom > $M/d$i/file; ln -s target$i $M/d$i/link; done
  sync
  for i in $(seq 1 20); do rm -r $M/d$i; done
  for i in $(seq 21 30); do mv $M/d$i/file $M/moved$i; done
  sync
  for i in $(seq 1 30); do head -c $((i * 1000)) /dev/urandom > $M/new$i; done
  truncate -s 5000 $M/moved25
  exec 9<> $M/moved21; rm $M/moved21
  exec 8> $M/deleted; head -c 300000 /dev/urandom >&8; rm $M/deleted
  sync
  touch $M/not-synced`;
/** Lets go of what the workload deleted and still had open. */
const CLOSE = 'exec 8>&- 9>&-';

describeWithKernelLoops(
  ['mke2fs', 'e2fsck', 'unshare'],
  'An image that was copied while the kernel had it mounted',
  () => {
    for (const [name, type, features] of [
      ['ext3', 'ext3', 'has_journal'],
      ['ext4', 'ext4', 'has_journal'],
      ['ext4 without checksums and 64bit', 'ext4', '^metadata_csum,^64bit'],
      ['ext4 with a file of orphans', 'ext4', 'orphan_file'],
    ] as const) {
      test(`${name}: the tree is that after the kernel's replay, and that after e2fsck's`, () => {
        const folder = temporaryFolder();
        const image = path.join(folder, 'live.img');
        const crash = path.join(folder, 'crash.img');
        runTool('mke2fs', ['-q', '-F', '-t', type, '-O', features, image, '32M']);
        runOnKernelMount(image, '', `${WORKLOAD}; cp "$IMAGE" "$FOLDER/crash.img"; ${CLOSE}`);
        const ours = readTree(crash, true);
        const byKernel = path.join(folder, 'kernel.img');
        fs.copyFileSync(crash, byKernel);
        runOnKernelMount(byKernel, '', 'true');
        const byTool = path.join(folder, 'tool.img');
        fs.copyFileSync(crash, byTool);
        expect(runTool('e2fsck', ['-p', byTool]).stdout).toContain('recovering journal');
        expect(Object.keys(ours).length).toBeGreaterThan(80);
        expect(ours).toEqual(readTree(byKernel, false));
        expect(ours).toEqual(readTree(byTool, false));

        const byUs = path.join(folder, 'ours.img');
        fs.copyFileSync(crash, byUs);
        const device = FileDevice.open(byUs);
        const volume = extDriver.open(device);
        expect(volume.readOnlyReason).toBeUndefined();
        expect(volume.features).not.toContain('needs_recovery');
        volume.close();
        device.close();
        const { status, stdout } = runTool('e2fsck', ['-fn', byUs]);
        expect(status, stdout).toBe(0);
        expect(ours).toEqual(readTree(byUs, false));
      });
    }
  },
);

/** A shell function that makes durable what a file has by now, without a full commit. */
const FSYNC = 'fsync() { dd if=/dev/null of="$1" oflag=append conv=notrunc,fsync status=none; }';

/** What happens between full commits; USERLOOP_JOURNAL_SEEDS tries so many random ones, too. */
const FAST = [
  'for i in 1 2 3 4 5; do echo $i | dd of=$M/file$i conv=fsync status=none; done',
  'echo more >> $M/old1; fsync $M/old1; head -c 200000 /dev/zero >> $M/old2; fsync $M/old2; truncate -s 1000 $M/old3; fsync $M/old3',
  'ln $M/old1 $M/d/link; fsync $M/old1; rm $M/old2; echo x > $M/d/new; fsync $M/d/new; mv $M/old3 $M/d/moved; fsync $M/d/moved',
  'mkdir $M/made; echo y > $M/made/inner; fsync $M/made/inner; mv $M/d/old4 $M/old5; fsync $M/old5',
  'for i in $(seq 1 60); do head -c $((i * 300)) /dev/urandom > $M/d/many$i; fsync $M/d/many$i; done; rm $M/d/many7; fsync $M/d/many8',
  'for i in 1 3 5 7 9 11 13; do dd if=/dev/urandom of=$M/holes bs=4096 count=1 seek=$((i * 5)) conv=notrunc,fsync status=none; done; fallocate -p -o 61440 -l 8192 $M/holes; fsync $M/holes',
];

function randomFast(seed: number): string {
  const random = randomNumbers(seed);
  const name = () => `$M/${random(2) === 0 ? 'd/' : ''}old${random(12)}`;
  const lines: string[] = [];
  for (let i = 0; i < 25; i++) {
    const file = name();
    const kind = random(8);
    if (kind < 2) lines.push(`head -c ${random(90_000)} /dev/urandom > ${file}`);
    else if (kind === 2) lines.push(`head -c ${random(9000)} /dev/urandom >> ${file}`);
    else if (kind === 3) lines.push(`[ ! -e ${file} ] || truncate -s ${random(50_000)} ${file}`);
    else if (kind === 4) lines.push(`mv -T ${file} ${name()} 2>/dev/null || true`);
    else if (kind === 5) lines.push(`ln ${file} ${name()} 2>/dev/null || true`);
    else if (kind === 6) lines.push(`rm -f ${file}`);
    else
      lines.push(`dd if=/dev/urandom of=${file} bs=4096 count=2 seek=${random(40)} conv=notrunc status=none`);
    const synced = name();
    if (random(2) === 0) lines.push(`[ ! -e ${synced} ] || fsync ${synced}`);
  }
  return lines.join('\n');
}

describeWithKernelLoops(['mke2fs', 'e2fsck', 'unshare'], 'Fast commits of the kernel', () => {
  test('are replayed as the kernel replays them, and e2fsck finds nothing', () => {
    // e2fsck 1.47.0 leaves out files that were truncated.
    const folder = temporaryFolder();
    const image = path.join(folder, 'fast.img');
    const crash = path.join(folder, 'crash.img');
    const copy = path.join(folder, 'copy.img');
    const random = Array.from({ length: SEEDS }, (_, seed) => randomFast(seed + 1));
    let used = 0;
    for (const [number, script] of [...FAST, ...random].entries()) {
      const what = `script ${number}`;
      const args = number % 2 === 0 ? [] : ['-b', '1024'];
      runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', 'fast_commit', ...args, image, '64M']);
      const old = 'for i in 1 2 3; do head -c 50000 /dev/urandom > $M/old$i; echo $i > $M/d/old4; done';
      runOnKernelMount(
        image,
        '',
        `mkdir $M/d; ${old}; sync\n${FSYNC}\n${script}\ncp "$IMAGE" "$FOLDER/crash.img"`,
      );
      const before = fs.readFileSync(crash);
      const shown = withPlainFolders(readTree(crash, true));
      expect(fs.readFileSync(crash).equals(before), what).toBe(true);
      fs.copyFileSync(crash, copy);
      if (recover(FileDevice.open(copy, { readOnly: true }), 'read').hadFastCommits) used++;
      const device = FileDevice.open(copy);
      const volume = extDriver.open(device);
      expect(volume.readOnlyReason, what).toBeUndefined();
      volume.create(volume.root, 'ours', { kind: 'file' });
      volume.close();
      device.close();
      const ours = runTool('e2fsck', ['-fn', copy]);
      expect(ours.status, `${what}: ${ours.stdout}`).toBe(0);

      if (number === 3 || (SEEDS > 2 && number % 3 === 0)) expectReplayAfterCuts(before, shown, what);
      fs.copyFileSync(crash, copy);
      runOnKernelMount(copy, '', 'true');
      expect(shown, `${what}, after the kernel`).toEqual(withPlainFolders(readTree(copy, false)));
    }
    expect(used).toBeGreaterThan(FAST.length / 2);
  });
});

/** However far a replay came, the next one ends in the same. */
function expectReplayAfterCuts(crash: Uint8Array, shown: TreeLines, what: string): void {
  for (let write = 0; ; write += 3) {
    const memory = MemoryDevice.from(crash);
    let isWhole = false;
    try {
      extDriver.open(new FaultDevice(memory, { failWritesFrom: write, tornBytes: 1024 }));
      isWhole = true;
    } catch (error) {
      if (!hasCode(error, 'EIO')) throw error;
    }
    const volume = extDriver.open(memory, { readOnly: true });
    const tree = treeOfVolume(volume, { times: true, xattrs: true });
    expect(withPlainFolders(tree), `${what}, cut at write ${write}`).toEqual(shown);
    if (isWhole) return;
  }
}

function readTree(image: string, isDirty: boolean) {
  const device = FileDevice.open(image, { readOnly: true });
  try {
    const volume = extDriver.open(device, { readOnly: true });
    expect(volume.features?.includes('needs_recovery')).toBe(isDirty);
    return treeOfVolume(volume, { times: true, xattrs: true });
  } finally {
    device.close();
  }
}
