import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { execFileSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;
/** Capability cap_net_raw, permitted and effective: `struct vfs_cap_data` of revision 2. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');

const folder = temporaryFolder();

/** Names, links, holes and modes such as a root file system has. */
function makeSource(): string {
  const source = path.join(folder, 'source');
  fs.mkdirSync(path.join(source, 'a', 'b', 'c'), { recursive: true });
  const write = (name: string, content: Buffer | string, mode = 0o644): void => {
    fs.writeFileSync(path.join(source, name), content);
    fs.chmodSync(path.join(source, name), mode);
    fs.utimesSync(path.join(source, name), 1_500_000_000, 1_400_000_000.25);
  };
  write('empty', '');
  write('small', 'a few bytes\n', 0o600);
  write('a/setuid', Buffer.alloc(70_000, 'content'), 0o4755);
  write(`a/b/${'n'.repeat(200)}`, Buffer.alloc(2 * MIB, 'large '));
  write('a/b/ümläut', 'utf-8');
  for (let i = 0; i < 300; i++) write(`a/b/c/file-${i}`, `number ${i}`);
  fs.linkSync(path.join(source, 'small'), path.join(source, 'a', 'second'));
  fs.symlinkSync('../small', path.join(source, 'a', 'short'));
  fs.symlinkSync('x/'.repeat(60), path.join(source, 'a', 'long'));
  const hole = fs.openSync(path.join(source, 'hole'), 'w');
  fs.ftruncateSync(hole, 5 * MIB);
  fs.writeSync(hole, 'end', 5 * MIB - 3);
  fs.closeSync(hole);
  return source;
}

/** One record of an archive, in the ustar format. */
function member(fields: {
  name: string;
  type: string;
  content?: Buffer;
  mode?: number;
  uid?: number;
  gid?: number;
  target?: string;
  device?: readonly [number, number];
}): Buffer {
  const { content = Buffer.alloc(0), mode = 0o644, uid = 0, gid = 0, target = '', device = [0, 0] } = fields;
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number): void =>
    void header.write(value.toString(8).padStart(length - 1, '0'), at);
  header.write(fields.name, 0);
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(content.length, 124, 12);
  octal(1_500_000_000, 136, 12);
  header.write(fields.type, 156);
  header.write(target, 157);
  header.write('ustar\x0000', 257, 'latin1');
  octal(device[0], 329, 8);
  octal(device[1], 337, 8);
  header.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function extension(name: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${name}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

async function make(source: string, line: string): Promise<string> {
  const image = path.join(folder, 'image');
  fs.rmSync(image, { force: true });
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 48 * MIB);
  const made = await userloop(['mke2fs', ...line.split(' '), '-d', source, image]);
  expect(made.stderr).toBe('mke2fs 1.47.0 (5-Feb-2023)\n');
  expect(made.status).toBe(0);
  expect(made.stdout).toContain('Copying files into the device: done\nWriting superblocks');
  const checked = runTool('e2fsck', ['-fn', image]);
  expect(checked.stdout).not.toMatch(/fix\?/i);
  expect(checked.status).toBe(0);
  return image;
}

/** What debugfs takes out of the image; of inline data it takes more than there is, so there we read ourselves. */
async function dump(image: string, inline: boolean): Promise<string> {
  const out = path.join(folder, 'out');
  fs.rmSync(out, { recursive: true, force: true });
  fs.mkdirSync(out);
  if (inline) expect((await userloop(['cp', '-a', `${image}:/.`, out])).status).toBe(0);
  else runTool('debugfs', ['-R', `rdump / ${out}`, image]);
  fs.rmSync(path.join(out, 'lost+found'), { recursive: true, force: true });
  return out;
}

const FEATURES = [
  '-t ext2',
  '-t ext3',
  '-t ext4',
  '-t ext4 -b 4096',
  '-t ext4 -O inline_data',
  '-t ext4 -O ^has_journal',
  '-t ext4 -O quota,project',
  '-t ext4 -O bigalloc',
];

describeWithTools(['mke2fs', 'e2fsck', 'debugfs', 'tar'], 'mke2fs -d', () => {
  const source = makeSource();
  const archive = path.join(folder, 'source.tar');
  execFileSync('tar', ['--format=pax', '-C', source, '-cf', archive, '.']);
  const gnu = path.join(folder, 'gnu.tar');
  execFileSync('tar', ['--format=gnu', '-C', source, '-cf', gnu, '.']);

  describe.each(FEATURES)('%s', (line) => {
    test.each([
      ['a folder', source],
      ['a pax archive', archive],
      ['a GNU archive', gnu],
    ])('holds what is in %s', async (_, from) => {
      const image = await make(from, line);
      const out = await dump(image, line.includes('inline'));
      const told = runTool('diff', ['-r', '--no-dereference', source, out]);
      expect(told.stdout).toBe('');
      for (const name of ['small', 'a/setuid', 'a/b/ümläut']) {
        const mode = (fs.statSync(path.join(source, name)).mode & 0o7777).toString(8);
        const told = runTool('debugfs', ['-R', `stat /${name}`, image]).stdout;
        expect(told).toContain(`Mode:  0${mode.padStart(3, '0')}`);
        expect(told).toContain('mtime: 0x53724e00');
      }
    });
  });

  test('is the same tree as that of the reference', async () => {
    const ours = await make(source, '-t ext4');
    const theirs = path.join(folder, 'theirs');
    fs.writeFileSync(theirs, '');
    fs.truncateSync(theirs, 48 * MIB);
    expect(runTool('mke2fs', ['-q', '-t', 'ext4', '-d', source, theirs]).status).toBe(0);
    const listing = (image: string, directory: string): string[] =>
      runTool('debugfs', ['-R', `ls -p ${directory}`, image])
        .stdout.split('\n')
        .map((entry) => entry.split('/').slice(2).join('/'))
        .sort();
    for (const directory of ['/', '/a', '/a/b', '/a/b/c'])
      expect(listing(ours, directory).slice(1)).toEqual(listing(theirs, directory).slice(1));
  });

  test('makes devices, owners and capabilities of an archive as they are in there', async () => {
    const bytes = Buffer.concat([
      member({
        name: 'x',
        type: 'x',
        content: Buffer.concat([
          extension('SCHILY.xattr.security.capability', CAPABILITY),
          extension('SCHILY.xattr.user.note', Buffer.from('text')),
          extension('mtime', Buffer.from('1500000000.5')),
        ]),
      }),
      member({
        name: './bin/ping',
        type: '0',
        content: Buffer.from('program'),
        mode: 0o755,
        uid: 70_000,
        gid: 8,
      }),
      member({ name: 'dev/null', type: '3', mode: 0o666, device: [1, 3] }),
      member({ name: 'dev/sda', type: '4', mode: 0o660, gid: 6, device: [8, 0] }),
      member({ name: 'dev/pipe', type: '6', mode: 0o600 }),
      member({ name: 'bin/ping6', type: '1', target: './bin/ping' }),
      member({ name: './', type: '5', mode: 0o711, uid: 5 }),
      Buffer.alloc(1024),
    ]);
    const file = path.join(folder, 'devices.tar');
    fs.writeFileSync(file, bytes);
    const image = await make(file, '-t ext4');
    const stat = (name: string): string => runTool('debugfs', ['-R', `stat ${name}`, image]).stdout;
    expect(stat('/bin/ping')).toMatch(/Mode: {2}0755[^]*User: 70000 +Group: +8[^]*Links: 2/);
    expect(stat('/bin/ping')).toContain('mtime: 0x59682f00:77359400');
    expect(stat('/dev/null')).toMatch(/Type: character special +Mode: {2}0666[^]*major\/minor number: 01:03/);
    expect(stat('/dev/sda')).toMatch(/Type: block special[^]*Group: +6[^]*major\/minor number: 08:00/);
    expect(stat('/dev/pipe')).toContain('Type: FIFO');
    expect(stat('/')).toMatch(/Mode: {2}0711[^]*User: +5/);
    const capability = path.join(folder, 'capability');
    runTool('debugfs', ['-R', `ea_get -f ${capability} /bin/ping security.capability`, image]);
    expect(fs.readFileSync(capability).equals(CAPABILITY)).toBe(true);
  });

  test.each([
    ['a source that is not there', 'nowhere', 'No such file or directory while populating file system'],
    ['what is no archive', path.join(source, 'a', 'setuid'), 'chksum'],
  ])('refuses %s and leaves the image alone', async (_, from, message) => {
    const image = path.join(folder, 'untouched');
    fs.writeFileSync(image, Buffer.alloc(MIB, 'old'));
    const { status, stderr } = await userloop(['mke2fs', '-t', 'ext4', '-d', from, image]);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
    expect(fs.readFileSync(image).equals(Buffer.alloc(MIB, 'old'))).toBe(true);
  });
});
