import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';
import { IMAGE_KINDS, checksum, makeImage, must } from '../support/verb-images.ts';

describe('userloop create', () => {
  it('makes a sparse file of the size that is asked for', async () => {
    const image = path.join(temporaryFolder(), 'disk.img');
    for (const [text, size] of [
      ['1440K', 1474560],
      ['516096x1000', 516096000],
      ['80x2x18x512', 1474560],
      ['1MB', 1000000],
      ['5G', 5 * 1024 ** 3],
    ] as const) {
      await must(['create', '--force', image, text]);
      expect(fs.statSync(image).size).toBe(size);
      expect(fs.statSync(image).blocks).toBe(0);
    }
  });

  it('refuses to overwrite a file without --force, and what is no size', async () => {
    const image = path.join(temporaryFolder(), 'disk.img');
    fs.writeFileSync(image, 'precious');
    const refused = await userloop(['create', image, '1M']);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^userloop create: .*--force/);
    for (const size of ['many', '0', '-1', '1x', '', '999999999999E']) {
      expect((await userloop(['create', '--force', '--', image, size])).status).toBe(2);
    }
    expect((await userloop(['create', '--force', path.dirname(image), '1M'])).status).toBe(1);
    expect(fs.readFileSync(image, 'utf8')).toBe('precious');
  });
});

describe.each(IMAGE_KINDS)('the verbs on %s', (kind) => {
  it('make, show, move and remove files', async () => {
    const image = await makeImage(kind);
    await must(['mkdir', '-p', `${image}:/a/b/c`]);
    await must(['cp', '-', `${image}:/a/hello.txt`], { stdin: 'hello\n' });
    expect(await must(['cat', `${image}:/a/hello.txt`])).toBe('hello\n');
    expect((await must(['ls', '-1', `${image}:/a`])).split('\n')).toEqual(['b', 'hello.txt', '']);
    await must(['mv', `${image}:/a/hello.txt`, `${image}:/a/b`]);
    expect(await must(['cat', `${image}:/a/b/hello.txt`])).toBe('hello\n');
    await must(['mv', `${image}:/a/b/hello.txt`, `${image}:/a/b/Long name with UTF-8 äöü.text`]);
    expect(await must(['find', `${image}:/a`, '-type', 'f'])).toBe(
      `${image}:/a/b/Long name with UTF-8 äöü.text\n`,
    );
    const refused = await userloop(['rm', `${image}:/a`]);
    expect(refused).toMatchObject({
      status: 1,
      stderr: `userloop rm: cannot remove '${image}:/a': Is a directory\n`,
    });
    await must(['rm', '-r', `${image}:/a`]);
    expect(await must(['ls', `${image}:/a/..`].slice(0, 1).concat(`${image}:/`))).not.toContain('a\n');
  });

  it('never change an image that they only read', async () => {
    const image = await makeImage(kind);
    await must(['cp', '-', `${image}:/file`], { stdin: 'x'.repeat(5000) });
    await must(['mkdir', `${image}:/d`]);
    const before = checksum(image);
    const out = temporaryFolder();
    for (const argv of [
      ['ls', '-laRi', image],
      ['ls', '--json', image],
      ['tree', image],
      ['cat', `${image}:/file`],
      ['stat', `${image}:/file`, `${image}:/`],
      ['df', image],
      ['inspect', '--json', image],
      ['find', image, '-ls'],
      ['cp', '-a', `${image}:/.`, out],
      ['cp', `${image}:/file`, '-'],
    ]) {
      await must(argv);
    }
    expect(checksum(image)).toBe(before);
  });

  it('say what is wrong in one line and leave the image alone', async () => {
    const image = await makeImage(kind);
    await must(['mkdir', `${image}:/d`]);
    await must(['cp', '-', `${image}:/file`], { stdin: 'content' });
    const before = checksum(image);
    const cases: [argv: string[], message: RegExp][] = [
      [['ls', `${image}:/none`], /cannot access '.*:\/none': No such file or directory\n$/],
      [['cat', `${image}:/none`], /cannot read '.*:\/none': No such file or directory\n$/],
      [['cat', `${image}:/d`], /cannot read '.*:\/d': Is a directory\n$/],
      [['cat', `${image}:/file/x`], /cannot read '.*': Not a directory\n$/],
      [['mkdir', `${image}:/d`], /cannot create directory '.*:\/d': File exists\n$/],
      [['mkdir', `${image}:/none/d`], /cannot create directory '.*': No such file or directory\n$/],
      [['rm', `${image}:/none`], /cannot remove '.*': No such file or directory\n$/],
      [['rm', '-r', `${image}:/`], /cannot remove '.*': The root cannot be removed\n$/],
      [['mv', `${image}:/none`, `${image}:/d`], /cannot move '.*': No such file or directory\n$/],
      [['mv', `${image}:/d`, `${image}:/d/e`], /cannot move '.*': Invalid argument\n$|itself/],
      [['cp', `${image}:/none`, `${image}:/d/`], /cannot access '.*': No such file or directory\n$/],
      [['cp', `${image}:/file`, `${image}:/file`], /are the same file\n$/],
      [['cp', '-r', `${image}:/d`, `${image}:/d/e`], /cannot be copied into itself\n$/],
      [['cp', `${image}:/d`, `${image}:/e`], /it is a directory, and -r was not given\n$/i],
      [['cp', '/etc/hostname', `${image}:/none/x`], /There is no directory/],
      [['cp', `${image}:/file`, `${image}:/${'n'.repeat(256)}`], /File name too long\n$|name has 256 /],
      [['touch', `${image}:/${'n'.repeat(256)}`], /File name too long\n$|name has 256 /],
      [['ls', `${image}:3:/`], /there is no partition 3/i],
      [['ls', `${image}@100G:/`], /is not on the image/],
      [['ls', `${image}@3M:/`], /No file system|no partition table|is not on the image/],
    ];
    for (const [argv, message] of cases) {
      const result = await userloop(argv);
      expect([argv.slice(0, 3), result.status]).toEqual([argv.slice(0, 3), 1]);
      expect(result.stderr).toMatch(message);
      expect(result.stderr.split('\n')).toHaveLength(2);
      expect(result.stderr.startsWith(`userloop ${argv[0]!}: `)).toBe(true);
    }
    expect(checksum(image)).toBe(before);
  });

  it('refuse what cannot fit before anything is written', async () => {
    const image = await makeImage(kind);
    const before = checksum(image);
    const big = path.join(temporaryFolder(), 'big');
    fs.writeFileSync(big, '');
    fs.truncateSync(big, 70 << 20);
    fs.writeFileSync(`${big}2`, Buffer.alloc(kind === 'fat32' ? 66 << 20 : 18 << 20, 'x'));
    const result = await userloop(['cp', `${big}2`, `${image}:/`]);
    expect(result).toMatchObject({ status: 1 });
    expect(result.stderr).toMatch(/does not fit: .* are needed, .* are free\n$/);
    expect(checksum(image)).toBe(before);
  });
});

