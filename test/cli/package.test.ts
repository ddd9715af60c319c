import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { spawnSync } from '../support/programs.ts';
import { findTool, temporaryFolder } from '../support/tools.ts';

/** The package as npm packs and installs it: what is in it, and what a project that depends on it meets. */
const ROOT = path.resolve(import.meta.dirname, '../..');
const isBuilt = fs.existsSync(path.join(ROOT, 'dist/index.d.ts'));

/** Names what it uses of both entries, so that their declarations are read to the end. */
const CONSUMER = `
import { FileDevice, type NodeFs, VERSION, createImage, nodeFs, openImage } from 'userloop';
import { type BlockDevice, DiskImage, FsError, MemoryDevice, formatFat } from 'userloop/core';
createImage('floppy.img', 1440 * 1024, { format: 'ext2', label: 'BOOT' });
{
  using image = openImage('floppy.img');
  const fs: NodeFs = nodeFs(image.fileSystem());
  fs.mkdirSync('/boot/grub', { recursive: true });
  const names: string[] = fs.readdirSync('/boot');
  console.log(names.join(' '), VERSION);
  try {
    fs.readFileSync('/absent');
  } catch (error) {
    console.log(error instanceof FsError && error.code);
  }
}
const device: BlockDevice = new MemoryDevice(1 << 20);
console.log(device.size, typeof formatFat, typeof DiskImage.open, typeof FileDevice.open);
`;

/** Types that a browser's worker has, and no Node's. */
const CORE_CONSUMER = `
import { DiskImage, MemoryDevice, PartitionTable, formatExt, plainNodeFs, readTable } from 'userloop/core';
export const names: unknown[] = [DiskImage, MemoryDevice, PartitionTable, formatExt, plainNodeFs, readTable];
`;

function run(program: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  expect([status, stderr], stdout).toEqual([0, '']);
  return stdout;
}

describe.skipIf(!isBuilt || findTool('npm') === undefined || findTool('tar') === undefined)(
  'the package',
  () => {
    const project = temporaryFolder();
    const installed = path.join(project, 'node_modules/userloop');
    let files: string[] = [];

    beforeAll(() => {
      const args = ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', project];
      const { stdout } = spawnSync('npm', args, { cwd: ROOT, encoding: 'utf8' });
      const parsed = JSON.parse(stdout) as unknown;
      // An array until npm 11, then by name.
      const [packed] = Object.values(
        parsed as Record<string, { filename: string; files: { path: string }[] }>,
      );
      files = packed!.files.map((file) => file.path);
      fs.mkdirSync(installed, { recursive: true });
      run(
        'tar',
        ['xzf', path.join(project, packed!.filename), '--strip-components=1', '-C', installed],
        project,
      );
      for (const name of ['cli-progress', '@types', 'koffi', '@koromix']) {
        const source = path.join(ROOT, 'node_modules', name);
        if (fs.existsSync(source)) fs.symlinkSync(source, path.join(project, 'node_modules', name));
      }
      fs.writeFileSync(path.join(project, 'package.json'), '{"type":"module"}');
    });

    it('has what it promises and nothing of the workshop', () => {
      const { bin, man, exports } = JSON.parse(
        fs.readFileSync(path.join(installed, 'package.json'), 'utf8'),
      ) as { bin: object; man: string[]; exports: object };
      const promised = JSON.stringify([bin, man, exports]).match(/(?<=")(?:\.\/)?(?:bin|dist|docs)\/[^"]*/g)!;
      expect(promised.length).toBeGreaterThan(45);
      for (const file of promised) expect(files).toContain(file.replace(/^\.\//, ''));
      expect(
        files.filter((file) => /^(test|bench|src|scripts|node_modules)\/|\.map$|(?<!\.d)\.ts$/.test(file)),
      ).toEqual([]);
      expect(files).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'CHANGELOG.md']));
    });

    it('knows all of its pages by name, as npm makes them known to man(1)', () => {
      const { man } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
        man: string[];
      };
      const pages = fs.readdirSync(path.join(ROOT, 'docs/man')).sort();
      expect(man).toEqual(pages.map((page) => `./docs/man/${page}`));
    });

    it('is built before it is packed', () => {
      const { scripts } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
        scripts: Record<string, string>;
      };
      expect(scripts['prepack']).toBe(scripts['build']);
    });

    it('tells nobody where it was built', () => {
      for (const file of files.filter((name) => name.startsWith('dist/cli/'))) {
        expect(fs.readFileSync(path.join(installed, file)).includes(ROOT), file).toBe(false);
      }
    });

    it('runs from where it is installed, also through a link of another name', () => {
      const program = path.join(installed, 'bin/userloop');
      expect(run(program, ['--version'], project)).toMatch(/^userloop \d/);
      fs.symlinkSync(program, path.join(project, 'mkfs.fat'));
      expect(run(path.join(project, 'mkfs.fat'), ['-C', 'floppy.fat', '1440'], project)).toMatch(
        /^mkfs.fat 4/,
      );
      expect(run(program, ['ls', 'floppy.fat:/'], project)).toBe('');
    });

    it('has types that hold under strict rules, and code that runs as they say', () => {
      fs.writeFileSync(path.join(project, 'consumer.ts'), CONSUMER);
      const tsc = path.join(ROOT, 'node_modules/.bin/tsc');
      const args = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
      run(
        tsc,
        [...args, '--target', 'es2022', '--module', 'nodenext', '--types', 'node', 'consumer.ts'],
        project,
      );
      const version = run(path.join(installed, 'bin/userloop'), ['--version'], project).trim().split(' ')[1];
      expect(run(process.execPath, ['consumer.js'], project).split('\n')).toEqual([
        `grub ${version}`,
        'ENOENT',
        '1048576 function function function',
        '',
      ]);
    });

    it('has a core whose types need neither Node nor a newer language than ES2022', () => {
      fs.writeFileSync(path.join(project, 'core-consumer.ts'), CORE_CONSUMER);
      fs.writeFileSync(
        path.join(project, 'tsconfig.json'),
        JSON.stringify({
          compilerOptions: {
            strict: true,
            target: 'es2022',
            lib: ['es2022', 'dom'],
            module: 'esnext',
            moduleResolution: 'bundler',
            types: [],
            noEmit: true,
          },
          files: ['core-consumer.ts'],
        }),
      );
      run(path.join(ROOT, 'node_modules/.bin/tsc'), ['-p', '.'], project);
    });

    it('can be required from CommonJS', () => {
      fs.writeFileSync(
        path.join(project, 'consumer.cjs'),
        "console.log(typeof require('userloop').openImage, typeof require('userloop/core').DiskImage.open);",
      );
      expect(run(process.execPath, ['consumer.cjs'], project)).toBe('function function\n');
    });
  },
);
