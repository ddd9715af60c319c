import fs from 'node:fs';
import { expect, test } from 'vitest';
import { VERSION } from '../../src/cli/version.ts';
import { userloop } from '../support/run.ts';

test('The version is that of package.json', async () => {
  const { version } = JSON.parse(fs.readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(VERSION).toBe(version);
  expect(await userloop(['--version'])).toMatchObject({ status: 0, stdout: `userloop ${version}\n` });
});
