import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { spawnSync } from '../support/programs.ts';
import { type Limits, setUserLimits } from '../support/quota-limits.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

const isRoot = process.getuid!() === 0;
/** Who is bound by limits: who runs this, unless that is root. */
const user = isRoot ? 1000 : process.getuid!();

let mounted: MountedImage | undefined;

afterEach(async () => {
  await mounted?.close();
  mounted = undefined;
});

function newVolume(limits: Limits, features: string): string {
  const image = path.join(temporaryFolder(), 'disk.img');
  const owner = `root_owner=${user}:${user}`;
  const made = runTool('mke2fs', [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-b',
    '4096',
    '-O',
    features,
    '-E',
    owner,
    image,
    '32M',
  ]);
  expect(made.status, made.stderr).toBe(0);
  setUserLimits(image, user, limits);
  return image;
}

/** A shell's script, by the user. */
function run(script: string, by = user): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script], {
    encoding: 'utf8',
    cwd: mounted!.directory,
    env: { ...process.env, LC_ALL: 'C' },
    ...(isRoot && { uid: by, gid: by }),
  });
  return { status, stdout, stderr };
}

function expectClean(image: string): void {
  const { status, stdout, stderr } = runTool('e2fsck', ['-fn', image]);
  expect(stdout + stderr).not.toMatch(/\? no\n|WARNING/);
  expect(status).toBe(0);
}

describeWithMounts(
  ['mke2fs', 'e2fsck', 'debugfs', 'dumpe2fs', 'chattr', 'lsattr'],
  'quotas of a mounted file system',
  () => {
    it('refuses what is above a limit with EDQUOT, and counts on', async () => {
      const image = newVolume({ hardSpace: 100, hardNodes: 6 }, 'quota');
      mounted = new MountedImage(image);
      await mounted.mount({ quotaLimits: ['user'] });
      const full = run('dd if=/dev/zero of=a bs=4k count=50');
      expect(full.stderr).toMatch(/error writing 'a': Disk quota exceeded/);
      // The root directory has 4 KiB of the 100.
      expect(fs.statSync(path.join(mounted.directory, 'a')).size).toBe(96 << 10);
      expect(run('mkdir d').stderr).toMatch(/Disk quota exceeded/);
      expect(run('truncate -s 10000 a; touch b c d e f').stderr).toMatch(/'f': Disk quota exceeded/);
      expect(run('rm b && touch f && ls | wc -l').stdout.trim()).toBe('6');
      if (isRoot) {
        expect(run('dd if=/dev/zero of=a bs=4k count=50 2>&1 && touch root', 0).status).toBe(0);
        expect(run('dd if=/dev/zero of=a bs=4k count=50 conv=notrunc').status).toBe(0);
        expect(run('head -c 5000 /dev/zero >> a').status).toBe(1);
      }
      await mounted.unmount();
      expect(mounted.log).toEqual([]);
      expectClean(image);
    });

    it('counts without limits where these were not asked for', async () => {
      const image = newVolume({ hardSpace: 100, hardNodes: 6 }, 'quota');
      mounted = new MountedImage(image);
      await mounted.mount();
      expect(run('for i in 1 2 3 4 5 6 7 8; do head -c 30000 /dev/zero > $i; done').status).toBe(0);
      await mounted.unmount();
      expectClean(image);
      expect(runTool('debugfs', ['-R', 'list_quota user', image]).stdout).toMatch(
        new RegExp(`${user} +${4096 + 8 * 32_768} +0 +100 +9 +0 +6\n`),
      );
    });

    it('gives files and directories projects', async () => {
      const image = newVolume({}, 'quota,project');
      mounted = new MountedImage(image);
      await mounted.mount({ quotaLimits: ['project'] });
      expect(run('mkdir p && chattr -p 77 +P p && echo x > p/f && echo y > g && chattr -p 5 g').stderr).toBe(
        '',
      );
      expect(run('lsattr -p -d p p/f g').stdout.replaceAll(/[ -]+/g, ' ').trim()).toBe(
        '77 e P p\n 77 e p/f\n 5 e g',
      );
      expect(run('ln g p/g').stderr).toMatch(/Invalid cross-device link/);
      expect(run('chattr +d g').stderr).toMatch(/Operation not supported/);
      expect(run('chattr -P p && echo z > p/h && lsattr -p p/h').stdout).toMatch(/^ +0 /);
      await mounted.unmount();
      expectClean(image);
      const list = runTool('debugfs', ['-R', 'list_quota project', image]).stdout;
      expect(list).toMatch(/ 77 +8192 +0 +0 +2 +/);
      expect(list).toMatch(/ 5 +4096 +0 +0 +1 +/);
    });

    it('refuses limits of quotas that the volume does not keep', async () => {
      const image = newVolume({}, 'quota');
      mounted = new MountedImage(image);
      await expect(mounted.mount({ quotaLimits: ['user', 'project'] })).rejects.toThrow(
        /limits for each project need quotas of that kind/,
      );
    });
  },
);
