import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { spawnSync } from '../support/programs.ts';
import { describeWithTools, findTool, runTool, temporaryFolder } from '../support/tools.ts';
import { makeTortureTree } from '../support/torture-tree.ts';
import { checksum, describeFolder, makeImage, must } from '../support/verb-images.ts';
import { userloop } from '../support/run.ts';

const IS_ROOT = process.geteuid?.() === 0;

/** Real trees of this machine, where they are there; a small one of our own anywhere. */
const REAL_TREES = ['/usr/include', '/usr/share/doc', '/usr/lib/node_modules'].filter((folder) =>
  fs.existsSync(folder),
);

function checkExt(image: string): void {
  const result = runTool('e2fsck', ['-fn', image]);
  expect(`${result.status} ${result.stdout}`).toMatch(/^0 /);
}

function checkFat(image: string): void {
  const result = runTool('fsck.fat', ['-n', image]);
  expect(`${result.status} ${result.stdout}`).toMatch(/^0 /);
}

/** Mounts the image through the kernel, if that can be done here; says whether it was. */
function withKernelMount(image: string, body: (folder: string) => void): boolean {
  if (!IS_ROOT) return false;
  const folder = temporaryFolder();
  const mounted = spawnSync('mount', ['-t', 'ext2', '-o', 'loop,ro', image, folder], { encoding: 'utf8' });
  if (mounted.status !== 0) return false;
  try {
    body(folder);
  } finally {
    runTool('umount', [folder]);
  }
  return true;
}

describeWithTools(['e2fsck', 'fsck.fat', 'mcopy'], 'real trees', () => {
  it.each(REAL_TREES)('%s goes into ext2 and comes out the same', async (tree) => {
    const image = await makeImage('ext2', '400M');
    await must(['cp', '-a', tree, `${image}:/`]);
    checkExt(image);
    const out = temporaryFolder();
    await must(['cp', IS_ROOT ? '-a' : '-r', `${image}:/${path.basename(tree)}`, out]);
    const options = { withoutOwners: !IS_ROOT };
    const expected = describeFolder(tree, options);
    expect(describeFolder(path.join(out, path.basename(tree)), options)).toEqual(expected);
    withKernelMount(image, (folder) => {
      expect(describeFolder(path.join(folder, path.basename(tree)))).toEqual(describeFolder(tree));
    });
  });

  it.each(REAL_TREES)('%s goes into FAT32 and comes out the same, through mtools, too', async (tree) => {
    const image = await makeImage('fat32', '400M');
    const name = path.basename(tree);
    const result = await userloop(['cp', '-r', tree, `${image}:/`]);
    checkFat(image);
    // What FAT cannot hold is named, one line for each.
    const problems = result.stderr.trim() === '' ? [] : result.stderr.trim().split('\n');
    expect(result.status).toBe(problems.length > 0 ? 1 : 0);
    const named = new RegExp(`'[^']*/${name}/([^']*)'`);
    const refused = new Set(problems.map((line) => named.exec(line)?.[1] ?? line));
    const out = temporaryFolder();
    await must(['cp', '-r', `${image}:/${name}`, out]);
    const theirs = temporaryFolder();
    runTool('mcopy', ['-s', '-n', '-Q', '-i', image, `::/${name}`, theirs]);
    const expected = contents(tree, refused);
    expect(contents(path.join(out, name))).toEqual(expected);
    expect(contents(path.join(theirs, name))).toEqual(expected);
  });
});

/** Names and contents only. Without symlinks, which FAT cannot hold, and without `refused`. */
function contents(folder: string, refused: ReadonlySet<string> = new Set()): string[] {
  const lines: string[] = [];
  const walk = (relative: string): void => {
    for (const entry of fs.readdirSync(path.join(folder, relative), { withFileTypes: true })) {
      const each = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (refused.has(each)) continue;
      if (entry.isDirectory()) {
        lines.push(`${each}/`);
        walk(each);
      } else if (entry.isFile()) {
        lines.push(`${each} ${checksum(path.join(folder, each))}`);
      }
    }
  };
  walk('');
  return lines.sort();
}

describeWithTools(['e2fsck', 'debugfs'], 'the torture tree', () => {
  it('goes into ext2 and comes out the same', async () => {
    const folder = path.join(temporaryFolder(), 'tree');
    makeTortureTree(folder, { plain: false, crowd: 10_000 });
    const image = await makeImage('ext2', '96M', ['-N', '20000']);
    await must(['cp', '-a', folder, `${image}:/`]);
    checkExt(image);
    const out = temporaryFolder();
    await must(['cp', '-a', `${image}:/tree`, out]);
    const expected = describeFolder(folder);
    expect(describeFolder(path.join(out, 'tree'))).toEqual(expected);
    expect(xattrsOf(path.join(out, 'tree'))).toBe(xattrsOf(folder));
    // A sparse file comes out sparse, and lies in the image so.
    expect(fs.statSync(path.join(out, 'tree/sparse/five gibibytes')).blocks).toBeLessThan(200);
    expect(runTool('debugfs', ['-R', 'stat "/tree/sparse/five gibibytes"', image]).stdout).toMatch(
      /Size: 5368709120\n/,
    );
    const looked = withKernelMount(image, (mounted) => {
      expect(describeFolder(path.join(mounted, 'tree'))).toEqual(expected);
      expect(xattrsOf(path.join(mounted, 'tree'))).toBe(xattrsOf(folder));
    });
    if (process.env['CI'] === 'true' && IS_ROOT) expect(looked).toBe(true);

    // And from image to image.
    const second = await makeImage('ext2', '96M', ['-N', '20000', '-b', '4096']);
    await must(['cp', '-a', `${image}:/tree`, `${second}:/`]);
    checkExt(second);
    const third = temporaryFolder();
    await must(['cp', '-a', `${second}:/tree`, third]);
    expect(describeFolder(path.join(third, 'tree'))).toEqual(expected);
  });
});

