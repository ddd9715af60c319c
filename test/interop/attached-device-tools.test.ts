import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stageFolder } from '../support/boot-images.ts';
import { runTool } from '../support/tools.ts';
import { describeInShell, ShellUser } from '../support/user-shell.ts';

/**
 * The machine's own tools on the device files of an attached image, by an ordinary user outside of any shell of ours: no question and no failure
 * that a real device would not give, and the files of the partitions follow every change of the table. Whatever a tool asks is answered
 * with the end of its input, and so would fail.
 */

/** `nobody`, wherever there are users. */
const NAMED_USER = 65_534;

let user: ShellUser;

beforeAll(() => {
  user = new ShellUser(NAMED_USER);
});

afterAll(() => {
  user?.end();
});

/** Runs the commands with `$D` attached; all of them must succeed. What `losetup` is, is ours. */
function withDevice(commands: string): string {
  const image = path.join(user.home, 'disk.img');
  fs.rmSync(image, { force: true });
  const script = `
    losetup() { '${process.execPath}' '${user.program}' losetup --backend=user "$@"; }
    truncate -s 64M disk.img
    D=$(losetup --show -f disk.img)
    trap 'losetup -d "$D"' EXIT
    test -f "$D"
    ${commands}
    losetup -d "$D"
    trap - EXIT
    test -z "$(ls "$USERLOOP_RUNTIME_DIR/dev")"`;
  const { status, stdout, stderr } = user.run(['sh', '-e', '-c', script]);
  expect({ status, stderr, stdout }).toMatchObject({ status: 0 });
  expect(user.processes()).toEqual([]);
  return stdout;
}

describeInShell(
  ['mkfs.ext4', 'e2fsck', 'debugfs', 'dd', 'resize2fs', 'mkfs.fat', 'fsck.fat', 'qemu-img', 'cmp'],
  'attached devices, for the machine’s tools',
  () => {
    it('take file systems', () => {
      const stdout = withDevice(`
        mkfs.ext4 "$D"
        e2fsck -fn "$D"
        debugfs -w -R 'mkdir sub' "$D"
        debugfs -R 'ls -p /' "$D"
        resize2fs "$D" 32M
        e2fsck -fn "$D"
        mkfs.fat -I "$D"
        fsck.fat -n "$D"
        cmp "$D" disk.img`);
      expect(stdout).toMatch(/Discarding device blocks: .*done/);
      expect(stdout).toContain('/12/040755/0/0/sub/');
      expect(stdout).not.toMatch(/Proceed anyway/);
    });

    it('end where they end, for dd', () => {
      withDevice(`
        dd if=/dev/urandom of="$D" bs=1M count=64 status=none
        dd if="$D" of=copy bs=1M status=none
        cmp copy disk.img
        if dd if=/dev/zero of="$D" bs=1M 2> message; then exit 3; fi
        grep -q 'No space left on device' message
        dd if="$D" bs=1M skip=63 | wc -c | grep -qx 1048576
        rm copy message`);
    });

    it('go through qemu-img and back', () => {
      const stdout = withDevice(`
        mkfs.ext4 -q "$D"
        qemu-img info "$D"
        qemu-img convert -f raw -O qcow2 "$D" copy.qcow2
        qemu-img compare -f raw -F qcow2 "$D" copy.qcow2
        dd if=/dev/zero of="$D" bs=1M count=8 status=none
        qemu-img convert -n -f qcow2 -O raw copy.qcow2 "$D"
        e2fsck -fn "$D"
        rm copy.qcow2`);
      expect(stdout).toContain('virtual size: 64 MiB (67108864 bytes)');
      expect(stdout).toContain('Images are identical.');
    });
  },
);

describeInShell(
  ['fdisk', 'sfdisk', 'parted', 'mkfs.fat', 'mkfs.ext4', 'e2fsck'],
  'attached devices, partitioned',
  () => {
    it('have a file for each partition after every w', () => {
      const stdout = withDevice(`
      names() { ls "$(dirname "$D")" | sed 's/^loop[0-9]*//' | tr '\\n' ' '; }
      printf 'o\\nn\\np\\n1\\n\\n+20M\\nn\\np\\n2\\n\\n\\nt\\n1\\nc\\na\\n1\\nw\\n' | fdisk "$D" > /dev/null
      echo "fdisk: $(names)"
      mkfs.fat "$D"p1
      mkfs.ext4 -q "$D"p2
      e2fsck -fn "$D"p2
      printf 'd\\n1\\nw\\n' | fdisk "$D" > /dev/null
      echo "fdisk again: $(names)"
      e2fsck -fn "$D"p2
      printf ',10M,c\\n,10M\\n,\\n' | sfdisk --quiet --wipe always "$D"
      echo "sfdisk: $(names)"
      parted -s "$D" mklabel gpt mkpart a ext4 1MiB 20MiB mkpart b ext4 20MiB 100%
      echo "parted: $(names)"
      parted -s "$D" rm 1
      echo "parted again: $(names)"
      mkfs.ext4 -q "$D"p2
      e2fsck -fn "$D"p2`);
      const lines = stdout.split('\n').filter((line) => /^(fdisk|sfdisk|parted)/.test(line));
      expect(lines).toEqual([
        'fdisk:  p1 p2 ',
        'fdisk again:  p2 ',
        'sfdisk:  p1 p2 p3 ',
        'parted:  p1 p2 ',
        'parted again:  p2 ',
      ]);
    });
  },
);

