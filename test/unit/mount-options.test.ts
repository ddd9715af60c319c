import { describe, expect, it } from 'vitest';
import { userMountOptions } from '../../src/cli/applets/mount/file-system-options.ts';
import { escapeField, parseFstab, unescapeField } from '../../src/cli/applets/mount/fstab.ts';
import { formatClassicLine, subtree } from '../../src/cli/applets/mount/mount-list.ts';
import { mountWishes } from '../../src/cli/applets/mount/mount-wishes.ts';
import { parseMountCommand } from '../../src/cli/applets/mount/command-line.ts';
import { formatOptionList, parseOptionList } from '../../src/cli/applets/mount/option-list.ts';
import { matchesOptionPattern } from '../../src/cli/applets/mount/option-pattern.ts';
import { matchesTypeList, mountMatchesTypeList } from '../../src/cli/applets/mount/type-list.ts';
import { MountFlag } from '../../src/host/native-mount.ts';
import { parseMountTable } from '../../src/host/mount-table.ts';

const wishesOf = (text: string) => mountWishes(parseOptionList(text), '/mnt');

describe('a list of options', () => {
  it('is cut at commas outside of quotes', () => {
    expect(parseOptionList('ro,,context="a,b",uid=,loop')).toEqual([
      { name: 'ro', value: undefined },
      { name: 'context', value: '"a,b"' },
      { name: 'uid', value: '' },
      { name: 'loop', value: undefined },
    ]);
    expect(parseOptionList('')).toEqual([]);
    expect(formatOptionList(parseOptionList('a=b=c,d'))).toBe('a=b=c,d');
  });

  it('gives flags, of which the later win', () => {
    expect(wishesOf('ro,rw').flags).toBe(0);
    expect(wishesOf('noexec,nosuid,exec').flags).toBe(MountFlag.noSuid);
    expect(wishesOf('user').flags).toBe(MountFlag.noExec | MountFlag.noSuid | MountFlag.noDev);
    expect(wishesOf('user,exec,dev').flags).toBe(MountFlag.noSuid);
    expect(wishesOf('owner').flags).toBe(MountFlag.noSuid | MountFlag.noDev);
    expect(wishesOf('user,nouser').users).toBeUndefined();
  });

  it('separates what is for mount, for others and for the file system', () => {
    const wishes = wishesOf(
      'loop=/dev/loop3,offset=1M,sizelimit=0x200,x-a=b,X-c,comment=d,_netdev,fat=12,uid=0',
    );
    expect(wishes.loop).toEqual({ device: '/dev/loop3' });
    expect([wishes.offset, wishes.sizeLimit]).toEqual([1 << 20, 512]);
    expect(formatOptionList(wishes.fileSystem)).toBe('fat=12,uid=0');
    expect(wishesOf('loop').loop).toEqual({ device: undefined });
    expect(wishesOf('rbind').operation).toBe(MountFlag.bind | MountFlag.recursive);
    expect(wishesOf('X-mount.mkdir=0700').makeDirectory).toBe(0o700);
  });

  it('refuses numbers that are none, naming all options', () => {
    const refusal = "/mnt: failed to parse mount options 'rw,offset=xyz': Invalid argument.";
    expect(() => wishesOf('rw,offset=xyz')).toThrow(refusal);
    for (const text of ['sizelimit=', 'offset', 'offset=-1', 'partition=0', 'partition=x', 'X-mount.mkdir=9'])
      expect(() => wishesOf(text), text).toThrow('failed to parse mount options');
    expect(() => wishesOf('X-mount.owner=root')).toThrow('"X-mount.owner" is not supported');
  });
});

