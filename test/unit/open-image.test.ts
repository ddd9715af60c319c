import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fixedClock } from '../../src/bytes/time.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError, UnsupportedError, hasCode } from '../../src/errors.ts';
import { createImage, formatDevice } from '../../src/host/create-image.ts';
import { nodeFs } from '../../src/host/node-fs.ts';
import { openImage } from '../../src/host/open-image.ts';
import { temporaryFolder } from '../support/tools.ts';

const FORMATS = ['ext2', 'fat12', 'fat16', 'fat32'] as const;
const SIZES = { ext2: 8 << 20, fat12: 1440 * 1024, fat16: 16 << 20, fat32: 64 << 20 };

/** Descriptors of this process that lead to the file. */
function openDescriptors(file: string): number {
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`) === file;
    } catch (error) {
      // Another thread has closed it since the listing.
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    }
  }).length;
}

describe.each(FORMATS)('an image with %s', (format) => {
  it('is made, filled, closed by using, and found as it was left', () => {
    const file = path.join(temporaryFolder(), 'x.img');
    createImage(file, SIZES[format], { format, label: 'LABEL' });
    expect(fs.statSync(file).size).toBe(SIZES[format]);
    {
      using image = openImage(file, { clock: fixedClock(1_600_000_000), utcOffsetMinutes: 0 });
      expect(image.partitions).toEqual([]);
      const fileSystem = image.fileSystem();
      expect([fileSystem.type, fileSystem.label, fileSystem.readOnly]).toEqual([format, 'LABEL', false]);
      nodeFs(fileSystem).writeFileSync('/f', 'content');
    }
    using image = openImage(pathToFileURL(file), { readOnly: true, utcOffsetMinutes: 0 });
    const inside = nodeFs(image.fileSystem());
    expect(inside.readFileSync('/f', 'utf8')).toBe('content');
    expect(inside.statSync('/f').mtimeMs).toBe(1_600_000_000_000);
    expect(() => inside.writeFileSync('/g', '')).toThrow('EROFS');
  });

  it('takes little space on the host while it is empty', () => {
    const file = path.join(temporaryFolder(), 'x.img');
    createImage(file, SIZES[format], { format });
    expect(fs.statSync(file).blocks * 512).toBeLessThan(SIZES[format] / 4 + 64 * 1024);
  });

  it('gets a UUID or serial number of its own', () => {
    const uuids = [1, 2].map(() => {
      const device = new MemoryDevice(SIZES[format]);
      formatDevice(device, format);
      return openImage(device).fileSystem().uuid;
    });
    expect(uuids[0]).not.toBe(uuids[1]);
  });
});

describe('openImage', () => {
  it('leaves a device of the caller open and writes to it when the image is closed', () => {
    const device = new MemoryDevice(1 << 20);
    formatDevice(device, 'ext2');
    let closed = false;
    class WatchedDevice extends FaultDevice {
      override close(): void {
        closed = true;
      }
    }
    const watched = new WatchedDevice(device);
    const image = openImage(watched);
    nodeFs(image.fileSystem()).writeFileSync('/f', 'x');
    image.close();
    expect(closed).toBe(false);
    expect(nodeFs(openImage(device).fileSystem()).readFileSync('/f', 'utf8')).toBe('x');
  });

  it('says what is wrong and leaves no descriptor behind', () => {
    const folder = fs.realpathSync(temporaryFolder());
    const file = path.join(folder, 'x.img');
    expect(() => openImage(file)).toThrow('ENOENT');
    expect(() => openImage(folder)).toThrow('EISDIR');
    fs.writeFileSync(file, 'not an image');
    {
      using image = openImage(file);
      expect(() => image.fileSystem()).toThrow(UnsupportedError);
    }
    if (process.platform === 'linux') expect(openDescriptors(file)).toBe(0);
    const broken = new FaultDevice(new MemoryDevice(1 << 20), { badRanges: [{ offset: 0, length: 512 }] });
    expect(() => openImage(broken)).toThrow('EIO');
  });
});

describe('createImage', () => {
  it('does not replace what is there unless it is told to', () => {
    const file = path.join(temporaryFolder(), 'x.img');
    fs.writeFileSync(file, 'mine');
    expect(() => createImage(file, 1 << 20)).toThrow('EEXIST');
    expect(fs.readFileSync(file, 'utf8')).toBe('mine');
    createImage(file, 1 << 20, { overwrite: true, format: 'ext2' });
    expect(fs.statSync(file).size).toBe(1 << 20);
  });

  it('leaves no file behind when the file system does not fit', () => {
    const file = path.join(temporaryFolder(), 'x.img');
    expect(() => createImage(file, 1024, { format: 'ext2' })).toThrow(FsError);
    expect(fs.existsSync(file)).toBe(false);
    expect(() => createImage(file, 1024, { format: 'fat32', label: 'far too long a label' })).toThrow(
      FsError,
    );
    expect(fs.existsSync(file)).toBe(false);
  });
});
