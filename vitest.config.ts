import os from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

/**
 * They take loop devices of the kernel. The names of devices of ours keep clear of those, so that what another test takes for free may
 * not be: they run when the others are done. These only mount an image or have a loop device found for it, and do not mind each other.
 */
const KERNEL_LOOPS = [
  'test/cli/inspect-repair.test.ts',
  'test/crash/ext-journal.test.ts',
  'test/crash/guest-stop.test.ts',
  'test/interop/ext-checksums-kernel.test.ts',
  'test/interop/ext-driver.test.ts',
  'test/interop/ext-extents-kernel.test.ts',
  'test/interop/ext-journal-replay.test.ts',
  'test/interop/ext-kernel-images.test.ts',
  'test/interop/ext-usage-kernel.test.ts',
  'test/interop/mbr.test.ts',
  'test/interop/trees.test.ts',
  'test/interop/tune2fs-kernel.test.ts',
];

/** They look at which devices there are, and remove some: one after the other. */
const NUMBERED_KERNEL_LOOPS = [
  'test/cli/osdev-article-kernel.test.ts',
  'test/interop/fdisk-devices.test.ts',
  'test/interop/kernel-loop.test.ts',
  'test/interop/losetup.test.ts',
  'test/interop/mount-kernel.test.ts',
  'test/interop/sfdisk-devices.test.ts',
];

export default defineConfig({
  test: {
    globalSetup: './test/support/run-folder.ts',
    setupFiles: './test/support/setup.ts',
    isolate: false,
    // Two thirds of a test's time are waiting: for programs that it runs, for disks, for emulators.
    maxWorkers: os.availableParallelism() + 2,
    // Processes, not threads: what one is just starting would hold copies of every file, lock and connection of the others for some moments.
    pool: 'forks',
    // One test of four thousand that meets a moment nobody thought of shall not keep a change out; it is named at the end, and a fault all the same.
    retry: process.env['CI'] === undefined ? 0 : 1,
    // For what hangs, however busy the machine is: the longest test takes half a minute alone.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    teardownTimeout: 60_000,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'user',
          include: ['test/**/*.test.ts'],
          exclude: [...KERNEL_LOOPS, ...NUMBERED_KERNEL_LOOPS],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'kernel loops',
          include: KERNEL_LOOPS,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'numbered kernel loops',
          include: NUMBERED_KERNEL_LOOPS,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
