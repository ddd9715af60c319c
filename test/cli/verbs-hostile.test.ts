import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CopyOptions } from '../../src/disk/tree/copy-options.ts';
import { TreeCopy } from '../../src/disk/tree/copy-tree.ts';
import { ImageTree } from '../../src/disk/tree/image-tree.ts';
import type { DirectoryEntry, FileSystem } from '../../src/filesystem/file-system.ts';
import { HostTree } from '../../src/host/host-tree.ts';
import { MemoryFileSystem } from '../support/memory-file-system.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';
import { checksum, makeImage, must } from '../support/verb-images.ts';

/**
 * Whatever an image holds, extraction stays below its target. The images are damaged on purpose: a driver may refuse such
 * a name or hand it on, and both must be safe.
 */

interface Arena {
  /** What extraction may write to. */
  readonly target: string;
  /** Nothing may change here. */
  readonly outside: string;
  readonly check: () => void;
}

function arena(): Arena {
  const folder = temporaryFolder();
  const target = path.join(folder, 'a/b/target');
  const outside = path.join(folder, 'outside');
  fs.mkdirSync(target, { recursive: true });
  fs.mkdirSync(outside);
  fs.writeFileSync(path.join(outside, 'precious'), 'untouched');
  return {
    target,
    outside,
    check() {
      expect(fs.readdirSync(outside)).toEqual(['precious']);
      expect(fs.readFileSync(path.join(outside, 'precious'), 'utf8')).toBe('untouched');
      expect(fs.readdirSync(folder).sort()).toEqual(['a', 'outside']);
      expect(fs.readdirSync(path.join(folder, 'a'))).toEqual(['b']);
      expect(fs.readdirSync(path.join(folder, 'a/b'))).toEqual(['target']);
    },
  };
}

/** Replaces bytes of an image wherever they are; at least one place has to have them. */
function patch(image: string, from: Buffer, to: Buffer): void {
  expect(to.length).toBe(from.length);
  const content = fs.readFileSync(image);
  let count = 0;
  for (let at = content.indexOf(from); at >= 0; at = content.indexOf(from, at + 1)) {
    to.copy(content, at);
    count++;
  }
  expect(count).toBeGreaterThan(0);
  fs.writeFileSync(image, content);
}

