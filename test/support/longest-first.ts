import path from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * The files that take longest, the longest first. What is not here comes after them: so that none of these is left for the end, when the other workers
 * have nothing more to do.
 */
const LONGEST = [
  'test/crash/ext-without-journal.test.ts',
  'test/fuzz/ext-driver.test.ts',
  'test/interop/table-mend.test.ts',
  'test/crash/fat.test.ts',
  'test/crash/ext-small-journal.test.ts',
  'test/interop/mke2fs-ext4.test.ts',
  'test/interop/e2fsck-structures.test.ts',
  'test/interop/linux-guest.test.ts',
  'test/property/fat-driver.test.ts',
  'test/interop/boot.test.ts',
  'test/interop/fdisk-typist.test.ts',
  'test/fuzz/ext-journal.test.ts',
  'test/interop/sfdisk-wiping.test.ts',
  'test/property/ext-checksums-model.test.ts',
  'test/interop/partition-table.test.ts',
  'test/interop/mount-full.test.ts',
  'test/interop/fdisk-gpt.test.ts',
  'test/interop/mounts.test.ts',
  'test/fuzz/partition-table.test.ts',
  'test/interop/mkfs-fat.test.ts',
  'test/interop/fsck-fat.test.ts',
  'test/interop/sfdisk-terminal.test.ts',
  'test/property/ext-driver-model.test.ts',
  'test/interop/grub.test.ts',
  'test/interop/sfdisk.test.ts',
  'test/interop/mount-user.test.ts',
  'test/cli/osdev-article-shell.test.ts',
  // With loop devices of the kernel.
  'test/crash/ext-journal.test.ts',
  'test/crash/guest-stop.test.ts',
  'test/interop/ext-kernel-images.test.ts',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => group(a) - group(b) || place(a) - place(b));
  }
}

function group({ project }: TestSpecification): number {
  return project.config.sequence.groupOrder;
}

function place({ moduleId, project }: TestSpecification): number {
  const index = LONGEST.indexOf(path.relative(project.config.root, moduleId));
  return index < 0 ? LONGEST.length : index;
}
