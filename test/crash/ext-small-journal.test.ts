import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** One in so many states after a flush is looked at. */
const EVERY = Number(process.env['USERLOOP_CRASH_EVERY'] ?? 5);
const SIZE = 16 << 20;

const folder = memoryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'Operations that touch more groups than the log has room for', () => {
  for (const type of ['ext3', 'ext4']) {
    test(`are several transactions, and a cut between them leaves a sound volume: ${type}`, () => {
      const image = path.join(folder, `${type}.img`);
      const args = ['-q', '-F', '-t', type, '-b', '1024', '-g', '256', '-N', '2048', '-J', 'size=1'];
      expect(runTool('mke2fs', [...args, '-O', '^resize_inode', image, '80M']).status).toBe(0);
      const base = new Uint8Array(fs.readFileSync(image));
      const device = new RecordedDevice(base);
      const volume = extDriver.open(device, { clock: steppingClock() });
      const content = new Uint8Array(SIZE).fill(0x5a);
      const file = volume.create(volume.root, 'large', { kind: 'file' });
      volume.write(file, 0, content);
      const other = volume.create(volume.root, 'other', { kind: 'file' });
      volume.write(other, 0, content.subarray(0, 6 << 20));
      volume.sync();
      const whole = device.flushes;
      volume.setAttributes(other, { size: 100 });
      volume.retain(file);
      volume.unlink(volume.root, 'large');
      volume.sync();
      volume.release(file);
      volume.close();
      expect(device.flushes - whole).toBeGreaterThan(4);

      const cut = path.join(folder, 'cut.img');
      const random = new Random(4711);
      const kinds = (epoch: number) => (epoch % EVERY === 0 ? (['none', 'some'] as const) : []);
      device.forEachCut(random, kinds, (state, epoch, kind) => {
        const what = `${kind} after flush ${epoch}`;
        const replayed = MemoryDevice.from(state);
        const reopened = extDriver.open(replayed, { clock: steppingClock() });
        expect(reopened.readOnlyReason, what).toBeUndefined();
        const found = reopened.lookup(reopened.root, 'other');
        if (epoch >= whole) expect(reopened.attributes(found!).size, what).toBeGreaterThanOrEqual(100);
        reopened.close();
        for (const bytes of [replayed.toBytes(), state]) {
          fs.writeFileSync(cut, bytes);
          expect(runTool('e2fsck', ['-p', cut]).status, what).toBeLessThanOrEqual(bytes === state ? 1 : 0);
          const { status, stdout } = runTool('e2fsck', ['-fn', cut]);
          expect(status, `${what}: ${stdout}`).toBe(0);
        }
      });
    });
  }
});