describe('options for our own drivers', () => {
  const optionsOf = (text: string, family: 'fat' | 'ext' | undefined) =>
    userMountOptions(wishesOf(text), family, '/mnt');

  it('honours those of FAT', () => {
    expect(
      optionsOf(
        'ro,noatime,uid=0,gid=7,umask=022,dmask=077,fat=12,quiet,showexec,time_offset=-90,utf8',
        'fat',
      ),
    ).toEqual({
      readOnly: true,
      accessTime: 'none',
      uid: 0,
      gid: 7,
      fileMask: 0o022,
      directoryMask: 0o077,
      fatBits: 12,
      quiet: true,
      showExec: true,
      utcOffsetMinutes: -90,
      text: 'ro,noatime,uid=0,gid=7,umask=022,dmask=077,fat=12,quiet,showexec,time_offset=-90,utf8',
    });
    expect(optionsOf('tz=UTC,user,sync', 'fat')).toMatchObject({
      utcOffsetMinutes: 0,
      noExec: true,
      noSuid: true,
      noDev: true,
      synchronous: true,
    });
    expect(optionsOf('uid=root,gid=root', 'fat')).toMatchObject({ uid: 0, gid: 0 });
  });

  it.each([
    ['fat=13', 'fat', 'bad option "fat=13": it needs 12, 16 or 32.'],
    ['uid=no-such-user-here', 'fat', 'it needs the name or number of a user.'],
    ['umask=9', 'fat', 'it needs an octal number.'],
    ['iocharset=koi8-r', 'fat', 'it only takes utf8.'],
    ['shortname=winnt', 'fat', 'it only takes mixed.'],
    ['conv=text', 'fat', 'it only takes b, binary.'],
    ['cvf_format=x', 'fat', 'bad option "cvf_format=x": it is not supported.'],
    ['dotsOK=yes', 'fat', 'it is not supported.'],
    ['noload', 'fat', 'it is not one of FAT.'],
    ['fat=12', 'ext', 'it is not one of ext.'],
    ['errors=panic', 'ext', 'it only takes'],
    ['noload', 'ext', 'it needs ro'],
    ['data=journal', 'ext', 'it only takes ordered and writeback.'],
    ['data=ordered', 'fat', 'it is not one of FAT.'],
    ['commit=soon', 'ext', 'it needs seconds, 0 for the usual 5.'],
    ['barrier=2', 'ext', 'it only takes 0 and 1.'],
    ['delalloc', 'ext', 'it is not supported: blocks are taken at once, as with nodelalloc.'],
    ['auto_da_alloc=0', 'ext', 'it only takes 1.'],
    ['noauto_da_alloc', 'ext', 'bad option "noauto_da_alloc": it is not supported.'],
    ['acl', 'ext', 'bad option "acl": it is not supported.'],
    ['sb=32768', 'ext', 'bad option "sb=32768": it is not supported.'],
    ['discard', 'fat', 'it is not one of FAT.'],
    ['mand', 'ext', 'bad option "mand": it is not supported.'],
    ['lazytime', 'fat', 'bad option "lazytime": it is not supported.'],
  ] as const)('refuses %s on %s by name', (text, family, message) => {
    expect(() => optionsOf(text, family)).toThrow(message);
  });

  it('takes errors=remount-ro for what is read-only already', () => {
    expect(optionsOf('ro,errors=remount-ro', 'ext').readOnly).toBe(true);
    expect(() => optionsOf('errors=remount-ro', 'ext')).toThrow(
      'only takes continue, and with ro remount-ro',
    );
  });

  it('takes what is for the journal', () => {
    expect(optionsOf('data=writeback,commit=30', 'ext')).toMatchObject({
      journalMode: 'writeback',
      commitSeconds: 30,
    });
    expect(optionsOf('data=ordered,commit=0', 'ext')).toMatchObject({
      journalMode: 'ordered',
      commitSeconds: 5,
    });
    expect(optionsOf('ro,noload', 'ext').withoutReplay).toBe(true);
  });

  it('takes what is for the device below, the later of two', () => {
    expect(optionsOf('discard,nobarrier', 'ext')).toMatchObject({ discard: true, withoutBarriers: true });
    expect(optionsOf('discard,nodiscard', 'ext').discard).toBe(false);
    expect(optionsOf('barrier=0,barrier', 'ext').withoutBarriers).toBe(false);
    expect(optionsOf('barrier=0', 'ext').withoutBarriers).toBe(true);
    expect(optionsOf('journal_checksum', 'ext').journalChecksum).toBe(true);
  });

  it('takes what is for groups and access times', () => {
    expect(optionsOf('grpid', 'ext').groupOfDirectory).toBe(true);
    expect(optionsOf('bsdgroups,nogrpid', 'ext').groupOfDirectory).toBe(false);
    expect(optionsOf('nodiratime', 'ext')).toMatchObject({ directoryAccessTime: false });
  });
});

