import fs from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { BlockDevice } from '../../src/device/block-device.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { isUnseen, runWorkload, stateAfterCut } from '../support/crash-workload.ts';
import { runOnKernelMount } from '../support/dirty-journals.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { treeOfVolume, type TreeLines } from '../support/ext-driver-trees.ts';
import { canUseKernelLoops } from '../../src/attach/backend-choice.ts';
import { BytesDevice, cutKinds, RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/**
 * Power cuts during sessions on volumes with a journal: at every flush, and between them with some of the writes lost, kept or torn. After each, what
 * our replay, e2fsck's and the kernel's make of it is whole, and a state that was made durable: every file that was synchronised
 * is there, every rename happened or did not.
 *
 * USERLOOP_CRASH_WORKLOADS: sessions for each kind of volume; USERLOOP_CRASH_OPERATIONS; USERLOOP_CRASH_CUTS: cuts between two flushes, 20 a session at least;
 * USERLOOP_SEED.
 */
const WORKLOADS = Number(process.env['USERLOOP_CRASH_WORKLOADS'] ?? 1);
/** Operations of a session, and as many more at most. */
const OPERATIONS = Number(process.env['USERLOOP_CRASH_OPERATIONS'] ?? 25);
const CUTS = Number(process.env['USERLOOP_CRASH_CUTS'] ?? 2);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 77_000);
/** One in so many states is given to e2fsck as it is, and to e2fsck after our own replay; one of every session, and one in many, to the kernel. */
const TOOL_EVERY = Number(process.env['USERLOOP_CRASH_TOOL_EVERY'] ?? 12);
const KERNEL_EVERY = Number(process.env['USERLOOP_CRASH_KERNEL_EVERY'] ?? 200);

interface Kind {
  readonly name: string;
  readonly size: string;
  readonly args: readonly string[];
  /** Operations, for each of the usual ones. */
  readonly times?: number;
  /** What is freed is discarded. */
  readonly discard?: boolean;
  /** Nodes have owners. */
  readonly hasOwners?: boolean;
  /** An operation may have to commit what was before it. */
  readonly commitsItself?: boolean;
  /** Everything that a file system can do, not only what is usual. */
  readonly wide?: boolean;
}

const QUOTA_TYPES = 'quotatype=usrquota:grpquota:prjquota';

const KINDS: readonly Kind[] = [
  { name: 'ext3, 1 KiB blocks', size: '8M', args: ['-t', 'ext3', '-b', '1024'] },
  { name: 'ext3, 4 KiB blocks', size: '16M', args: ['-t', 'ext3', '-b', '4096'] },
  { name: 'ext4', size: '16M', args: ['-t', 'ext4', '-b', '4096'] },
  { name: 'ext4, 1 KiB blocks', size: '8M', args: ['-t', 'ext4', '-b', '1024'] },
  { name: 'ext4 without checksums', size: '8M', args: ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum'] },
  {
    name: 'ext4, small groups',
    size: '8M',
    args: ['-t', 'ext4', '-b', '1024', '-g', '1024', '-O', '^64bit'],
  },
  { name: 'ext4, inline data', size: '8M', args: ['-t', 'ext4', '-b', '1024', '-O', 'inline_data'] },
  { name: 'ext4, a file of orphans', size: '8M', args: ['-t', 'ext4', '-b', '1024', '-O', 'orphan_file'] },
  {
    name: 'ext4, block maps',
    size: '16M',
    args: ['-t', 'ext4', '-b', '4096', '-O', '^extent,^64bit,^metadata_csum'],
  },
  {
    name: 'ext4, fast commits that are not used',
    size: '24M',
    args: ['-t', 'ext4', '-b', '4096', '-O', 'fast_commit', '-J', 'size=6'],
  },
  { name: 'ext4, with discards', size: '16M', args: ['-t', 'ext4', '-b', '4096'], discard: true },
  {
    name: 'ext4, quotas',
    size: '16M',
    args: ['-t', 'ext4', '-b', '1024', '-O', 'quota,project,orphan_file', '-E', QUOTA_TYPES],
    hasOwners: true,
  },
  { name: 'ext3, quotas', size: '16M', args: ['-t', 'ext3', '-b', '4096', '-O', 'quota'], hasOwners: true },
  { name: 'ext3, with discards', size: '8M', args: ['-t', 'ext3', '-b', '1024'], discard: true },
  {
    name: 'ext4, clusters of 8 blocks',
    size: '16M',
    args: ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '8192'],
    commitsItself: true,
  },
  {
    name: 'ext4, clusters of 4 blocks, with discards',
    size: '32M',
    args: ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '16384'],
    discard: true,
    commitsItself: true,
  },
  { name: 'ext4, everything', size: '24M', args: ['-t', 'ext4', '-b', '4096'], wide: true },
  {
    name: 'ext4, everything, in small blocks and in inodes',
    size: '16M',
    args: ['-t', 'ext4', '-b', '1024', '-N', '3000', '-O', 'inline_data,ea_inode,orphan_file'],
    wide: true,
  },
  { name: 'ext3, everything', size: '16M', args: ['-t', 'ext3', '-b', '1024', '-N', '3000'], wide: true },
  {
    name: 'ext4, everything, nearly full',
    size: '4M',
    args: ['-t', 'ext4', '-b', '1024', '-m', '0', '-O', 'ea_inode,^resize_inode', '-J', 'size=1'],
    wide: true,
    discard: true,
  },
  {
    name: 'ext4, everything, quotas',
    size: '16M',
    args: ['-t', 'ext4', '-b', '1024', '-N', '3000', '-O', 'quota,project,ea_inode', '-E', QUOTA_TYPES],
    hasOwners: true,
    wide: true,
  },
];