describe('the verbs on what is no image', () => {
  it.each(['ls', 'tree', 'df', 'stat', 'find', 'inspect'])('%s says so', async (verb) => {
    const folder = temporaryFolder();
    const random = path.join(folder, 'random');
    fs.writeFileSync(
      random,
      Buffer.from(Array.from({ length: 9000 }, (_, i) => (i * 7919 + (i >> 3)) & 0xff)),
    );
    const empty = path.join(folder, 'empty');
    fs.writeFileSync(empty, '');
    for (const name of [random, empty, path.join(folder, 'none'), folder]) {
      const result = await userloop([verb, name]);
      if (verb === 'inspect' && (name === random || name === empty)) {
        expect(result.status).toBe(0);
        continue;
      }
      expect(result.status).toBe(1);
      expect(result.stderr.split('\n')).toHaveLength(2);
      expect(result.stderr).toContain(name);
    }
  });

  it.each([
    ['mkdir', ':/x'],
    ['touch', ':/x'],
    ['rm', ':/x'],
    ['chmod', ':/x'],
    ['cp', ':/x'],
  ])('%s leaves it alone', async (verb, suffix) => {
    const file = path.join(temporaryFolder(), 'text');
    fs.writeFileSync(file, 'no image, only text\n'.repeat(500));
    const before = checksum(file);
    const arguments_ = verb === 'chmod' ? ['644'] : verb === 'cp' ? [import.meta.filename] : [];
    const result = await userloop([verb, ...arguments_, file + suffix]);
    expect(result.status).toBe(1);
    expect(checksum(file)).toBe(before);
  });

  it('a file that may only be read is not written', async () => {
    const image = await makeImage('ext2');
    fs.chmodSync(image, 0o444);
    const before = checksum(image);
    const result = await userloop(['mkdir', `${image}:/d`]);
    // Root may write to it all the same.
    if (process.geteuid!() === 0) expect(result.status).toBe(0);
    else {
      expect(result.status).toBe(1);
      expect(result.stderr).toContain('Permission denied');
      expect(checksum(image)).toBe(before);
    }
  });

  it('wrong usage ends with 2 and names the help', async () => {
    for (const argv of [
      ['ls'],
      ['cp', 'a'],
      ['cp', 'a', 'b'],
      ['mv', 'a', 'b'],
      ['rm'],
      ['ln', 'x'],
      ['ls', '--none', 'x'],
      ['chmod', 'u+q', 'x:/y'],
      ['find', '-name', 'x'],
      ['find', 'x', '-exec', 'rm'],
      ['touch', '-d', 'someday', 'x:/y'],
    ]) {
      const result = await userloop(argv);
      expect([argv, result.status]).toEqual([argv, 2]);
      expect(result.stderr).toContain('--help');
    }
  });
});
