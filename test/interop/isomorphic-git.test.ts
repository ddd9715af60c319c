import fs from 'node:fs';
import path from 'node:path';
import git, { type FsClient } from 'isomorphic-git';
import { describe, expect, it } from 'vitest';
import { createImage, type Format } from '../../src/host/create-image.ts';
import { type NodeFs, nodeFs } from '../../src/host/node-fs.ts';
import { openImage } from '../../src/host/open-image.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

const author = { name: 'A Committer', email: 'a@example.org', timestamp: 1_700_000_000, timezoneOffset: 0 };

const CHECKS: Readonly<Record<string, readonly [tool: string, ...args: string[]]>> = {
  ext2: ['e2fsck', '-fn'],
  fat32: ['fsck.fat', '-n'],
};

/** The face without `promises`: isomorphic-git then takes the callbacks. */
function callbacksOnly({ promises: _promises, ...callbacks }: NodeFs): FsClient {
  return callbacks;
}

async function commitFile(client: FsClient, face: NodeFs, name: string, content: string): Promise<string> {
  const dir = '/repository';
  face.mkdirSync(path.posix.dirname(`${dir}/${name}`), { recursive: true });
  face.writeFileSync(`${dir}/${name}`, content);
  await git.add({ fs: client, dir, filepath: name });
  return git.commit({ fs: client, dir, message: `change ${name}`, author });
}

describe.each([
  ['ext2', 32, 'promises'],
  ['fat32', 64, 'promises'],
  ['ext2', 32, 'callbacks'],
  ['fat32', 64, 'callbacks'],
] as const)(
  'isomorphic-git inside %s (%i MiB) through the %s of nodeFs',
  (format: Format, mebibytes, kind) => {
    it('makes a repository, commits, branches, checks out, and the image stays clean', async () => {
      const file = path.join(temporaryFolder(), 'git.img');
      createImage(file, mebibytes * 1024 * 1024, { format });
      const dir = '/repository';
      {
        using image = openImage(file);
        const face = nodeFs(image.fileSystem());
        const client: FsClient = kind === 'promises' ? face : callbacksOnly(face);
        await git.init({ fs: client, dir, defaultBranch: 'main' });
        const first = await commitFile(client, face, 'README', 'one\n');
        await commitFile(client, face, 'src/deep/Grüße.txt', 'Hallo\n');
        await git.branch({ fs: client, dir, ref: 'other', checkout: true });
        await commitFile(client, face, 'README', 'two\n');
        expect(await git.listBranches({ fs: client, dir })).toEqual(['main', 'other']);
        await git.checkout({ fs: client, dir, ref: 'main' });
        expect(face.readFileSync(`${dir}/README`, 'utf8')).toBe('one\n');
        await git.checkout({ fs: client, dir, ref: first, force: true });
        expect(face.existsSync(`${dir}/src/deep/Grüße.txt`)).toBe(false);
        await git.checkout({ fs: client, dir, ref: 'other' });
      }
      {
        using image = openImage(file);
        const face = nodeFs(image.fileSystem());
        const log = await git.log({ fs: face, dir });
        expect(log.map(({ commit }) => commit.message)).toEqual([
          'change README\n',
          'change src/deep/Grüße.txt\n',
          'change README\n',
        ]);
        expect(face.readFileSync(`${dir}/README`, 'utf8')).toBe('two\n');
        expect(await git.statusMatrix({ fs: face, dir })).toEqual([
          ['README', 1, 1, 1],
          ['src/deep/Grüße.txt', 1, 1, 1],
        ]);
        checkWithGit(face, dir);
      }
      const [tool, ...args] = CHECKS[format]!;
      if (findTool(tool) !== undefined) expect(runTool(tool, [...args, file])).toMatchObject({ status: 0 });
      else expect(process.env['CI']).not.toBe('true');
    });
  },
);

/** git itself reads what was written, where it is there: the repository is copied out byte by byte. */
function checkWithGit(face: NodeFs, dir: string): void {
  if (findTool('git') === undefined) return;
  const copy = temporaryFolder();
  for (const entry of face.readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const below = path.posix.relative(dir, path.posix.join(entry.parentPath, entry.name));
    const target = path.join(copy, below);
    if (entry.isDirectory()) fs.mkdirSync(target, { recursive: true });
    else {
      fs.mkdirSync(path.dirname(target), { recursive: true });
      fs.writeFileSync(target, face.readFileSync(path.posix.join(dir, below)));
    }
  }
  const env = { HOME: copy, GIT_CONFIG_NOSYSTEM: '1' };
  const fsck = runTool('git', ['-C', copy, 'fsck', '--full', '--strict'], { env });
  expect([fsck.status, fsck.stdout]).toEqual([0, '']);
  const log = runTool('git', ['-C', copy, 'log', '--format=%s', 'other'], { env });
  expect(log.stdout).toBe('change README\nchange src/deep/Grüße.txt\nchange README\n');
}
