import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeInShell, ShellUser } from '../support/user-shell.ts';
import { findTool, runTool } from '../support/tools.ts';
import { until } from '../support/until.ts';

let user: ShellUser;

beforeEach(() => {
  user = new ShellUser();
});

afterEach(() => {
  user.end();
});

/** What is not told by the test itself: nothing runs, and nothing is in the registry. */
function expectNothingLeft(): void {
  expect({ shells: user.shells(), processes: user.processes() }).toEqual({ shells: [], processes: [] });
}

describeInShell([], 'the shell', () => {
  it('has devices by name, which cannot be opened before they are attached', () => {
    const { stdout, stderr, status } = user.script(
      'id -u; ls /dev | grep -Ec "^(loop[0-7]|r?vnd[0-3][acij])$"; cat /dev/loop7 || echo status $?',
    );
    expect(stdout).toBe('0\n40\nstatus 1\n');
    expect(stderr).toContain('/dev/loop7: No such device or address');
    expect(status).toBe(0);
    expectNothingLeft();
  });

  it('has the rest of /dev, a table and a /mnt that can be written to, and shows none of it outside', () => {
    const table = fs.existsSync('/etc/fstab') ? fs.readFileSync('/etc/fstab', 'utf8') : '';
    const { stdout, stderr } = user.script(`
      echo x > /dev/null; head -c 3 /dev/zero | od -An -c; test -c /dev/fuse; test -d /dev/shm
      echo "/tmp/a.img /mnt/a ext2 user,loop 0 0" >> /etc/fstab; tail -n 1 /etc/fstab
      mkdir -p /mnt/of-the-shell/a && ls /mnt | grep of-the-shell
      for name in losetup mount umount mdconfig vnconfig newfs_msdos; do command -v $name; done`);
    expect(stderr).toBe('');
    expect(stdout).toContain('\\0  \\0  \\0');
    expect(stdout).toContain('/tmp/a.img /mnt/a ext2 user,loop 0 0\nof-the-shell\n');
    expect(stdout.match(/^\/dev\/\.userloop\/bin\//gm)).toHaveLength(6);
    expect(fs.existsSync('/mnt/of-the-shell')).toBe(process.getuid?.() !== 0 && mayWriteMnt());
    expect(fs.existsSync('/etc/fstab') ? fs.readFileSync('/etc/fstab', 'utf8') : '').toBe(table);
  });

  it('ends as its command does', () => {
    const status = (...command: string[]): number => user.userloop(['shell', '--', ...command]).status;
    expect(status('sh', '-c', 'exit 7')).toBe(7);
    expect(status('sh', '-c', 'kill -KILL $$')).toBe(137);
    expect(status('no-such-command')).toBe(127);
    expect(status('/etc/passwd')).toBe(126);
    expect(user.userloop(['shell'], { input: 'echo from the input\nexit 3\n' })).toMatchObject({
      status: 3,
      stdout: 'from the input\n',
    });
    expect(user.userloop(['shell', '--no-such-option']).status).toBe(2);
    expectNothingLeft();
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const)('passes %s on', async (signal) => {
    const name = signal.slice(3);
    const child = user.start(
      `trap "echo got ${name}; exit 9" ${name}; echo ready; while :; do sleep 0.05; done`,
    );
    let text = '';
    child.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await until(() => text.includes('ready'));
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([9, null]);
    expect(text).toContain(`got ${name}`);
    expectNothingLeft();
  });

  it('unmounts and detaches what is left open', () => {
    const { status, stderr } = user.script(`
      truncate -s 2M a.img; losetup /dev/loop3 a.img; mke2fs -q /dev/loop3; mkdir /mnt/x; mount /dev/loop3 /mnt/x
      echo kept > /mnt/x/file; vnconfig vnd1 a.img 2>/dev/null || true; mdconfig -s 1m`);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expectNothingLeft();
    const image = path.join(user.home, 'a.img');
    expect(runTool('e2fsck', ['-fn', image]).status).toBe(0);
    expect(runTool('debugfs', ['-R', 'cat /file', image]).stdout).toBe('kept\n');
  });

  it('leaves them with --keep, and finds them again with --enter', () => {
    const left = user.script(
      'truncate -s 2M a.img; losetup /dev/loop0 a.img; mke2fs -q /dev/loop0; mkdir /mnt/x; mount /dev/loop0 /mnt/x; echo 1 > /mnt/x/a',
      { options: ['--keep'] },
    );
    const number = /--enter (\d+)$/m.exec(left.stderr)?.[1];
    expect(left.stderr).toContain(`/dev/loop0: ${path.join(user.home, 'a.img')}\n    mounted on /mnt/x\n`);
    const socket = /nbd\+unix:\/\/\/\?socket=(\S+)/.exec(left.stderr)?.[1];
    expect(fs.statSync(socket!).isSocket()).toBe(true);
    expect(user.userloop(['shell', '--list']).stdout).toBe(
      `${number} kept: loop0 ${path.join(user.home, 'a.img')}\n`,
    );
    const entered = user.userloop(['shell', '--enter', number!, '--keep', '--', 'cat', '/mnt/x/a']);
    expect(entered).toMatchObject({ status: 0, stdout: '1\n' });
    const again = user.userloop([
      'shell',
      '-e',
      number!,
      '--',
      'sh',
      '-c',
      'losetup -a; echo 2 > /mnt/x/b; pwd',
    ]);
    expect(again.stdout).toMatch(new RegExp(`^/dev/loop0: .*a\\.img\\)\n${user.home}\n$`));
    expectNothingLeft();
    expect(runTool('e2fsck', ['-fn', path.join(user.home, 'a.img')]).status).toBe(0);
    expect(user.userloop(['shell', '--enter', number!, '--', 'true'])).toMatchObject({
      status: 1,
      stderr: `userloop shell: No shell of yours has the number ${number}; there is none\n`,
    });
  });

  it('is one of many, each with its own devices', async () => {
    fs.writeFileSync(path.join(user.home, 'go'), '');
    const one = user.start(
      'truncate -s 1M one; losetup /dev/loop0 one; echo ready; read -r line; losetup -a',
    );
    let text = '';
    one.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await until(() => text.includes('ready'));
    const two = user.script('losetup -f; truncate -s 1M two; losetup /dev/loop0 two; losetup -a');
    expect(two.stdout).toMatch(/^\/dev\/loop0\n\/dev\/loop0: .*\/two\)\n$/);
    one.stdin!.end('\n');
    await once(one, 'exit');
    expect(text).toMatch(/^ready\n\/dev\/loop0: .*\/one\)\n$/);
    expectNothingLeft();
  });

  it('can be opened in a shell, and has its own devices there', () => {
    const { stdout, status } = user.script(`
      truncate -s 1M outer inner; losetup /dev/loop0 outer; mdconfig outer >/dev/null 2>&1 || true
      userloop shell -- sh -ec 'losetup -f; losetup /dev/loop0 inner; losetup -a; cat /dev/md9 2>/dev/null || echo none'
      losetup -a`);
    expect(stdout).toMatch(/^\/dev\/loop0\n\/dev\/loop0: .*\/inner\)\nnone\n\/dev\/loop0: .*\/outer\)\n$/);
    expect(status).toBe(0);
    expectNothingLeft();
  });

  it('opens without a home, without an environment, and where its folder was deleted', () => {
    const gone = path.join(user.home, 'gone');
    const script = `mkdir "${gone}"; cd "${gone}"; rmdir "${gone}"; exec "${process.execPath}" "${user.program}" shell -- pwd`;
    expect(user.script(script)).toMatchObject({ status: 0, stdout: '/\n' });
    const bare = { USERLOOP_RUNTIME_DIR: user.runtime };
    const { stdout, status } = user.script('userloop --version; losetup -f', { env: bare });
    expect(stdout).toMatch(/^userloop .*\n\/dev\/loop0\n$/);
    expect(status).toBe(0);
    expectNothingLeft();
  });

  it('has a /dev in which nobody makes a plain file of a partition that has gone', () => {
    const { status, stdout, stderr } = user.script(`
      truncate -s 8M a.img b.img c.img d.img; losetup /dev/loop0 a.img
      echo start=2048 | sfdisk -q /dev/loop0; ls /dev/loop0*
      sfdisk -q --delete /dev/loop0
      dd if=/dev/zero of=/dev/loop0p1 count=1 || ls /dev/loop0*
      for name in b c d; do losetup -f $name.img & done; wait
      dd if=/dev/zero of=/dev/loop3 count=1 status=none; losetup -a | wc -l
      losetup -D; dd if=/dev/zero of=/dev/loop3 count=1 || echo '# line' >> /etc/fstab`);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: '/dev/loop0\n/dev/loop0p1\n/dev/loop0\n4\n',
    });
    expect(stderr).toBe(
      "dd: failed to open '/dev/loop0p1': Read-only file system\n" +
        "dd: failed to open '/dev/loop3': No such device or address\n",
    );
  });

  it('says why it cannot be opened, and what works without it', () => {
    // A program of that name in front of the system's, which answers as the kernel does where it is forbidden.
    const refusing = path.join(user.home, 'bin');
    fs.mkdirSync(refusing);
    const fake = '#!/bin/sh\necho "unshare: unshare failed: No space left on device" >&2\nexit 1\n';
    fs.writeFileSync(path.join(refusing, 'unshare'), fake, { mode: 0o755 });
    const env = { ...user.environment, PATH: `${refusing}:${user.environment['PATH']}` };
    const forbidden = user.userloop(['shell', '--', 'true'], { env });
    expect(forbidden.status).toBe(1);
    expect(forbidden.stderr).toMatch(/^userloop shell: unshare: unshare failed: No space left on device/);
    expect(forbidden.stderr).toContain('Without it: ');
    const far = path.join(user.home, 'x'.repeat(80));
    const tooLong = user.script('true', { env: { ...user.environment, USERLOOP_RUNTIME_DIR: far } });
    expect(tooLong.status).toBe(1);
    expect(tooLong.stderr).toContain('name a shorter folder in USERLOOP_RUNTIME_DIR');
    const noFuse = user.script(
      '/bin/mount -o remount,bind,rw,nosuid /dev; umount -l /dev/fuse; rm /dev/fuse; userloop shell -- true || echo status $?',
    );
    expect(noFuse.stdout).toBe('status 1\n');
    expect(noFuse.stderr).toContain('There is no /dev/fuse here');
    expectNothingLeft();
  });
});