describe('extraction from an image with hostile names', () => {
  it.each([
    ['..', 'zz'],
    ['/x', 'zz'],
    ['../../../outside/pwned', 'z'.repeat(22)],
    ['a/../../../../outside/p', 'z'.repeat(23)],
    ['.\0', 'zz'],
  ])('%j in ext2 stays inside', async (name, placeholder) => {
    const image = await makeImage('ext2', '2M');
    await must(['mkdir', `${image}:/${placeholder}`]);
    await must(['cp', '-', `${image}:/${placeholder}/precious`], { stdin: 'pwned' });
    await must(['cp', '-', `${image}:/${placeholder}y`], { stdin: 'pwned' });
    patch(image, Buffer.from(`${placeholder}y`), Buffer.from(`${name}y`));
    patch(image, Buffer.from(placeholder), Buffer.from(name));
    const { target, check } = arena();
    await userloop(['cp', '-r', `${image}:/.`, target]);
    check();
  });

  it.each(['..\\..\\..\\outside', '../../../outside/'])(
    '%j in a long name of FAT stays inside',
    async (name) => {
      const image = await makeImage('fat12');
      const placeholder = 'abcdefghijklmnopqrst'.slice(0, name.length);
      await must(['mkdir', `${image}:/${placeholder}`]);
      await must(['cp', '-', `${image}:/${placeholder}/pwned`], { stdin: 'pwned' });
      // A long name lies in pieces of 5, 6 and 2 UTF-16 units.
      const units = (text: string): Buffer => Buffer.from(text, 'utf16le');
      for (const [start, end] of [
        [0, 5],
        [5, 11],
        [11, 13],
        [13, name.length],
      ] as const) {
        const content = fs.readFileSync(image);
        const at = content.indexOf(units(placeholder.slice(start, end)));
        expect(at).toBeGreaterThan(0);
        units(name.slice(start, end)).copy(content, at);
        fs.writeFileSync(image, content);
      }
      const { target, check } = arena();
      await userloop(['cp', '-r', `${image}:/.`, target]);
      check();
    },
  );

  it('a symlink and a directory of the same name do not lead out', async () => {
    const { target, outside, check } = arena();
    const image = await makeImage('ext2', '2M');
    await must(['ln', '-s', outside, `${image}:/same-name-1`]);
    await must(['mkdir', `${image}:/same-name-2`]);
    await must(['cp', '-', `${image}:/same-name-2/precious`], { stdin: 'pwned' });
    patch(image, Buffer.from('same-name-2'), Buffer.from('same-name-1'));
    const result = await userloop(['cp', '-r', `${image}:/.`, target]);
    expect(result.status).toBe(1);
    check();
  });

  it('a symlink and a file of the same name do not lead out', async () => {
    const { target, outside, check } = arena();
    const image = await makeImage('ext2', '2M');
    await must(['ln', '-s', path.join(outside, 'precious'), `${image}:/same-name-1`]);
    await must(['cp', '-', `${image}:/same-name-2`], { stdin: 'pwned' });
    patch(image, Buffer.from('same-name-2'), Buffer.from('same-name-1'));
    for (const options of ['-r', '-rf', '-rL']) {
      await userloop(['cp', options, `${image}:/.`, target]);
      check();
    }
  });

  it('symlinks that are in the target already are replaced, or refused, never followed', async () => {
    const { target, outside, check } = arena();
    fs.symlinkSync(outside, path.join(target, 'directory'));
    fs.symlinkSync(path.join(outside, 'precious'), path.join(target, 'file'));
    fs.symlinkSync(path.join(outside, 'new'), path.join(target, 'dangling'));
    const image = await makeImage('ext2', '2M');
    await must(['mkdir', `${image}:/directory`]);
    for (const name of ['directory/precious', 'file', 'dangling']) {
      await must(['cp', '-', `${image}:/${name}`], { stdin: 'from the image' });
    }
    const result = await userloop(['cp', '-r', `${image}:/.`, target]);
    expect(result).toMatchObject({ status: 1 });
    expect(result.stderr).toMatch(/directory'/);
    check();
    expect(fs.readFileSync(path.join(target, 'file'), 'utf8')).toBe('from the image');
    expect(fs.lstatSync(path.join(target, 'dangling')).isFile()).toBe(true);
  });

  it('symlinks of the image are made, not followed, and -L follows them inside of the image only', async () => {
    const { target, outside, check } = arena();
    const image = await makeImage('ext2', '2M');
    await must(['ln', '-s', outside, `${image}:/absolute`]);
    await must(['ln', '-s', '../../../../../../etc/passwd', `${image}:/up`]);
    await must(['mkdir', `${image}:/etc`]);
    await must(['cp', '-', `${image}:/etc/passwd`], { stdin: 'of the image' });
    const linked = path.join(target, 'linked');
    await must(['cp', '-r', `${image}:/.`, linked]);
    expect(fs.readlinkSync(path.join(linked, 'absolute'))).toBe(outside);
    const followed = path.join(target, 'followed');
    const result = await userloop(['cp', '-rL', `${image}:/.`, followed]);
    expect(result.status).toBe(1);
    expect(fs.readFileSync(path.join(followed, 'up'), 'utf8')).toBe('of the image');
    check();
  });
});

describe('trees that are none', () => {
  it('a directory that holds itself is told of and left out', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['mkdir', '-p', `${image}:/outer/inner-directory`]);
    await must(['cp', '-', `${image}:/outer/file`], { stdin: 'x' });
    const [{ inode }] = JSON.parse(await must(['stat', '--json', `${image}:/outer`])) as [{ inode: number }];
    const content = fs.readFileSync(image);
    const at = content.indexOf('inner-directory');
    content.writeUInt32LE(inode, at - 8);
    fs.writeFileSync(image, content);
    const before = checksum(image);
    const out = temporaryFolder();
    const result = await userloop(['cp', '-r', `${image}:/.`, out]);
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/^userloop cp: .*inner-directory.*\n$/);
    for (const argv of [
      ['ls', '-R', image],
      ['tree', image],
      ['find', image],
    ]) {
      expect((await userloop(argv)).status).toBe(1);
    }
    expect(checksum(image)).toBe(before);
    expect((await userloop(['rm', '-r', `${image}:/outer`])).status).toBe(1);
  });

  it('names that no driver would hand on are refused by the host', () => {
    const { target, check } = arena();
    const fileSystem = new MemoryFileSystem();
    for (let i = 0; i < 6; i++) {
      const node = fileSystem.create(fileSystem.root, `name-${i}`, {
        kind: i % 2 === 0 ? 'file' : 'directory',
      });
      if (i % 2 === 1) fileSystem.create(node, 'precious', { kind: 'file' });
    }
    const names = ['../x', '../../../outside', '..', '/tmp/absolute', '', '.'];
    const hostile = new Proxy(fileSystem, {
      get(inner, key) {
        if (key === 'entries') {
          return function* (directory: never): Iterable<DirectoryEntry> {
            let index = 0;
            for (const entry of inner.entries(directory)) {
              yield directory === inner.root ? { ...entry, name: names[index++]! } : entry;
            }
          };
        }
        const value: unknown = Reflect.get(inner, key);
        return typeof value === 'function' ? value.bind(inner) : value;
      },
    }) as FileSystem;
    const source = new ImageTree(hostile, (inside) => inside);
    const problems: string[] = [];
    const options: CopyOptions = {
      recursive: true,
      follow: 'none',
      keepMode: true,
      umask: 0o022,
      keepTimes: true,
      keepOwner: true,
      keepXattrs: true,
      updateDirectories: true,
      noClobber: false,
      force: true,
    };
    const copy = new TreeCopy(source, new HostTree(target), options, {
      problem: (what) => void problems.push(what),
    });
    copy.copyContents(source.place('/'), target, new Set());
    expect(problems).toHaveLength(6);
    expect(fs.readdirSync(target)).toEqual([]);
    check();
  });
});

