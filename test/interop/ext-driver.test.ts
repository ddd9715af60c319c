import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { directoryHash } from '../../src/filesystem/ext/directory-hash.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { Random } from '../support/random.ts';
import { makeExt2, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { canMount, treeOfHost, treeOfVolume, withMount } from '../support/ext-driver-trees.ts';
import { newFolder } from '../support/new-folder.ts';
import { execFileSync } from '../support/programs.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();

function expectClean(image: string): void {
  const result = runTool('e2fsck', ['-fn', image]);
  expect(result.stdout + result.stderr).not.toMatch(/\? no\n|WARNING/);
  expect(result.status).toBe(0);
}

function withVolume<T>(image: string, options: { readOnly?: boolean }, work: (volume: FileSystem) => T): T {
  const device = FileDevice.open(image, options);
  try {
    const volume = extDriver.open(device, { ...options, clock: steppingClock() });
    try {
      return work(volume);
    } finally {
      volume.close();
    }
  } finally {
    device.close();
  }
}

function newImage(name: string, size: number, options: Parameters<typeof makeExt2>[1] = {}): string {
  const image = path.join(folder, name);
  saveImage(makeExt2(size, options), image);
  return image;
}

/** A tree with everything that ext2 can hold. */
function populate(volume: FileSystem): void {
  const { root } = volume;
  const random = new Random(7);
  const deep = volume.create(root, 'deep', { kind: 'directory', mode: 0o750, uid: 1000, gid: 100 });
  let at = deep;
  for (let level = 0; level < 20; level++) {
    at = volume.create(at, `level ${level}`, { kind: 'directory', mode: 0o2755 });
    const file = volume.create(at, 'content', { kind: 'file', uid: 70_000 + level, gid: 4_000_000_000 });
    volume.write(file, 0, random.bytes(level * 777));
  }
  const file = volume.create(root, 'file', {
    kind: 'file',
    mode: 0o4711,
    mtime: { seconds: -86_400, nanoseconds: 5 },
  });
  volume.write(file, 0, random.bytes(700_000));
  volume.setAttributes(file, { mtime: { seconds: 4_000_000_000, nanoseconds: 987_654_321 } });
  volume.link(file, deep, 'hard link');
  const sparse = volume.create(root, 'sparse', { kind: 'file' });
  volume.write(sparse, 5_000_000, random.bytes(3));
  volume.write(sparse, 70_000, random.bytes(3000));
  for (const length of [1, 59, 60, 61, 1000]) {
    volume.create(root, `link-${length}`, { kind: 'symlink', target: 't'.repeat(length) });
  }
  volume.create(root, 'fifo', { kind: 'fifo', mode: 0o600 });
  volume.create(root, 'socket', { kind: 'socket' });
  for (const [major, minor] of [
    [8, 1],
    [255, 255],
    [256, 0],
    [300, 70_000],
  ] as const) {
    volume.create(root, `block-${major}-${minor}`, { kind: 'block-device', device: { major, minor } });
    volume.create(root, `character-${major}-${minor}`, {
      kind: 'character-device',
      device: { major, minor },
    });
  }
  for (const name of ['ä', '日本語', '𝄞', ' ', 'n'.repeat(255), '-', 'a\nb', '\\']) {
    volume.create(root, name, { kind: 'file' });
  }
  for (let i = 0; i < 4; i++) {
    const node = volume.create(root, `attributes-${i}`, { kind: i === 3 ? 'directory' : 'file' });
    volume.setXattr(node, 'user.small', random.bytes(4));
    volume.setXattr(node, 'user.empty', new Uint8Array(0));
    volume.setXattr(node, 'trusted.one', random.bytes(3));
    volume.setXattr(node, 'security.large', new Uint8Array(300).fill(3));
    volume.setXattr(node, 'user.größe', new Uint8Array(200).fill(4));
  }
  const many = volume.create(root, 'many', { kind: 'directory' });
  for (let i = 0; i < 700; i++) volume.create(many, `entry ${i}`, { kind: 'file' });
  for (let i = 0; i < 700; i += 3) volume.unlink(many, `entry ${i}`);
}

const shapes = [
  { blockSize: 1024, inodeSize: 128 },
  { blockSize: 1024, inodeSize: 256 },
  { blockSize: 2048, inodeSize: 256 },
  { blockSize: 4096, inodeSize: 256 },
  { blockSize: 4096, inodeSize: 128, features: '^dir_index,^filetype' },
  { blockSize: 1024, inodeSize: 256, features: 'meta_bg,^resize_inode', blocksPerGroup: 2048 },
] as const;

describeWithTools(['e2fsck', 'debugfs'], 'What the driver writes', () => {
  for (const shape of shapes) {
    const name = JSON.stringify(shape);
    test(`is clean to e2fsck and reads the same with debugfs: ${name}`, () => {
      const image = newImage('written.img', 48 << 20, shape);
      withVolume(image, {}, populate);
      expectClean(image);
      const target = newFolder(path.join(folder, 'dump-'));
      runTool('debugfs', ['-R', `rdump /deep ${target}`, image]);
      const ours = withVolume(image, { readOnly: true }, (volume) => treeOfVolume(volume));
      const content = (lines: Record<string, string>, prefix: string): string[] =>
        Object.entries(lines)
          .filter(([file, line]) => file.startsWith(prefix) && line.startsWith('f'))
          .map(([file, line]) => `${file} ${line.split(' ').slice(-2).join(' ')}`);
      expect(content(ours, '/deep')).toHaveLength(21);
      expect(content(treeOfHost(target), '/deep')).toEqual(content(ours, '/deep'));
    });
  }

  test('keeps every name of a large directory in a valid hash tree', () => {
    const signed = 1;
    const unsigned = 2;
    for (const [hash, flags] of [
      ['legacy', signed],
      ['half_md4', signed],
      ['tea', signed],
      ['legacy', unsigned],
      ['half_md4', unsigned],
      ['tea', unsigned],
    ] as const) {
      const image = newImage('tree.img', 32 << 20, { blockSize: 1024, inodeCount: 24_000 });
      const commands = path.join(folder, 'set-hash');
      fs.writeFileSync(commands, `ssv def_hash_version ${hash}\nssv flags ${flags}\n`);
      runTool('debugfs', ['-w', '-f', commands, image]);
      withVolume(image, {}, (volume) => {
        const directory = volume.create(volume.root, 'd', { kind: 'directory' });
        for (let i = 0; i < 6000; i++) {
          volume.create(directory, `a-much-longer-name-with-ü-in-it-${i}`, { kind: 'fifo' });
        }
      });
      expectClean(image);
      const { stdout } = runTool('debugfs', ['-R', 'htree_dump /d', image]);
      expect(stdout).toContain('Indirect levels: 1');
    }
  });

  test('lets an index grow to three levels with large_dir', () => {
    const image = path.join(folder, 'large-dir.img');
    for (const features of ['large_dir']) {
      const args = ['-q', '-F', '-t', 'ext4', '-b', '1024', '-O', `^has_journal,${features}`, '-N', '64'];
      runTool('mke2fs', [...args, image, '64M']);
      withVolume(image, {}, (volume) => {
        const directory = volume.create(volume.root, 'd', { kind: 'directory' });
        const file = volume.create(volume.root, 'f', { kind: 'file' });
        const name = (i: number): string => `${i}`.padEnd(250, 'n');
        for (let i = 0; i < 36_000; i++) volume.link(file, directory, name(i));
        for (let i = 0; i < 36_000; i += 5) volume.unlink(directory, name(i));
        expect(volume.lookup(directory, name(35_999))).toBe(file);
      });
      expectClean(image);
      const { stdout } = runTool('debugfs', ['-R', 'htree_dump /d', image]);
      expect(stdout).toContain('Indirect levels: 2');
      const count = withVolume(image, { readOnly: true }, (volume) => {
        return [...volume.entries(volume.lookup(volume.root, 'd')!)].length;
      });
      expect(count).toBe(28_800);
    }
  });

  test('hands the project of a directory down', () => {
    const image = path.join(folder, 'project.img');
    runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', '^has_journal,^metadata_csum,project', image, '8M']);
    withVolume(image, {}, (volume) => volume.create(volume.root, 'd', { kind: 'directory' }));
    runTool('debugfs', ['-w', '-R', 'set_inode_field /d projid 4242', image]);
    runTool('debugfs', ['-w', '-R', 'set_inode_field /d flags 0x20080000', image]);
    withVolume(image, {}, (volume) => {
      const directory = volume.lookup(volume.root, 'd')!;
      const inner = volume.create(directory, 'inner', { kind: 'directory' });
      volume.create(inner, 'file', { kind: 'file' });
      const other = volume.create(volume.root, 'other', { kind: 'file' });
      expect(() => volume.link(other, inner, 'x')).toThrow(/EXDEV/);
      expect(() => volume.rename(volume.root, 'other', directory, 'other')).toThrow(/EXDEV/);
      volume.rename(inner, 'file', directory, 'file');
    });
    expectClean(image);
    for (const name of ['/d/inner', '/d/file']) {
      expect(runTool('debugfs', ['-R', `stat ${name}`, image]).stdout).toMatch(/Project: +4242/);
    }
    expect(runTool('debugfs', ['-R', 'stat /other', image]).stdout).toMatch(/Project: +0/);
  });

  test('hashes names as debugfs does', () => {
    const seed = 'f4a0e1b2-1122-3344-5566-778899aabbcc';
    const seedBytes = Uint8Array.from(Buffer.from(seed.replaceAll('-', ''), 'hex'));
    const random = new Random(99);
    // debugfs computes only the signed variants; e2fsck judges the others, in the test of large directories.
    const versions = ['legacy', 'half_md4', 'tea'];
    const names = [
      'a',
      'ab',
      'abc',
      'abcd',
      'lost+found',
      'ü',
      'x'.repeat(16),
      'x'.repeat(31),
      'x'.repeat(32),
      'x'.repeat(33),
      'ß'.repeat(127),
    ];
    for (let i = 0; i < 30; i++) {
      let name = '';
      for (let j = random.below(60) + 1; j > 0; j--)
        name += random.pick('a b c X Y Z 0 1 9 . _ - ä ö ü 日'.split(' '));
      names.push(`n${name}`);
    }
    for (const withSeed of [true, false]) {
      const script = names.flatMap((name) =>
        versions.map((version) => `dx_hash -h ${version} ${withSeed ? `-s ${seed}` : ''} "${name}"`),
      );
      const file = path.join(folder, 'commands');
      fs.writeFileSync(file, script.join('\n'));
      const { stdout } = runTool('debugfs', ['-f', file]);
      const hashes = [...stdout.matchAll(/is 0x([0-9a-f]+) \(/g)].map((match) =>
        Number.parseInt(match[1]!, 16),
      );
      const ours = names.flatMap((name) =>
        versions.map((_, version) =>
          directoryHash(Buffer.from(name), version, withSeed ? seedBytes : new Uint8Array(16)),
        ),
      );
      expect(hashes).toHaveLength(ours.length);
      expect(ours).toEqual(hashes);
    }
  });

  test('reaches triple-indirect blocks and files beyond 2 GiB', () => {
    const image = newImage('large.img', 64 << 20, { blockSize: 1024, features: '^large_file' });
    withVolume(image, {}, (volume) => {
      expect(volume.features).not.toContain('large_file');
      const file = volume.create(volume.root, 'large', { kind: 'file' });
      const p = 256;
      // The first and last block of each level, and one past 5 GiB.
      for (const block of [0, 11, 12, 11 + p, 12 + p, 11 + p + p * p, 12 + p + p * p, 5_000_000]) {
        volume.write(file, block * 1024 + 1000, new TextEncoder().encode(`block ${block}`.padEnd(48)));
      }
      volume.setAttributes(file, { size: 5 * 2 ** 30 + 123 });
      expect(volume.features).toContain('large_file');
      expect(() => volume.write(file, volume.capabilities.maxFileSize, new Uint8Array(1))).toThrow(/EFBIG/);
    });
    expectClean(image);
    const check = withVolume(image, { readOnly: true }, (volume) => {
      const file = volume.lookup(volume.root, 'large')!;
      const bytes = new Uint8Array(48);
      volume.read(file, 5_000_000 * 1024 + 1000, bytes);
      expect(Buffer.from(bytes).toString().trim()).toBe('block 5000000');
      return [...volume.extents(file)].filter((extent) => extent.kind === 'data').length;
    });
    expect(check).toBe(5);
    const { stdout } = runTool('debugfs', ['-R', 'stat /large', image]);
    expect(stdout).toContain('(TIND)');
    expect(stdout).toContain(`Size: ${5 * 2 ** 30 + 123}`);
    withVolume(image, {}, (volume) => volume.unlink(volume.root, 'large'));
    expectClean(image);
  });
});

describeWithTools(['e2fsck', 'mke2fs'], 'Volumes that mke2fs has filled', () => {
  const source = newFolder(path.join(folder, 'source-'));
  for (let i = 0; i < 300; i++) fs.writeFileSync(path.join(source, `file-${i}`), Buffer.alloc(i * 40, i));
  fs.mkdirSync(path.join(source, 'sub/sub'), { recursive: true });
  fs.writeFileSync(path.join(source, 'sub/large'), Buffer.from(new Random(1).bytes(3_000_000)));
  fs.writeFileSync(path.join(source, 'sub/tiny'), 'inline');
  fs.writeFileSync(path.join(source, 'sub/small'), Buffer.alloc(130, 'i'));
  fs.symlinkSync('large', path.join(source, 'sub/link'));
  fs.symlinkSync('x/'.repeat(100), path.join(source, 'sub/long-link'));
  fs.linkSync(path.join(source, 'sub/large'), path.join(source, 'hard'));
  const file = path.join(source, 'holes');
  fs.writeFileSync(file, 'begin');
  fs.truncateSync(file, 1_000_000);
  fs.appendFileSync(file, 'end');

  const kinds: readonly (readonly [args: string[], type: string])[] = [
    [['-t', 'ext2'], 'ext2'],
    [['-t', 'ext2', '-b', '1024', '-I', '128'], 'ext2'],
    [['-t', 'ext3'], 'ext3'],
    [['-t', 'ext4'], 'ext4'],
    [['-t', 'ext4', '-b', '1024'], 'ext4'],
    [['-t', 'ext4', '-O', 'inline_data', '-I', '256'], 'ext4'],
    [['-t', 'ext4', '-O', 'inline_data', '-I', '1024'], 'ext4'],
    [['-t', 'ext4', '-O', '^64bit,^metadata_csum,uninit_bg'], 'ext4'],
    [
      ['-t', 'ext4', '-O', '^has_journal,^extent,^64bit,^metadata_csum,^flex_bg,^huge_file,^dir_nlink'],
      'ext4',
    ],
    [['-t', 'ext4', '-O', 'bigalloc', '-C', '16384'], 'ext4'],
    [['-t', 'ext4', '-O', 'meta_bg,^resize_inode', '-g', '2048', '-b', '1024'], 'ext4'],
    [['-t', 'ext4', '-O', 'ea_inode,large_dir,encrypt,casefold'], 'ext4'],
  ];
  for (const [args, type] of kinds) {
    test(`are read as they are: ${args.join(' ')}`, () => {
      const image = path.join(folder, 'filled.img');
      fs.rmSync(image, { force: true });
      const made = runTool('mke2fs', ['-q', '-F', '-d', source, ...args, image, '64M']);
      expect(made.status, made.stderr).toBe(0);
      withVolume(image, {}, (volume) => {
        expect(volume.type).toBe(type);
        expect(volume.readOnlyReason).toBeUndefined();
        expect(volume.readOnly).toBe(false);
        // The root is not part of what mke2fs copies.
        expect({ ...treeOfVolume(volume), '': '' }).toEqual({ ...treeOfHost(source), '': '' });
        populate(volume);
        for (let i = 0; i < 300; i += 2) volume.unlink(volume.root, `file-${i}`);
      });
      expectClean(image);
    });
  }
});

describe.skipIf(!canMount())('The kernel and the driver', () => {
  for (const shape of shapes) {
    test(`see the same in what the driver wrote: ${JSON.stringify(shape)}`, () => {
      const image = newImage('ours.img', 48 << 20, shape);
      withVolume(image, {}, populate);
      const options = { times: shape.inodeSize > 128, xattrs: true };
      const ours = withVolume(image, { readOnly: true }, (volume) => treeOfVolume(volume, options));
      const [kernel, statfs] = withMount(image, 'ro', (mounted) => [
        treeOfHost(mounted, options),
        fs.statfsSync(mounted),
      ]);
      expect(ours).toEqual(kernel);
      const usage = withVolume(image, { readOnly: true }, (volume) => volume.usage());
      expect(usage).toEqual({
        blockSize: statfs.bsize,
        totalBlocks: statfs.blocks,
        freeBlocks: statfs.bfree,
        availableBlocks: statfs.bavail,
        totalNodes: statfs.files,
        freeNodes: statfs.ffree,
      });
    });
  }

  test('see the same in what the kernel wrote, and the driver may change it', () => {
    for (const shape of [shapes[0], shapes[3], shapes[4]]) {
      const image = newImage('theirs.img', 48 << 20, shape);
      const options = { times: shape.inodeSize > 128, xattrs: true };
      const kernel = withMount(image, 'rw', (mounted) => {
        execFileSync('cp', ['-a', '/etc/alternatives', '/etc/default', mounted]);
        fs.mkdirSync(path.join(mounted, 'd'));
        for (let i = 0; i < 1200; i++) fs.writeFileSync(path.join(mounted, `d/a file named ${i} ü`), `${i}`);
        for (let i = 0; i < 1200; i += 5) fs.unlinkSync(path.join(mounted, `d/a file named ${i} ü`));
        for (let i = 0; i < 5; i++) fs.writeFileSync(path.join(mounted, `xattr-${i}`), '');
        const files = [0, 1, 2, 3, 4].map((i) => path.join(mounted, `xattr-${i}`));
        execFileSync('setfattr', ['-n', 'user.z', '-v', 'zz', ...files]);
        execFileSync('setfattr', ['-n', 'user.big', '-v', 'b'.repeat(200), ...files]);
        execFileSync('setfattr', ['-n', 'trusted.t', ...files]);
        const fd = fs.openSync(path.join(mounted, 'sparse'), 'w');
        for (let i = 0; i < 40; i++) fs.writeSync(fd, 'data', i * 123_457);
        fs.closeSync(fd);
        execFileSync('mknod', [path.join(mounted, 'device'), 'b', '259', '1000']);
        return treeOfHost(mounted, options);
      });
      withVolume(image, {}, (volume) => {
        expect(treeOfVolume(volume, options)).toEqual(kernel);
        const directory = volume.lookup(volume.root, 'd')!;
        for (let i = 0; i < 900; i++) volume.create(directory, `another file, ${i}`, { kind: 'file' });
        for (let i = 1; i < 1200; i += 5) volume.unlink(directory, `a file named ${i} ü`);
        for (let i = 0; i < 3; i++) {
          const node = volume.lookup(volume.root, `xattr-${i}`)!;
          volume.setXattr(node, 'user.big', new Uint8Array(100 * i).fill(9));
          volume.removeXattr(node, 'user.z');
        }
        volume.unlink(volume.root, 'sparse');
      });
      expectClean(image);
      const ours = withVolume(image, { readOnly: true }, (volume) => treeOfVolume(volume, options));
      const again = withMount(image, 'rw', (mounted) => {
        const tree = treeOfHost(mounted, options);
        // By name, not by listing: through the hash tree.
        for (let i = 0; i < 900; i++) fs.lstatSync(path.join(mounted, `d/another file, ${i}`));
        for (let i = 2; i < 1200; i += 5) fs.unlinkSync(path.join(mounted, `d/a file named ${i} ü`));
        return tree;
      });
      expect(ours).toEqual(again);
      expectClean(image);
    }
  });

  test('find each of 12,000 names that the driver has put into one directory', () => {
    const image = newImage('names.img', 64 << 20, { blockSize: 1024, inodeCount: 16_000 });
    withVolume(image, {}, (volume) => {
      const directory = volume.create(volume.root, 'd', { kind: 'directory' });
      for (let i = 0; i < 12_000; i++)
        volume.create(directory, `${i}-${'n'.repeat(i % 90)}`, { kind: 'file' });
    });
    expectClean(image);
    withMount(image, 'ro', (mounted) => {
      for (let i = 0; i < 12_000; i++) fs.lstatSync(path.join(mounted, 'd', `${i}-${'n'.repeat(i % 90)}`));
      expect(fs.readdirSync(path.join(mounted, 'd'))).toHaveLength(12_000);
    });
  });

  test('see the same in fragmented ext4 files with deep extent trees and unwritten extents', () => {
    const image = path.join(folder, 'ext4.img');
    const made = runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '1024', image, '64M']);
    expect(made.status, made.stderr).toBe(0);
    withMount(image, 'rw', (mounted) => {
      const fd = fs.openSync(path.join(mounted, 'fragments'), 'w');
      for (let i = 0; i < 3000; i++) fs.writeSync(fd, `piece ${i}`, i * 4096 + 7);
      fs.closeSync(fd);
      execFileSync('fallocate', ['-l', '2M', path.join(mounted, 'unwritten')]);
      fs.writeFileSync(path.join(mounted, 'unwritten'), 'x', { flag: 'r+' });
    });
    const kernel = withMount(image, 'ro', (mounted) => treeOfHost(mounted, { xattrs: true, times: true }));
    expect(runTool('debugfs', ['-R', 'ex /fragments', image]).stdout).toMatch(/2\/ ?2|1\/ ?2|0\/ ?1/);
    withVolume(image, {}, (volume) =>
      expect(treeOfVolume(volume, { xattrs: true, times: true })).toEqual(kernel),
    );
  });
});