describeInShell(['e2fsck'], 'a shell that is killed', () => {
  /** Starts one with a mounted device and returns its two halves. */
  async function startBusy(): Promise<{ outside: ReturnType<ShellUser['start']>; inside: number }> {
    const outside = user.start(
      'truncate -s 2M a.img; losetup /dev/loop0 a.img; mke2fs -q /dev/loop0; mkdir /mnt/x; mount /dev/loop0 /mnt/x; ' +
        'echo kept > /mnt/x/file; sync /mnt/x/file; echo ready; sleep 1000',
    );
    let text = '';
    outside.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await until(() => text.includes('ready'));
    expect(text).toBe('ready\n');
    return { outside, inside: Number(user.shells()[0]) };
  }

  it.each(['outside', 'inside', 'both'] as const)('leaves nothing: %s', async (half) => {
    const { outside, inside } = await startBusy();
    const ended = once(outside, 'exit');
    if (half !== 'inside') outside.kill('SIGKILL');
    if (half !== 'outside') process.kill(inside, 'SIGKILL');
    await ended;
    if (half === 'both') {
      // The device goes by itself; what else runs in there is ended by the next command.
      await until(() => user.processes().length <= 2);
      expect(user.userloop(['shell', '--list'])).toMatchObject({ status: 0, stdout: '' });
    }
    await until(() => user.processes().length === 0 && user.shells().length === 0);
    expectNothingLeft();
    const image = path.join(user.home, 'a.img');
    expect(runTool('e2fsck', ['-fn', image]).status).toBe(0);
    expect(runTool('debugfs', ['-R', 'cat /file', image]).stdout).toBe('kept\n');
  });
});

describeInShell(['script', 'bash'], 'a shell on a terminal', () => {
  it('shows where it is, and has job control', async () => {
    // script(1) gives it a terminal, on which this is typed once it has had time to ask for it.
    const typed = 'echo in $((40 + 2)); sleep 1000 &\\njobs; kill %%1; tty; exit 5\\n';
    const shell = `"${process.execPath}" "${user.program}" shell`;
    const { status, stdout } = user.run(
      ['sh', '-c', `( sleep 3; printf '${typed}'; sleep 3 ) | timeout 60 script -qec '${shell}' /dev/null`],
      { env: { ...user.environment, SHELL: findTool('bash')!, TERM: 'dumb' } },
    );
    expect(stdout).toContain('(userloop) ');
    expect(stdout).toMatch(/^in 42\r$/m);
    expect(stdout).toMatch(/^\[1\]\+ +Running +sleep 1000/m);
    expect(stdout).toMatch(/^\/dev\/.*pts\/\d+\r$/m);
    expect(status).toBe(5);
    await until(() => user.processes().length === 0);
    expectNothingLeft();
  });
});

function mayWriteMnt(): boolean {
  try {
    fs.accessSync('/mnt', fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
