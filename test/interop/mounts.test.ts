import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { exerciseFiles } from '../support/file-exerciser.ts';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

let mounted: MountedImage | undefined;

afterEach(async () => {
  await mounted?.close();
  mounted = undefined;
});

function newImage(size: number, tool: string, args: readonly string[]): string {
  const image = path.join(temporaryFolder(), 'disk.img');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, size);
  expect(runTool(tool, [...args, image]).status).toBe(0);
  return image;
}

function expectClean(image: string, tool: 'e2fsck' | 'fsck.fat'): void {
  const result = tool === 'e2fsck' ? runTool('e2fsck', ['-fn', image]) : runTool('fsck.fat', ['-n', image]);
  expect(result.status, `${result.stdout}${result.stderr}`).toBe(0);
}

const STEPS = Number(process.env['USERLOOP_EXERCISE_STEPS'] ?? 4000);
const SEED = Number(process.env['USERLOOP_EXERCISE_SEED'] ?? 1);

describeWithMounts(['mke2fs', 'e2fsck', 'mkfs.fat', 'fsck.fat'], 'a mounted file system', () => {
  it.each([
    ['ext2, blocks of 1 KiB', 'mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '1024'], 'e2fsck', true],
    ['ext2, blocks of 4 KiB', 'mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '4096'], 'e2fsck', true],
    ['FAT16', 'mkfs.fat', ['-F', '16'], 'fsck.fat', false],
    ['FAT32', 'mkfs.fat', ['-F', '32', '-s', '1'], 'fsck.fat', false],
  ] as const)('keeps what random operations made of its files: %s', async (_, tool, args, judge, punches) => {
    const image = newImage(64 << 20, tool, args);
    mounted = new MountedImage(image);
    await mounted.mount();
    const contents = exerciseFiles(mounted.directory, { steps: STEPS, seed: SEED, punches });
    await mounted.unmount();
    expect(mounted.log).toEqual([]);
    expectClean(image, judge);
    await mounted.mount({ readOnly: true });
    for (const [name, content] of contents)
      expect(Buffer.compare(fs.readFileSync(path.join(mounted.directory, name)), content), name).toBe(0);
    await mounted.unmount();
  });
});
