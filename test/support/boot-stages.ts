import fs from 'node:fs';
import path from 'node:path';
import { userloop } from './run.ts';

/**
 * Files with the heads of GRUB's stage files and noise for code, so that installing can be tested where GRUB is not:
 * they are installed like the real ones, but boot nothing.
 */

/** Noise without zero bytes, the same every time. */
function noise(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 1 + ((i * 31 + seed * 17) % 255));
}

export function fakeStage1(): Uint8Array {
  const stage1 = noise(512, 1);
  stage1.set([3, 2, 0xff, 0, 0x00, 0x80, 1, 0, 0, 0, 0x00, 0x08], 0x3e);
  stage1.set([0x55, 0xaa], 0x1fe);
  return stage1;
}

/** Stage 2 for id 0, else a stage 1.5. The first sector has room for a block list of 16 entries. */
export function fakeStage2(sectors: number, id = 0): Uint8Array {
  const stage2 = noise(sectors * 512, 2);
  stage2.fill(0, 0x170, 0x200);
  stage2.set([2, 0, 0, 0, (sectors - 1) & 0xff, (sectors - 1) >> 8, 0x20, id === 0 ? 0x08 : 0x02], 0x1f8);
  stage2.fill(0, 0x206, 0x270);
  stage2.set([3, 2, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 0, id, 0], 0x206);
  stage2.set(Buffer.from('0.97\0'), 0x212);
  if (id !== 0) stage2.set([0xff, 0xff, 0xff, 0xff], 0x217);
  return stage2;
}

/** A floppy image of ours with these files in /boot/grub. */
export async function makeStageFloppy(
  image: string,
  type: 'ext2' | 'fat',
  files: Readonly<Record<string, Uint8Array>>,
): Promise<void> {
  await must(['create', image, '1440K']);
  await must(type === 'ext2' ? ['mkfs.ext2', '-q', image] : ['mkfs.fat', '-F12', image]);
  const folder = `${image}.tree`;
  fs.mkdirSync(path.join(folder, 'boot/grub'), { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    fs.writeFileSync(path.join(folder, 'boot/grub', name), content);
  }
  await must(['cp', '-r', path.join(folder, 'boot'), `${image}:/`]);
  fs.rmSync(folder, { recursive: true });
}

async function must(argv: readonly string[]): Promise<void> {
  const { status, stderr } = await userloop(argv);
  if (status !== 0) throw new Error(`userloop ${argv.join(' ')} ended with ${status}: ${stderr}`);
}
