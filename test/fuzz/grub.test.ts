import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import fs from 'node:fs';
import path from 'node:path';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { isOwnError } from '../../src/errors.ts';
import { GrubError, SilentFailure } from '../../src/boot/grub-legacy/grub-error.ts';
import { GrubSession } from '../../src/boot/grub-legacy/session.ts';
import { setup } from '../../src/boot/grub-legacy/setup.ts';
import { fakeStage1, fakeStage2, makeStageFloppy } from '../support/boot-stages.ts';
import { memoryFolder } from '../support/tools.ts';

/** Damaged floppies and disks: installing ends well or in an error of ours, and an error leaves every byte as it was. */

const RUNS = 400;

describe.each(['ext2', 'fat'] as const)('setup on a damaged %s volume', (type) => {
  let image: Uint8Array;

  beforeAll(async () => {
    const file = path.join(memoryFolder(), 'floppy.img');
    await makeStageFloppy(file, type, {
      stage1: fakeStage1(),
      stage2: fakeStage2(40),
      e2fs_stage1_5: fakeStage2(8, 2),
      fat_stage1_5: fakeStage2(8, 1),
    });
    image = fs.readFileSync(file);
  });

  test('ends in an error of ours or in a boot sector', () => {
    // The structures of both formats and the stage files lie in the first 128 KiB.
    const damage = fc.array(
      fc.tuple(
        fc.nat({ max: (1 << 17) - 1 }),
        fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
      ),
      { minLength: 1, maxLength: 24 },
    );
    const drive = fc.constantFrom(0x00, 0x80);
    fc.assert(
      fc.property(damage, drive, (changes, number) => {
        const bytes = number === 0 ? image.slice() : diskWith(image, type === 'ext2' ? 0x83 : 0x01);
        for (const [offset, value] of changes) bytes[offset] = value;
        const device = MemoryDevice.from(bytes);
        const session = new GrubSession();
        session.setDrive(number, 'damaged.img', device);
        const name = number === 0 ? '(fd0)' : '(hd0)';
        session.root = { drive: number, partition: number === 0 ? 0xffffff : 0x00ffff };
        let printed = '';
        const host = {
          print: (text: string) => void (printed += text),
          openHostFile: () => ({ write: () => {} }),
        };
        try {
          setup(session, name, host);
          expect(printed).toContain('Done.\n');
        } catch (error) {
          if (!(error instanceof GrubError || error instanceof SilentFailure || isOwnError(error)))
            throw error;
          // A stage 1.5 that was embedded before the error stays, as with GRUB.
          if (!printed.includes('sectors are embedded')) {
            expect(Buffer.compare(device.toBytes(), bytes)).toBe(0);
          }
        }
      }),
      { numRuns: RUNS, seed: 0x6b },
    );
  });
});

/** A disk whose only partition, from sector 63 on, is the volume. */
function diskWith(volume: Uint8Array, partitionType: number): Uint8Array {
  const disk = new Uint8Array(63 * 512 + volume.length);
  const sectors = volume.length / 512;
  disk.set([0x80, 1, 1, 0, partitionType, 0, 0, 0, 63, 0, 0, 0, sectors & 0xff, sectors >> 8, 0, 0], 0x1be);
  disk.set([0x55, 0xaa], 0x1fe);
  disk.set(volume, 63 * 512);
  return disk;
}
