import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';
import { userloop } from '../support/run.ts';
import { makeImage, must } from '../support/verb-images.ts';

async function statOf(place: string): Promise<Record<string, unknown>> {
  return (JSON.parse(await must(['stat', '--json', place])) as [Record<string, unknown>])[0];
}

describe('chmod', () => {
  it('takes octal and symbolic modes', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['touch', `${image}:/f`]);
    await must(['mkdir', `${image}:/d`]);
    for (const [change, mode] of [
      ['600', '0600'],
      ['u+x', '0700'],
      ['g=u', '0770'],
      ['o+r,g-w', '0754'],
      ['a=rX', '0555'],
      ['4755', '4755'],
      ['u-s,+t', '1755'],
      ['-x', '1644'],
      ['a+X', '1644'],
      ['ug=rw,o=', '0660'],
    ] as const) {
      await must(['chmod', change, `${image}:/f`]);
      expect([change, (await statOf(`${image}:/f`))['mode']]).toEqual([change, mode]);
    }
    await must(['chmod', '2775', `${image}:/d`]);
    await must(['chmod', '755', `${image}:/d`]);
    expect((await statOf(`${image}:/d`))['mode']).toBe('2755');
    await must(['chmod', '00755', `${image}:/d`]);
    expect((await statOf(`${image}:/d`))['mode']).toBe('0755');
  });

  it('goes through a tree with -R and leaves symlinks alone', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['mkdir', '-p', `${image}:/a/b`]);
    await must(['touch', `${image}:/a/b/f`, `${image}:/outside`]);
    await must(['ln', '-s', '/outside', `${image}:/a/link`]);
    await must(['chmod', '-R', 'go-rwx', `${image}:/a`]);
    expect((await statOf(`${image}:/a/b/f`))['mode']).toBe('0600');
    expect((await statOf(`${image}:/a/b`))['mode']).toBe('0700');
    expect((await statOf(`${image}:/outside`))['mode']).toBe('0644');
  });

  it('sets the read-only attribute of FAT and says what FAT cannot hold', async () => {
    const image = await makeImage('fat12');
    await must(['touch', `${image}:/f`]);
    await must(['chmod', 'a-w', `${image}:/f`]);
    expect(Number((await statOf(`${image}:/f`))['dosAttributes']) & 1).toBe(1);
    await must(['chmod', 'a+w', `${image}:/f`]);
    expect(Number((await statOf(`${image}:/f`))['dosAttributes']) & 1).toBe(0);
    expect(await userloop(['chmod', '755', `${image}:/f`])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/FAT cannot hold mode 0755/),
    });
  });
});

describe('chown', () => {
  it('takes numbers, and names that the image has', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['mkdir', '-p', `${image}:/etc`]);
    await must(['touch', `${image}:/f`]);
    await must(['chown', '1000:70000', `${image}:/f`]);
    expect(await statOf(`${image}:/f`)).toMatchObject({ uid: 1000, gid: 70000 });
    expect((await userloop(['chown', 'alice', `${image}:/f`])).status).toBe(2 - 1);
    await must(['cp', '-', `${image}:/etc/passwd`], {
      stdin: 'root:x:0:0::/:/bin/sh\nalice:x:1001:1002::/:/bin/sh\n',
    });
    await must(['cp', '-', `${image}:/etc/group`], { stdin: 'root:x:0:\nstaff:x:50:\nalice:x:1002:\n' });
    await must(['chown', 'alice', `${image}:/f`]);
    expect(await statOf(`${image}:/f`)).toMatchObject({ uid: 1001, gid: 70000 });
    await must(['chown', 'alice:', `${image}:/f`]);
    expect(await statOf(`${image}:/f`)).toMatchObject({ uid: 1001, gid: 1002 });
    await must(['chown', ':staff', `${image}:/f`]);
    expect(await statOf(`${image}:/f`)).toMatchObject({ uid: 1001, gid: 50 });
    expect(await must(['ls', '-l', `${image}:/f`])).toMatch(/^-rw-r--r-- 1 alice staff 0 /);
    expect(await must(['ls', '-n', `${image}:/f`])).toMatch(/^-rw-r--r-- 1 1001 50 0 /);
  });

  it('takes setuid from a program, as the kernel does', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['touch', `${image}:/f`]);
    await must(['chmod', '6755', `${image}:/f`]);
    await must(['chown', '5', `${image}:/f`]);
    expect((await statOf(`${image}:/f`))['mode']).toBe('0755');
  });
});