/** As getfattr lists them, file by file, sorted. */
function xattrsOf(folder: string): string {
  if (findTool('getfattr') === undefined) return '';
  const { stdout } = runTool('getfattr', ['-R', '-h', '-d', '-m', '^user', '-e', 'hex', '.'], {
    cwd: folder,
  });
  return stdout.trim().split('\n\n').sort().join('\n\n');
}

describeWithTools(['fsck.fat', 'mcopy'], 'the plain part of the torture tree', () => {
  it.each([
    ['fat16', '64M'],
    ['fat32', '96M'],
  ] as const)('goes into %s and comes out the same, through mtools, too', async (kind, size) => {
    const folder = path.join(temporaryFolder(), 'tree');
    makeTortureTree(folder, { plain: true, crowd: 3000 });
    const image = await makeImage(kind, size);
    await must(['cp', '-r', folder, `${image}:/`]);
    checkFat(image);
    const out = temporaryFolder();
    await must(['cp', '-r', `${image}:/tree`, out]);
    expect(contents(path.join(out, 'tree'))).toEqual(contents(folder));
    const theirs = temporaryFolder();
    runTool('mcopy', ['-s', '-n', '-Q', '-i', image, '::/tree', theirs], { env: { MTOOLS_SKIP_CHECK: '1' } });
    expect(contents(path.join(theirs, 'tree')).filter((line) => line.startsWith('sizes/'))).toEqual(
      contents(folder).filter((line) => line.startsWith('sizes/')),
    );
    // Times on even seconds survive.
    for (const name of ['sizes/0', 'sizes/1', 'sizes/512', 'deep']) {
      expect(fs.statSync(path.join(out, 'tree', name)).mtimeMs).toBe(
        fs.statSync(path.join(folder, name)).mtimeMs,
      );
    }
  });

  it('names what FAT cannot hold and copies the rest', async () => {
    const folder = path.join(temporaryFolder(), 'tree');
    fs.mkdirSync(folder);
    for (const name of ['plain', 'Upper', 'upper', 'a:b', 'q?', 'longer name of a file.text'])
      fs.writeFileSync(path.join(folder, name), name);
    fs.symlinkSync('plain', path.join(folder, 'link'));
    fs.linkSync(path.join(folder, 'plain'), path.join(folder, 'second name'));
    const image = await makeImage('fat16');
    const result = await userloop(['cp', '-r', folder, `${image}:/`]);
    expect(result.status).toBe(1);
    const lines = result.stderr.trim().split('\n');
    expect(lines.filter((line) => line.includes("/a:b'"))).toHaveLength(1);
    expect(lines.filter((line) => line.includes("/q?'"))).toHaveLength(1);
    expect(lines.filter((line) => line.endsWith("/link': FAT16 has no symbolic links"))).toHaveLength(1);
    expect(
      lines.filter((line) => /\/upper': FAT16 cannot tell this name from one that was copied/.test(line)),
    ).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('userloop cp: 1 hard link'))).toHaveLength(1);
    expect(lines).toHaveLength(5);
    checkFat(image);
    expect((await must(['ls', `${image}:/tree`])).split('\n')).toEqual([
      'Upper',
      'longer name of a file.text',
      'plain',
      'second name',
      '',
    ]);
    expect(await must(['cat', `${image}:/tree/Upper`])).toBe('Upper');
    expect(await must(['cat', `${image}:/tree/second name`])).toBe('plain');
  });
});

describe('copies that must come out the same twice', () => {
  it.each(['ext2', 'fat32'] as const)('give the same %s image', async (kind) => {
    const folder = path.join(temporaryFolder(), 'tree');
    makeTortureTree(folder, { plain: kind === 'fat32', crowd: 300 });
    const first = await makeImage(kind, '64M');
    const second = path.join(temporaryFolder(), 'disk.img');
    const third = path.join(temporaryFolder(), 'disk.img');
    fs.copyFileSync(first, second);
    fs.copyFileSync(first, third);
    await must(['cp', '-r', '--reproducible', folder, `${first}:/`]);
    // Reading changes access times, and this changes the others.
    const now = Date.now() / 1000;
    for (const name of fs.readdirSync(path.join(folder, 'sizes')))
      fs.utimesSync(path.join(folder, 'sizes', name), now, now - 1000);
    await must(['cp', '-r', folder, `${second}:/`], { env: { SOURCE_DATE_EPOCH: '0' } });
    expect(checksum(second)).toBe(checksum(first));
    await must(['cp', '-r', folder, `${third}:/`], { env: { SOURCE_DATE_EPOCH: '1700000000' } });
    expect(checksum(third)).not.toBe(checksum(first));
    expect(JSON.parse(await must(['stat', '--json', `${third}:/tree/sizes/1`]))).toMatchObject([
      { modified: '2023-11-14T22:13:20.000000000Z' },
    ]);
  });
});
