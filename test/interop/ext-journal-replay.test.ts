import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { recover } from '../../src/filesystem/ext/journal/recovery.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { makeDebugfsJournal, runOnKernelMount } from '../support/dirty-journals.ts';
import { treeOfVolume } from '../support/ext-driver-trees.ts';
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

describeWithKernelLoops(['mke2fs', 'e2fsck', 'unshare'], 'Fast commits of the kernel', () => {
  test('are named as the reason for being read-only, and nothing is written; what e2fsck replays is written to', () => {
    const image = path.join(temporaryFolder(), 'fast.img');
    const crash = path.join(path.dirname(image), 'crash.img');
    runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', 'fast_commit', image, '64M']);
    const write = 'for i in 1 2 3 4 5; do echo $i | dd of=$M/file$i conv=fsync status=none; done';
    runOnKernelMount(image, '', `mkdir $M/d; sync; ${write}; cp "$IMAGE" "$FOLDER/crash.img"`);
    const before = fs.readFileSync(crash);
    const device = FileDevice.open(crash);
    const volume = extDriver.open(device);
    expect(volume.readOnlyReason).toMatch(/fast_commit/);
    expect(volume.lookup(volume.root, 'd')).toBeDefined();
    volume.close();
    device.close();
    expect(Buffer.compare(fs.readFileSync(crash), before)).toBe(0);

    expect(runTool('e2fsck', ['-p', crash]).stdout).toContain('recovering journal');
    const replayed = FileDevice.open(crash);
    const opened = extDriver.open(replayed);
    expect(opened.readOnlyReason).toBeUndefined();
    expect(opened.lookup(opened.root, 'file5')).toBeDefined();
    opened.create(opened.root, 'ours', { kind: 'file' });
    opened.close();
    replayed.close();
    const { status, stdout } = runTool('e2fsck', ['-fn', crash]);
    expect(status, stdout).toBe(0);
  });
});

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