describe('touch', () => {
  it('sets times exactly', async () => {
    const image = await makeImage('ext2', '2M', ['-I', '256']);
    await must(['touch', '-d', '@1234567890.123456789', `${image}:/f`]);
    expect(await statOf(`${image}:/f`)).toMatchObject({
      modified: '2009-02-13T23:31:30.123456789Z',
      accessed: '2009-02-13T23:31:30.123456789Z',
    });
    await must(['touch', '-m', '-d', '2001-02-03 04:05:06Z', `${image}:/f`]);
    expect(await statOf(`${image}:/f`)).toMatchObject({
      modified: '2001-02-03T04:05:06.000000000Z',
      accessed: '2009-02-13T23:31:30.123456789Z',
    });
    await must(['touch', '-r', `${image}:/f`, `${image}:/g`]);
    expect(await statOf(`${image}:/g`)).toMatchObject({ modified: '2001-02-03T04:05:06.000000000Z' });
    await must(['touch', '-t', '203001021530.15', `${image}:/g`]);
    const local = new Date(2030, 0, 2, 15, 30, 15).toISOString().replace('.000Z', '.000000000Z');
    expect(await statOf(`${image}:/g`)).toMatchObject({ modified: local });
    await must(['touch', '-c', `${image}:/none`]);
    expect((await userloop(['stat', `${image}:/none`])).status).toBe(1);
    for (const bad of ['202613011200', '20260230', 'x', '202602301200']) {
      expect((await userloop(['touch', '-t', bad, `${image}:/g`])).status).toBe(2);
    }
  });

  it('SOURCE_DATE_EPOCH is the time of everything that is made', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['touch', `${image}:/f`], { env: { SOURCE_DATE_EPOCH: '1000000000' } });
    expect(await statOf(`${image}:/f`)).toMatchObject({
      modified: '2001-09-09T01:46:40.000000000Z',
      changed: '2001-09-09T01:46:40.000000000Z',
    });
  });
});

describe('ln', () => {
  it('makes hard and symbolic links', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['cp', '-', `${image}:/f`], { stdin: 'content' });
    await must(['mkdir', `${image}:/d`]);
    await must(['ln', `${image}:/f`, `${image}:/g`]);
    await must(['ln', `${image}:/f`, `${image}:/d`]);
    expect(await statOf(`${image}:/d/f`)).toMatchObject({ links: 3 });
    await must(['ln', '-s', '../f', `${image}:/d/link`]);
    expect(await must(['cat', `${image}:/d/link`])).toBe('content');
    expect((await userloop(['ln', '-s', 'x', `${image}:/g`])).stderr).toMatch(/File exists\n$/);
    await must(['ln', '-sf', 'd/link', `${image}:/g`]);
    expect(await must(['cat', `${image}:/g`])).toBe('content');
    expect((await userloop(['ln', `${image}:/d`, `${image}:/e`])).status).toBe(1);
    const fat = await makeImage('fat12');
    expect(await userloop(['ln', '-s', 'x', `${fat}:/l`])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/no symbolic links/),
    });
    expect((await userloop(['ln', `${image}:/f`, `${fat}:/l`])).status).toBe(1);
  });
});

