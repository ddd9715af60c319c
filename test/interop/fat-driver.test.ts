import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { FatFileSystem, type FatOpenOptions } from '../../src/filesystem/fat/file-system.ts';
import type { NodeId } from '../../src/filesystem/file-system.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const VOLUMES: readonly [name: string, kibibytes: number, args: readonly string[]][] = [
  ['FAT12', 1440, ['-F', '12']],
  ['FAT16', 16384, ['-F', '16']],
  ['FAT32', 40_000, ['-F', '32']],
  ['FAT16 with sectors of 2048 bytes', 20_000, ['-F', '16', '-S', '2048', '-s', '1']],
];

const MTOOLS_ENV = { MTOOLS_SKIP_CHECK: '1' };

/** Relative paths with content; directories have undefined. */
type Tree = Map<string, Uint8Array | undefined>;

const TREE: Tree = new Map<string, Uint8Array | undefined>([
  ['README.TXT', new Uint8Array(Buffer.from('plain\n'))],
  ['empty', new Uint8Array(0)],
  ['lower.txt', new Uint8Array(511).fill(1)],
  ['Mixed Case Name.Text', new Uint8Array(512).fill(2)],
  ['a directory', undefined],
  ['a directory/Übergröße.txt', new Uint8Array(513).fill(3)],
  ['a directory/日本語.txt', new Uint8Array(5000).map((_, i) => i & 0xff)],
  ['a directory/UPPER', undefined],
  [`a directory/UPPER/${'long '.repeat(30)}end`, new Uint8Array(70_000).map((_, i) => (i >> 4) & 0xff)],
  ['a directory/UPPER/x.tar.gz', new Uint8Array(4096).fill(5)],
  ['many', undefined],
  ...Array.from({ length: 120 }, (_, i): [string, Uint8Array] => [
    `many/file number ${i}.dat`,
    new Uint8Array(i * 3).fill(i),
  ]),
]);

function open(image: string, options: FatOpenOptions = {}): { fs: FatFileSystem; close: () => void } {
  const device = FileDevice.open(image);
  const volume = FatFileSystem.open(device, options);
  return {
    fs: volume,
    close: () => {
      volume.close();
      device.close();
    },
  };
}

function fill(volume: FatFileSystem, tree: Tree): void {
  const directories = new Map<string, NodeId>([['.', volume.root]]);
  for (const [name, content] of tree) {
    const parent = directories.get(path.posix.dirname(name))!;
    const base = path.posix.basename(name);
    if (content === undefined) directories.set(name, volume.create(parent, base, { kind: 'directory' }));
    else volume.write(volume.create(parent, base, { kind: 'file' }), 0, content);
  }
}

function readTree(volume: FatFileSystem, directory: NodeId = volume.root, prefix = ''): Tree {
  const tree: Tree = new Map();
  for (const { name, node, kind } of volume.entries(directory)) {
    const where = prefix + name;
    if (kind === 'directory') {
      tree.set(where, undefined);
      for (const [inner, content] of readTree(volume, node, `${where}/`)) tree.set(inner, content);
      continue;
    }
    const content = new Uint8Array(volume.attributes(node).size);
    volume.read(node, 0, content);
    tree.set(where, content);
  }
  return tree;
}

function hostTree(folder: string): Tree {
  const tree: Tree = new Map();
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const full = path.join(entry.parentPath, entry.name);
    const content = entry.isDirectory() ? undefined : new Uint8Array(fs.readFileSync(full));
    tree.set(path.relative(folder, full), content);
  }
  return tree;
}

function writeHostTree(folder: string, tree: Tree): void {
  for (const [name, content] of tree) {
    if (content === undefined) fs.mkdirSync(path.join(folder, name));
    else fs.writeFileSync(path.join(folder, name), content);
  }
}

function expectSameTree(found: Tree, expected: Tree): void {
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, content] of expected) {
    const other = found.get(name);
    const same =
      content === undefined
        ? other === undefined
        : other !== undefined && Buffer.compare(content, other) === 0;
    expect([name, same]).toEqual([name, true]);
  }
}

function expectClean(image: string): void {
  const judged = runTool('fsck.fat', ['-n', image]);
  expect(judged.stdout).toMatch(/^fsck\.fat 4\.2.*\n.*: \d+ files, \d+\/\d+ clusters\s*$/);
  expect(judged.status).toBe(0);
}

