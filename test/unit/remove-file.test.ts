import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { removeFile } from '../../src/host/remove-file.ts';
import { temporaryFolder } from '../support/tools.ts';

it('removes a file, a link and nothing, and says by its code why not', () => {
  const folder = temporaryFolder();
  const file = path.join(folder, 'file');
  fs.writeFileSync(file, '');
  fs.symlinkSync('absent', path.join(folder, 'link'));
  for (const name of ['file', 'link', 'absent']) removeFile(path.join(folder, name));
  expect(fs.readdirSync(folder)).toEqual([]);
  expect(() => removeFile('/proc/version')).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^E[A-Z]+$/) }),
  );
});