describe('cp', () => {
  it('follows the rules of cp(1) for where things go', async () => {
    const host = temporaryFolder();
    fs.mkdirSync(path.join(host, 'src/sub'), { recursive: true });
    fs.writeFileSync(path.join(host, 'src/f'), 'f');
    fs.writeFileSync(path.join(host, 'src/sub/g'), 'g');
    fs.writeFileSync(path.join(host, 'one'), '1');
    const image = await makeImage('ext2', '2M');
    const at = { cwd: host };
    const list = async (place: string): Promise<string> =>
      (await must(['find', place, '-type', 'f'])).replaceAll(`${image}:`, '');
    await must(['cp', 'one', `${image}:/two`], at);
    await must(['cp', 'one', `${image}:/`], at);
    await must(['cp', '-r', 'src', `${image}:/copy`], at);
    expect(await list(`${image}:/copy`)).toBe('/copy/f\n/copy/sub/g\n');
    await must(['cp', '-r', 'src', `${image}:/copy`], at);
    expect(await list(`${image}:/copy/src`)).toBe('/copy/src/f\n/copy/src/sub/g\n');
    await must(['cp', '-r', 'src/.', `${image}:/contents`], at);
    await must(['cp', '-r', 'src/.', `${image}:/contents`], at);
    expect(await list(`${image}:/contents`)).toBe('/contents/f\n/contents/sub/g\n');
    await must(['cp', '-rT', 'src', `${image}:/contents`], at);
    expect(await list(`${image}:/contents`)).toBe('/contents/f\n/contents/sub/g\n');
    await must(['cp', 'one', 'src/f', `${image}:/copy/sub`], at);
    expect(await list(`${image}:/copy/sub`)).toBe('/copy/sub/f\n/copy/sub/g\n/copy/sub/one\n');
    expect((await userloop(['cp', 'one', 'src/f', `${image}:/none`], at)).status).toBe(1);
    expect((await userloop(['cp', 'one', 'src/f', `${image}:/two`], at)).status).toBe(1);
    await must(['cp', `${image}:/two`, `${image}:/copy/f`, '.'], at);
    expect(fs.readFileSync(path.join(host, 'two'), 'utf8')).toBe('1');
    await must(['cp', '-r', `${image}:/contents`, 'new'], at);
    expect(fs.readFileSync(path.join(host, 'new/sub/g'), 'utf8')).toBe('g');
    const twice = await userloop(['cp', 'one', 'src/../one', `${image}:/copy`], at);
    expect(twice).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/cannot tell this name from one/),
    });
  });

  it('-n keeps what is there, and without it a file is overwritten in place', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['cp', '-', `${image}:/f`], { stdin: 'a long first content' });
    await must(['ln', `${image}:/f`, `${image}:/g`]);
    const host = temporaryFolder();
    fs.writeFileSync(path.join(host, 'f'), 'short');
    await must(['cp', '-n', path.join(host, 'f'), `${image}:/`]);
    expect(await must(['cat', `${image}:/f`])).toBe('a long first content');
    await must(['cp', path.join(host, 'f'), `${image}:/`]);
    expect(await must(['cat', `${image}:/g`])).toBe('short');
  });

  it('-L copies what is behind symlinks, also twice, and ends where they lead in a circle', async () => {
    const host = path.join(temporaryFolder(), 'd');
    fs.mkdirSync(path.join(host, 'real'), { recursive: true });
    fs.writeFileSync(path.join(host, 'real/f'), 'content');
    fs.symlinkSync('real', path.join(host, 'again'));
    fs.symlinkSync('real/f', path.join(host, 'file'));
    fs.symlinkSync('.', path.join(host, 'circle'));
    const image = await makeImage('ext2', '2M');
    const result = await userloop(['cp', '-rL', host, `${image}:/`]);
    expect(result).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /^userloop cp: cannot copy '.*\/circle': The directory was reached before.*\n$/,
      ),
    });
    expect((await must(['find', `${image}:/d`, '-type', 'f'])).replaceAll(`${image}:`, '')).toBe(
      '/d/again/f\n/d/file\n/d/real/f\n',
    );
    await must(['cp', '-r', `${image}:/d`, `${image}:/d/real`, `${host}/real`]);
    expect(fs.readFileSync(path.join(host, 'real/d/real/f'), 'utf8')).toBe('content');
    await must(['cp', '-rH', path.join(host, 'again'), `${image}:/followed`]);
    expect(await must(['ls', `${image}:/followed`])).toContain('f\n');
  });

  it('--owner gives everything to somebody else', async () => {
    const host = temporaryFolder();
    fs.writeFileSync(path.join(host, 'f'), 'x');
    const image = await makeImage('ext2', '2M');
    await must(['cp', '-r', '--owner', '12:34', host, `${image}:/d`]);
    expect(await statOf(`${image}:/d`)).toMatchObject({ uid: 12, gid: 34 });
    expect(await statOf(`${image}:/d/f`)).toMatchObject({ uid: 12, gid: 34 });
  });

  it('never copies the image into itself', async () => {
    const image = await makeImage('ext2', '2M');
    const folder = path.dirname(image);
    fs.writeFileSync(path.join(folder, 'beside'), 'x');
    const result = await userloop(['cp', '-r', folder, `${image}:/d`]);
    expect(result).toMatchObject({ status: 1, stderr: expect.stringMatching(/It is the image itself\n$/) });
    expect(await must(['ls', `${image}:/d`])).toBe('beside\n');
    expect((await userloop(['cp', `${image}:/d/beside`, image])).stderr).toMatch(/It is the image itself\n$/);
    expect(await must(['ls', `${image}:/d`])).toBe('beside\n');
  });

  it('removes the file that was begun when the image is full', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['cp', '-', `${image}:/old`], { stdin: 'x'.repeat(1_000_000) });
    const host = temporaryFolder();
    fs.writeFileSync(path.join(host, 'old'), 'y'.repeat(900_000));
    fs.writeFileSync(path.join(host, 'zzz'), 'z'.repeat(1_500_000));
    const result = await userloop(['cp', '-r', `${host}/.`, `${image}:/`]);
    expect(result).toMatchObject({ status: 1, stderr: expect.stringMatching(/zzz': .*[Nn]o space|zzz': /) });
    expect(await must(['ls', `${image}:/`])).toBe('lost+found\nold\n');
  });
});