describe('the command line of mount', () => {
  it.each([
    [['-text2', '-oloop=/dev/loop0,offset=32256', '/path/to/c.img', '/mnt/wherever'], 'ext2', 2],
    [['/dev/loop0', '/mnt', '-t', 'msdos', '-o', 'fat=12'], 'msdos', 1],
    [['-tvfat', '/dev/loop0', '/mnt/wherever'], 'vfat', 0],
    [['-t', 'ext2', '/dev/loop0', '/mnt/myfloppy'], 'ext2', 0],
    [['-t', 'msdosfs', '/dev/md0', '/mnt/myfloppy'], 'msdosfs', 0],
  ])('reads %j', (argv, types, options) => {
    const command = parseMountCommand(argv);
    expect(command).toMatchObject({ action: 'mount', types });
    expect(command.source).toMatch(/^\//);
    expect(command.target).toMatch(/^\/mnt/);
    expect(command.options).toHaveLength(options);
  });

  it('takes one operand for either, and source and target by option', () => {
    expect(parseMountCommand(['/mnt'])).toMatchObject({ either: '/mnt', source: undefined });
    expect(parseMountCommand(['--source', 'a', '--target', 'b'])).toMatchObject({ source: 'a', target: 'b' });
    expect(parseMountCommand(['--target', 'b', 'a'])).toMatchObject({ source: 'a', target: 'b' });
    expect(parseMountCommand(['-L', 'x', 'b'])).toMatchObject({ source: 'LABEL="x"', target: 'b' });
    expect(parseMountCommand(['-r', '-w', 'a', 'b']).options.map(({ name }) => name)).toEqual(['ro', 'rw']);
  });

  it.each([[['a', 'b', 'c']], [['-o', 'ro']], [['-L', 'x', 'a', 'b']], [['-r']]])('refuses %j', (argv) => {
    expect(() => parseMountCommand(argv)).toThrow('bad usage');
  });

  it('refuses two ways to name the source', () => {
    expect(() => parseMountCommand(['-L', 'x', '-U', 'y', 'b'])).toThrow('mutually exclusive');
  });
});

describe('lists of types', () => {
  it.each([
    ['ext2', 'ext2,vfat', true],
    ['ext3', 'ext2,vfat', false],
    ['EXT2', 'ext2', true],
    ['ext2', 'noext2,vfat', false],
    ['vfat', 'noext2,vfat', false],
    ['xfs', 'noext2,vfat', true],
    ['ext2', 'ext2,novfat', true],
    ['vfat', 'ext2,novfat', false],
  ])('%s in %s: %s', (type, list, expected) => {
    expect(matchesTypeList(type, list)).toBe(expected);
  });

  it('knows mounted FUSE types by their bare name, too', () => {
    expect(mountMatchesTypeList('fuse.vfat', 'vfat')).toBe(true);
    expect(mountMatchesTypeList('fuse.vfat', 'fuse.vfat')).toBe(true);
    expect(mountMatchesTypeList('fuse.vfat', 'novfat')).toBe(false);
    expect(mountMatchesTypeList('fuse.vfat', 'noext2')).toBe(true);
  });
});

describe('patterns of options', () => {
  const options = parseOptionList('user,loop,uid=5,noauto');
  it.each([
    ['loop', true],
    ['loop,user', true],
    ['noloop', false],
    ['noro', true],
    ['uid=5', true],
    ['uid=6', false],
    ['uid', true],
    ['+noauto', true],
    ['loop,ro', false],
  ])('%s: %s', (pattern, expected) => {
    expect(matchesOptionPattern(options, pattern)).toBe(expected);
  });
});

describe('fstab', () => {
  it('has six fields, of which the last three may be left out', () => {
    const { entries, badLines } = parseFstab(
      '# comment\n\n/path/to/c.img    /mnt/wherever    ext2    user,loop    0 0\n' +
        '\tLABEL=x\t/mnt/a\\040b\\011c  auto\nonly two\n/a /b ext2 rw 1 2 more\n/a /b ext2 rw x 0\n',
    );
    expect(badLines).toEqual([5, 7]);
    expect(entries).toHaveLength(3);
    expect(entries[0]).toEqual({
      source: '/path/to/c.img',
      target: '/mnt/wherever',
      type: 'ext2',
      options: [
        { name: 'user', value: undefined },
        { name: 'loop', value: undefined },
      ],
      frequency: 0,
      pass: 0,
    });
    expect(entries[1]).toMatchObject({ target: '/mnt/a b\tc', frequency: 0 });
    expect(entries[2]).toMatchObject({ frequency: 1, pass: 2 });
  });

  it('escapes bytes in octal', () => {
    expect(unescapeField('a\\040b\\134\\043')).toBe('a b\\#');
    expect(unescapeField('\\303\\244 ä \\9')).toBe('ä ä \\9');
    expect(unescapeField(escapeField('a b\t\\#'))).toBe('a b\t\\#');
  });
});

describe('the list of mounts', () => {
  const table = parseMountTable(
    '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n' +
      '40 27 7:0 / /mnt/a\\040b ro,nosuid shared:7 master:1 - ext2 /dev/loop0 rw,errors=continue\n' +
      '41 40 0:9 / /mnt/a\\040b/x rw - tmpfs none rw\n',
  );

  it('joins the options of mount and file system', () => {
    expect(formatClassicLine(table[1]!, '/c.img', 'LABEL')).toBe(
      '/c.img on /mnt/a b type ext2 (ro,nosuid,errors=continue) [LABEL]\n',
    );
    expect(formatClassicLine(table[0]!, '/dev/vda')).toBe('/dev/vda on / type ext4 (rw,relatime)\n');
  });

  it('knows what lies on a mount, children first', () => {
    expect(subtree(table, table[1]!).map(({ id }) => id)).toEqual([41, 40]);
  });
});
