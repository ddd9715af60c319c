import { describe, expect, it } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { geometryOf } from '../../src/filesystem/fat/geometry.ts';
import { floppy, image, namesIn, newFile, volume } from '../support/fat-volumes.ts';

describe('A directory', () => {
  it('has . and .., and .. follows it when it moves', () => {
    const fs = volume(34 << 20, { fatBits: 32 });
    const a = fs.create(fs.root, 'A', { kind: 'directory' });
    const b = fs.create(fs.root, 'B', { kind: 'directory' });
    fs.rename(fs.root, 'B', a, 'B');
    fs.close();
    const bytes = image(fs);
    const { dataOffset, clusterSize } = geometryOf(bytes);
    const view = viewOf(bytes);
    const [dirA, dirB] = [3, 4].map((cluster) => dataOffset + (cluster - 2) * clusterSize);
    expect(Buffer.from(bytes.subarray(dirA, dirA! + 11)).toString()).toBe('.          ');
    expect(Buffer.from(bytes.subarray(dirA! + 32, dirA! + 43)).toString()).toBe('..         ');
    expect(view.getUint16(dirA! + 26, true)).toBe(3);
    expect(view.getUint16(dirA! + 32 + 26, true)).toBe(0);
    expect(view.getUint16(dirB! + 32 + 26, true)).toBe(3);
    expect(b).not.toBe(a);
  });

  it('of FAT32 grows, the root too', () => {
    const fs = volume(34 << 20, { fatBits: 32 });
    const names = Array.from({ length: 300 }, (_, i) => `a file with a long name, number ${i}`);
    for (const name of names) newFile(fs, name);
    fs.close();
    expect(namesIn(FatFileSystem.open(fs.device))).toEqual(names);
  });

  it('that is the fixed root is full at some point, and says so', () => {
    const fs = floppy();
    for (let i = 0; i < 224; i++) newFile(fs, `F${i}`);
    expect(() => newFile(fs, 'ONEMORE')).toThrow(
      expect.objectContaining({
        code: 'ENOSPC',
        detail: 'the root directory is full: it has room for 224 entries',
      }),
    );
    fs.rename(fs.root, 'F7', fs.root, 'RENAMED');
    expect(namesIn(fs)).toHaveLength(224);
    fs.unlink(fs.root, 'F8');
    newFile(fs, 'ONEMORE');
    expect(namesIn(fs)).toContain('ONEMORE');
  });

  it('tells its size before and after it is entered', () => {
    const fs = volume(34 << 20, { fatBits: 32 });
    const folder = fs.create(fs.root, 'folder', { kind: 'directory' });
    for (let i = 0; i < 100; i++) fs.create(folder, `a long file name ${i}`, { kind: 'file' });
    fs.close();
    const again = FatFileSystem.open(fs.device);
    const found = again.lookup(again.root, 'folder')!;
    // 2 + 100 * 3 slots of 32 bytes in clusters of 512.
    expect(again.attributes(found)).toMatchObject({ size: 19 * 512, allocated: 19 * 512 });
    expect(namesIn(again, found)).toHaveLength(100);
    expect(again.attributes(found).size).toBe(19 * 512);
  });

  it('fills the gaps that deleted names leave before it grows', () => {
    const fs = volume(34 << 20, { fatBits: 32 });
    const folder = fs.create(fs.root, 'folder', { kind: 'directory' });
    for (let i = 0; i < 60; i++) fs.create(folder, `a long file name ${i}`, { kind: 'file' });
    const { size } = fs.attributes(folder);
    for (let i = 0; i < 60; i += 2) fs.unlink(folder, `a long file name ${i}`);
    for (let i = 0; i < 30; i++) fs.create(folder, `another file name ${i}`, { kind: 'file' });
    expect(fs.attributes(folder).size).toBe(size);
    expect(namesIn(fs, folder).slice(0, 2)).toEqual(['another file name 0', 'a long file name 1']);
  });

  it('may change while it is walked', () => {
    const fs = floppy();
    for (let i = 0; i < 50; i++) newFile(fs, `file ${i}`);
    const seen: string[] = [];
    for (const { name } of fs.entries(fs.root)) {
      seen.push(name);
      const number = Number(name.slice(5));
      if (number % 2 === 0 && number < 48) fs.unlink(fs.root, `file ${number + 1}`);
    }
    expect(seen).toEqual(
      namesIn(fs)
        .concat('file 49')
        .filter((name, i, all) => all.indexOf(name) === i),
    );
  });

  it('that moves below itself or replaces a full one is refused', () => {
    const fs = floppy();
    const a = fs.create(fs.root, 'a', { kind: 'directory' });
    const b = fs.create(a, 'b', { kind: 'directory' });
    const c = fs.create(fs.root, 'c', { kind: 'directory' });
    fs.create(c, 'x', { kind: 'file' });
    expect(() => fs.rename(fs.root, 'a', b, 'a')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => fs.rename(fs.root, 'a', fs.root, 'c')).toThrow(
      expect.objectContaining({ code: 'ENOTEMPTY' }),
    );
    fs.unlink(c, 'x');
    fs.rename(fs.root, 'a', fs.root, 'c');
    expect(namesIn(fs)).toEqual(['c']);
    expect(fs.lookup(fs.root, 'c')).toBe(a);
    expect(fs.parent(b)).toBe(a);
    expect(fs.parent(a)).toBe(fs.root);
  });

  it.each(['TARGET', 'a target with a long name'])('replaces one that has just replaced %s', (target) => {
    const fs = floppy();
    fs.create(fs.root, target, { kind: 'directory' });
    fs.settle();
    fs.create(fs.root, 'first', { kind: 'directory' });
    fs.rename(fs.root, 'first', fs.root, target);
    const second = fs.create(fs.root, 'second', { kind: 'directory' });
    fs.create(second, 'file', { kind: 'file' });
    fs.rename(fs.root, 'second', fs.root, target);
    fs.close();
    const again = FatFileSystem.open(fs.device);
    expect(namesIn(again)).toEqual([target]);
    expect(namesIn(again, again.lookup(again.root, target))).toEqual(['file']);
  });

  it('does not replace what is there when that is not wanted', () => {
    const fs = floppy();
    newFile(fs, 'a');
    newFile(fs, 'b');
    expect(() => fs.rename(fs.root, 'a', fs.root, 'B', { noReplace: true })).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
    fs.rename(fs.root, 'a', fs.root, 'A', { noReplace: true });
    expect(namesIn(fs).sort()).toEqual(['A', 'b']);
  });
});