describe('mv', () => {
  it('replaces, keeps with -n, and moves between images', async () => {
    const image = await makeImage('ext2', '2M');
    const other = await makeImage('fat12');
    for (const name of ['a', 'b', 'c']) await must(['cp', '-', `${image}:/${name}`], { stdin: name });
    await must(['mv', '-n', `${image}:/a`, `${image}:/b`]);
    expect(await must(['cat', `${image}:/b`])).toBe('b');
    await must(['mv', `${image}:/a`, `${image}:/b`]);
    expect(await must(['cat', `${image}:/b`])).toBe('a');
    await must(['mkdir', `${image}:/d`]);
    await must(['mv', `${image}:/b`, `${image}:/c`, `${image}:/d`]);
    await must(['mv', `${image}:/d`, `${other}:/`]);
    expect(await must(['find', other, '-type', 'f'])).toBe(`${other}:/d/b\n${other}:/d/c\n`);
    expect(await must(['ls', image])).toBe('lost+found\n');
    // What the other image cannot hold stays where it is.
    await must(['mkdir', `${image}:/e`]);
    await must(['ln', '-s', 'x', `${image}:/e/link`]);
    const result = await userloop(['mv', `${image}:/e`, `${other}:/`]);
    expect(result.status).toBe(1);
    expect(await must(['ls', `${image}:/e`])).toBe('link\n');
  });
});

describe('find', () => {
  it('selects as find(1) does', async () => {
    const image = await makeImage('ext2', '2M');
    await must(['mkdir', '-p', `${image}:/d/e`, `${image}:/empty`]);
    await must(['cp', '-', `${image}:/d/big.txt`], { stdin: 'x'.repeat(5000) });
    await must(['cp', '-', `${image}:/d/e/small.TXT`], { stdin: 'x' });
    await must(['ln', '-s', 'big.txt', `${image}:/d/link`]);
    const found = async (...expression: string[]): Promise<string[]> =>
      (await must(['find', `${image}:/`, ...expression]))
        .replaceAll(`${image}:`, '')
        .split('\n')
        .slice(0, -1);
    expect(await found('-name', '*.txt')).toEqual(['/d/big.txt']);
    expect(await found('-iname', '*.txt')).toEqual(['/d/big.txt', '/d/e/small.TXT']);
    expect(await found('-type', 'l')).toEqual(['/d/link']);
    expect(await found('-type', 'f', '-size', '+1k')).toEqual(['/d/big.txt']);
    expect(await found('-type', 'f', '-size', '-5')).toEqual(['/d/e/small.TXT']);
    expect(await found('-path', '*/d/*', '!', '-type', 'd', '-a', '-not', '-name', 'l*')).toEqual([
      '/d/big.txt',
      '/d/e/small.TXT',
    ]);
    expect(await found('(', '-name', 'e', '-o', '-name', 'link', ')', '-print')).toEqual(['/d/e', '/d/link']);
    expect(await found('-maxdepth', '1', '-name', '[de]*')).toEqual(['/d', '/empty']);
    expect(await found('-mindepth', '2', '-type', 'd')).toEqual(['/d/e']);
    expect(await found('-name', 'd', '-prune', '-o', '-type', 'd', '-empty', '-print')).toEqual([
      '/empty',
      '/lost+found',
    ]);
    expect(await must(['find', `${image}:/d/e`, '-print0'])).toBe(`${image}:/d/e\0${image}:/d/e/small.TXT\0`);
    expect(await found('-depth', '-path', '/d/e*')).toEqual(['/d/e/small.TXT', '/d/e']);
    expect(await found('-type', 'f', '-perm', '644')).toEqual(['/d/big.txt', '/d/e/small.TXT']);
    expect(await found('-newer', `${image}:/d/big.txt`, '-name', 'zzz')).toEqual([]);
  });
});

