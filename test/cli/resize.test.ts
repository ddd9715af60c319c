import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const MIB = 1 << 20;
const CLOCK = { SOURCE_DATE_EPOCH: '1600000000' };

function run(...argv: string[]) {
  return userloop(argv, { cwd: folder, env: CLOCK });
}

async function done(...argv: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(...argv);
  expect(`${status} ${stderr}`, argv.join(' ')).toBe('0 ');
  return stdout;
}

function bytesOf(name: string): Buffer {
  return fs.readFileSync(path.join(folder, name));
}

function sizeOf(name: string): number {
  return fs.statSync(path.join(folder, name)).size;
}

/** An image that is all file system, with a file. */
async function makeVolume(name: string, size = 8 * MIB): Promise<void> {
  fs.rmSync(path.join(folder, name), { force: true });
  await done('create', name, `${size}`);
  await done('mke2fs', '-q', '-t', 'ext4', '-b', '1024', name);
  fs.writeFileSync(path.join(folder, 'content'), Buffer.alloc(300_000, 'content '));
  await done('cp', 'content', `${name}:/kept`);
}

async function expectWhole(name: string): Promise<void> {
  expect(await done('check', name)).toMatch(/: nothing is wrong\n$/);
  const { bytes } = await run('cat', `${name}:/kept`);
  expect(Buffer.compare(bytes, fs.readFileSync(path.join(folder, 'content')))).toBe(0);
}

/** A GPT with two partitions, the first an ext4 file system of 8 MiB in 12, the second FAT. */
async function makeDisk(name: string): Promise<void> {
  await makeVolume('part.img');
  fs.rmSync(path.join(folder, name), { force: true });
  await done('create', name, `${20 * MIB}`);
  const script = 'label: gpt\nstart=2048, size=24576\nsize=8192\n';
  const made = await userloop(['sfdisk', '-q', name], { cwd: folder, env: CLOCK, stdin: script });
  expect(made.status, made.stderr).toBe(0);
  const fd = fs.openSync(path.join(folder, name), 'r+');
  fs.writeSync(fd, bytesOf('part.img'), 0, 8 * MIB, MIB);
  await done('create', '-f', 'fat.img', `${4 * MIB}`);
  await done('mkfs.fat', 'fat.img');
  fs.writeSync(fd, bytesOf('fat.img'), 0, 4 * MIB, MIB + 24576 * 512);
  fs.closeSync(fd);
}

