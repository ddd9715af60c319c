import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { TreeCopy } from '../../src/disk/tree/copy-tree.ts';
import { ImageTree } from '../../src/disk/tree/image-tree.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { fatDriver } from '../../src/filesystem/fat/driver.ts';
import { resolvePath } from '../../src/filesystem/path.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { HostTree } from '../../src/host/host-tree.ts';
import { WriteBehindDevice } from '../../src/host/write-behind-device.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';
import { makeImage } from '../support/verb-images.ts';

const FILES = 3000;
const TIME = 1_000_000_000;

/** Files of the host that are changed at the moment in which they are handed over. */
class ChangingTree extends HostTree {
  override outsidePath(place: string): string | undefined {
    const index = Number(/file-(\d+)/.exec(place)?.[1] ?? 0);
    if (index < 500 || index % 10 !== 0) return super.outsidePath(place);
    switch ((index / 10) % 5) {
      case 0:
        fs.rmSync(place);
        break;
      case 1:
        fs.appendFileSync(place, 'more of it');
        break;
      case 2:
        fs.truncateSync(place, 1000);
        break;
      case 3:
        fs.rmSync(place);
        fs.symlinkSync('elsewhere', place);
        break;
      default:
        fs.truncateSync(place, 0);
    }
    return super.outsidePath(place);
  }
}

describeWithTools(['e2fsck', 'fsck.fat'], 'files that change while they are copied', () => {
  it.each(['ext2', 'fat32'] as const)('are in %s as they are in the end, or told', async (type) => {
    const folder = temporaryFolder();
    for (let i = 0; i < FILES; i++) {
      const below = path.join(folder, `directory-${i % 7}`);
      fs.mkdirSync(below, { recursive: true });
      fs.writeFileSync(path.join(below, `file-${i}`), `${i} `.repeat(300 + (i % 2000)));
    }
    for (let i = 0; i < 7; i++) fs.utimesSync(path.join(folder, `directory-${i}`), TIME, TIME);
    const image = await makeImage(type, '64M');
    const device = new WriteBehindDevice(FileDevice.open(image));
    const driver = type === 'ext2' ? extDriver : fatDriver;
    const fileSystem = driver.open(device, { clock: () => ({ seconds: 1_600_000_000, nanoseconds: 0 }) });
    const target = new ImageTree(fileSystem, (inside) => inside);
    const problems: string[] = [];
    const options = {
      recursive: true,
      follow: 'none',
      keepMode: true,
      umask: 0,
      keepTimes: true,
      keepOwner: false,
      keepXattrs: false,
      updateDirectories: false,
      noClobber: false,
      force: false,
    } as const;
    const listener = { problem: (what: string): void => void problems.push(what) };
    const copy = new TreeCopy(new ChangingTree('/'), target, options, listener);
    // So that the thread is there before the first file.
    while (device.copier() === undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    copy.copy(folder, target.place('/'), 'tree', new Set());
    copy.finish();

    const gone: string[] = [];
    for (let i = 0; i < FILES; i++) {
      const name = `directory-${i % 7}/file-${i}`;
      const status = fs.lstatSync(path.join(folder, name), { throwIfNoEntry: false });
      const directory = resolvePath(fileSystem, `/tree/directory-${i % 7}`);
      const node = fileSystem.lookup(directory, `file-${i}`);
      if (status === undefined || (status.isSymbolicLink() && type === 'fat32')) {
        expect(node, name).toBeUndefined();
        gone.push(name);
      } else if (status.isSymbolicLink()) {
        expect(fileSystem.readLink(node!), name).toBe('elsewhere');
      } else {
        const { size } = fileSystem.attributes(node!);
        const content = new Uint8Array(size);
        fileSystem.read(node!, 0, content);
        expect(Buffer.compare(content, fs.readFileSync(path.join(folder, name))), name).toBe(0);
      }
    }
    expect(problems).toHaveLength(gone.length);
    expect(gone.length).toBeGreaterThanOrEqual(50);
    for (const name of gone)
      expect(
        problems.some((problem) => problem.includes(`${name}'`)),
        name,
      ).toBe(true);
    for (let i = 0; i < 7; i++) {
      const { mtime } = fileSystem.attributes(resolvePath(fileSystem, `/tree/directory-${i}`));
      expect(mtime.seconds).toBe(TIME);
    }
    fileSystem.close();
    device.close();
    const [tool, flag] = type === 'ext2' ? ['e2fsck', '-fn'] : ['fsck.fat', '-n'];
    const result = runTool(tool, [flag, image]);
    expect(`${result.status} ${result.stdout}`).toMatch(/^0 /);
  });
});
