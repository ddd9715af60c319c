import fs from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { spawnSync } from '../support/programs.ts';
import { findTool, temporaryFolder } from '../support/tools.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Where the package's names lead while the examples run: to the sources, as package.json leads to dist/. */
const ENTRIES: Readonly<Record<string, string>> = {
  userloop: path.join(ROOT, 'src/index.ts'),
  'userloop/core': path.join(ROOT, 'src/core.ts'),
};

interface Example {
  /** `src/host/open-image.ts:31`. */
  readonly place: string;
  readonly code: string;
}

/** Every block of three backticks and `language`, in doc comments and in Markdown. */
function examplesIn(file: string, language = 'ts'): Example[] {
  const lines = fs.readFileSync(path.join(ROOT, file), 'utf8').split('\n');
  const found: Example[] = [];
  let start = -1;
  for (const [index, line] of lines.entries()) {
    const text = file.endsWith('.ts') ? line.replace(/^\s*\* ?/, '') : line;
    if (start < 0 && text.trim() === `\`\`\`${language}`) start = index + 1;
    else if (start >= 0 && text.trim() === '```') {
      const code = lines
        .slice(start, index)
        .map((one) => (file.endsWith('.ts') ? one.replace(/^\s*\* ?/, '') : one));
      found.push({ place: `${file}:${start}`, code: code.join('\n') });
      start = -1;
    }
  }
  return found;
}

const sources = (fs.readdirSync(path.join(ROOT, 'src'), { recursive: true }) as string[])
  .filter((name) => name.endsWith('.ts'))
  .map((name) => path.join('src', name))
  .sort((a, b) => (a < b ? -1 : 1));
const examples = ['README.md', 'docs/architecture.md', ...sources].flatMap((file) => examplesIn(file));

/** Lines that say what is printed: `console.log(x); // printed text`. */
function promisesIn(code: string): string[] {
  return [...code.matchAll(/^\s*console\.log\(.*\); \/\/ (.+)$/gm)].map((match) => match[1]!);
}

describe('examples', () => {
  it('are there for the functions that a reader meets first', () => {
    const places = examples.map(({ place }) => place.replace(/:\d+$/, ''));
    for (const file of [
      'README.md',
      'src/host/open-image.ts',
      'src/host/create-image.ts',
      'src/host/node-fs.ts',
    ]) {
      expect(places).toContain(file);
    }
  });

  it.each(examples)('run: $place', async ({ code }) => {
    const folder = temporaryFolder();
    const program = path.join(folder, 'example.mjs');
    await build({
      stdin: { contents: code, loader: 'ts', resolveDir: ROOT },
      outfile: program,
      bundle: true,
      alias: ENTRIES,
      format: 'esm',
      platform: 'node',
      target: 'node20.19',
      // For the packages in CommonJS that an example may use.
      banner: {
        js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
      },
      logLevel: 'silent',
    });
    const { status, stdout, stderr } = spawnSync(process.execPath, [program], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1' },
    });
    expect([status, stderr]).toEqual([0, '']);
    const printed = stdout.split('\n').map((line) => line.trim());
    for (const promise of promisesIn(code)) expect(printed).toContain(promise);
  });

  // The program is the built one, as a reader has it; npm test builds before it tests.
  it
    .skipIf(findTool('sh') === undefined || !fs.existsSync(path.join(ROOT, 'dist/cli/userloop.js')))
    .each(examplesIn('README.md', 'sh'))('run in a shell: $place', ({ code }) => {
    const bin = path.join(ROOT, 'bin');
    const { status, stderr } = spawnSync('sh', ['-e', '-c', code], {
      cwd: temporaryFolder(),
      encoding: 'utf8',
      env: { ...process.env, PATH: `${bin}:${process.env['PATH']}` },
    });
    expect([status, stderr.replaceAll(/^mke2fs 1.*\n/gm, '').trim()]).toEqual([0, '']);
  });
});