describe('resize', () => {
  test('makes image and file system longer, with the bytes that resize2fs writes', async () => {
    await makeVolume('a.img');
    fs.copyFileSync(path.join(folder, 'a.img'), path.join(folder, 'b.img'));
    const told = await done('resize', 'a.img', '50M');
    expect(told).toContain('8M (8192 blocks of 1024 bytes) and gets 50M (51200 blocks of 1024 bytes)');
    expect(told).toContain(`the image becomes longer: ${50 * MIB} bytes instead of ${8 * MIB}\n`);
    expect((await run('resize2fs', '-f', 'b.img', '50M')).status).toBe(0);
    expect(bytesOf('a.img').equals(bytesOf('b.img'))).toBe(true);
    await expectWhole('a.img');
  });

  test('cuts the image behind a file system that became smaller, but not what somebody else has there', async () => {
    await makeVolume('a.img');
    await done('resize', 'a.img', '+20M');
    await done('resize', 'a.img', '-10M');
    expect(sizeOf('a.img')).toBe(18 * MIB);
    await expectWhole('a.img');
    await done('resize', 'a.img', '--minimum');
    expect(sizeOf('a.img')).toBeLessThan(6 * MIB);
    await expectWhole('a.img');
    await done('resize', 'a.img', '10M');
    fs.appendFileSync(path.join(folder, 'a.img'), 'something else');
    expect(await done('resize', 'a.img', '8M')).toContain('keeps its length: there is something behind');
    expect(sizeOf('a.img')).toBe(10 * MIB + 14);
    await expectWhole('a.img');
  });

  test('tells with -n what it would do, and says when there is nothing to do', async () => {
    await makeVolume('a.img');
    const before = bytesOf('a.img');
    expect(await done('resize', '-n', 'a.img', '40M')).toMatch(/becomes longer: .*\nNothing was written\n$/);
    expect(await done('resize', '--dry-run', '--minimum', 'a.img')).toContain('the image is cut behind it');
    for (const size of [['8M'], ['+0'], ['--max']]) {
      expect(await done('resize', 'a.img', ...size)).toMatch(/8M .* already; nothing to do\n$/);
    }
    expect(bytesOf('a.img').equals(before)).toBe(true);
  });

  test('stays inside the partition, and tells the command that changes it', async () => {
    await makeDisk('d.img');
    const { status, stderr } = await run('resize', 'd.img:1', '13M');
    expect(status).toBe(1);
    expect(stderr).toContain(`Partition 1 has ${12 * MIB} bytes (12M), not ${13 * MIB}; partition 2 begins`);
    expect(stderr).toContain(`at byte ${13 * MIB}`);
    expect(await done('resize', '--max', 'd.img:1')).toContain('and gets 12M (12288 blocks');
    await expectWhole('d.img:1');
    const told = await done('resize', 'd.img:1', '9M');
    const command = /makes it smaller: echo '(, \d+)' \| userloop (.*)\n/.exec(told)!;
    expect(command.slice(1)).toEqual([', 18432', 'sfdisk -N 1 d.img']);
    const shrunk = await userloop(command[2]!.split(' '), { cwd: folder, stdin: `${command[1]}\n` });
    expect(shrunk.status, shrunk.stderr).toBe(0);
    await expectWhole('d.img:1');
    const larger = await run('resize', 'd.img:1', '10M');
    expect(larger.stderr).toContain("change the partition with: echo ', 20480' | userloop sfdisk -N 1 d.img");
    expect(sizeOf('d.img')).toBe(20 * MIB);
    const fat = bytesOf('fat.img');
    expect(
      bytesOf('d.img')
        .subarray(13 * MIB, 17 * MIB)
        .equals(fat),
    ).toBe(true);
  });

  test('takes the only file system of a disk, and one at an offset', async () => {
    await makeDisk('d.img');
    expect((await run('resize', 'd.img', '9M')).stderr).toContain('Several partitions hold a file system');
    expect(await done('resize', '-n', `d.img@${MIB}`, '9M')).toMatch(/^d.img:1: /);
    await makeVolume('a.img');
    const longer = Buffer.concat([Buffer.alloc(MIB), bytesOf('a.img')]);
    fs.writeFileSync(path.join(folder, 'o.img'), longer);
    const { stderr } = await run('resize', `o.img@${MIB}`, '9M');
    expect(stderr).toContain(`truncate -s ${10 * MIB} o.img`);
    await done('resize', `o.img@${MIB}`, '7M');
    expect(sizeOf('o.img')).toBe(9 * MIB);
    await expectWhole(`o.img@${MIB}`);
  });

  test('keeps what it overwrites, and check puts it back', async () => {
    await makeVolume('a.img');
    const before = bytesOf('a.img');
    await done('resize', '--undo', 'u', 'a.img', '-2M');
    expect(sizeOf('a.img')).toBe(8 * MIB);
    expect(bytesOf('a.img').equals(before)).toBe(false);
    await done('check', '--restore', 'u', 'a.img');
    expect(bytesOf('a.img').equals(before)).toBe(true);
    expect((await run('resize', '--undo', 'u', 'a.img', '-2M')).stderr).toContain('is there already');
  });

  test('tells it all as JSON', async () => {
    await makeVolume('a.img');
    expect(JSON.parse(await done('resize', '--json', 'a.img', '-1M'))).toEqual({
      fileSystem: 'a.img',
      blockSize: 1024,
      before: { blocks: 8192, size: 8 * MIB },
      after: { blocks: 7168, size: 7 * MIB },
      imageSize: { before: 8 * MIB, after: 7 * MIB },
      written: true,
    });
  });

  test('refuses what would lose a file, what is damaged and what it cannot do, and writes nothing', async () => {
    await makeVolume('a.img');
    await makeDisk('d.img');
    await makeVolume('wrong.img');
    const fd = fs.openSync(path.join(folder, 'wrong.img'), 'r+');
    // s_free_inodes_count
    fs.writeSync(fd, Buffer.from([1, 2]), 0, 2, 1024 + 0x10);
    fs.closeSync(fd);
    const images = ['a.img', 'd.img', 'wrong.img', 'fat.img'];
    const before = images.map(bytesOf);
    for (const [operands, status, text] of [
      [
        ['a.img', '1M'],
        1,
        /Its files have no room in 1048576 bytes: \d+ \(\d+ blocks of 1024\) are the least/,
      ],
      [['a.img', '10K'], 1, /10 blocks of 1024 bytes are too few for a file system/],
      [['a.img', '-9M'], 1, /can hold nothing/],
      [['a.img', '4P'], 1, /at most|would have/],
      [['wrong.img', '9M'], 1, /.*/],
      [['fat.img', '9M'], 1, /size of a FAT file system cannot be changed: .* mkfs.fat .* userloop cp -r/],
      [['d.img:2', '1M'], 1, /FAT file system cannot be changed/],
      [['d.img:3', '1M'], 1, /no partition 3/],
      [['nowhere.img', '1M'], 1, /nowhere.img/],
      [['a.img:/kept', '1M'], 2, /names a file/],
      [['a.img'], 2, /missing operand/],
      [['a.img', 'large'], 2, /"large" is not a size/],
      [['a.img', '--max', '--minimum'], 2, /only one/],
      [['a.img', '--max', '3M'], 2, /extra operand/],
      [['a.img', '3M', '-n', '--undo', 'n'], 2, /does not go with/],
    ] as const) {
      const result = await run('resize', ...operands);
      expect(result.status, operands.join(' ')).toBe(status);
      expect(result.stderr, operands.join(' ')).toMatch(text);
    }
    expect(images.every((name, at) => bytesOf(name).equals(before[at]!))).toBe(true);
  });
});