/** The log goes around its ring: takes long. */
const LONG_KIND: Kind = {
  name: 'ext4, a small journal',
  size: '6M',
  args: ['-t', 'ext4', '-b', '1024', '-J', 'size=1'],
  times: 8,
};
const isLongForm = process.env['USERLOOP_CRASH_WORKLOADS'] !== undefined;

const folder = memoryFolder();
const totals = { workloads: 0, cuts: 0, byTool: 0, byKernel: 0, later: 0 };

describeWithTools(['mke2fs', 'e2fsck'], 'A power cut during a session on a volume with a journal', () => {
  for (const [index, kind] of [...KINDS, ...(isLongForm ? [LONG_KIND] : [])].entries()) {
    const {
      name,
      size,
      args,
      times = 1,
      discard = false,
      hasOwners = false,
      commitsItself = false,
      wide = false,
    } = kind;
    test(`leaves a state that was made durable: ${name} (seed ${SEED})`, () => {
      const image = path.join(folder, `${index}.img`);
      expect(runTool('mke2fs', ['-q', '-F', ...args, image, size]).status).toBe(0);
      const base = new Uint8Array(fs.readFileSync(image));
      for (let workload = 0; workload < WORKLOADS; workload++) {
        cutWorkload(base, SEED + 1000 * index + workload, {
          operations: times * OPERATIONS,
          discard,
          hasOwners,
          commitsItself,
          wide,
          hasValueInodes: args.some((word) => word.includes('ea_inode')),
        });
      }
      fs.rmSync(image);
    });
  }
  afterAll(() => {
    if (!isLongForm) return;
    const { workloads, cuts, byTool, byKernel, later } = totals;
    console.log(
      `${workloads} workloads, ${cuts} cuts, ${byTool} judged by e2fsck, ${byKernel} by the kernel; ${later} had a commit that was under way (seed ${SEED})`,
    );
  });
});

function cutWorkload(
  base: Uint8Array,
  seed: number,
  {
    operations,
    discard,
    hasOwners,
    commitsItself,
    wide,
    hasValueInodes,
  }: {
    readonly operations: number;
    readonly discard: boolean;
    readonly hasOwners: boolean;
    readonly commitsItself: boolean;
    readonly wide: boolean;
    readonly hasValueInodes: boolean;
  },
): void {
  const random = new Random(seed);
  const device = new RecordedDevice(base);
  const states = runWorkload(
    device,
    random,
    operations + random.below(operations),
    { discard },
    { hasOwners, commitsItself, wide },
  );
  totals.workloads++;
  const perEpoch = Math.max(CUTS, Math.ceil(20 / device.flushes));
  const kinds = (epoch: number) => (isUnseen(states, epoch) ? [] : cutKinds(random, perEpoch));
  const kernelEpoch = random.below(device.flushes + 1);
  device.forEachCut(random, kinds, (cut, epoch, kind) => {
    const what = `seed ${seed}, ${kind} of the writes after flush ${epoch}`;
    totals.cuts++;
    // The session has not begun to use the journal before its first commit.
    const replayed = cut.slice();
    const shown = readTree(new BytesDevice(cut, { readOnly: true }));
    const volume = extDriver.open(new BytesDevice(replayed), { clock: steppingClock() });
    expect(volume.readOnlyReason, what).toBeUndefined();
    const tree = treeOfVolume(volume, { xattrs: true });
    volume.close();
    expect(tree, what).toEqual(shown);
    const state = stateAfterCut(states, epoch, tree);
    expect(state, what).toBeTypeOf('number');
    if (typeof state === 'number' && states[state]!.flushes > epoch) totals.later++;
    if (random.below(TOOL_EVERY) === 0) judgeByTool(cut, replayed, tree, what, hasValueInodes);
    const isForKernel = random.below(KERNEL_EVERY) === 0 || (epoch === kernelEpoch && kind === 'none');
    // Many a kernel is built without this format of quotas: test/interop/ext-quota-kernel.test.ts brings one that has it.
    if (isForKernel && !hasOwners && canUseKernelLoops()) judgeByKernel(cut, tree, what);
  });
}

function judgeByTool(
  cut: Uint8Array,
  replayed: Uint8Array,
  tree: TreeLines,
  what: string,
  hasValueInodes: boolean,
): void {
  totals.byTool++;
  const file = path.join(folder, 'cut.img');
  fs.writeFileSync(file, replayed);
  expectClean(file, `${what}, after our replay`);
  // Of orphans that e2fsck 1.47.0 removes, it leaves the values that are in inodes.
  if (hasValueInodes) return;
  fs.writeFileSync(file, cut);
  const preened = runTool('e2fsck', ['-p', file]);
  expect(preened.status, `${what}: e2fsck -p says ${preened.stdout}`).toBeLessThanOrEqual(1);
  expectClean(file, `${what}, after e2fsck -p`);
  expect(readTree(new BytesDevice(fs.readFileSync(file))), `${what}, by e2fsck`).toEqual(tree);
}

function judgeByKernel(cut: Uint8Array, tree: TreeLines, what: string): void {
  totals.byKernel++;
  const file = path.join(folder, 'cut.img');
  fs.writeFileSync(file, cut);
  runOnKernelMount(file, '', 'true');
  expectClean(file, `${what}, after the kernel`);
  expect(readTree(new BytesDevice(fs.readFileSync(file))), `${what}, by the kernel`).toEqual(tree);
}

function expectClean(file: string, what: string): void {
  const { status, stdout } = runTool('e2fsck', ['-fn', file]);
  expect(status, `${what}: ${stdout}`).toBe(0);
}

function readTree(device: BlockDevice): TreeLines {
  return treeOfVolume(extDriver.open(device, { readOnly: true }), { xattrs: true });
}