describe('an image whose name is not UTF-8', () => {
  it('is refused, and no other file is taken for it', async () => {
    const folder = temporaryFolder();
    // What node makes of the name.
    const other = path.join(folder, 'caf\ufffd.img');
    const image = 'caf\udce9.img';
    fs.writeFileSync(
      Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9]), Buffer.from('.img')]),
      '',
    );
    const content = Buffer.alloc(1 << 20, 'precious');
    fs.writeFileSync(other, content);
    fs.writeFileSync(path.join(folder, 'plain.img'), content);
    for (const argv of [
      ['create', '--force', image, '1M'],
      ['mkfs.fat', image],
      ['mke2fs', '-F', '-q', image],
      ['newfs_msdos', `./${image}`],
      ['inspect', image],
      ['resize', image, '2M'],
      ['attach', image],
      ['attach', `--overlay=${image}`, 'plain.img'],
      ['losetup', '-f', image],
      ['mount', image, folder],
    ]) {
      const env = { ...process.env, USERLOOP_RUNTIME_DIR: `${folder}/r`, USERLOOP_BACKEND: 'user' };
      const { status, stderr } = await userloop(argv, { cwd: folder, env });
      expect(`${argv[0]}: ${status} ${stderr}`).toMatch(
        /: [1-9]\d* [^]*(must be UTF-8|multibyte|No such file|does not exist|failed to setup)/,
      );
    }
    expect(fs.readFileSync(other).equals(content)).toBe(true);
    expect(fs.readdirSync(folder).filter((name) => name.startsWith('caf')).length).toBe(2);
  });
});