describeWithTools(['mkfs.fat', 'fsck.fat', 'mcopy', 'mdir', 'mtype', 'mattrib'], 'FAT and mtools', () => {
  const folder = temporaryFolder();

  for (const [name, kibibytes, args] of VOLUMES) {
    function newImage(suffix: string): string {
      const image = path.join(folder, `${name} ${suffix}.img`);
      const made = runTool('mkfs.fat', ['-C', ...args, image, `${kibibytes}`]);
      expect(made.status).toBe(0);
      return image;
    }

    it(`see the tree that we wrote to ${name}`, () => {
      const image = newImage('ours');
      const { fs: volume, close } = open(image);
      fill(volume, TREE);
      close();
      expectClean(image);
      const out = path.join(folder, `${name} out`);
      fs.mkdirSync(out);
      const copied = runTool('mcopy', ['-s', '-i', image, '::*', out], { env: MTOOLS_ENV });
      expect(copied).toMatchObject({ status: 0, stderr: '' });
      expectSameTree(hostTree(out), TREE);
      const typed = runTool('mtype', ['-i', image, '::/readme.txt'], { env: MTOOLS_ENV });
      expect(typed.stdout).toBe('plain\n');
    });

    it(`write a tree to ${name} that we read, change, and leave clean`, () => {
      const image = newImage('theirs');
      const source = path.join(folder, `${name} source`);
      fs.mkdirSync(source);
      writeHostTree(source, TREE);
      const names = fs.readdirSync(source).map((entry) => path.join(source, entry));
      const copied = runTool('mcopy', ['-s', '-i', image, ...names, '::'], { env: MTOOLS_ENV });
      expect(copied).toMatchObject({ status: 0, stderr: '' });
      const { fs: volume, close } = open(image);
      expectSameTree(readTree(volume), TREE);
      const many = volume.lookup(volume.root, 'MANY')!;
      const changed: Tree = new Map(TREE);
      for (let i = 0; i < 120; i += 2) {
        volume.unlink(many, `File Number ${i}.DAT`);
        changed.delete(`many/file number ${i}.dat`);
      }
      volume.rename(many, 'file number 7.dat', volume.root, 'moved out of its directory');
      changed.set('moved out of its directory', changed.get('many/file number 7.dat'));
      changed.delete('many/file number 7.dat');
      volume.write(volume.lookup(volume.root, 'lower.txt')!, 511, new Uint8Array(9000).fill(1));
      changed.set('lower.txt', new Uint8Array(9511).fill(1));
      close();
      expectClean(image);
      const again = open(image);
      expectSameTree(readTree(again.fs), changed);
      again.close();
    });
  }

  it('agree on attributes, the label and the times of a file', () => {
    const image = path.join(folder, 'attributes.img');
    expect(runTool('mkfs.fat', ['-C', image, '1440']).status).toBe(0);
    const { fs: volume, close } = open(image);
    volume.label = 'OUR LABEL';
    // 2024-02-29T12:34:56Z
    volume.create(volume.root, 'HIDDEN.SYS', {
      kind: 'file',
      dosAttributes: 0x27,
      mtime: { seconds: 1_709_210_096, nanoseconds: 0 },
    });
    close();
    expectClean(image);
    const options = { env: MTOOLS_ENV };
    expect(runTool('mattrib', ['-i', image, '::HIDDEN.SYS'], options).stdout).toMatch(
      /^ {2}A {2}SHR {5}::\/HIDDEN\.SYS/,
    );
    const listed = runTool('mdir', ['-a', '-i', image, '::'], options).stdout;
    expect(listed).toContain('is OUR LABEL');
    expect(listed).toMatch(/^HIDDEN {3}SYS +0 2024-02-29 +12:34/m);
    expect(runTool('mattrib', ['-i', image, '-h', '-r', '::HIDDEN.SYS'], options).status).toBe(0);
    const again = open(image);
    const node = again.fs.lookup(again.fs.root, 'hidden.sys')!;
    expect(again.fs.attributes(node)).toMatchObject({ dosAttributes: 0x24, mode: 0o644 });
    again.close();
  });

  it('agree on which aliases are taken', () => {
    const image = path.join(folder, 'aliases.img');
    expect(runTool('mkfs.fat', ['-C', image, '1440']).status).toBe(0);
    const { fs: volume, close } = open(image);
    for (const name of ['long file name.txt', 'long file name.text', 'LONGFI~2.TXT', 'long fiction.txt']) {
      volume.create(volume.root, name, { kind: 'file' });
    }
    close();
    expectClean(image);
    const listed = runTool('mdir', ['-b', '-a', '-i', image, '::'], { env: MTOOLS_ENV }).stdout;
    expect(listed.trim().split('\n').sort()).toEqual([
      '::/LONGFI~2.TXT',
      '::/long fiction.txt',
      '::/long file name.text',
      '::/long file name.txt',
    ]);
    const table = runTool('mdir', ['-i', image, '::'], { env: MTOOLS_ENV }).stdout;
    expect(table).toMatch(/^LONGFI~1 TXT .* long file name\.txt$/m);
    expect(table).toMatch(/^LONGFI~1 TEX .* long file name\.text$/m);
    expect(table).toMatch(/^LONGFI~3 TXT .* long fiction\.txt$/m);
  });
});
