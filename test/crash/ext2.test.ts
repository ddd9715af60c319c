import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { hasCode } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { makeExt2, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** What is on the volume before the session that is cut. */
function prepare(): Uint8Array {
  const device = makeExt2(4 << 20, { blockSize: 1024, inodeSize: 128, inodeCount: 512 });
  const volume = extDriver.open(device, { clock: steppingClock() });
  for (let i = 0; i < 20; i++) {
    const directory = volume.create(volume.root, `old${i}`, { kind: 'directory' });
    const file = volume.create(directory, 'file', { kind: 'file' });
    volume.write(file, 0, new Uint8Array(1000 + i * 1500).fill(i + 1));
  }
  volume.close();
  return device.toBytes();
}

/** Makes, fills, moves and removes; leaves old10 to old19 alone. */
function session(volume: FileSystem): void {
  const { root } = volume;
  for (let i = 0; i < 60; i++) {
    const file = volume.create(root, `a new file with a long name ${i}`, { kind: 'file' });
    volume.write(file, 0, new Uint8Array(i * 900).fill(0x55));
  }
  for (let i = 0; i < 5; i++) {
    const directory = volume.create(root, `new${i}`, { kind: 'directory' });
    volume.create(directory, 'link', { kind: 'symlink', target: 't'.repeat(100) });
    volume.setXattr(directory, 'user.a', new Uint8Array(50).fill(i));
  }
  volume.sync();
  for (let i = 0; i < 5; i++) {
    const old = volume.lookup(root, `old${i}`)!;
    volume.unlink(old, 'file');
    volume.removeDirectory(root, `old${i}`);
  }
  for (let i = 5; i < 10; i++) volume.rename(volume.lookup(root, `old${i}`)!, 'file', root, `moved${i}`);
}

/** The bytes that are on the device when the power fails at the given write, or undefined when the session ends before. */
function cutAt(base: Uint8Array, write: number): MemoryDevice | undefined {
  const memory = MemoryDevice.from(base);
  const device = new FaultDevice(memory, { failWritesFrom: write, tornBytes: 512 });
  try {
    const volume = extDriver.open(device, { clock: steppingClock() });
    session(volume);
    volume.close();
    return undefined;
  } catch (error) {
    if (!hasCode(error, 'EIO')) throw error;
    return memory;
  }
}

const base = prepare();

function checkUntouched(device: MemoryDevice, what: string): void {
  const volume = extDriver.open(device, { readOnly: true });
  for (let i = 10; i < 20; i++) {
    const file = volume.lookup(volume.lookup(volume.root, `old${i}`)!, 'file')!;
    const bytes = new Uint8Array(1000 + i * 1500);
    expect(volume.read(file, 0, bytes), what).toBe(bytes.length);
    expect(
      bytes.every((byte) => byte === i + 1),
      what,
    ).toBe(true);
  }
}

describe('A power cut', () => {
  test('at any write leaves every file that was not being changed as it was', () => {
    let write = 0;
    for (let device; (device = cutAt(base, write)) !== undefined; write++)
      checkUntouched(device, `cut at ${write}`);
    expect(write).toBeGreaterThan(10);
  });
});

describeWithTools(['e2fsck'], 'After a power cut', () => {
  test('e2fsck makes the volume whole again, and nothing old is lost', () => {
    const file = path.join(memoryFolder(), 'cut.img');
    for (let write = 1; ; write += 4) {
      const device = cutAt(base, write);
      if (device === undefined) break;
      saveImage(device, file);
      const repaired = runTool('e2fsck', ['-fy', file]);
      expect(repaired.status, `cut at ${write}: ${repaired.stdout}`).toBeLessThanOrEqual(1);
      // Structures that point at garbage would show up as these.
      expect(repaired.stdout, `cut at ${write}`).not.toMatch(
        /illegal block|corrupted|Multiply-claimed|salvage|missing '\.'/i,
      );
      expect(runTool('e2fsck', ['-fn', file]).status, `cut at ${write}`).toBe(0);
    }
  });
});