describeInShell(['fdisk', 'sfdisk', 'sgdisk', 'parted'], 'attached devices, partitioned anew', () => {
  /** Runs each command with the device as `$D` and tells the files of the partitions, with their sizes in MiB, after it. */
  function filesAfter(commands: readonly string[]): string[] {
    const stdout = withDevice(`
      files() { for f in "$D"p*; do if test -e "$f"; then echo "$(echo "$f" | sed 's/.*loop[0-9]*//')=$(($(stat -L -c %s "$f") / 1048576))"; fi; done | sort -V | tr '\\n' ' '; }
      ${commands.map((command) => `${command} > /dev/null; echo "after: $(files)"`).join('\n')}`);
    return stdout
      .split('\n')
      .filter((line) => line.startsWith('after: '))
      .map((line) => line.slice(7).trim());
  }

  it('follow a GPT that sgdisk makes, fills, empties and zaps', () => {
    expect(
      filesAfter([
        'sgdisk -n 1:0:+10M -n 2:0:+20M -n 7:0:0 "$D"',
        'sgdisk -d 2 -d 1 -n 1:0:+5M "$D"',
        'sgdisk -o "$D"',
        'sgdisk -n 3:0:0 "$D"',
        'sgdisk -Z "$D"',
      ]),
    ).toEqual(['p1=10 p2=20 p7=32', 'p1=5 p7=32', '', 'p3=62', '']);
  });

  it('follow a GPT that fdisk, parted and sfdisk resize', () => {
    expect(
      filesAfter([
        'printf \'g\\nn\\n1\\n\\n+10M\\nn\\n2\\n\\n+10M\\nw\\n\' | fdisk "$D"',
        'parted -s "$D" resizepart 2 50MiB',
        'echo \',5M\' | sfdisk --quiet -N 1 "$D"',
        'printf \'d\\n1\\nn\\n3\\n\\n+3M\\nw\\n\' | fdisk "$D"',
        'sfdisk --quiet --delete "$D" 2',
      ]),
    ).toEqual(['p1=10 p2=10', 'p1=10 p2=39', 'p1=5 p2=39', 'p2=39 p3=3', 'p3=3']);
  });

  it('follow logical partitions that are made, deleted and resized', () => {
    expect(
      filesAfter([
        'printf \'o\\nn\\np\\n1\\n\\n+10M\\nn\\ne\\n2\\n\\n\\nn\\nl\\n\\n+8M\\nn\\nl\\n\\n+9M\\nn\\nl\\n\\n+5M\\nw\\n\' | fdisk "$D"',
        'printf \'d\\n5\\nw\\n\' | fdisk "$D"',
        'parted -s "$D" rm 6',
        'parted -s "$D" mkpart logical 40MiB 50MiB',
        'parted -s "$D" resizepart 6 60MiB',
        'printf \'label: dos\\n1 : size=10M\\n2 : size=40M, type=E\\n5 : size=5M\\n6 : size=6M\\n\' | sfdisk --quiet --wipe always "$D"',
        'sfdisk --quiet --delete "$D" 5',
        'printf \'d\\n2\\nw\\n\' | fdisk "$D"',
      ]),
    ).toEqual([
      'p1=10 p2=0 p5=8 p6=9 p7=5',
      'p1=10 p2=0 p5=9 p6=5',
      'p1=10 p2=0 p5=9',
      'p1=10 p2=0 p5=9 p6=10',
      'p1=10 p2=0 p5=9 p6=20',
      'p1=10 p2=0 p5=5 p6=6',
      'p1=10 p2=0 p5=6',
      'p1=10',
    ]);
  });
});

describeInShell(['grub', 'mkfs.ext2', 'debugfs', 'e2fsck'], 'attached devices, for GRUB', () => {
  it.skipIf(stageFolder() === undefined)('are made to boot', () => {
    const stdout = withDevice(`
      mkfs.ext2 -q "$D"
      printf '%s\\n' 'mkdir grub' 'cd grub' 'write ${stageFolder()}/stage1 stage1' 'write ${stageFolder()}/stage2 stage2' |
        debugfs -w "$D" > /dev/null
      echo "(fd0) $D" > device.map
      printf '%s\\n' 'root (fd0)' 'setup (fd0)' quit | grub --batch --device-map=device.map
      e2fsck -fn "$D"`);
    expect(stdout).toMatch(/Filesystem type is ext2fs, using whole disk/);
    expect(stdout).toMatch(
      /"install \/grub\/stage1 \(fd0\) \/grub\/stage2 p \/grub\/menu.lst "... succeeded/,
    );
    const sector = fs.readFileSync(path.join(user.home, 'disk.img')).subarray(0, 512);
    expect(sector.readUInt16LE(510)).toBe(0xaa55);
    expect(runTool('e2fsck', ['-fn', path.join(user.home, 'disk.img')]).status).toBe(0);
  });
});
