import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { BlockDevice } from '../../src/device/block-device.ts';
import { openFileSystem } from '../../src/filesystem/drivers.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { BlockView } from '../support/block-view.ts';
import { randomNumbers } from '../support/file-exerciser.ts';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

/** Random work through a mount and through the blocks of its device in turn: after each step both show the same. */

let mounted: MountedImage | undefined;
let view: BlockView | undefined;

afterEach(async () => {
  await view?.close();
  await mounted?.close();
  view = mounted = undefined;
});

const SIZE = 4 << 20;
const ROUNDS = Number(process.env['USERLOOP_VIEW_ROUNDS'] ?? 25);

type Model = Map<string, string>;

function contentsOf(device: BlockDevice): Model {
  using found = openFileSystem(device, { readOnly: true });
  const model: Model = new Map();
  for (const { name, node, kind } of found.entries(found.root)) {
    if (kind !== 'file') continue;
    const bytes = new Uint8Array(found.attributes(node).size);
    found.read(node, 0, bytes);
    model.set(name, Buffer.from(bytes).toString('latin1'));
  }
  return model;
}

function listed(directory: string): Model {
  const model: Model = new Map();
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    if (entry.isFile()) model.set(entry.name, fs.readFileSync(path.join(directory, entry.name), 'latin1'));
  }
  return model;
}

function sorted(model: Model): [string, string][] {
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

function writeWhole(fs: FileSystem, name: string, text: string): void {
  const known = fs.lookup(fs.root, name);
  const node = known ?? fs.create(fs.root, name, { kind: 'file' });
  fs.setAttributes(node, { size: 0 });
  fs.write(node, 0, Buffer.from(text, 'latin1'));
}

describeWithMounts(['mke2fs', 'mkfs.fat', 'e2fsck', 'fsck.fat'], 'the block view and the file view', () => {
  it.each([
    ['ext2', 'mke2fs', ['-q', '-F', '-t', 'ext2'], ['e2fsck', '-fn']],
    ['FAT12', 'mkfs.fat', ['-F', '12'], ['fsck.fat', '-n']],
  ] as const)('agree at every moment: %s', async (_, tool, args, [judge, flag]) => {
    const image = path.join(temporaryFolder(), 'disk.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, SIZE);
    runTool(tool, [...args, image]);
    mounted = new MountedImage(image);
    await mounted.mount();
    view = new BlockView(mounted.share, SIZE);
    const { directory } = mounted;
    const random = randomNumbers(7);
    const model: Model = new Map();
    const text = (): string => `${random(1000)} `.repeat(1 + random(3000));

    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < 4; i++) {
        const name = `name ${random(12)}`;
        if (random(4) === 0 && model.has(name)) {
          fs.unlinkSync(path.join(directory, name));
          model.delete(name);
        } else {
          const content = text();
          fs.writeFileSync(path.join(directory, name), content, 'latin1');
          model.set(name, content);
        }
      }
      const before = await view.copy();
      expect(sorted(contentsOf(before)), `round ${round}, blocks`).toEqual(sorted(model));

      // Somebody else works on the blocks, as fsck or GRUB may.
      const after = await view.copy();
      const other = openFileSystem(after);
      for (let i = 0; i < 3; i++) {
        const name = `name ${random(12)}`;
        if (random(3) === 0 && model.has(name)) {
          other.unlink(other.root, name);
          model.delete(name);
        } else {
          const content = text();
          writeWhole(other, name, content);
          model.set(name, content);
        }
      }
      other.close();
      await view.writeChanges(before, after);
      expect(sorted(listed(directory)), `round ${round}, files`).toEqual(sorted(model));
    }
    await mounted.unmount();
    expect(mounted.log).toEqual([]);
    expect(runTool(judge, [flag, image]).status).toBe(0);
  });
});