describeWithDevices([], 'resize of attached devices', () => {
  let devices: AttachedTest | undefined;
  afterEach(async () => devices?.end());

  test('has a file system fill its partition, and refuses one that is mounted', async () => {
    devices = new AttachedTest();
    const { env } = devices;
    await makeDisk('d.img');
    const image = path.join(devices.folder, 'd.img');
    fs.copyFileSync(path.join(folder, 'd.img'), image);
    const at = { cwd: devices.folder, env };
    // Not loop0 where the machine has that.
    const name = path.basename((await userloop(['attach', image], at)).stdout.trim());
    expect((await userloop(['resize', 'd.img:1', '12M'], at)).stderr).toMatch(
      new RegExp(`attached as .*${name}`),
    );
    const grown = await userloop(['resize', '--max', `${name}p1`], at);
    expect([grown.status, grown.stderr]).toEqual([0, '']);
    expect((await userloop(['check', `${name}:1`], at)).stdout).toMatch(/nothing is wrong\n$/);
    const beyond = await userloop(['resize', `${name}p1`, '13M'], at);
    expect(beyond.stderr).toContain(`The device has ${12 * MIB} bytes (12M), not ${13 * MIB}`);
    fs.mkdirSync(path.join(devices.folder, 'mnt'));
    expect((await userloop(['mount', `${name}p1`, 'mnt'], at)).status).toBe(0);
    const refused = await userloop(['resize', `${name}p1`, '9M'], at);
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/is mounted on .*mnt; unmount it first/),
    ]);
  });
});
