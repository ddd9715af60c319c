import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { spawnSync } from '../support/programs.ts';
import { canUseFuse } from '../support/attached.ts';
import { findTool, runTool, type ToolResult } from '../support/tools.ts';
import { ShellUser } from '../support/user-shell.ts';

/**
 * What a plain user may do with FUSE depends on /etc/fuse.conf and on the modes of /dev/fuse and fusermount3. Root gives him others, in
 * a mount namespace: nothing of it is seen outside.
 */
const NOBODY = 65534;
const STRANGER = 64_322;
const isPossible =
  process.getuid?.() === 0 &&
  canUseFuse() &&
  ['unshare', 'setpriv', 'fusermount3', 'mke2fs'].every((tool) => findTool(tool) !== undefined) &&
  fs.existsSync('/etc/fuse.conf');

describe.skipIf(!isPossible)('FUSE for a plain user [root, fusermount3, unshare, setpriv]', () => {
  let user: ShellUser;

  beforeEach(() => {
    user = new ShellUser(NOBODY);
    const image = path.join(user.home, 'disk.img');
    runTool('mke2fs', ['-q', '-F', '-t', 'ext2', '-E', `root_owner=${NOBODY}:${NOBODY}`, image, '2M']);
    fs.mkdirSync(path.join(user.home, 'mnt'));
    for (const name of ['', 'disk.img', 'mnt']) fs.chownSync(path.join(user.home, name), NOBODY, NOBODY);
  });

  afterEach(() => user.end());

  /** A script of root's in a mount namespace; in it `user COMMAND...` and `stranger COMMAND...`. */
  function script(text: string): ToolResult {
    const as = (name: string, uid: number): string =>
      `${name}() { setpriv --reuid=${uid} --regid=${uid} --clear-groups -- "$@"; }\n`;
    const own = `userloop() { user "${process.execPath}" "${user.program}" "$@"; }\n`;
    const setUp = `${as('user', NOBODY)}${as('stranger', STRANGER)}${own}cd "$HOME"\n`;
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', setUp + text],
      { cwd: '/', env: user.environment, encoding: 'utf8', timeout: 120_000 },
    );
    return { status: status ?? 128, stdout, stderr };
  }

  it('is his alone, unless allow_other lets others in, whom owners and modes then bind', () => {
    const { stdout, stderr } = script(`
      echo user_allow_other > fuse.conf; mount --bind fuse.conf /etc/fuse.conf
      userloop mount disk.img mnt
      stranger ls mnt
      userloop umount mnt
      userloop mount -o allow_other disk.img mnt
      user sh -c 'echo open > mnt/open; echo shut > mnt/shut; chmod 644 mnt/open; chmod 600 mnt/shut'
      stranger cat mnt/open
      stranger cat mnt/shut
      stranger touch mnt/new
      grep -F " $PWD/mnt " /proc/mounts | grep -o allow_other
      userloop umount mnt
      userloop list`);
    expect(stdout).toBe('open\nallow_other\n');
    expect(stderr.split('\n').map((line) => line.replace(/^(\w+): .*: /, '$1: '))).toEqual([
      'ls: Permission denied',
      'cat: Permission denied',
      'touch: Permission denied',
      '',
    ]);
  });

  it('says what allow_other needs', () => {
    const { status, stdout, stderr } = script(`
      : > fuse.conf; mount --bind fuse.conf /etc/fuse.conf
      userloop mount -o allow_other disk.img mnt`);
    expect([status, stdout]).toEqual([32, '']);
    expect(stderr).toMatch(
      /^mount: .*\/mnt: .*\/etc\/fuse\.conf has a line user_allow_other: as root, add it\.\n$/,
    );
    expect(script('userloop list').stdout).toBe('');
  });

  it('says who may not open /dev/fuse, in the shell, too', () => {
    const { stdout, stderr } = script(`
      mknod -m 600 fuse c 10 229; mount --bind fuse /dev/fuse
      userloop mount disk.img mnt || echo $?
      userloop shell -- true || echo $?
      userloop attach --name loop77 disk.img || echo $?
      userloop losetup -d /dev/loop77
      userloop losetup /dev/loop77 disk.img
      userloop detach loop77`);
    expect(stdout).toBe('32\n1\n/dev/loop77\n');
    const cause =
      '/dev/fuse has mode 0600 and may not be opened by this user: as root, run chmod 0666 /dev/fuse';
    expect(stderr.split(cause)).toHaveLength(5);
    expect(stderr).toContain(`userloop shell: ${cause}\n`);
    expect(stderr).toContain(
      `losetup: disk.img: Warning: no device files (${cause}): only userloop's own commands find loop77\n`,
    );
  });

  it('says who may not run fusermount3', () => {
    const program = findTool('fusermount3')!;
    const { stdout, stderr } = script(`
      cp "${program}" fusermount3; chmod 4750 fusermount3; mount --bind fusermount3 "${program}"
      userloop mount disk.img mnt || echo $?`);
    expect(stdout).toBe('32\n');
    expect(stderr).toContain(
      `mnt: cannot mount here: This user may not mount, and may not run ${program} either`,
    );
  });
});
