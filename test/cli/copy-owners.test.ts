import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createImage } from '../../src/host/create-image.ts';
import { nodeFs } from '../../src/host/node-fs.ts';
import { openImage } from '../../src/host/open-image.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

/** A folder with a file that is not the superuser's, whoever runs this. */
function someonesFolder(): string {
  const folder = temporaryFolder();
  fs.mkdirSync(path.join(folder, 'tree'));
  fs.writeFileSync(path.join(folder, 'tree/file'), 'content');
  if (process.getuid!() === 0) {
    fs.chownSync(path.join(folder, 'tree'), 1234, 567);
    fs.chownSync(path.join(folder, 'tree/file'), 1234, 567);
  }
  return folder;
}

describe('cp -r of files of another user', () => {
  it('goes into FAT without a word, since nobody asked for owners there', async () => {
    const cwd = someonesFolder();
    createImage(path.join(cwd, 'fat.img'), 1440 * 1024, { format: 'fat12' });
    expect(await userloop(['cp', '-r', 'tree', 'fat.img:/'], { cwd })).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await userloop(['cp', 'tree/file', 'fat.img:/copy'], { cwd })).toMatchObject({
      status: 0,
      stderr: '',
    });
    using image = openImage(path.join(cwd, 'fat.img'));
    const inside = nodeFs(image.fileSystem());
    expect(inside.readFileSync('/tree/file', 'utf8')).toBe('content');
    expect(inside.readFileSync('/copy', 'utf8')).toBe('content');
  });

  it('keeps them in ext2', async () => {
    const cwd = someonesFolder();
    createImage(path.join(cwd, 'ext.img'), 1440 * 1024, { format: 'ext2' });
    expect((await userloop(['cp', '-r', 'tree', 'ext.img:/'], { cwd })).status).toBe(0);
    using image = openImage(path.join(cwd, 'ext.img'));
    const { uid, gid } = fs.statSync(path.join(cwd, 'tree/file'));
    expect(nodeFs(image.fileSystem()).statSync('/tree/file')).toMatchObject({ uid, gid });
  });
});