describeWithTools(['sfdisk'], 'images with partitions', () => {
  it('are addressed by number, by offset, and alone when only one partition has a file system', async () => {
    const image = path.join(temporaryFolder(), 'disk.img');
    await must(['create', image, '40M']);
    runTool('sfdisk', ['-q', image], {
      input: 'label: dos\nlabel-id: 0x8bafd0cb\n63,20000,83,*\n30000,30000,c\n',
    });
    const ext = await makeImage('ext2', '10240000');
    const fd = fs.openSync(image, 'r+');
    fs.writeSync(fd, fs.readFileSync(ext), 0, undefined, 63 * 512);
    fs.closeSync(fd);
    await must(['cp', '-', `${image}:/f`], { stdin: 'content' });
    for (const place of [`${image}:1:/f`, `${image}@63s:/f`, `${image}@32256:/f`, `${image}:/f`]) {
      expect(await must(['cat', place])).toBe('content');
    }
    expect((await userloop(['ls', `${image}:2`])).stderr).toMatch(/No file system/);
    const fat = await makeImage('fat16', '15360000');
    const again = fs.openSync(image, 'r+');
    fs.writeSync(again, fs.readFileSync(fat), 0, undefined, 30000 * 512);
    fs.closeSync(again);
    const ambiguous = await userloop(['ls', `${image}:/`]);
    expect(ambiguous.status).toBe(1);
    expect(ambiguous.stderr).toMatch(
      /Several partitions hold a file system, name one as IMAGE:N; partitions: 1 \(Linux, ext\), 2 \(.*, fat\)\n$/,
    );
    await must(['cp', '-r', `${image}:1:/f`, `${image}:2:/g`]);
    expect(await must(['cat', `${image}:2:/g`])).toBe('content');

    const [report] = JSON.parse(await must(['inspect', '--json', image])) as [Record<string, unknown>];
    expect(report).toMatchObject({
      size: 40 << 20,
      bootCode: { id: 'none' },
      table: {
        diskIdentifier: '0x8bafd0cb',
        partitions: [
          { number: 1, type: '0x83', active: true, startSector: 63, sectorCount: 20000 },
          { number: 2, type: '0x0c', active: false, startSector: 30000, sectorCount: 30000 },
        ],
      },
      fileSystems: [
        { partition: 1, details: { type: 'ext2', state: 'clean' } },
        { partition: 2, details: { type: 'fat16', state: 'clean' } },
      ],
    });
    const df = await must(['df', image]);
    expect(df.split('\n')).toHaveLength(4);
    expect(df).toContain(`${image}:1 ext2`);
    expect(df).toContain(`${image}:2 fat16`);
    const text = await must(['inspect', image]);
    expect(text).toMatch(/Partition 1: ext2, 9\.8M \(10240000 bytes\), clean/);
  });
});

describeWithTools(['dumpe2fs', 'blkid'], 'inspect', () => {
  it('agrees with dumpe2fs and blkid', async () => {
    const image = await makeImage('ext2', '8M', ['-L', 'a label']);
    const dump = runTool('dumpe2fs', ['-h', image]).stdout;
    const field = (name: string): string => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(dump)![1]!;
    const [report] = JSON.parse(await must(['inspect', '--json', image])) as [
      { fileSystems: [{ details: Record<string, unknown> }] },
    ];
    const { details } = report.fileSystems[0];
    expect(details).toMatchObject({
      label: field('Filesystem volume name'),
      uuid: field('Filesystem UUID'),
      blockSize: Number(field('Block size')),
      freeBlocks: Number(field('Free blocks')),
      totalNodes: Number(field('Inode count')),
      freeNodes: Number(field('Free inodes')),
      state: 'clean',
    });
    expect([...(details['features'] as string[])].sort()).toEqual(
      field('Filesystem features').split(/\s+/).sort(),
    );
    const fat = await makeImage('fat32', '64M', ['-n', 'VOLUME']);
    const [other] = JSON.parse(await must(['inspect', '--json', fat])) as (typeof report)[];
    const blkid = runTool('blkid', ['-p', '-o', 'export', fat]).stdout;
    expect(other!.fileSystems[0].details).toMatchObject({
      label: /^LABEL=(.*)$/m.exec(blkid)![1],
      uuid: /^UUID=(.*)$/m.exec(blkid)![1],
    });
  });
});
