import { spawnSync } from '../support/programs.ts';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeFolders } from '../../src/host/make-folders.ts';
import { temporaryFolder } from '../support/tools.ts';

describe('folders', () => {
  it('are made as far as they are missing, with the mode', () => {
    const top = temporaryFolder();
    makeFolders(path.join(top, 'a/b/c'), 0o700);
    makeFolders(path.join(top, 'a/b/c/d'), 0o750);
    makeFolders(path.join(top, 'a/b'), 0o711);
    const modeOf = (name: string) => (fs.statSync(path.join(top, name)).mode & 0o777).toString(8);
    expect(['a', 'a/b', 'a/b/c', 'a/b/c/d'].map(modeOf)).toEqual(['700', '700', '700', '750']);
  });

  it('are not made where something else has the name', () => {
    const top = temporaryFolder();
    fs.writeFileSync(path.join(top, 'file'), '');
    fs.symlinkSync('absent', path.join(top, 'link'));
    expect(() => makeFolders(path.join(top, 'file'))).toThrow(/EEXIST/);
    expect(() => makeFolders(path.join(top, 'link'))).toThrow(/EEXIST/);
    expect(() => makeFolders(path.join(top, 'file/below'))).toThrow(/ENOTDIR/);
  });

  it.skipIf(process.platform !== 'linux')('end in an error where nothing can be made', () => {
    expect(() => makeFolders('/proc/none/of/these')).toThrow(/ENOENT/);
    // In a folder that was removed meanwhile.
    const program = `const { mkdirSync, rmdirSync } = require('node:fs');
      mkdirSync('gone'); process.chdir('gone'); rmdirSync('../gone');
      import(process.argv[1]).then(({ makeFolders }) => makeFolders('/proc/self/cwd/a/b'))
        .catch((error) => console.log(error.code));`;
    const file = path.resolve(import.meta.dirname, '../../dist/host/make-folders.js');
    if (!fs.existsSync(file)) return;
    const { stdout } = spawnSync(process.execPath, ['-e', program, file], {
      cwd: temporaryFolder(),
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect(stdout).toBe('ENOENT\n');
  });
});
