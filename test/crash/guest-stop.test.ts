import fs from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { canUseKernelLoops } from '../../src/attach/backend-choice.ts';
import { runOnKernelMount } from '../support/dirty-journals.ts';
import { Random } from '../support/random.ts';
import { treeOfVolume, type TreeLines, withPlainFolders } from '../support/ext-driver-trees.ts';
import { DISK_MODULES, findGuest, type LinuxGuest, runAndKillGuest } from '../support/linux-guest.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

/**
 * Volumes that a Linux kernel was writing to when its machine stopped: the tree after our replay is that after the kernel's, and that after e2fsck's.
 *
 * USERLOOP_GUEST_STOPS: stops for each kind of volume, and more kinds; USERLOOP_SEED.
 */
const STOPS = Number(process.env['USERLOOP_GUEST_STOPS'] ?? 1);
const isLongForm = process.env['USERLOOP_GUEST_STOPS'] !== undefined;
const SEED = Number(process.env['USERLOOP_SEED'] ?? 9000);

const KINDS = [
  { name: 'ext4 with fast commits', args: ['-t', 'ext4', '-O', 'fast_commit', '-J', 'size=8'] },
  { name: 'ext3, 1 KiB blocks', args: ['-t', 'ext3', '-b', '1024'] },
  { name: 'ext4', args: ['-t', 'ext4'] },
  { name: 'ext4 with a file of orphans', args: ['-t', 'ext4', '-O', 'orphan_file'] },
] as const;

const MARK = 'the load begins';

/** Makes, fills, moves, links and removes, in two processes, with fsync and sync now and then; a file that is deleted stays open. */
const LOAD = `
  mount -t ext4 /dev/vda /mnt
  mkdir /mnt/d; head -c 700000 /dev/urandom > /mnt/d/deleted; exec 9< /mnt/d/deleted; rm /mnt/d/deleted; sync
  echo '${MARK}'
  ( j=0; while true; do j=$((j+1))
      seq 1 $((j * 37 % 5000)) > /mnt/d/b$((j % 50)); mv /mnt/d/b$((j % 50)) /mnt/d/c$((j % 40))
      [ $((j % 9)) = 0 ] && sync
    done ) &
  i=0; while true; do i=$((i+1))
    mkdir /mnt/e$i; seq 1 $((i * 131 % 9000)) > /mnt/e$i/f; ln /mnt/e$i/f /mnt/e$i/g; ln -s target$i /mnt/e$i/l
    dd if=/dev/zero of=/mnt/e$i/s bs=1000 count=3 seek=$((i % 70)) conv=fsync 2>/dev/null
    [ $i -gt 30 ] && rm -r /mnt/e$((i - 30)); [ $((i % 7)) = 0 ] && sync
  done`;

const absent = ['qemu-system-x86_64', 'busybox', 'cpio', 'mke2fs', 'e2fsck'].filter(
  (tool) => findTool(tool) === undefined,
);
const guest = findGuest();
if (guest === undefined) absent.push('a Linux kernel with its modules');
if (absent.length > 0 && process.env['CI'] === 'true')
  throw new Error(`Under CI these must be there: ${absent.join(', ')}`);

describe.skipIf(absent.length > 0)('A Linux kernel whose machine stops', () => {
  const linux = guest as LinuxGuest;
  const folder = temporaryFolder();
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

  for (const [index, { name, args }] of (isLongForm ? KINDS : KINDS.slice(-1)).entries()) {
    test(`leaves what we read as it and e2fsck do: ${name} (seed ${SEED})`, async () => {
      const random = new Random(SEED + index);
      let dirty = 0;
      for (let stop = 0; stop < STOPS; stop++) {
        const image = path.join(folder, 'stopped.img');
        fs.rmSync(image, { force: true });
        expect(runTool('mke2fs', ['-q', '-F', ...args, image, '48M']).status).toBe(0);
        const run = { script: LOAD, modules: DISK_MODULES, drives: [{ image }] };
        await runAndKillGuest(linux, run, MARK, random.below(6000));
        dirty += compare(image, path.join(folder, 'copy.img'), `stop ${stop}`, name.includes('fast'));
      }
      if (isLongForm) console.log(`${name}: ${STOPS} stops, ${dirty} dirty`);
      expect(dirty).toBe(STOPS);
    });
  }
});

/** Returns whether there was something to replay. */
function compare(image: string, copy: string, what: string, hasFastCommits: boolean): number {
  const before = fs.readFileSync(image);
  const shown = readTree(image);
  expect(fs.readFileSync(image).equals(before), what).toBe(true);
  expect(Object.keys(shown).length, what).toBeGreaterThan(1);

  fs.writeFileSync(copy, before);
  const device = FileDevice.open(copy);
  const volume = extDriver.open(device);
  expect(volume.readOnlyReason, what).toBeUndefined();
  volume.close();
  device.close();
  expectClean(copy, `${what}, after our replay`);
  expect(readTree(copy), `${what}, after our replay`).toEqual(shown);

  fs.writeFileSync(copy, before);
  const preened = runTool('e2fsck', ['-p', copy]);
  expect(preened.status, `${what}: ${preened.stdout}`).toBeLessThanOrEqual(1);
  expectClean(copy, `${what}, after e2fsck`);
  // e2fsck 1.47.0 leaves out files that fast commits truncate.
  if (!hasFastCommits) expect(readTree(copy), `${what}, after e2fsck`).toEqual(shown);
  if (canUseKernelLoops()) {
    fs.writeFileSync(copy, before);
    runOnKernelMount(copy, '', 'true');
    const plain = hasFastCommits ? withPlainFolders : (tree: TreeLines) => tree;
    expect(plain(readTree(copy)), `${what}, after the kernel`).toEqual(plain(shown));
  }
  return preened.stdout.includes('recovering journal') ? 1 : 0;
}

function expectClean(file: string, what: string): void {
  const { status, stdout } = runTool('e2fsck', ['-fn', file]);
  expect(status, `${what}: ${stdout}`).toBe(0);
}

function readTree(image: string): TreeLines {
  const device = FileDevice.open(image, { readOnly: true });
  try {
    return treeOfVolume(extDriver.open(device, { readOnly: true }), { times: true, xattrs: true });
  } finally {
    device.close();
  }
}
